"""Depth si-RMSE: the scale-invariant error of the depth that the evaluator sees.

Eigen, Puhrsch and Fergus 2014 (arXiv:1406.2283), eq. 3: sqrt(mean(d^2) - mean(d)^2) with d = log seen - log true, mean
over the frames. TransferBench compares what a depth network sees in both videos; ours is against the true depth.
"""

from __future__ import annotations

import cv2
import numpy as np

from cosmos_exp.evaluators.types import Perception
from cosmos_exp.metrics.types import GeneratedClip, per_view

FARTHEST = 80.0  # metres: what is further away is not compared, nor is the sky


def depth_si_rmse(clip: GeneratedClip) -> dict[str, float]:
    """Undefined without an evaluator of depth."""
    values = {}
    for view, render in clip.renders.items():
        seen = clip.perception(view)
        if seen is None or seen.depth is None:
            continue
        error = si_rmse(seen, render.output("depth")[clip.read_frames])
        if error is not None:
            values[view] = error
    return per_view("depth_si_rmse", values)


def si_rmse(seen: Perception, truth: np.ndarray) -> float | None:
    """truth: [F,H,W] metres. None where no frame has anything within FARTHEST."""
    assert seen.depth is not None
    errors = []
    for frame, metres in zip(seen.depth, truth):
        height, width = frame.shape
        metres = cv2.resize(np.minimum(metres, 1e6), (width, height), interpolation=cv2.INTER_NEAREST)
        near = (metres < FARTHEST) & (metres > 0) & (frame > 0)
        if near.any():
            difference = np.log(frame[near]) - np.log(metres[near])
            errors.append(float(np.sqrt(difference.var())))
    return float(np.mean(errors)) if errors else None
