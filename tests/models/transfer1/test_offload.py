"""Blocks that are on the device only while they work give the same numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.dit.offload import Offload, cpu_buffer
from cosmos_exp.models.kernels.float8 import LARGE_LINEARS, use_float8
from cosmos_exp.models.transfer1.config import DiTConfig
from cosmos_exp.models.transfer1.control import ControlEncoder, ControlledDiT
from cosmos_exp.models.transfer1.edm import Denoiser
from cosmos_exp.models.transfer1.transformer import DiT

CONFIG = DiTConfig(
    model_channels=48, num_blocks=5, num_heads=2, text_channels=16, adaln_lora_dim=4, max_size=(8, 16, 16)
)


@pytest.fixture
def denoiser():
    torch.manual_seed(0)
    encoders = {name: ControlEncoder(CONFIG.control(hint_channels=16, num_blocks=3)) for name in ("hdmap", "edge")}
    denoiser = Denoiser(ControlledDiT(DiT(CONFIG), encoders)).eval()
    for parameter in denoiser.parameters():
        nn.init.normal_(parameter, std=0.15)
    return denoiser


def networks(denoiser):
    return [denoiser.net.base, *denoiser.net.controls.values()]


@torch.inference_mode()
def sampled(denoiser, batched=False):
    """Two branches at two noise levels."""
    generator = torch.Generator().manual_seed(1)
    x, text = torch.randn(1, 16, 2, 4, 6, generator=generator), torch.randn(1, 8, 16, generator=generator)
    clip = denoiser.prepare(x, {name: x.flip(-1) for name in denoiser.net.controls})
    prompts = [denoiser.net.prepare_text(each, clip) for each in (text, None)]
    weights = {"hdmap": 0.4, "edge": 0.6}
    return torch.stack(
        [b for s in (80.0, 0.3) for b in denoiser.branches(x, s, prompts, clip, weights, batched=batched)]
    )


@pytest.mark.parametrize("batched", [True, False], ids=["batched", "apart"])
@pytest.mark.parametrize("linears", ["plain", "fp8"])
def test_offloaded_blocks_change_no_bit(denoiser, linears, batched):
    if linears == "fp8":
        for net in networks(denoiser):
            for block in net.transformer_blocks:
                use_float8(block, "cpu")
    expected, before = sampled(denoiser, batched), list(denoiser.parameters())
    offload = Offload("cpu")
    for net in networks(denoiser):
        net.offload_to(offload)
    assert all(after is parameter for after, parameter in zip(denoiser.parameters(), before, strict=True))
    assert torch.equal(sampled(denoiser, batched), expected)
    assert torch.equal(sampled(denoiser, batched), expected)


def test_two_blocks_at_most_have_their_weights(denoiser):
    offload, blocks = Offload("cpu"), denoiser.net.base.transformer_blocks
    denoiser.net.base.offload_to(offload)
    present = lambda: [block.ff.net[2].weight.numel() > 0 for block in blocks]  # noqa: E731
    assert present() == [False] * 5
    offload.load(blocks[2])
    assert present() == [False, False, True, True, False]
    offload.load(blocks[4])  # not what was foreseen
    assert present() == [True, False, False, False, True]
    weight = blocks[4].ff.net[2].weight
    assert weight.untyped_storage().data_ptr() != blocks[0].ff.net[2].weight.untyped_storage().data_ptr()
    large = {id(p) for name in LARGE_LINEARS for p in blocks[1].get_submodule(name).parameters()}
    assert all((p.numel() == 0) == (id(p) in large) for p in blocks[1].parameters())


def test_dropped_blocks_leave_room_for_those_of_another_network(denoiser):
    expected = sampled(denoiser)
    other = DiT(DiTConfig.from_dict(CONFIG.to_dict() | {"model_channels": 24}))
    offload = Offload("cpu")
    other.offload_to(offload)
    offload.load(other.transformer_blocks[0])
    for net in networks(denoiser):  # larger blocks: the slots grow
        net.offload_to(offload)
    offload.unregister(other.transformer_blocks)
    assert torch.equal(sampled(denoiser), expected)


def test_too_little_cpu_memory_is_the_users_error():
    with pytest.raises(UserError, match=r"hardware.offload=blocks: no CPU memory left"):
        cpu_buffer(2**62, pinned=False)
