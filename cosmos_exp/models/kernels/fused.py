"""The element-wise work between the matrix products of a block, as functions that torch.compile fuses.

`PLAIN` runs them as they stand. `compiled` makes one kernel of each, the only part of a network that gains from a
compiler: matrix products and attention are library calls either way. A function knows no weights of a particular
block, so it is compiled once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

NORM_EPS = 1e-6
FLOAT8 = torch.float8_e4m3fn
FLOAT8_MAX = torch.finfo(FLOAT8).max


class Float8(NamedTuple):
    """values * scale: e4m3 [..., K], and float32 [..., 1] for each row or [1] for all."""

    values: Tensor
    scale: Tensor

    def dequantized(self, dtype: torch.dtype) -> Tensor:
        return (self.values.float() * self.scale).to(dtype)


def modulated(hidden: Tensor, shift: Tensor, scale: Tensor, eight: bool = False) -> Tensor | Float8:
    """Layer norm of hidden [B, L, D] times scale plus shift, [B or 1, 1, D]. eight: as `float8_rows`."""
    width = hidden.shape[-1:]
    if len(scale) == 1:
        normed = F.layer_norm(hidden, width, scale.flatten(), shift.flatten(), eps=NORM_EPS)
    else:
        normed = F.layer_norm(hidden, width, eps=NORM_EPS) * scale + shift
    return float8_rows(normed) if eight else normed


def positioned(
    hidden: Tensor, extra: Tensor, shift: Tensor, scale: Tensor, eight: bool = False
) -> tuple[Tensor, Tensor | Float8]:
    """hidden [B, L, D] with its position embedding [1, L, D], and that `modulated`."""
    hidden = hidden + extra.to(hidden.dtype)
    return hidden, modulated(hidden, shift, scale, eight)


def gated(hidden: Tensor, gate: Tensor, update: Tensor) -> Tensor:
    """hidden + gate * update, [B, L, D]; gate [B or 1, 1, D]."""
    return torch.addcmul(hidden, gate, update)


def gated_modulated(
    hidden: Tensor, gate: Tensor, update: Tensor, shift: Tensor, scale: Tensor, eight: bool = False
) -> tuple[Tensor, Tensor | Float8]:
    """`gated`, and that `modulated`."""
    hidden = gated(hidden, gate, update)
    return hidden, modulated(hidden, shift, scale, eight)


def normed_heads(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """[B, L, D] -> [B, heads, L, head_dim], each head RMS-normalised. weight: [head_dim]."""
    return rms_normed(x.unflatten(2, (-1, len(weight))), weight.to(x), eps).transpose(1, 2)


def rms_normed(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """RMS norm over the last dimension. On a CPU torch works in smaller steps: the same bits in half the time."""
    if x.is_cuda or x.dtype != torch.float32:
        return F.rms_norm(x, weight.shape, weight, eps)
    return x * torch.rsqrt((x * x).mean(dim=-1, keepdim=True) + eps) * weight


def rotated_heads(x: Tensor, weight: Tensor, eps: float, cos: Tensor, sin: Tensor) -> Tensor:
    """`normed_heads` with the rotary embedding, computed in float32; dimension i pairs with i + head_dim/2.

    cos, sin: [L, head_dim].
    """
    x = normed_heads(x, weight, eps)
    first, second = x.chunk(2, dim=-1)
    return torch.addcmul(x * cos, torch.cat([-second, first], dim=-1), sin).to(x.dtype)


def diluted(attended: Tensor, logsumexp: Tensor, others: Tensor) -> Tensor:
    """Attention [B, heads, L, head_dim] when keys of value zero take part as well.

    logsumexp: of the logits so far, [B, heads, L]. others: of those keys' logits, a scalar.
    """
    return attended * torch.sigmoid(logsumexp - others)[..., None].to(attended.dtype)


def to_float8(x: Tensor, scale: Tensor) -> Tensor:
    """x / scale as e4m3, saturated."""
    return (x.float() / scale).clamp(-FLOAT8_MAX, FLOAT8_MAX).to(FLOAT8)


def float8_rows(x: Tensor) -> Float8:
    """x [..., K] with one scale per row, chosen so that its largest value is e4m3's."""
    scale = x.abs().amax(dim=-1, keepdim=True).float().clamp(min=1e-12) / FLOAT8_MAX
    return Float8(to_float8(x, scale), scale)


def float8_gelu(x: Tensor) -> Float8:
    """The exact GELU of x, as `float8_rows`."""
    return float8_rows(F.gelu(x))


def largest(x: Tensor) -> Tensor:
    """Largest magnitude in x, a float32 scalar."""
    return x.abs().amax().float()


class Fused(NamedTuple):
    """The functions of this module, as a block calls them."""

    modulated: Callable = modulated
    positioned: Callable = positioned
    gated: Callable = gated
    gated_modulated: Callable = gated_modulated
    normed_heads: Callable = normed_heads
    rotated_heads: Callable = rotated_heads
    diluted: Callable = diluted
    to_float8: Callable = to_float8
    float8_rows: Callable = float8_rows
    float8_gelu: Callable = float8_gelu
    largest: Callable = largest


PLAIN = Fused()


@cache
def compiled() -> Fused:
    return Fused(*(torch.compile(function, dynamic=False) for function in PLAIN))
