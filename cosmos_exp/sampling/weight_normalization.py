"""Scalar control weights, normalized to a sum of 1 at most. Without torch: stage keys contain them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from cosmos_exp.common.errors import UserError

DIGITS = 12  # so that weights of the same ratio get the same key: 1 and 0.5, 2 and 1


def normalized_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """w_k / max(1, sum of all): weights that sum to more than 1 are scaled down, others stay."""
    check_not_negative(weights)
    total = max(1.0, sum(weights.values()))
    return {name: round(weight / total, DIGITS) for name, weight in weights.items()}


def weights_read(weights: Mapping[str, float], controls: Collection[str]) -> dict[str, float]:
    """Weights of the controls that a network reads, in place of all: their sum stays, at their own ratios.

    So a mix of controls guides the multi-view net, which reads few of them, as much as it guides the single view.
    """
    own = {name: weights[name] for name in controls}
    if not own or len(own) == len(weights):
        return own
    share = sum(weights.values()) / sum(own.values())
    return {name: round(share * weight, DIGITS) for name, weight in own.items()}


def check_not_negative(weights: Mapping[str, float]) -> None:
    for name, weight in weights.items():
        if not weight >= 0:
            raise UserError(f"weight of control {name!r} is {weight}: it must be 0 or more, nearest valid is 0")
