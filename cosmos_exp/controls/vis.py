"""Vis control: the frames blurred at the presets of Cosmos-Transfer1, so that only colour and layout remain."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.threads import map_frames, torch_threads


@dataclass(frozen=True)
class BlurPreset:
    """downscale: factor at which the bilateral filter runs. diameter (pixels), sigma_color (levels), sigma_space
    (pixels): the bilateral filter. coarse: factor of the final bicubic down and up."""

    downscale: int
    diameter: int
    sigma_color: float
    sigma_space: float
    coarse: int


BLUR_PRESETS = {
    "very_low": BlurPreset(1, 15, 100, 50, 4),
    "low": BlurPreset(4, 15, 100, 50, 4),
    "medium": BlurPreset(2, 30, 150, 100, 10),
    "high": BlurPreset(1, 50, 300, 150, 16),
    "very_high": BlurPreset(4, 50, 300, 150, 16),
}

# width, height of the 720p sizes; larger frames are blurred at the one nearest in aspect ratio
SIZES_720P = ((960, 960), (960, 704), (704, 960), (1280, 704), (704, 1280))


def vis(frames: np.ndarray, strength: str = "medium") -> np.ndarray:
    """uint8 RGB [F,H,W,3] -> blurred uint8 [F,H,W,3] of the same size."""
    if strength not in BLUR_PRESETS:
        raise UserError(unknown_name("vis strength", strength, BLUR_PRESETS))
    preset = BLUR_PRESETS[strength]
    height, width = frames.shape[1:3]
    smallest = max(preset.downscale, preset.coarse)
    if min(height, width) < smallest:
        raise UserError(f"vis strength {strength!r} needs frames of at least {smallest} pixels, given {width}x{height}")

    def blur(frame: np.ndarray) -> np.ndarray:
        coarse = resize_bicubic(_edge_preserving_blur(frame, preset), height // preset.coarse, width // preset.coarse)
        return resize_bicubic(coarse, height, width)

    with torch_threads(1):
        return map_frames(blur, frames)


def resize_bicubic(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Antialiased bicubic resize of uint8 [H,W,3], computed in float32 and rounded."""
    import torch
    import torch.nn.functional as F

    pixels = torch.from_numpy(frame).permute(2, 0, 1)[None].float()
    resized = F.interpolate(pixels, size=(height, width), mode="bicubic", antialias=True)
    return resized.clamp_(0, 255).round_().to(torch.uint8)[0].permute(1, 2, 0).numpy()


def _edge_preserving_blur(frame: np.ndarray, preset: BlurPreset) -> np.ndarray:
    height, width = frame.shape[:2]
    small = cv2.resize(frame, fit_720p(width, height), interpolation=cv2.INTER_AREA)
    size = small.shape[1] // preset.downscale, small.shape[0] // preset.downscale
    small = cv2.resize(small, size, interpolation=cv2.INTER_AREA)
    small = cv2.bilateralFilter(small, preset.diameter, preset.sigma_color, preset.sigma_space)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def fit_720p(width: int, height: int) -> tuple[int, int]:
    """(width, height) shrunk, aspect kept, to fit the 720p size nearest in aspect ratio; smaller sizes stay."""
    most = min(SIZES_720P, key=lambda size: (size[0] / size[1] - width / height) ** 2)
    scale = min(1.0, most[0] / width, most[1] / height)
    return round(width * scale), round(height * scale)
