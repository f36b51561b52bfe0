"""Scalar control weights, shared out to sum to 1 at most. Without torch, because stage keys are made of them."""

from __future__ import annotations

from collections.abc import Mapping

from cosmos_exp.common.errors import UserError

DIGITS = 12  # weights that agree in so many are the same: 1 and 0.5 shared out are 2 and 1 shared out


def effective_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """w_k / max(1, sum of all): weights that sum to more than 1 are scaled down, others stay."""
    check_not_negative(weights)
    total = max(1.0, sum(weights.values()))
    return {name: round(weight / total, DIGITS) for name, weight in weights.items()}


def check_not_negative(weights: Mapping[str, float]) -> None:
    for name, weight in weights.items():
        if not weight >= 0:
            raise UserError(f"weight of control {name!r} is {weight}: it must be 0 or more, nearest valid is 0")
