"""Control weights: scalars or maps over the clip, normalized so that their sum nowhere exceeds 1."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.dit.weight_maps import to_patch_grid, trilinear
from cosmos_exp.models.transfer1.tokenizer import TEMPORAL, latent_frame_count
from cosmos_exp.sampling.weight_normalization import check_not_negative, normalized_weights

ControlWeight = float | np.ndarray | Tensor


def normalize_scalar_weights(weights: Mapping[str, float], *, reference_compat: bool = False) -> dict[str, float]:
    """w_k / max(1, sum of all): weights that sum to more than 1 are scaled down, others stay.

    reference_compat: round to bfloat16, as the reference implementation stores them.
    """
    normalized = normalized_weights(weights)
    if reference_compat:
        normalized = {name: torch.tensor(weight).bfloat16().item() for name, weight in normalized.items()}
    return normalized


def normalize_weight_maps(
    weights: Mapping[str, ControlWeight], size: tuple[int, int, int], *, reference_compat: bool = False
) -> dict[str, Tensor]:
    """The same rule at every pixel of a clip. size: frames, rows, columns.

    weights: a map [T,H,W] or [H,W] at any size (resized trilinearly, clamped at 0), or a scalar standing for a constant
    map. reference_compat: compute in bfloat16. Returns float32 maps of `size`.
    """
    dtype = torch.bfloat16 if reference_compat else torch.float32
    maps = torch.stack([_full_map(name, weight, size, dtype) for name, weight in weights.items()])
    normalized = maps / maps.sum(dim=0).clamp(min=1)
    return dict(zip(weights, normalized.float()))


def control_weight_maps(
    weights: Mapping[str, ControlWeight],
    *,
    frames: int,
    height: int,
    width: int,
    patch: int = 2,
    reference_compat: bool = False,
) -> dict[str, Tensor]:
    """`normalize_weight_maps` as [1,1,T,h,w] on the patch grid. frames, height, width: of the pixel clip; patch: latent
    pixels per token side."""
    side = TEMPORAL * patch
    grid = (latent_frame_count(frames), height // side, width // side)
    normalized = normalize_weight_maps(weights, (frames, height, width), reference_compat=reference_compat)
    return {name: to_patch_grid(weight, grid) for name, weight in normalized.items()}


def _full_map(name: str, weight: ControlWeight, size: tuple[int, int, int], dtype: torch.dtype) -> Tensor:
    if np.ndim(weight) == 0:
        check_not_negative({name: float(weight)})
        return torch.full(size, float(weight), dtype=dtype)
    given = torch.as_tensor(weight).to(dtype)
    if given.ndim == 2:
        given = given[None].expand(size[0], -1, -1)
    if given.ndim != 3:
        raise UserError(f"weight map of control {name!r} has shape {tuple(given.shape)}: give [frames,rows,columns]")
    if given.shape != torch.Size(size):
        given = trilinear(given[None, None], size)[0, 0]
    return given.clamp(min=0)
