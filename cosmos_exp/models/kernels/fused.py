"""The element-wise operations between the matrix products of a block, as functions that torch.compile fuses.

`EAGER` runs them as they are. `compiled` makes one kernel of each, the only part of a network that gains from a
compiler: matrix products and attention are library calls either way. No function depends on the weights of a block, so
each is compiled once for all blocks.
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
    """values * scale: e4m3 [..., K], and float32 [..., 1] per row or [1] per tensor."""

    values: Tensor
    scale: Tensor

    def dequantized(self, dtype: torch.dtype) -> Tensor:
        return (self.values.float() * self.scale).to(dtype)


def norm_and_modulate(hidden: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Layer norm of hidden [B, L, D] times scale plus shift, [B or 1, 1, D], computed in the dtype of these two."""
    width, x = hidden.shape[-1:], hidden.to(scale.dtype)
    if len(scale) == 1:
        return F.layer_norm(x, width, scale.flatten(), shift.flatten(), eps=NORM_EPS).to(hidden.dtype)
    return (F.layer_norm(x, width, eps=NORM_EPS) * scale + shift).to(hidden.dtype)


def modulate(hidden: Tensor, shift: Tensor, scale: Tensor, fp8: bool) -> Tensor | Float8:
    """`norm_and_modulate`; fp8: quantized per row."""
    normed = norm_and_modulate(hidden, shift, scale)
    return quantize_rows(normed) if fp8 else normed


def add_positions_and_modulate(
    hidden: Tensor, extra: Tensor, shift: Tensor, scale: Tensor, fp8: bool
) -> tuple[Tensor, Tensor | Float8]:
    """hidden [B, L, D] plus its position embedding [1, L, D], and `modulate` of the sum."""
    hidden = hidden + extra.to(hidden.dtype)
    return hidden, modulate(hidden, shift, scale, fp8)


def gated_add(hidden: Tensor, gate: Tensor, update: Tensor) -> Tensor:
    """hidden + gate * update, [B, L, D]; gate [B or 1, 1, D]."""
    return torch.addcmul(hidden, gate, update).to(hidden.dtype)


def gated_add_and_modulate(
    hidden: Tensor, gate: Tensor, update: Tensor, shift: Tensor, scale: Tensor, fp8: bool
) -> tuple[Tensor, Tensor | Float8]:
    """`gated_add`, and `modulate` of the sum."""
    hidden = gated_add(hidden, gate, update)
    return hidden, modulate(hidden, shift, scale, fp8)


def norm_heads(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """[B, L, D] -> [B, heads, L, head_dim], RMS norm per head. weight: [head_dim]."""
    return rms_norm(x.unflatten(2, (-1, len(weight))), weight.to(x), eps).transpose(1, 2)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """RMS norm over the last dimension. On a CPU spelled out: the same bits as torch's in half the time."""
    if x.is_cuda or x.dtype != torch.float32:
        return F.rms_norm(x, weight.shape, weight, eps)
    return x * torch.rsqrt((x * x).mean(dim=-1, keepdim=True) + eps) * weight


def norm_and_rotate_heads(x: Tensor, weight: Tensor, eps: float, cos: Tensor, sin: Tensor) -> Tensor:
    """`norm_heads` with the rotary embedding, computed in float32; dimension i pairs with i + head_dim/2.

    cos, sin: [L, head_dim].
    """
    x = norm_heads(x, weight, eps)
    first, second = x.chunk(2, dim=-1)
    return torch.addcmul(x * cos, torch.cat([-second, first], dim=-1), sin).to(x.dtype)


def with_zero_keys(attended: Tensor, logsumexp: Tensor, zeros_logsumexp: Tensor) -> Tensor:
    """Attention [B, heads, L, head_dim] over additional keys whose value is zero.

    logsumexp: of the logits so far, [B, heads, L]. zeros_logsumexp: of the additional keys' logits, a scalar.
    """
    return attended * torch.sigmoid(logsumexp - zeros_logsumexp)[..., None].to(attended.dtype)


def attended_to_both(first: Tensor, first_logsumexp: Tensor, second: Tensor, second_logsumexp: Tensor) -> Tensor:
    """Attention [B, heads, L, head_dim] to two sets of keys, from that to each and its logsumexp [B, heads, L]."""
    share = torch.sigmoid(first_logsumexp - second_logsumexp)[..., None]
    return torch.lerp(second.float(), first.float(), share.float()).to(first.dtype)


def quantize(x: Tensor, scale: Tensor) -> Tensor:
    """x / scale as e4m3, saturated."""
    return (x.float() / scale).clamp(-FLOAT8_MAX, FLOAT8_MAX).to(FLOAT8)


def quantize_rows(x: Tensor) -> Float8:
    """x [..., K] with one scale per row, which maps its largest magnitude to e4m3's."""
    scale = x.abs().amax(dim=-1, keepdim=True).float().clamp(min=1e-12) / FLOAT8_MAX
    return Float8(quantize(x, scale), scale)


def gelu_and_quantize(x: Tensor) -> Float8:
    """The exact GELU of x, then `quantize_rows`."""
    return quantize_rows(F.gelu(x))


def centre(x: Tensor) -> tuple[Tensor, Tensor]:
    """x [B, heads, L, head_dim] without its mean over the tokens, and that mean [B, heads, 1, head_dim]."""
    mean = x.float().mean(dim=2, keepdim=True)
    return (x - mean).to(x.dtype), mean.to(x.dtype)


def abs_max(x: Tensor) -> Tensor:
    """Largest magnitude in x, a float32 scalar."""
    return x.abs().amax().float()


class Fused(NamedTuple):
    """The functions of this module, as a block calls them."""

    modulate: Callable[[Tensor, Tensor, Tensor, bool], Tensor | Float8]
    add_positions_and_modulate: Callable[[Tensor, Tensor, Tensor, Tensor, bool], tuple[Tensor, Tensor | Float8]]
    gated_add: Callable[[Tensor, Tensor, Tensor], Tensor]
    gated_add_and_modulate: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, bool], tuple[Tensor, Tensor | Float8]]
    norm_heads: Callable[[Tensor, Tensor, float], Tensor]
    norm_and_rotate_heads: Callable[[Tensor, Tensor, float, Tensor, Tensor], Tensor]
    with_zero_keys: Callable[[Tensor, Tensor, Tensor], Tensor]
    attended_to_both: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    quantize: Callable[[Tensor, Tensor], Tensor]
    quantize_rows: Callable[[Tensor], Float8]
    gelu_and_quantize: Callable[[Tensor], Float8]
    centre: Callable[[Tensor], tuple[Tensor, Tensor]]
    abs_max: Callable[[Tensor], Tensor]


EAGER = Fused(
    modulate=modulate,
    add_positions_and_modulate=add_positions_and_modulate,
    gated_add=gated_add,
    gated_add_and_modulate=gated_add_and_modulate,
    norm_heads=norm_heads,
    norm_and_rotate_heads=norm_and_rotate_heads,
    with_zero_keys=with_zero_keys,
    attended_to_both=attended_to_both,
    quantize=quantize,
    quantize_rows=quantize_rows,
    gelu_and_quantize=gelu_and_quantize,
    centre=centre,
    abs_max=abs_max,
)


@cache
def compiled() -> Fused:
    return Fused(
        modulate=torch.compile(modulate, dynamic=False),
        add_positions_and_modulate=torch.compile(add_positions_and_modulate, dynamic=False),
        gated_add=torch.compile(gated_add, dynamic=False),
        gated_add_and_modulate=torch.compile(gated_add_and_modulate, dynamic=False),
        norm_heads=torch.compile(norm_heads, dynamic=False),
        norm_and_rotate_heads=torch.compile(norm_and_rotate_heads, dynamic=False),
        with_zero_keys=torch.compile(with_zero_keys, dynamic=False),
        attended_to_both=torch.compile(attended_to_both, dynamic=False),
        quantize=torch.compile(quantize, dynamic=False),
        quantize_rows=torch.compile(quantize_rows, dynamic=False),
        gelu_and_quantize=torch.compile(gelu_and_quantize, dynamic=False),
        centre=torch.compile(centre, dynamic=False),
        abs_max=torch.compile(abs_max, dynamic=False),
    )
