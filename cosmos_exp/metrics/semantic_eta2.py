"""Semantic eta squared: are the colours of a true class similar, and those of different classes different?

Mask mIoU of the literature needs a segmentation network; this is a proxy without one. Correlation ratio (Fisher) of
colour given class: the share of the colour variance of all pixels of a clip, summed over R, G and B, that the true
CityScapes class explains. 0: the image ignores the class map. 1: each class has one flat colour. Rendered and real
streets stay below 1, because classes have texture and shading, and night scenes with local light far below (0.2 where
day has 0.9): compare cells of one style with each other, not with 1. Higher is better. A clip of one single colour
explains nothing, 0; one that shows a single class has no value.
"""

from __future__ import annotations

import numpy as np

from cosmos_exp.metrics.types import GeneratedClip, per_view

LEVELS = 256


def eta_squared(tags: np.ndarray, video: np.ndarray) -> float | None:
    """Between-class share of variance. tags: [F,H,W] uint8; video: uint8 [F,H,W,3]. None below two classes."""
    labels = tags.reshape(-1).astype(np.uint16) * LEVELS
    levels = np.arange(LEVELS, dtype=np.float64)
    between = total = 0.0
    for channel in np.moveaxis(video.reshape(-1, 3), 1, 0):
        table = np.bincount(labels + channel, minlength=256 * LEVELS).reshape(256, LEVELS)  # pixels by class and level
        counts = table.sum(axis=1)
        present = counts > 0
        if present.sum() < 2:
            return None
        means = (table @ levels)[present] / counts[present]
        mean = (table.sum(axis=0) @ levels) / table.sum()
        between += float((counts[present] * (means - mean) ** 2).sum())
        total += float((table.sum(axis=0) * (levels - mean) ** 2).sum())
    return between / total if total > 0 else 0.0


def semantic_eta2(clip: GeneratedClip) -> dict[str, float]:
    """Eta squared of each view against the true classes."""
    scores = {view: eta_squared(clip.renders[view].output("semantic"), video) for view, video in clip.videos.items()}
    return per_view("semantic_eta2", {view: score for view, score in scores.items() if score is not None})
