"""Edge control: Canny edges at the presets of Cosmos-Transfer1."""

from __future__ import annotations

import cv2
import numpy as np

from cosmos_exp.errors import UserError, unknown_name

# strength: lower and upper hysteresis threshold
CANNY_THRESHOLDS = {
    "very_low": (20, 50),
    "low": (50, 100),
    "medium": (100, 200),
    "high": (200, 300),
    "very_high": (300, 400),
}


def edge(frames: np.ndarray, strength: str = "medium") -> np.ndarray:
    """uint8 RGB [F,H,W,3] -> white edges on black, uint8 [F,H,W,3]. A higher strength keeps fewer edges."""
    if strength not in CANNY_THRESHOLDS:
        raise UserError(unknown_name("edge strength", strength, CANNY_THRESHOLDS))
    return canny(frames, *CANNY_THRESHOLDS[strength])


def canny(frames: np.ndarray, lower: float, upper: float) -> np.ndarray:
    """Canny with L1 gradient and aperture 3 on colour frames, the map copied to three channels."""
    edges = np.stack([cv2.Canny(frame, lower, upper, apertureSize=3, L2gradient=False) for frame in frames])
    return np.repeat(edges[..., None], 3, axis=-1)
