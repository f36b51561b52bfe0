"""Sharpness: how much fine detail the video has, against the render in the requested style.

The energy of the fine detail of a picture is the variance of its Laplacian (Pech-Pacheco et al. 2000), here of the grey
image, mean over the frames. `sharpness` is that of the video over that of the target: 1 is the renderer's, below is
blur, above is noise or texture that is too strong. Neither is better for being larger, so what is ranked is
`sharpness_error`, the absolute value of its binary logarithm: 0 is as sharp as the render, 1 is half or twice the
energy, and so on up to OCTAVES. Lower is better. Blind spot: a picture that is blurred and then made noisy can have the
right amount of detail, all of it wrong; `artefacts` sees that.
"""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np

from cosmos_exp.metrics.types import GeneratedClip, per_view

OCTAVES = 10.0


def detail(video: np.ndarray) -> float:
    """Mean variance of the Laplacian of uint8 [F,H,W,3]."""
    grey = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in video)
    return float(np.mean([cv2.meanStdDev(cv2.Laplacian(frame, cv2.CV_16S))[1] ** 2 for frame in grey]))


def _detail_of(video: np.ndarray) -> list[np.ndarray]:
    return [np.array(detail(video))]


def sharpness(clip: GeneratedClip) -> dict[str, float]:
    """sharpness and sharpness_error of each view that has a target with any detail."""
    ratios = {}
    for view, video in clip.videos.items():
        if view in clip.targets:
            compute = partial(_detail_of, clip.targets[view])
            (expected,) = clip.cached_reference("sharpness", view, compute, style=clip.style)
            if expected > 0:
                ratios[view] = detail(video) / float(expected)
    errors = {view: abs(np.log2(np.clip(ratio, 2**-OCTAVES, 2**OCTAVES))) for view, ratio in ratios.items()}
    return per_view("sharpness", ratios) | per_view("sharpness_error", errors)
