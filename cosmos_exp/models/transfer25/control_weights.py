"""Weights of control branches: as given; maps of several are divided by their sum where that is above 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cosmos_exp.models.clip_shapes import Shape
from cosmos_exp.models.dit.control_weighting import ControlWeighting
from cosmos_exp.models.transfer25.sizes import SPATIAL, latent_frame_count

if TYPE_CHECKING:
    from torch import Tensor

    from cosmos_exp.models.dit.residuals import Weight

PATCH = 2
"""Latent pixels per token side."""


class BranchWeighting(ControlWeighting):
    def scalars(self, weights: Mapping[str, float]) -> dict[str, Weight]:
        return {**weights}

    def on_grid(self, weights: Mapping[str, float | Tensor], shape: Shape) -> dict[str, Tensor]:
        side = SPATIAL * PATCH
        grid = (latent_frame_count(shape.frames), shape.height // side, shape.width // side)
        return branch_weights(_maps(weights, shape), grid)

    def at_pixels(self, weights: Mapping[str, float | Tensor], shape: Shape) -> dict[str, Tensor]:
        return _shared(_maps(weights, shape))


def branch_weights(maps: Mapping[str, Tensor], grid: tuple[int, int, int]) -> dict[str, Tensor]:
    """Maps [1+4k,H,W] of each control as [1,1,1+k,h,w] on the patch grid, there divided by their sum where that is
    above 1. Scalar weights are used as given. grid: latent frames, rows, columns."""
    from cosmos_exp.models.dit.weight_maps import to_patch_grid

    return _shared({name: to_patch_grid(weight, grid) for name, weight in maps.items()})


def _maps(weights: Mapping[str, float | Tensor], shape: Shape) -> dict[str, Tensor]:
    import torch

    return {
        name: weight if isinstance(weight, torch.Tensor) else torch.full(tuple(shape), float(weight))
        for name, weight in weights.items()
    }


def _shared(maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    import torch

    total = torch.stack(list(maps.values())).sum(dim=0).clamp(min=1)
    return {name: weight / total for name, weight in maps.items()}
