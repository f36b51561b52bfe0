"""The sampling path, which shares and caches, against the plain definition of the networks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from helpers.tensors import draw, error

from cosmos_exp.models.dit.block import without_zero_rows
from cosmos_exp.models.dit.view_layout import given_frames
from cosmos_exp.models.kernels.attention import attend_beside_zeros
from cosmos_exp.models.transfer1.config import DiTConfig
from cosmos_exp.models.transfer1.control import ControlEncoder, ControlledDiT
from cosmos_exp.models.transfer1.edm import Denoiser, FrameCondition
from cosmos_exp.models.transfer1.transformer import DiT

SINGLE = DiTConfig(
    model_channels=48, num_blocks=3, num_heads=2, text_channels=16, adaln_lora_dim=4, max_size=(8, 16, 16)
)
MULTI = replace(SINGLE, condition_mask=True, extra_pos="sincos", num_views=3, view_channels=6)
ROWS = 40


def prompt(config: DiTConfig, lengths, batch=1, seed=0):
    """Text [batch, V*ROWS, 16] whose rows are zero beyond each view's length."""
    text = draw(batch, config.num_views, ROWS, 16, seed=seed)
    for view, length in enumerate(lengths):
        text[:, view, length:] = 0
    return text.flatten(1, 2)


def denoiser(config: DiTConfig) -> Denoiser:
    torch.manual_seed(0)
    encoders = {n: ControlEncoder(config.control(hint_channels=16, num_blocks=2)) for n in ("hdmap", "edge", "vis")}
    net = ControlledDiT(DiT(config), encoders)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return Denoiser(net).eval()


@pytest.mark.parametrize("batched", [True, False], ids=["batched", "apart"])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("config", [SINGLE, MULTI], ids=["single", "multi"])
@torch.inference_mode()
def test_branches_are_the_plain_networks_answers(config, batch, batched):
    net = denoiser(config)
    views, lengths = config.num_views, (7, 12, 3)
    x = 3 * draw(batch, 16, 2 * views, 4, 6)
    hints = {name: draw(batch, 16, 2 * views, 4, 6, seed=i) for i, name in enumerate(("hdmap", "edge", "vis"))}
    maps = draw(batch, 1, 2 * views, 2, 3).abs()
    weights = {"hdmap": 0.4, "edge": maps if views == 1 else torch.linspace(0.2, 0.6, batch), "vis": 0.0}
    condition = None
    if config.condition_mask:
        condition = FrameCondition(draw(*x.shape, seed=5), given_frames(views, 2), draw(*x.shape, seed=6), 0.001)
    clip = net.prepare(x, hints, condition=condition, fps=12.0)
    texts = [
        prompt(config, lengths[:views], batch),
        prompt(config, (5,) * views, batch, seed=1),
        prompt(config, (ROWS,) * views, batch, seed=2),
        torch.zeros(batch, views * ROWS, 16),
        None,
    ]
    prompts = [net.net.prepare_text(text, clip) for text in texts]
    assert prompts[3] == prompts[4] == dict.fromkeys(("base", "hdmap", "edge", "vis"))
    for sigma in (80.0, 0.3, 0.002):
        answers = net.branches(x, sigma, prompts, clip, weights, condition=condition, batched=batched)
        for answer, text in zip(answers, texts, strict=True):
            plain = net(x, torch.full((batch,), sigma), text, {}, weights, condition=condition, clip=clip)
            assert error(answer, plain) < 1e-5
        if sigma == 80.0:
            assert error(answers[0], answers[1]) > 1e-3


@torch.inference_mode()
def test_sharing_alone_changes_no_bit():
    """Without zero rows to merge and one branch at a time, every operation is that of the plain path."""
    net = denoiser(SINGLE)
    x, hints = draw(1, 16, 2, 4, 6), {"hdmap": draw(1, 16, 2, 4, 6, seed=1)}
    clip, weights = net.prepare(x, hints), {"hdmap": 0.7}
    texts = [prompt(SINGLE, (ROWS,)), prompt(SINGLE, (ROWS,), seed=1)]
    prompts = [net.net.prepare_text(text, clip) for text in texts]
    for answer, text in zip(net.branches(x, 2.0, prompts, clip, weights, batched=False), texts, strict=True):
        assert torch.equal(answer, net(x, torch.tensor([2.0]), text, {}, weights, clip=clip))


@pytest.mark.parametrize("config", [SINGLE, MULTI], ids=["single", "multi"])
@torch.inference_mode()
def test_in_bfloat16_the_sampling_path_is_as_near_to_float32_as_the_plain_one(config):
    net = denoiser(config)
    for parameter in net.parameters():
        parameter.data = parameter.data.bfloat16().float()
    views, level, weights = config.num_views, torch.tensor([80.0]), {"hdmap": 0.5}
    x, hints = draw(1, 16, 2 * views, 4, 6), {"hdmap": draw(1, 16, 2 * views, 4, 6, seed=1)}
    text = prompt(config, (7,) * views)
    exact = net(x, level, text, hints, weights)
    net = net.bfloat16()
    clip = net.prepare(x, hints)
    plain = net(x, level, text, {}, weights, clip=clip)
    sampled = net.branches(x, 80.0, [net.net.prepare_text(text, clip)], clip, weights)[0]
    assert error(sampled, exact) < max(0.015, 1.2 * error(plain, exact))


@torch.inference_mode()
def test_what_no_text_changes_runs_once_for_all_branches():
    net = denoiser(SINGLE)
    x, hints = draw(1, 16, 2, 4, 6), {"hdmap": draw(1, 16, 2, 4, 6, seed=1)}
    clip = net.prepare(x, hints)
    prompts = [net.net.prepare_text(prompt(SINGLE, (9,), seed=seed), clip) for seed in (0, 1)]
    calls = []

    def count(module, name):
        module.register_forward_hook(lambda *_: calls.append(name))

    for trunk in (net.net.base, net.net.controls["hdmap"]):
        count(trunk.patch_embed, "patches")
        count(trunk.transformer_blocks[0].attn1.to_q, "first self-attention")
        count(trunk.transformer_blocks[0].attn2.to_k, "text keys")
        count(trunk.transformer_blocks[1].norm1.linear_2, "modulation")
        count(trunk.transformer_blocks[1].attn2.to_q, "text queries")
    net.branches(x, 2.0, prompts, clip, {"hdmap": 1.0}, batched=False)
    counted = {name: calls.count(name) for name in calls}
    assert counted == {"patches": 2, "first self-attention": 2, "modulation": 2, "text queries": 4}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 6e-3)])
@pytest.mark.parametrize("zeros", [0, 1, 470])
def test_zero_keys_weigh_as_much_as_if_they_were_there(dtype, tolerance, zeros):
    query, key, value = draw(2, 3, 50, 16), draw(2, 3, 42, 16, seed=1), draw(2, 3, 42, 16, seed=2)
    nothing = torch.zeros(2, 3, zeros, 16)
    expected = F.scaled_dot_product_attention(query, torch.cat([key, nothing], 2), torch.cat([value, nothing], 2))
    result = attend_beside_zeros(query.to(dtype), key.to(dtype), value.to(dtype), zeros)
    assert error(result.float(), expected) < tolerance


def test_only_rows_that_are_zero_in_every_sample_are_left_out():
    text = torch.zeros(2, 512, 4)
    text[0, :30] = 1
    text[1, :20] = 1
    kept, zeros = without_zero_rows(text)
    assert zeros == 482 and torch.equal(kept, text[:, :30])


def test_noise_of_given_frames_is_added_once():
    latent, noise = draw(1, 16, 2, 4, 6), draw(1, 16, 2, 4, 6, seed=1)
    condition = FrameCondition(latent, torch.ones(1, 1, 2, 1, 1), noise, 0.1)
    torch.testing.assert_close(condition.noised, latent + 0.1 * noise)
    assert condition.noised is condition.noised
    assert FrameCondition(latent, condition.given, noise).noised is latent
