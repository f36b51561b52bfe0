"""Linear layers and attention on 8-bit floats (e4m3), and which layers of a block are replaced."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosmos_exp.models.kernels import cudnn_attention
from cosmos_exp.models.kernels.fused import EAGER, FLOAT8_MAX, Float8, Fused, quantize_rows
from cosmos_exp.models.kernels.te_linear import TELinear


class Float8Linear(nn.Module):
    """A linear layer without bias: weight quantized per output, input per row.

    On a CPU it simulates this: both are rounded, the product is in float32.
    """

    def __init__(self, weight: Tensor):
        super().__init__()
        values, scale = quantize_rows(weight.detach())
        self.weight = nn.Parameter(values, requires_grad=False)  # [N, K]
        self.scale = nn.Parameter(scale, requires_grad=False)  # [N, 1]
        self.dtype = weight.dtype

    def forward(self, x: Tensor | Float8) -> Tensor:
        """x: [..., K] -> [..., N] in the dtype of the original weight."""
        values, scale = x if isinstance(x, Float8) else quantize_rows(x)
        rows = values.flatten(0, -2)
        scale = scale.flatten(0, -2) if scale.ndim > 1 else scale.expand(len(rows), 1)
        out = self._product(rows, scale) if rows.is_cuda else self._rounded_product(rows, scale)
        return out.unflatten(0, values.shape[:-1])

    def _product(self, rows: Tensor, scale: Tensor) -> Tensor:
        """On 8-bit tensor cores, which need a multiple of 16 rows."""
        count, missing = len(rows), -len(rows) % 16
        if missing:
            rows = F.pad(rows.view(torch.uint8), (0, 0, 0, missing)).view(rows.dtype)
            scale = F.pad(scale, (0, 0, 0, missing), value=1.0)
        out = torch._scaled_mm(
            rows,
            self.weight.t(),
            scale_a=scale.contiguous(),
            scale_b=self.scale.t(),
            out_dtype=self.dtype,
            use_fast_accum=True,
        )
        return out[:count]

    def _rounded_product(self, rows: Tensor, scale: Tensor) -> Tensor:
        return F.linear(rows.float() * scale, self.weight.float() * self.scale).to(self.dtype)


LARGE_LINEARS = (  # of a block
    *(f"attn1.{name}" for name in ("to_q", "to_k", "to_v", "to_out.0")),
    *(f"attn2.{name}" for name in ("to_q", "to_out.0")),
    *(f"ff.net.{name}" for name in ("0.proj", "2")),
)


KINDS: dict[str, type[Float8Linear] | type[TELinear]] = {"fp8": Float8Linear, "te": TELinear}  # by `speed.linears`


def use_float8(block: nn.Module, device: torch.device | str, linears: str = "fp8") -> None:
    """Replace a block's large linear layers. Each weight is quantized on `device` and stays there."""
    for name in LARGE_LINEARS:
        layer = block.get_submodule(name)
        if isinstance(layer, nn.Linear):
            block.set_submodule(name, KINDS[linears](layer.weight.to(device)))


class Attended(NamedTuple):
    """A result of attention: centred + mean. centred: e4m3 [B, heads, L, head_dim]; mean: [B, heads, 1, head_dim]."""

    centred: Float8
    mean: Tensor

    def total(self, dtype: torch.dtype) -> Tensor:
        return self.centred.dequantized(dtype) + self.mean.to(dtype)


def attend(query: Tensor, key: Tensor, value: Tensor, bound: tuple[float, float], fused: Fused = EAGER) -> Attended:
    """Attention [B, heads, L, head_dim] on e4m3 queries, keys and values; the result is e4m3 too.

    bound: largest magnitudes that queries and keys can have. A result is a mean of values, so it has their scale.
    The mean over all values is taken out and added to the result again, which changes nothing, as probabilities add up
    to 1. Hopper's 8-bit tensor cores sum with about 14 bits and truncate: over many tokens the sum of values with a
    common mean falls short, by half at 57 000 of equal probability (as SageAttention2 does, arXiv 2411.10958).
    On a CPU the operands and the result are rounded, the sums are float32.
    """
    value, mean = fused.centre(value)
    scale_v = fused.abs_max(value).clamp(min=1e-12) / FLOAT8_MAX
    scale_q, scale_k = (scale_v.new_tensor(largest / FLOAT8_MAX) for largest in bound)
    q, k, v = fused.quantize(query, scale_q), fused.quantize(key, scale_k), fused.quantize(value, scale_v)
    if query.is_cuda:
        attended = cudnn_attention.float8_attention(q, k, v, (scale_q, scale_k, scale_v))
    else:
        exact = F.scaled_dot_product_attention(q.float() * scale_q, k.float() * scale_k, v.float() * scale_v)
        attended = fused.quantize(exact, scale_v)
    return Attended(Float8(attended, scale_v.reshape(1)), mean)
