"""Boxes of detectors: overlap, and suppression of those that say the same."""

from __future__ import annotations

import numpy as np

OVERLAP = 0.5
"""Intersection over union at which, of two boxes of a class, the one with the lower score is dropped."""


def suppressed(boxes: np.ndarray) -> np.ndarray:
    """Indices of the boxes [N,7] that no box of the same picture and class with a higher score covers by OVERLAP."""
    kept: list[int] = []
    groups: dict[tuple[float, float], list[int]] = {}
    for i in np.argsort(-boxes[:, 2], kind="stable"):
        group = groups.setdefault((boxes[i, 0], boxes[i, 1]), [])
        if not group or intersection_over_union(boxes[i : i + 1, 3:], boxes[group, 3:]).max() < OVERLAP:
            group.append(int(i))
            kept.append(int(i))
    return np.sort(np.array(kept, int))


def intersection_over_union(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[N,M] of boxes [N,4] and [M,4]: left, top, right, bottom."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    area = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1) for boxes in (a, b)]
    return common / np.maximum(area[0][:, None] + area[1][None] - common, 1e-9)
