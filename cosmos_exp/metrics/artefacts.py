"""Artefacts: what the video adds where there is nothing to see.

The truth says where a picture is flat: windows of WINDOW x WINDOW pixels that show one class, without a jump in depth,
and whose grey values deviate by less than SMOOTH levels in the render in the requested style. There a video has nothing
to add: what its mean variance has more than that of the render is noise, blotches, block borders or texture out of
nowhere. The value is the root of that, in grey levels: white noise of a standard deviation of 5 levels counts 5. 0
where the video has no more variance than the render. Lower is better.

Blind spots: what is added elsewhere, on leaves or at outlines, and flat errors that are larger than a window, such as a
wrong colour. A thing in the wrong place counts where it covers what is flat.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np

from cosmos_exp.metrics.depth_edge_auc import depth_edges
from cosmos_exp.metrics.types import GeneratedClip, per_view
from cosmos_exp.rendering.types import CameraRender

WINDOW = 9  # pixels
SMOOTH = 5.0  # grey levels


def local_variance(frame: np.ndarray) -> np.ndarray:
    """[H,W] float32: variance of the grey values in the window around each pixel of [H,W,3] uint8."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = cv2.blur(grey, (WINDOW, WINDOW))
    return np.maximum(cv2.blur(grey * grey, (WINDOW, WINDOW)) - mean * mean, 0)


def flat_regions(render: CameraRender, target: np.ndarray) -> list[np.ndarray]:
    """For each frame two arrays: its flat pixels [H,W] bool, and the variance [1] that the target has there."""
    found: list[np.ndarray] = []
    window = np.ones((WINDOW, WINDOW), np.uint8)
    for depth, semantic, frame in zip(render.output("depth"), render.output("semantic"), target, strict=True):
        uniform = cv2.dilate(semantic, window) == cv2.erode(semantic, window)
        uniform &= cv2.dilate(depth_edges(depth).astype(np.uint8), window) == 0
        variance = local_variance(frame)
        flat = uniform & (variance < SMOOTH**2)
        found += [flat, np.array([variance[flat].mean() if flat.any() else 0.0])]
    return found


def added_deviation(flat: Sequence[np.ndarray], video: np.ndarray) -> float | None:
    """Grey levels, of uint8 [F,H,W,3]; None where nothing is flat. flat: what `flat_regions` returns."""
    added = pixels = 0.0
    for mask, expected, frame in zip(flat[::2], flat[1::2], video, strict=True):
        count = float(mask.sum())
        if count:
            added += count * (float(local_variance(frame)[mask].mean()) - float(expected[0]))
            pixels += count
    return float(np.sqrt(max(added / pixels, 0.0))) if pixels else None


def artefacts(clip: GeneratedClip) -> dict[str, float]:
    """What each view that has a target adds to its flat regions."""
    scores = {}
    for view, video in clip.videos.items():
        if view in clip.targets:
            compute = partial(flat_regions, clip.renders[view], clip.targets[view])
            score = added_deviation(clip.cached_reference("artefacts", view, compute, style=clip.style), video)
            if score is not None:
                scores[view] = score
    return per_view("artefacts", scores)
