"""Object recall and false objects: whether the evaluator finds the objects of the scene, and others.

A label is found where a box of its class with a score of SCORE or more overlaps it by OVERLAP (intersection over
union); each box finds one label, boxes with higher scores first. Boxes of which no label covers a tenth are false
objects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from cosmos_exp.evaluators.boxes import intersection_over_union
from cosmos_exp.evaluators.labels import ObjectLabel, to_be_found
from cosmos_exp.evaluators.types import OBJECT_CLASSES
from cosmos_exp.metrics.types import GeneratedClip, per_view

SCORE = 0.3
OVERLAP = 0.3
SIZES = {"small": 12.0, "medium": 32.0, "large": np.inf}
"""{name: height in pixels that an object of this size is below}, of an image of 144 rows."""
DISTANCES = {"near": 20.0, "middle": 50.0, "far": np.inf}
"""{name: metres that it is nearer than}."""
OCCLUSIONS = {"clear": 0.1, "occluded": np.inf}
"""{name: share of its outline that less is covered of}."""
ROWS = 144


def groups_of(label: ObjectLabel, rows: int) -> tuple[str, ...]:
    """What a label is counted under: class, size, distance, occlusion. rows: of the image."""

    def band(value: float, bands: dict[str, float]) -> str:
        return next(name for name, end in bands.items() if value < end or end == np.inf)

    size = band(label.height * ROWS / rows, SIZES)
    return label.name, size, band(label.distance, DISTANCES), band(label.occlusion, OCCLUSIONS)


def object_recall(clip: GeneratedClip) -> dict[str, float]:
    """The share of the labels that are found, in all frames of a view; `object_recall/<group>` by class, size, distance
    and occlusion over all views. Undefined without labels, and without an evaluator of objects."""
    views, groups = {}, defaultdict(list)
    for view, frames in _frames(clip):
        rows = clip.videos[view].shape[1]
        found = []
        for labels, boxes in frames:
            for label, score in zip(labels, scores(labels, boxes)):
                if not to_be_found(label):
                    continue
                found.append(score >= SCORE)
                for group in groups_of(label, rows):
                    groups[group].append(score >= SCORE)
        if found:
            views[view] = float(np.mean(found))
    return per_view("object_recall", views) | {
        f"object_recall/{g}": float(np.mean(v)) for g, v in sorted(groups.items())
    }


def false_objects(clip: GeneratedClip) -> dict[str, float]:
    """Their mean number in a frame of a view; `false_objects/<class>` over all views."""
    views: dict[str, float] = {}
    counts: dict[str, int] = defaultdict(int)
    number = 0
    for view, frames in _frames(clip):
        total = 0
        for labels, boxes in frames:
            for kind in boxes[unmatched(labels, boxes), 0].astype(int):
                counts[tuple(OBJECT_CLASSES)[kind]] += 1
                total += 1
        views[view] = total / len(frames)
        number += len(frames)
    by_class = {f"false_objects/{name}": counts[name] / number for name in OBJECT_CLASSES} if number else {}
    return per_view("false_objects", views) | by_class


def _frames(clip: GeneratedClip) -> Iterator[tuple[str, list[tuple[list[ObjectLabel], np.ndarray]]]]:
    """Of each view that the evaluator has read: labels and boxes of its frames."""
    for view in clip.videos:
        seen, labels = clip.perception(view), clip.labels(view)
        if seen is not None and seen.boxes is not None and labels is not None:
            yield view, [(labels.objects_of(i), seen.boxes_of(i)) for i in range(len(labels.frames))]


def scores(labels: Sequence[ObjectLabel], boxes: np.ndarray) -> list[float]:
    """Of each label of a frame, the score of the box that finds it, 0 for none. boxes: [N,6] of `boxes_of`."""
    found = [0.0] * len(labels)
    if not labels or not len(boxes):
        return found
    overlaps = intersection_over_union(boxes[:, 2:], np.array([label.visible for label in labels]))
    overlaps *= boxes[:, :1] == np.array([label.kind for label in labels])
    for i in np.argsort(-boxes[:, 1], kind="stable"):
        free = np.where(np.array(found) == 0, overlaps[i], 0)
        best = int(free.argmax())
        if free[best] >= OVERLAP:
            found[best] = float(boxes[i, 1])
    return found


def unmatched(labels: Sequence[ObjectLabel], boxes: np.ndarray) -> np.ndarray:
    """bool [N]: boxes with a score of SCORE or more, no tenth of which a label covers."""
    sure = boxes[:, 1] >= SCORE
    if not labels or not len(boxes):
        return sure
    places = np.array([label.box for label in labels])
    low, high = np.maximum(boxes[:, None, 2:4], places[:, :2]), np.minimum(boxes[:, None, 4:6], places[:, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2).max(axis=1)
    area = (boxes[:, 4:6] - boxes[:, 2:4]).clip(1e-3).prod(axis=1)
    return sure & (common < 0.1 * area)
