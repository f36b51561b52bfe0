"""Regional prompts on the sampling path against a plain definition."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers.tensors import draw

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.dit.block import Block, Residual, Sum
from cosmos_exp.models.dit.regional import Region
from cosmos_exp.models.kernels.fused import norm_heads
from cosmos_exp.models.transfer1.config import DiTConfig
from cosmos_exp.models.transfer1.control import ControlEncoder, ControlledDiT
from cosmos_exp.models.transfer1.edm import Denoiser
from cosmos_exp.models.transfer1.transformer import DiT

CONFIG = DiTConfig(
    model_channels=48, num_blocks=3, num_heads=2, text_channels=16, adaln_lora_dim=4, max_size=(8, 16, 16)
)
ROWS, GRID = 40, (2, 4, 6)
TOKENS = (2, 2, 3)  # patch grid of GRID


def prompt(length, seed=0, batch=1):
    text = draw(batch, ROWS, 16, seed=seed)
    text[:, length:] = 0
    return text


def mask(*tokens):
    inside = torch.zeros(1, 1, *TOKENS, dtype=torch.bool)
    inside.view(-1)[list(tokens)] = True
    return inside


@pytest.fixture
def denoiser():
    torch.manual_seed(0)
    net = ControlledDiT(DiT(CONFIG), {"hdmap": ControlEncoder(CONFIG.control(hint_channels=16, num_blocks=2))})
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return Denoiser(net).eval()


def plain_attention(regions):
    """`Block.attend_text` as the model's makers define it: all keys, one mask, every row of every text."""

    def attend(block, sums, text, modulation):
        layer, hidden = block.attn2, sums.total(block.fused)
        query = norm_heads(layer.to_q(modulation(hidden)), layer.norm_q.weight, layer.norm_q.eps)
        pairs = [block.text_keys(region.text, 0) for region in regions]
        keys, values = (torch.cat([own, *(pair[i] for pair in pairs)], 2) for i, own in enumerate(text[:2]))
        inside = torch.stack([region.mask.flatten() for region in regions])
        allowed = torch.cat([~inside.any(dim=0, keepdim=True), inside]).T.repeat_interleave(ROWS, dim=1)
        masked = F.scaled_dot_product_attention(query, keys, values, attn_mask=allowed)
        plain = F.scaled_dot_product_attention(query, text.key, text.value)
        mixed = (0.5 * masked + 0.5 * plain).transpose(1, 2).flatten(2)
        return Sum(hidden, Residual(modulation.gate, layer.to_out[0](mixed)))

    return attend


@pytest.mark.parametrize("batched", [True, False], ids=["batched", "apart"])
@pytest.mark.parametrize("batch", [1, 2])
@torch.inference_mode()
def test_the_sampling_path_is_the_plain_definition(denoiser, batch, batched, monkeypatch):
    x, hints = 3 * draw(batch, 16, *GRID), {"hdmap": draw(batch, 16, *GRID, seed=1)}
    clip, weights, text, other = denoiser.prepare(x, hints), {"hdmap": 0.6}, prompt(9, 2, batch), prompt(5, 3, batch)
    regions = [
        Region(prompt(7, 4, batch), mask(0, 1, 4)),
        Region(prompt(20, 5, batch), mask(4, 5)),  # a token in two regions, others in none
        Region(prompt(ROWS, 6, batch), mask(11)),
    ]
    prompts = [denoiser.net.prepare_text(text, clip, regions), denoiser.net.prepare_text(other, clip)]
    with_regions, without = denoiser.branches(x, 2.0, prompts, clip, weights, batched=batched)
    level = torch.full((batch,), 2.0)
    torch.testing.assert_close(without, denoiser(x, level, other, {}, weights, clip=clip), rtol=1e-4, atol=1e-5)
    unlike = denoiser(x, level, text, {}, weights, clip=clip)
    monkeypatch.setattr(Block, "attend_text", plain_attention(regions))
    expected = denoiser(x, level, text, {}, weights, clip=clip)
    torch.testing.assert_close(with_regions, expected, rtol=1e-4, atol=1e-5)
    assert (unlike - expected).norm() > 1e-3 * expected.norm()


@torch.inference_mode()
def test_regions_without_a_token_change_nothing(denoiser):
    x = draw(1, 16, *GRID)
    clip = denoiser.prepare(x, {})
    empty = denoiser.net.prepare_text(prompt(9), clip, [Region(prompt(7, 4), mask())])
    answers = denoiser.branches(x, 2.0, [empty, denoiser.net.prepare_text(prompt(9), clip)], clip, {})
    assert torch.equal(*answers)


@pytest.mark.parametrize("texts", [(None, prompt(7)), (torch.zeros(1, ROWS, 16), prompt(7)), (prompt(7), prompt(0))])
def test_no_text_may_be_all_zeros(denoiser, texts):
    clip = denoiser.prepare(draw(1, 16, *GRID), {})
    with pytest.raises(UserError, match="all-zero text"):
        denoiser.net.prepare_text(texts[0], clip, [Region(texts[1], mask(0))])
