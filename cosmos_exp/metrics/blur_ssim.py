"""Blur SSIM: similarity of the coarse structure with the render in the requested style.

Definition of TransferBench (Cosmos-Transfer1, arXiv 2503.14492): both videos pass the same Gaussian blur (kernel 25,
sigma 12.5), then SSIM per frame and colour channel with the constants of Wang et al. 2004 as scikit-image sets them:
uniform 7x7 window, K1 0.01, K2 0.03, sample covariance, data range = max - min of the reference frame; mean over
pixels (without the 3-pixel border), channels and frames. There the reference is the input video, whose weather is the
one that is generated; here it is the scene rendered in the requested style. 1 is identical. Higher is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np

from cosmos_exp.metrics.types import GeneratedClip, per_view

KERNEL, SIGMA = 25, 12.5
WINDOW, K1, K2 = 7, 0.01, 0.03
NUM_BUFFERS = 7  # images of intermediate values


def ssim(reference: np.ndarray, image: np.ndarray, data_range: float, buffers: np.ndarray | None = None) -> float:
    """Mean structural similarity of two [H,W] or [H,W,C] images, H and W >= 7.

    buffers: float64 [NUM_BUFFERS, *image.shape], reused over images: their allocation takes longer than the rest.
    """
    if min(reference.shape[:2]) < WINDOW:
        raise ValueError(
            f"SSIM needs at least {WINDOW}x{WINDOW} pixels, given {reference.shape[1]}x{reference.shape[0]}"
        )
    x, y, mean_x, mean_y, product, cov, var = np.empty((NUM_BUFFERS, *image.shape)) if buffers is None else buffers
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    sample = WINDOW**2 / (WINDOW**2 - 1)
    x[...], y[...] = reference, image
    _window_mean(x, mean_x)
    _window_mean(y, mean_y)
    _window_mean(np.multiply(x, y, out=product), cov)
    x *= x
    y *= y
    x += y
    _window_mean(x, var)

    np.multiply(mean_x, mean_y, out=product)
    mean_x *= mean_x
    mean_y *= mean_y
    mean_x += mean_y
    squares = mean_x
    cov -= product
    cov *= 2 * sample
    cov += c2
    var -= squares
    var *= sample
    var += c2
    product *= 2
    product += c1
    squares += c1
    product *= cov
    squares *= var
    product /= squares
    border = WINDOW // 2
    return float(product[border:-border, border:-border].mean())


def _window_mean(image: np.ndarray, out: np.ndarray) -> None:
    cv2.blur(image, (WINDOW, WINDOW), dst=out, borderType=cv2.BORDER_REFLECT)


def blurred(frame: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(frame, (KERNEL, KERNEL), SIGMA)


def blurred_frames(video: np.ndarray) -> list[np.ndarray]:
    return [blurred(frame) for frame in video]


def blurred_ssim(reference: np.ndarray, video: np.ndarray) -> float:
    """Blur SSIM of two uint8 [F,H,W,3] videos."""
    return ssim_with_blurred(blurred_frames(reference), video)


def ssim_with_blurred(reference: Sequence[np.ndarray], video: np.ndarray) -> float:
    """The same, the reference's frames blurred already."""
    return float(np.mean(frame_ssim(reference, video)))


def frame_ssim(reference: Sequence[np.ndarray], video: np.ndarray) -> list[float]:
    """Of each frame. A flat reference has data range 1, the step of 8-bit images."""
    scores, buffers = [], np.empty((NUM_BUFFERS, *video.shape[1:]))
    for expected, frame in zip(reference, video, strict=True):
        data_range = max(float(expected.max()) - float(expected.min()), 1.0)
        scores.append(ssim(expected, blurred(frame), data_range, buffers))
    return scores


def blur_ssim(clip: GeneratedClip) -> dict[str, float]:
    """Blur SSIM of each view that has a target."""
    scores = {}
    for view, video in clip.videos.items():
        if view in clip.targets:
            if np.array_equal(video, clip.targets[view]):
                scores[view] = 1.0  # what it comes to, without the work
                continue
            compute = partial(blurred_frames, clip.targets[view])
            scores[view] = ssim_with_blurred(clip.cached_reference("blur_ssim", view, compute, style=clip.style), video)
    return per_view("blur_ssim", scores)
