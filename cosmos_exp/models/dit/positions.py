"""Rotary position embedding, and the position embeddings of the tokens of a clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from diffusers.models.transformers.transformer_cosmos import CosmosRotaryPosEmbed
from torch import Tensor

if TYPE_CHECKING:
    from cosmos_exp.models.dit.parallel import SequenceGroup

RopeTable = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Positions:
    """Position embeddings of a block's L tokens.

    rope: cos and sin, float32 [L, head_dim] each. extra: [1, L, D], added to the hidden state before each block; None:
    nothing is. sequence: the ranks that hold the clip's other tokens; None: this one holds all.
    """

    rope: RopeTable
    extra: Tensor | None = None
    sequence: SequenceGroup | None = None

    def local(self, sequence: SequenceGroup) -> Positions:
        """Of the tokens that this rank holds."""
        cos, sin = (sequence.local(table, dim=0).clone() for table in self.rope)
        extra = None if self.extra is None else sequence.local(self.extra, dim=1).clone()
        return Positions((cos, sin), extra, sequence)

    @property
    def num_tokens(self) -> int:
        return len(self.rope[0])

    @property
    def device(self) -> torch.device:
        return self.rope[0].device


def rope_table(
    head_dim: int,
    grid: tuple[int, int, int],
    *,
    scale: tuple[float, float, float],
    fps: float | None,
    num_views: int = 1,
    device: torch.device | str = "cpu",
) -> RopeTable:
    """Rotary cos and sin for a token grid (frames of one view, rows, columns), time restarting in each view.

    Frame i of a clip has time i * 24 / fps; fps None: i. Returns two float32 [num_views*T*h*w, head_dim].
    """
    rope = CosmosRotaryPosEmbed(head_dim, max_size=grid, patch_size=(1, 1, 1), rope_scale=scale)
    shape_carrier = torch.empty((1, 1, *grid), device=device)
    cos, sin = rope(shape_carrier, fps=fps)
    return cos.repeat(num_views, 1), sin.repeat(num_views, 1)
