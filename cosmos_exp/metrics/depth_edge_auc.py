"""Depth edge AUC: does the image have gradients at the depth discontinuities of the scene?

Depth adherence is usually the si-RMSE of a depth network's prediction; this is a weaker proxy without one. A depth edge
is a pixel whose depth differs from its right or lower neighbour by more than a quarter (sky counts as infinitely far).
The score is the probability that the image gradient is stronger at a random depth edge (best of its 3x3 neighbourhood)
than at a random other pixel (same 3x3 rule, at least 3 pixels from any edge): the area under the ROC curve, ties count
half. 0.5 is chance, 1 is perfect. It ignores contrast, but not what has none: at night, edges without light are lost,
so compare clips of one style. It says nothing about depth inside smooth surfaces. Higher is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np

from cosmos_exp.metrics.types import GeneratedClip, per_view

RATIO = 1.25
FAR = 1e4  # metres; stands for the sky
MARGIN = 3  # pixels
BINS = 2048  # Sobel |gx| + |gy| of 8-bit grey is at most 2040


def depth_edges(depth: np.ndarray) -> np.ndarray:
    """[H,W] bool from depth in metres."""
    log = np.log(np.minimum(depth, FAR))
    edges = np.zeros(depth.shape, bool)
    edges[:, :-1] |= np.abs(np.diff(log, axis=1)) > np.log(RATIO)
    edges[:-1] |= np.abs(np.diff(log, axis=0)) > np.log(RATIO)
    return edges


def edge_masks(depths: np.ndarray) -> list[np.ndarray]:
    """The depth edges of each frame of [F,H,W] metres."""
    return [depth_edges(depth) for depth in depths]


def gradient(frame: np.ndarray) -> np.ndarray:
    """[H,W] int: L1 Sobel gradient of the grey image, the strongest of each 3x3 neighbourhood."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    magnitude = np.abs(cv2.Sobel(grey, cv2.CV_16S, 1, 0)) + np.abs(cv2.Sobel(grey, cv2.CV_16S, 0, 1))
    return cv2.dilate(magnitude, np.ones((3, 3), np.uint8))


def edge_auc(edges: Sequence[np.ndarray], video: np.ndarray) -> float | None:
    """AUC of the gradient of uint8 [F,H,W,3] `video` as detector of bool [F,H,W] `edges`; None without both kinds."""
    positive, negative = np.zeros(BINS), np.zeros(BINS)
    around = np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), np.uint8)
    for mask, frame in zip(edges, video, strict=True):
        strength = gradient(frame)
        away = cv2.dilate(mask.astype(np.uint8), around) == 0
        positive += np.bincount(strength[mask], minlength=BINS)
        negative += np.bincount(strength[away], minlength=BINS)
    if not positive.sum() or not negative.sum():
        return None
    weaker = np.cumsum(negative) - negative / 2
    return float((positive * weaker).sum() / (positive.sum() * negative.sum()))


def depth_edge_auc(clip: GeneratedClip) -> dict[str, float]:
    """AUC of each view against the true depth; a view without any depth edge is left out."""
    scores = {}
    for view, video in clip.videos.items():
        edges = clip.cached_reference("depth_edge_auc", view, partial(edge_masks, clip.renders[view].output("depth")))
        score = edge_auc(edges, video)
        if score is not None:
            scores[view] = score
    return per_view("depth_edge_auc", scores)
