"""Blur SSIM: does the generated video keep the coarse structure of the rendered one?

Definition of TransferBench (Cosmos-Transfer1, arXiv 2503.14492): both videos pass the same Gaussian blur (kernel 25,
sigma 12.5), then SSIM per frame and colour channel with the constants of Wang et al. 2004 as scikit-image sets them:
uniform 7x7 window, K1 0.01, K2 0.03, sample covariance, data range = max - min of the reference frame; mean over
pixels (without the 3-pixel border), channels and frames. 1 is identical. Up is better.
"""

from __future__ import annotations

import cv2
import numpy as np

from cosmos_exp.metrics.types import GeneratedClip, per_view

KERNEL, SIGMA = 25, 12.5
WINDOW, K1, K2 = 7, 0.01, 0.03


def ssim(reference: np.ndarray, image: np.ndarray, data_range: float) -> float:
    """Mean structural similarity of two [H,W] or [H,W,C] images, H and W >= 7."""
    if min(reference.shape[:2]) < WINDOW:
        raise ValueError(
            f"SSIM needs at least {WINDOW}x{WINDOW} pixels, given {reference.shape[1]}x{reference.shape[0]}"
        )
    x, y = reference.astype(np.float64), image.astype(np.float64)
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    sample = WINDOW**2 / (WINDOW**2 - 1)
    var_x = sample * (_window_mean(x * x) - mean_x**2)
    var_y = sample * (_window_mean(y * y) - mean_y**2)
    cov = sample * (_window_mean(x * y) - mean_x * mean_y)
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    similarity = (2 * mean_x * mean_y + c1) * (2 * cov + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    border = WINDOW // 2
    return float(similarity[border:-border, border:-border].mean())


def _window_mean(image: np.ndarray) -> np.ndarray:
    return cv2.blur(image, (WINDOW, WINDOW), borderType=cv2.BORDER_REFLECT)


def blurred_ssim(reference: np.ndarray, video: np.ndarray) -> float:
    """Blur SSIM of two uint8 [F,H,W,3] videos. A flat reference frame has data range 1, the step of 8-bit images."""
    scores = []
    for expected, frame in zip(reference, video, strict=True):
        a = cv2.GaussianBlur(expected, (KERNEL, KERNEL), SIGMA)
        b = cv2.GaussianBlur(frame, (KERNEL, KERNEL), SIGMA)
        scores.append(ssim(a, b, max(float(a.max()) - float(a.min()), 1.0)))
    return float(np.mean(scores))


def blur_ssim(clip: GeneratedClip) -> dict[str, float]:
    """Blur SSIM of each view against the rendered rgb."""
    return per_view("blur_ssim", {v: blurred_ssim(clip.renders[v].rgb, video) for v, video in clip.videos.items()})
