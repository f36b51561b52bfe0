"""Segmentation control: one colour per object (the CityScapes colours are in `render.palette`)."""

from __future__ import annotations

import numpy as np

from cosmos_exp.errors import UserError, unknown_name

SEG_MODES = ("semantic", "instance")
GOLDEN_RATIO = 0.6180339887498949


def instance_table() -> np.ndarray:
    """uint8 [65536,3]: black for 0, else hues in golden-ratio steps, so that neighbouring ids differ clearly."""
    ids = np.arange(65536)
    hue = (ids * GOLDEN_RATIO) % 1.0
    value = 1.0 - 0.15 * (ids % 4)
    saturation = 0.65 + 0.35 * ((ids // 4) % 2)
    distance = np.abs((hue[:, None] * 6.0 + np.array([0.0, 4.0, 2.0])) % 6.0 - 3.0) - 1.0
    rgb = value[:, None] * (1.0 - saturation[:, None] * (1.0 - np.clip(distance, 0.0, 1.0)))
    rgb[0] = 0.0
    return np.round(255.0 * rgb).astype(np.uint8)


INSTANCE_COLORS = instance_table()


def instance_colors(ids: np.ndarray) -> np.ndarray:
    """[F,H,W] uint16 object ids -> uint8 [F,H,W,3]; id 0 (no object) is black."""
    return INSTANCE_COLORS[ids]


def check_mode(mode: str) -> str:
    if mode not in SEG_MODES:
        raise UserError(unknown_name("seg control mode", mode, SEG_MODES))
    return mode
