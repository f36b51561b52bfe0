"""Overlap test of moving boxes, seen from above."""

from __future__ import annotations

import numpy as np


def overlaps(xy: np.ndarray, heading: np.ndarray, size: np.ndarray, other: tuple, margin: float = 0.3) -> np.ndarray:
    """[K] bool: does a rectangle moving over T steps touch any of K others at the same step (separating axes)?

    xy: [T,2], heading: [T], size: [2] length and width; other: the same with a leading axis K, sizes [K,2].
    """
    other_xy, other_heading, other_size = other
    half = size / 2 + margin
    other_half = other_size[:, None, :] / 2
    delta = other_xy - xy
    turn = other_heading - heading
    cos, sin = np.abs(np.cos(turn)), np.abs(np.sin(turn))
    separated = np.zeros(turn.shape, bool)
    for frame, own, guest in ((heading, half, other_half), (other_heading, other_half, half)):
        c, s = np.cos(frame), np.sin(frame)
        along = np.abs(delta[..., 0] * c + delta[..., 1] * s)
        across = np.abs(-delta[..., 0] * s + delta[..., 1] * c)
        separated |= along > own[..., 0] + guest[..., 0] * cos + guest[..., 1] * sin
        separated |= across > own[..., 1] + guest[..., 0] * sin + guest[..., 1] * cos
    return np.any(~separated, axis=1)
