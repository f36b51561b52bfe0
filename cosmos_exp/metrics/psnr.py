"""PSNR against the rendered RGB in the clip's style.

10 log10(255^2 / MSE), the squared error pooled over all pixels, channels and frames of a view; 99 dB where the two are
identical. Only for clips whose scene was also rendered in the requested style. Higher is better.
"""

from __future__ import annotations

import numpy as np

from cosmos_exp.metrics.types import GeneratedClip, per_view

IDENTICAL = 99.0


def video_psnr(target: np.ndarray, video: np.ndarray) -> float:
    """Decibels, for two uint8 videos of one shape."""
    return decibels(float(np.mean(frame_errors(target, video))))


def frame_errors(target: np.ndarray, video: np.ndarray) -> list[float]:
    """MSE of each frame."""
    if target.shape != video.shape:
        raise ValueError(f"videos differ in shape: {target.shape} and {video.shape}")
    return [float(np.mean((a.astype(np.float32) - b) ** 2, dtype=np.float64)) for a, b in zip(target, video)]


def decibels(mse: float) -> float:
    return float(min(10 * np.log10(255.0**2 / mse), IDENTICAL)) if mse > 0 else IDENTICAL


def psnr(clip: GeneratedClip) -> dict[str, float]:
    """PSNR of each view that has a target."""
    return per_view("psnr", {v: video_psnr(clip.targets[v], x) for v, x in clip.videos.items() if v in clip.targets})
