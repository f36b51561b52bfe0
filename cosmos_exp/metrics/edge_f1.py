"""Edge F1: agreement of the edges with those of the render in the requested style.

Definition of TransferBench (Cosmos-Transfer1, arXiv 2503.14492): Canny on the grey image of both videos (medium
thresholds 100/200, aperture 3, L1 gradient), true and false positives pooled over all pixels of the clip, strict pixel
match without tolerance, so that good published values are only 0.1 to 0.3. There the reference is the input video,
whose weather is the one that is generated; here it is the scene rendered in the requested style, because snow and rain
have edges of their own. Higher is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np

from cosmos_exp.metrics.types import GeneratedClip, per_view

LOWER, UPPER = 100, 200


def canny(frame: np.ndarray) -> np.ndarray:
    """[H,W] bool edge map of one RGB frame."""
    return cv2.Canny(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), LOWER, UPPER) > 0


def edge_maps(video: np.ndarray) -> list[np.ndarray]:
    """The edge map of each frame of a uint8 [F,H,W,3] video."""
    return [canny(frame) for frame in video]


def edge_f1_score(reference: np.ndarray, video: np.ndarray) -> float | None:
    """F1 of two uint8 [F,H,W,3] videos; None where the reference has no edge at all."""
    return f1_with_edges(edge_maps(reference), video)


def f1_with_edges(reference: Sequence[np.ndarray], video: np.ndarray) -> float | None:
    """The same, from the edges of the reference."""
    common, expected, found = frame_counts(reference, video).sum(axis=0)
    return float(2 * common / (expected + found)) if expected else None


def frame_counts(reference: Sequence[np.ndarray], video: np.ndarray) -> np.ndarray:
    """[F,3] int64 pixels: edges of both, of the reference, of the video."""
    counts = []
    for truth, frame in zip(reference, video, strict=True):
        edges = canny(frame)
        counts.append([(truth & edges).sum(), truth.sum(), edges.sum()])
    return np.array(counts, np.int64)


def edge_f1(clip: GeneratedClip) -> dict[str, float]:
    """Edge F1 of each view that has a target, one without any edge left out."""
    scores = {}
    for view, video in clip.videos.items():
        if view in clip.targets:
            compute = partial(edge_maps, clip.targets[view])
            scores[view] = f1_with_edges(clip.cached_reference("edge_f1", view, compute, style=clip.style), video)
    return per_view("edge_f1", {view: score for view, score in scores.items() if score is not None})
