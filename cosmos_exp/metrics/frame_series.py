"""Values of single frames of the front view, for those metrics that have any: what a curve over time is drawn of.

The value of a clip is not always the mean of its frames: PSNR and Edge F1 pool errors and pixels over the clip.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from cosmos_exp.metrics.blur_ssim import blurred_frames, frame_ssim
from cosmos_exp.metrics.edge_f1 import edge_maps, frame_counts
from cosmos_exp.metrics.flicker import compensation, frame_differences
from cosmos_exp.metrics.psnr import decibels, frame_errors
from cosmos_exp.metrics.style import frame_features, margin, shipped_classifier
from cosmos_exp.metrics.types import GeneratedClip


def _psnr(clip: GeneratedClip, view: str) -> list[float]:
    return [decibels(error) for error in frame_errors(clip.targets[view], clip.videos[view])]


def _blur_ssim(clip: GeneratedClip, view: str) -> list[float]:
    compute = partial(blurred_frames, clip.targets[view])
    return frame_ssim(clip.cached_reference("blur_ssim", view, compute, style=clip.style), clip.videos[view])


def _edge_f1(clip: GeneratedClip, view: str) -> list[float]:
    edges = clip.cached_reference("edge_f1", view, partial(edge_maps, clip.targets[view]), style=clip.style)
    counts = frame_counts(edges, clip.videos[view]).tolist()
    return [2 * common / (expected + found) if expected else math.nan for common, expected, found in counts]


def _style_score(clip: GeneratedClip, view: str) -> list[float]:
    classifier = shipped_classifier()
    return [margin(classifier, frame_features(frame), clip.style) for frame in clip.videos[view]]


def _flicker(clip: GeneratedClip, view: str) -> list[float]:
    """Against the frame before, so none of the first."""
    compute = partial(compensation, clip.renders[view], clip.cameras[view], clip.rig_poses)
    differences = frame_differences(clip.videos[view], clip.cached_reference("flicker", view, compute))
    return [math.nan, *(float(found.mean()) if len(found) else math.nan for found in differences)]


FRAME_SERIES: dict[str, Callable[[GeneratedClip, str], list[float]]] = {
    "style_score": _style_score,
    "psnr": _psnr,
    "blur_ssim": _blur_ssim,
    "edge_f1": _edge_f1,
    "flicker": _flicker,
}
"""{metric: from a clip and one of its views to the values of its F frames, NaN where one has none}."""

OF_TARGETS = frozenset({"psnr", "blur_ssim", "edge_f1"})
"""Those that are of views with a target alone."""


def frame_series(clip: GeneratedClip, metric: str) -> np.ndarray:
    """float32 [F] of a metric in FRAME_SERIES, of the front view; [0] where that has no target to compare with."""
    front = next(iter(clip.videos))
    has_none = metric in OF_TARGETS and front not in clip.targets
    return np.array([] if has_none else FRAME_SERIES[metric](clip, front), np.float32)
