"""Weight maps over a clip on the patch grid of a network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def to_patch_grid(weight: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """A map [1+nk,H,W] -> [1,1,1+k,h,w] on the patch grid: frame 0 alone, the others in groups of n, trilinear."""
    frames, rows, columns = grid
    weight = weight[None, None]
    first = trilinear(weight[:, :, :1], (1, rows, columns))
    if frames == 1:
        return first
    return torch.cat([first, trilinear(weight[:, :, 1:], (frames - 1, rows, columns))], dim=2)


def trilinear(volume: Tensor, size: tuple[int, int, int]) -> Tensor:
    return F.interpolate(volume, size=size, mode="trilinear", align_corners=False)
