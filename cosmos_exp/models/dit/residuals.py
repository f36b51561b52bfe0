"""Residuals of controls, weighted and summed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

Weight = float | Tensor  # scalar, [B] per sample, or map [B or 1, 1, V*T, h, w] on the patch grid


def repeated(tokens: Tensor, branches: int) -> Tensor:
    """Tokens [B, L, D] that are the same in all branches -> [branches*B, L, D]."""
    return tokens if branches == 1 else tokens.repeat(branches, 1, 1)


def is_zero(weight: Weight) -> bool:
    """Whether it is a scalar 0, so that the control has no effect."""
    return not isinstance(weight, Tensor) and weight == 0


def weighted_sum(parts: Iterable[tuple[str, list[Tensor]]], weights: Mapping[str, Weight]) -> tuple[Tensor, ...]:
    """Sum over the controls of weight * residual, for each block.

    parts: (control, residuals [B or n*B, L, D]), lazily: those of one control are freed before the next is computed.
    """
    total: list[Tensor] = []
    for name, residuals in parts:
        scaled = [token_weight(weights[name], residual) * residual for residual in residuals]
        total = [a + b for a, b in zip(total, scaled)] if total else scaled
        del residuals, scaled
    return tuple(total)


def token_weight(weight: Weight, tokens: Tensor) -> Tensor | float:
    """A control weight shaped to multiply tokens [B, L, D], or [n*B, L, D] of n branches."""
    if not isinstance(weight, Tensor) or weight.ndim == 0:
        return weight
    weight = weight.to(tokens)
    weight = weight[:, None, None] if weight.ndim == 1 else weight.flatten(1)[..., None]
    return weight if len(weight) == 1 else repeated(weight, len(tokens) // len(weight))
