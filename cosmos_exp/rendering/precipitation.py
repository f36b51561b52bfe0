"""Raindrops and snowflakes drawn over the image; deterministic in (seed, camera, time)."""

from __future__ import annotations

import zlib

import numpy as np

from cosmos_exp.rendering.compiled import kernel
from cosmos_exp.rendering.weather import Weather

REFERENCE_HEIGHT = 704


def add_precipitation(image: np.ndarray, weather: Weather, t: float, *, seed: int, camera: str) -> None:
    """Blend particles into image [H,W,3] uint8, in place."""
    height, width = image.shape[:2]
    rng = np.random.default_rng([seed, zlib.crc32(camera.encode()), abs(round(t * 1e6))])
    scale = height / REFERENCE_HEIGHT
    if weather.rain:
        count = int(420 * weather.rain)
        start = rng.uniform((0, -0.1), (width, 1.0), (count, 2)) * [1, height]
        near = rng.uniform(0.25, 1.0, count) ** 2
        length = np.maximum((12 + 46 * near) * scale, 2.0)
        _streaks(image, start, length, 0.09, 0.10 + 0.20 * near, 205.0)
    if weather.flakes:
        count = int(520 * weather.flakes)
        centre = rng.uniform((0, 0), (width, height), (count, 2))
        near = rng.uniform(0.2, 1.0, count) ** 3
        _discs(image, centre, np.maximum((0.9 + 3.6 * near) * scale, 0.55), 0.35 + 0.5 * near, 246.0)


@kernel()
def _streaks(image, start, length, slant, alpha, value):
    height, width = image.shape[:2]
    for i in range(len(start)):
        for step in range(int(length[i]) + 1):
            x, y = int(start[i, 0] - slant * step), int(start[i, 1]) + step
            if 0 <= x < width and 0 <= y < height:
                for k in range(3):
                    image[y, x, k] += np.uint8(alpha[i] * max(value - image[y, x, k], 0.0))


@kernel()
def _discs(image, centre, radius, alpha, value):
    height, width = image.shape[:2]
    for i in range(len(centre)):
        x, y, r = centre[i, 0], centre[i, 1], radius[i]
        for row in range(max(int(y - r), 0), min(int(y + r) + 2, height)):
            for column in range(max(int(x - r), 0), min(int(x + r) + 2, width)):
                cover = min(max(r + 0.5 - np.hypot(column - x, row - y), 0.0), 1.0) * alpha[i]
                for k in range(3):
                    image[row, column, k] += np.uint8(cover * max(value - image[row, column, k], 0.0))
