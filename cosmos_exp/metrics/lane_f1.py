"""Lane F1: whether the paint that the evaluator sees on the road is where the map has it.

A painted pixel is a hit where paint is seen within TOLERANCE of it, and seen paint is right where there is paint within
TOLERANCE: precision and recall of thin curves as in the boundary benchmark of Martin, Fowlkes and Malik 2004.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cosmos_exp.evaluators.labels import ViewLabels
from cosmos_exp.evaluators.types import PAINT_CLASSES, Perception
from cosmos_exp.metrics.types import GeneratedClip, per_view

TOLERANCE = 1 / 128
"""Of the width of the image: 2 pixels of 256."""
FARTHEST = 60.0  # metres: paint that is further away need not be seen, and is not wrong


@dataclass
class Counts:
    """Pixels, summed over frames. painted: to be seen; hits: of these, seen. seen: as paint; right: of these, paint."""

    painted: int = 0
    hits: int = 0
    seen: int = 0
    right: int = 0

    @property
    def f1(self) -> float | None:
        """None where there is no paint to be seen."""
        if not self.painted:
            return None
        recall, precision = self.hits / self.painted, self.right / max(1, self.seen)
        return 2 * recall * precision / max(recall + precision, 1e-9)

    def add(self, other: Counts) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def lane_f1(clip: GeneratedClip) -> dict[str, float]:
    """`lane_f1` of all paint, and `lane_f1/<class>` of the classes of lane lines, over all views. Undefined where
    there is no such paint and without an evaluator of paint."""
    views: dict[str, float] = {}
    classes = {name: Counts() for name in PAINT_CLASSES if name != "marking"}  # which is hardly told from lines
    for view in clip.videos:
        seen, labels = clip.perception(view), clip.labels(view)
        if seen is None or seen.paint is None or labels is None:
            continue
        depth = clip.renders[view].output("depth")[clip.read_frames]
        value = count(seen, labels, depth).f1
        if value is not None:
            views[view] = value
        for name, counts in classes.items():
            counts.add(count(seen, labels, depth, only=1 + PAINT_CLASSES.index(name)))
    of_classes = {f"lane_f1/{name}": counts.f1 for name, counts in classes.items()}
    return per_view("lane_f1", views) | {key: value for key, value in of_classes.items() if value is not None}


def count(seen: Perception, labels: ViewLabels, depth: np.ndarray, *, only: int = 0) -> Counts:
    """only: of one class, 1 + its index; 0: of all. depth: [F,H,W] metres."""
    found = Counts()
    for frame in range(len(labels.paint)):
        height, width = labels.paint[frame].shape
        away = TOLERANCE * width
        paint = labels.paint[frame] == only if only else labels.paint[frame] > 0
        shown = paint_seen(seen, frame, (width, height), only)
        wanted = paint & (depth[frame] <= FARTHEST)
        if wanted.any():
            found.painted += int(wanted.sum())
            found.hits += int((wanted & near(shown, away)).sum())
        if shown.any():
            found.seen += int(shown.sum())
            found.right += int((shown & near(paint, away)).sum())
    return found


def paint_seen(seen: Perception, frame: int, size: tuple[int, int], only: int = 0) -> np.ndarray:
    """bool [H,W] of size (width, height): where the evaluator sees paint of the class, as of `count`."""
    assert seen.paint is not None
    paint = seen.paint[frame]
    if paint.shape != size[::-1]:
        paint = cv2.resize(paint, size, interpolation=cv2.INTER_NEAREST)
    return paint == only if only else paint > 0


def near(mask: np.ndarray, distance: float) -> np.ndarray:
    """Where a pixel of the mask is within this distance."""
    if not mask.any():
        return np.zeros(mask.shape, bool)
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) <= distance
