"""Areas rasterized over a clip, and the weights of controls in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from cosmos_exp.controls.area import Area, WeightMap
from cosmos_exp.models.dit.map_files import resized
from cosmos_exp.rendering.palette import PALETTE, Tag


def area_map(
    area: Area, size: tuple[int, int, int], *, semantic: np.ndarray | None = None, mask: Tensor | None = None
) -> Tensor:
    """float32 [frames, rows, columns] of `size`: 1 inside, 0 outside, the mask's values within.

    semantic: uint8 tags [frames,H,W] of the camera, needed for classes. mask: the area's file as read by `read_map`.
    Both are resized trilinearly; the sides of the box are rounded down to whole rows and columns.
    """
    values = torch.ones(size)
    if area.classes:
        table = np.isin(np.arange(len(PALETTE)), [Tag[name.upper()] for name in area.classes])
        assert semantic is not None, "an area of classes needs the camera's tags"
        values *= resized(torch.from_numpy(table.astype(np.float32)[semantic % len(PALETTE)]), size)
    if area.mask is not None:
        assert mask is not None, "an area with a mask needs its values"
        values *= resized(mask, size)
    if area.box is not None:
        _, rows, columns = size
        values *= box_map(area.box, (rows, columns))
    return values


def box_map(box: tuple[float, ...], size: tuple[int, int]) -> Tensor:
    """[rows, columns] of 1 inside and 0 outside."""
    rows, columns = size
    left, top, right, bottom = (int(side * n) for side, n in zip(box, (columns, rows, columns, rows)))
    values = torch.zeros(size)
    values[top:bottom, left:right] = 1
    return values


def weight_values(rule: WeightMap, size: tuple[int, int, int], **inputs: Any) -> Tensor:
    """float32 [frames, rows, columns] of `size`; inputs: as in `area_map`."""
    return rule.outside + (rule.inside - rule.outside) * area_map(rule.area, size, **inputs)
