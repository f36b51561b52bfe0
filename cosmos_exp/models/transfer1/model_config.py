"""The `model` group of the family `transfer1`."""

from __future__ import annotations

from dataclasses import dataclass

from cosmos_exp.models.config import ModelConfig


@dataclass
class Transfer1Config(ModelConfig):
    """Which Cosmos-Transfer1 networks, and the clip to make with them."""

    weights: str | None = None
    """Folder with the model's weights; null takes those that ship with the package, or of a released model
    $COSMOS_EXP_MODELS/<name>, by default below ~/.cache/cosmos-exp/models."""
    reference_compat: bool = False
    """Generate with the quirks of the reference implementation: rounded weights and noise levels among others."""
