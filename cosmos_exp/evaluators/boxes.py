"""Boxes of detectors: overlap, and suppression of those that say the same."""

from __future__ import annotations

import numpy as np

OVERLAP = 0.5
"""Intersection over union at which, of two boxes of a class, the one with the lower score is dropped."""


def suppressed(boxes: np.ndarray) -> np.ndarray:
    """Indices of the boxes [N,7] that no box of the same picture and class with a higher score covers by OVERLAP."""
    kept = np.zeros(len(boxes), bool)
    for picture, kind in np.unique(boxes[:, :2], axis=0):
        group = np.flatnonzero((boxes[:, 0] == picture) & (boxes[:, 1] == kind))
        group = group[np.argsort(-boxes[group, 2], kind="stable")]
        covers = intersection_over_union(boxes[group, 3:], boxes[group, 3:]) >= OVERLAP
        free = np.ones(len(group), bool)
        for i in range(len(group)):
            if free[i]:
                free[i + 1 :] &= ~covers[i, i + 1 :]
        kept[group[free]] = True
    return np.flatnonzero(kept)


def intersection_over_union(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[N,M] of boxes [N,4] and [M,4]: left, top, right, bottom."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    area = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1) for boxes in (a, b)]
    return common / np.maximum(area[0][:, None] + area[1][None] - common, 1e-9)
