"""Lighting inputs of the shading kernels: weather parameters, shadow map, ground grid, noise texture."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from cosmos_exp.rendering.weather import Weather

NOISE_SIZE = 256


# One record of numbers for the shading kernels: a Weather (vectors in the world frame), the camera, and where the
# shadow map and the ground grid lie. Passing a single record to a kernel is far cheaper than passing its many fields.
SHADING_DTYPE = np.dtype(
    [(name, np.float32, 3) for name in ("sun_direction", "sun", "ambient", "bounce", "zenith", "horizon", "fog", "eye")]
    + [(name, np.float32) for name in ("fog_density", "glow", "clouds", "wetness", "snow", "night_lights", "shadows")]
    + [(name, np.float32) for name in ("exposure", "saturation", "pixel", "shadow_focal", "grid_cell")]
    + [("rotation", np.float32, (3, 3)), ("beam", np.float32, (3, 4))]
    + [("shadow_rotation", np.float32, (3, 3)), ("shadow_translation", np.float32, 3), ("grid_origin", np.float32, 2)]
)


class ShadowMap(NamedTuple):
    """Shadow map of the sun: inverse depth [S,S] float32; world-to-sun rotation, translation; focal in texels.

    Border texels are 0 (lit). A map of 2x2 texels disables shadows.
    """

    inverse: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    focal: float


class GroundGrid(NamedTuple):
    """Lamp light and contact shadow on the ground: values [2,G,G] float32, 0 at the border. origin: [2], low corner."""

    values: np.ndarray
    origin: np.ndarray
    cell: float


NO_SHADOW = ShadowMap(np.zeros((2, 2), np.float32), np.eye(3), np.zeros(3), 1.0)


def shading_parameters(
    weather: Weather, heading: np.ndarray, camera: np.ndarray, ego: np.ndarray, pixel: float, shadow: ShadowMap,
    grid: GroundGrid,
) -> np.ndarray:  # fmt: skip
    """[1] SHADING_DTYPE. heading: [3,3] rotation of the ego's first pose, which the sun's azimuth refers to.

    camera, ego: [4,4] to world. pixel: angle of one sample, radians.
    """
    record = np.zeros(1, SHADING_DTYPE)
    for name in set(SHADING_DTYPE.fields or ()) & set(Weather.__dataclass_fields__):
        record[name] = getattr(weather, name)
    record["sun_direction"] = heading @ weather.sun_direction
    record["eye"], record["rotation"], record["pixel"] = camera[:3, 3], camera[:3, :3], pixel
    record["beam"] = np.linalg.inv(ego)[:3]
    record["shadow_rotation"], record["shadow_translation"] = shadow.rotation, shadow.translation
    record["shadow_focal"] = shadow.focal
    record["grid_origin"], record["grid_cell"] = grid.origin, grid.cell
    return record


@lru_cache(maxsize=1)
def noise_texture() -> np.ndarray:
    """[256,256] float32 in 0..1: tileable value noise of five octaves."""
    rng = np.random.default_rng(20)
    total = np.zeros((NOISE_SIZE, NOISE_SIZE), np.float32)
    for octave in range(5):
        cells = 8 << octave
        wrapped = np.pad(rng.random((cells, cells), dtype=np.float32), 2, mode="wrap")
        scale = NOISE_SIZE // cells
        smooth = cv2.resize(wrapped, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        total += smooth[2 * scale : -2 * scale, 2 * scale : -2 * scale] * 0.6**octave
    total -= total.min()
    return total / total.max()
