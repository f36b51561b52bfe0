"""Weight maps of several control branches."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from cosmos_exp.models.dit.weight_maps import to_patch_grid


def branch_weights(maps: Mapping[str, Tensor], grid: tuple[int, int, int]) -> dict[str, Tensor]:
    """Maps [1+4k,H,W] of each control as [1,1,1+k,h,w] on the patch grid, there divided by their sum where that is
    above 1. Scalar weights are used as given. grid: latent frames, rows, columns."""
    resized = torch.stack([to_patch_grid(weight, grid) for weight in maps.values()])
    return dict(zip(maps, resized / resized.sum(dim=0).clamp(min=1)))
