"""Sampling by several processes against one: the same numbers, whichever way passes and frames are shared out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from helpers.tensors import draw, error

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.dit.layout import Layout, check_fits, layout
from cosmos_exp.models.dit.parallel import ParallelContext
from cosmos_exp.models.dit.regional import Region
from cosmos_exp.models.dit.view_layout import given_frames
from cosmos_exp.models.kernels import float8
from cosmos_exp.models.transfer1.config import DiTConfig
from cosmos_exp.models.transfer1.control import ControlEncoder, ControlledDiT
from cosmos_exp.models.transfer1.denoise import guided
from cosmos_exp.models.transfer1.edm import Denoiser, FrameCondition
from cosmos_exp.models.transfer1.transformer import DiT
from cosmos_exp.sampling.res_sampler import res_sample
from cosmos_exp.sampling.sampler_params import SamplerParams

FRAMES, HEADS = 4, 4
SINGLE = DiTConfig(
    model_channels=48, num_blocks=3, num_heads=HEADS, text_channels=16, adaln_lora_dim=4, max_size=(8, 16, 16)
)
MULTI = replace(SINGLE, condition_mask=True, extra_pos="sincos", num_views=3, view_channels=6)
UNGUIDED = SamplerParams(num_steps=2, guidance=0.0)
GUIDED = SamplerParams(num_steps=2, guidance=3.0)
BETWEEN = SamplerParams(num_steps=8, guidance=3.0, guidance_interval=(0.05, 10.0), cache_threshold=0.45)


class Clip:
    """A net, and all that it needs to evaluate a clip."""

    def __init__(self, config: DiTConfig, batch: int = 1):
        torch.manual_seed(0)
        encoders = {n: ControlEncoder(config.control(hint_channels=16, num_blocks=2)) for n in ("hdmap", "edge", "vis")}
        net = ControlledDiT(DiT(config), encoders)
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.15)
        self.net = Denoiser(net).eval()
        views = config.num_views
        shape = (batch, 16, FRAMES * views, 4, 6)
        self.x = 3 * draw(*shape)
        self.condition = None
        if config.condition_mask:
            self.condition = FrameCondition(
                draw(*shape, seed=5), given_frames(views, FRAMES), draw(*shape, seed=6), 0.1
            )
        hints = {name: draw(*shape, seed=i) for i, name in enumerate(encoders)}
        self.weights = {"hdmap": 0.4, "edge": draw(1, 1, FRAMES * views, 2, 3).abs(), "vis": 0.0}
        self.prepared = self.net.prepare(self.x, hints, condition=self.condition, fps=12.0)
        self.text = draw(batch, views * 20, 16, seed=3)
        self.text.unflatten(1, (views, -1))[:, :, 12:] = 0
        inside = torch.arange(FRAMES * 2 * 3).reshape(1, 1, FRAMES, 2, 3) < 8  # none in the last frames
        self.regions = [Region(draw(1, 20, 16, seed=7), inside)] if views == batch == 1 else []
        self.negative = None if views > 1 else draw(batch, 20, 16, seed=4)

    def x0(self, sampler: SamplerParams, parallel: ParallelContext | None) -> torch.Tensor:
        denoise = guided(
            self.net,
            self.prepared,
            text=self.text,
            negative_text=self.negative,
            sampler=sampler,
            weights=self.weights,
            condition=self.condition,
            regions=self.regions,
            parallel=parallel,
        )
        return res_sample(denoise, self.x, sampler.levels)


def check_teams(rank: int, meeting: str) -> None:
    torch.set_num_threads(1)
    for size in (4, 2):
        if rank < size:
            check_team(rank, size, f"{meeting}_{size}")


def check_team(rank: int, size: int, meeting: str) -> None:
    """Run in every process: what all compute together is the same in each, and what the first one computes alone."""
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)
    parallel = ParallelContext("cpu")
    with torch.inference_mode():
        for config in (SINGLE, MULTI):
            for sampler in (UNGUIDED, GUIDED, BETWEEN):
                clip = Clip(config, batch=2 if sampler is GUIDED else 1)
                together = clip.x0(sampler, parallel)
                of_first = together.clone()
                dist.broadcast(of_first, src=0)
                assert torch.equal(of_first, together)
                if rank == 0:
                    assert error(together, clip.x0(sampler, None)) < 1e-5, (config.num_views, sampler)
        clip = Clip(SINGLE)
        assert error(clip.x0(BETWEEN, parallel), clip.x0(replace(BETWEEN, cache_threshold=0.0), parallel)) > 1e-4
        assert clip.prepared.local(parallel.partition(1, 1, FRAMES, HEADS).sequence).num_tokens * size == FRAMES * 2 * 3
        for block in clip.net.net.base.transformer_blocks:
            float8.use_float8(block, "cpu")
            block.attention, block.bound = "fp8", (8.0, 8.0)
        assert error(clip.x0(UNGUIDED, parallel), clip.x0(UNGUIDED, None)) < 0.05
        with pytest.raises(UserError, match=f"{size} processes cannot split 3 latent frames"):
            parallel.partition(1, 1, 3, HEADS)
    dist.destroy_process_group()


def test_processes_compute_together_what_one_computes_alone(tmp_path):
    mp.set_forkserver_preload(["cosmos_exp.models.transfer1.denoise"])
    mp.start_processes(check_teams, (str(tmp_path / "meeting"),), nprocs=4, start_method="forkserver")


def test_guidance_takes_the_first_factor_of_two():
    assert layout(8, passes=2) == Layout(2, 4)
    assert layout(3, passes=2) == Layout(1, 3)
    assert layout(4, passes=1) == Layout(1, 4)


def test_uneven_parts_are_refused_with_the_numbers_that_are_possible():
    check_fits(8, 2, frames=16, heads=32)
    with pytest.raises(UserError, match=r"3 processes .* possible are 1, 2, 4, 8, 16, 32; nearest is 2"):
        check_fits(3, 2, frames=16, heads=32)
    with pytest.raises(UserError, match=r"4 processes .* possible are 1, 2; nearest is 2"):
        check_fits(4, 2, frames=4, heads=3)
