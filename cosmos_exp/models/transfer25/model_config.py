"""The `model` group of the family `transfer25`."""

from __future__ import annotations

from dataclasses import dataclass, field

from cosmos_exp.models.config import ModelConfig

CAPTIONS = ("primary", "each")


@dataclass
class Transfer25Config(ModelConfig):
    """Which Cosmos-Transfer2.5 network, and the clip to make with it."""

    weights: str | None = None
    """Folder with the model's weights; null takes $COSMOS_EXP_MODELS/<name>, by default below
    ~/.cache/cosmos-exp/models."""
    given_frames: list[int] = field(default_factory=lambda: [1])
    """First frames of each view that sampler.first_frames gives: 0, 1 or 5; one number for all views, or one for each
    of views.names. Without sampler.first_frames none is given."""
    captions: str = "primary"
    """primary: the prompt for the primary view and a space for the others, as in the original; each: every view its own
    text, as in its training."""
    reference_compat: bool = False
    """Draw the noise of chunk k from the seed sampler.seed + k, as in the original, not from one that also follows from
    the clip's name."""
