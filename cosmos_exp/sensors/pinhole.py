"""The pinhole camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pinhole:
    """u = fx x/z + cx, v = fy y/z + cy, without distortion. fx, fy, cx, cy: pixels."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    @classmethod
    def from_hfov(cls, width: int, height: int, hfov: float) -> Pinhole:
        """Square pixels, principal point at (w/2, h/2) as in CARLA and RDS-HQ. hfov: radians across the width."""
        focal = width / (2 * np.tan(hfov / 2))
        return cls(width, height, focal, focal, width / 2, height / 2)

    def project(self, points: np.ndarray) -> np.ndarray:
        """[N,3] -> [N,2] pixels. Points behind are mirrored; z = 0 has no image (nan or inf).

        fx, fy, cx and cy count in float32, as in the RDS-HQ renderer.
        """
        points = np.asarray(points, np.float64)
        fx, fy, cx, cy = (float(np.float32(value)) for value in (self.fx, self.fy, self.cx, self.cy))
        with np.errstate(divide="ignore", invalid="ignore"):
            u = fx * points[:, 0] / points[:, 2] + cx
            v = fy * points[:, 1] / points[:, 2] + cy
        return np.stack([u, v], axis=1)

    def unproject(self, pixels: np.ndarray) -> np.ndarray:
        """[N,2] pixels -> [N,3] float64 unit directions."""
        u, v = np.asarray(pixels, np.float64).T
        rays = np.stack([(u - self.cx) / self.fx, (v - self.cy) / self.fy, np.ones_like(u)], axis=1)
        return rays / np.linalg.norm(rays, axis=1, keepdims=True)

    def rays(self) -> np.ndarray:
        """[H,W,3] float32 unit directions through the pixel centres."""
        x = (np.arange(self.width) - self.cx) / self.fx
        y = (np.arange(self.height) - self.cy) / self.fy
        rays = np.empty((self.height, self.width, 3))
        rays[..., 0] = x[None, :]
        rays[..., 1] = y[:, None]
        rays[..., 2] = 1.0
        return (rays / np.linalg.norm(rays, axis=2, keepdims=True)).astype(np.float32)

    def resized(self, width: int, height: int) -> Pinhole:
        """fx and cx scale with the width, fy and cy with the height."""
        sx, sy = width / self.width, height / self.height
        return Pinhole(width, height, self.fx * sx, self.fy * sy, self.cx * sx, self.cy * sy)
