"""The diffusion objectives train every part they should, on latents made up here."""

from __future__ import annotations

import pytest
import torch

from cosmos_exp.common.styles import STYLES
from cosmos_exp.common.views import VIEWS
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.models.transfer1.nano import CONTROLS
from cosmos_exp.train.diffusion import (
    MultiViewObjective,
    NoiseParams,
    SingleViewObjective,
    draw_controls,
    draw_weights,
)
from cosmos_exp.train.latents import LatentSet

GRID = (2, 4, 4)  # latent frames, rows, columns


@pytest.fixture(scope="module")
def model(tiny_model) -> WorldModel:
    torch.manual_seed(0)
    return WorldModel.build(tiny_model.config)


def made_up(num_views: int, controls: tuple[str, ...]) -> LatentSet:
    generator = torch.Generator().manual_seed(0)
    clips, styles = 3, 2
    targets = torch.randn(clips, styles, num_views, 16, *GRID, generator=generator).half() * 0.5
    views = {c: num_views if c == "hdmap" else 1 for c in controls}
    hints = {c: torch.randn(clips, v, 16, *GRID, generator=generator).half() * 0.5 for c, v in views.items()}
    names = [list(STYLES[:styles])] * clips
    return LatentSet(targets, hints, [[f"{s}. A street." for s in row] for row in names], names)


def test_single_view_gradients_reach_text_base_and_the_controls_drawn(model):
    objective = SingleViewObjective(
        model.text_encoder,
        model.single_view(),
        made_up(1, CONTROLS),
        negative_prompt="bad",
        noise=NoiseParams(),
        batch_size=2,
    )
    for step in range(40):  # zero-initialised gates let no gradient through to the text at first
        loss, _ = objective(torch.Generator().manual_seed(step))
        assert torch.isfinite(loss)
        loss.backward()
        if step < 3:
            with torch.no_grad():
                for p in objective.parameters():
                    if p.grad is not None:
                        p -= 0.01 * p.grad.sign()
    net = objective.denoiser.net
    parts = {"text": objective.text_encoder, "base": net.base, **net.controls}
    for name, part in parts.items():
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters()), name


def test_same_generator_seed_gives_the_same_loss(model):
    objective = SingleViewObjective(
        model.text_encoder,
        model.single_view(),
        made_up(1, CONTROLS),
        negative_prompt="bad",
        noise=NoiseParams(),
        batch_size=2,
    )
    losses = [objective(torch.Generator().manual_seed(s))[0].item() for s in (5, 5, 6)]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("views_per_step", [2, 6])
def test_multi_view_loss_ignores_the_given_front_view(model, views_per_step):
    latents = made_up(len(VIEWS), ("hdmap",))
    objective = MultiViewObjective(
        model.text_encoder,
        model.multi_view(),
        latents,
        views=VIEWS,
        noise=NoiseParams(),
        batch_size=1,
        front_noise=5.0,
        views_per_step=views_per_step,
    )
    loss, scalars = objective(torch.Generator().manual_seed(0))
    loss.backward()
    assert scalars["x0_mse"] < 10  # the front view's error alone would exceed this with noise of 5
    assert objective.denoiser.net.base.proj_out.weight.grad.abs().sum() > 0


def test_weights_of_several_controls_sum_to_one():
    generator = torch.Generator().manual_seed(0)
    several = draw_weights(["edge", "seg", "vis"], 5, generator)
    torch.testing.assert_close(sum(several.values()), torch.ones(5))
    alone = draw_weights(["edge"], 100, generator)["edge"]
    assert alone.min() >= 0.3 and alone.max() <= 1


def test_control_draws_cover_every_control_and_favour_the_hdmap():
    draws = [draw_controls(list(CONTROLS), torch.Generator().manual_seed(s)) for s in range(300)]
    counts = {c: sum(c in d for d in draws) for c in CONTROLS}
    assert min(counts.values()) > 30 and counts["hdmap"] == max(counts.values())
    assert {len(d) for d in draws} == {1, 2, 3}


def test_latents_survive_a_round_trip(tmp_path):
    latents = made_up(len(VIEWS), ("hdmap",))
    latents.save(tmp_path / "set.safetensors")
    again = LatentSet.load(tmp_path / "set.safetensors")
    assert torch.equal(again.targets, latents.targets) and torch.equal(again.hints["hdmap"], latents.hints["hdmap"])
    assert again.prompts == latents.prompts and again.styles == latents.styles
