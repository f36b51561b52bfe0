"""Mask mIoU: the mean intersection over union of the classes that the evaluator sees with the true ones.

TransferBench of Cosmos-Transfer1 (arXiv:2503.14492) has it of the masks of GroundingDINO and SAM2 in both videos; ours
are the evaluator's classes against those of the geometry.
"""

from __future__ import annotations

import cv2
import numpy as np

from cosmos_exp.evaluators.types import IGNORED, SEMANTIC_CLASSES, Perception, semantic_classes
from cosmos_exp.metrics.types import GeneratedClip, per_view

LEAST_SHARE = 1e-3  # of the pixels of a view that are of a class which counts


def mask_miou(clip: GeneratedClip) -> dict[str, float]:
    """Over the classes that cover LEAST_SHARE of a view and that the evaluator tells apart; intersections and unions
    are summed over the frames of the view. Undefined without an evaluator of classes."""
    values = {}
    for view, render in clip.renders.items():
        seen = clip.perception(view)
        if seen is None or seen.semantic is None:
            continue
        tags = render.output("semantic")[clip.read_frames]
        score = mean_iou(seen, semantic_classes(tags))
        if score is not None:
            values[view] = score
    return per_view("mask_miou", values)


def mean_iou(seen: Perception, truth: np.ndarray) -> float | None:
    """truth: uint8 [F,H,W], index into SEMANTIC_CLASSES or IGNORED. None where no class counts."""
    assert seen.semantic is not None
    number = len(SEMANTIC_CLASSES)
    told = np.full(256, IGNORED, np.uint8)
    told[:number] = np.where([name in seen.known for name in SEMANTIC_CLASSES], np.arange(number), IGNORED)
    truth = told[truth]
    size = truth.shape[2], truth.shape[1]
    counts = np.zeros((number, number + 1), np.int64)
    for frame, true in zip(seen.semantic, truth):
        if frame.shape != true.shape:
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_NEAREST)
        valid = true != IGNORED
        pairs = true[valid].astype(np.int64) * (number + 1) + np.minimum(frame[valid], number)
        counts += np.bincount(pairs, minlength=counts.size).reshape(counts.shape)
    true_pixels, seen_pixels = counts.sum(axis=1), counts[:, :number].sum(axis=0)
    common = np.diag(counts[:, :number])
    counted = true_pixels > LEAST_SHARE * true_pixels.sum()
    union = true_pixels + seen_pixels - common
    return float((common[counted] / union[counted]).mean()) if counted.any() else None
