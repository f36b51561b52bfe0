"""The element-wise work of a block, spelt out for a CPU, is what torch's own functions give."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from cosmos_exp.models.kernels.fused import norm_and_rotate_heads, norm_heads

HEADS, WIDTH, EPS = 3, 64, 1e-6


def test_heads_are_normed_and_rotated_to_the_bit():
    torch.manual_seed(0)
    x, weight = torch.randn(2, 10, HEADS * WIDTH), torch.rand(WIDTH) + 0.5
    cos, sin = torch.randn(10, WIDTH), torch.randn(10, WIDTH)
    normed = F.rms_norm(x.unflatten(2, (HEADS, WIDTH)), (WIDTH,), weight, EPS).transpose(1, 2)
    assert torch.equal(norm_heads(x, weight, EPS), normed)
    first, second = normed.chunk(2, dim=-1)
    rotated = torch.addcmul(normed * cos, torch.cat([-second, first], dim=-1), sin)
    assert torch.equal(norm_and_rotate_heads(x, weight, EPS, cos, sin), rotated)


def test_gradients_flow_through_the_rotation():
    x = torch.randn(1, 4, HEADS * WIDTH, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(WIDTH, dtype=torch.float64, requires_grad=True)
    cos, sin = torch.randn(2, 4, WIDTH, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x, w: norm_and_rotate_heads(x, w, EPS, cos, sin), (x, weight), fast_mode=True
    )
