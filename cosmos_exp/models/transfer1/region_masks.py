"""Areas as maps over a clip: weights of controls, and the tokens of regional prompts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from cosmos_exp.controls.area import Area, WeightMap
from cosmos_exp.models.transfer1.control_weights import to_patch_grid
from cosmos_exp.models.transfer1.map_files import resized
from cosmos_exp.models.transfer1.tokenizer import latent_frame_count
from cosmos_exp.render.palette import PALETTE, Tag

LATENT_SIDE = 8  # pixels per latent row and column


def area_map(
    area: Area, size: tuple[int, int, int], *, semantic: np.ndarray | None = None, mask: Tensor | None = None
) -> Tensor:
    """float32 [frames, rows, columns] of `size`: 1 inside, 0 outside, the mask's values within.

    semantic: uint8 tags [frames,H,W] of the camera, needed for classes. mask: what `read_map` made of the area's file.
    Both are brought to the size trilinearly; the sides of the box are rounded down to whole rows and columns.
    """
    values = torch.ones(size)
    if area.classes:
        table = np.isin(np.arange(len(PALETTE)), [Tag[name.upper()] for name in area.classes])
        values *= resized(torch.from_numpy(table.astype(np.float32)[semantic % len(PALETTE)]), size)
    if area.mask is not None:
        values *= resized(mask, size)
    if area.box is not None:
        values *= box_map(area.box, size[1:])
    return values


def box_map(box: tuple[float, float, float, float], size: tuple[int, int]) -> Tensor:
    """[rows, columns] of 1 inside and 0 outside."""
    rows, columns = size
    left, top, right, bottom = (int(side * n) for side, n in zip(box, (columns, rows, columns, rows)))
    values = torch.zeros(size)
    values[top:bottom, left:right] = 1
    return values


def weight_values(rule: WeightMap, size: tuple[int, int, int], **seen: Any) -> Tensor:
    """float32 [frames, rows, columns] of `size`; seen: as in `area_map`."""
    return rule.outside + (rule.inside - rule.outside) * area_map(rule.area, size, **seen)


def token_mask(area: Area, size: tuple[int, int, int], *, patch: int = 2, **seen: Any) -> Tensor:
    """bool [1,1,T,h,w]: the patch tokens inside an area. size: frames, height, width of the clip in pixels.

    As Cosmos-Transfer1 reduces the masks of its regional prompts: at the latents' rows and columns in every frame, then
    frame 0 and groups of 8 frames to the patch grid, more than one half. patch: latent pixels per token side. seen: as
    in `area_map`.
    """
    frames, rows, columns = size[0], size[1] // LATENT_SIDE, size[2] // LATENT_SIDE
    values = area_map(area, (frames, rows, columns), **seen)
    return to_patch_grid(values, (latent_frame_count(frames), rows // patch, columns // patch)) > 0.5
