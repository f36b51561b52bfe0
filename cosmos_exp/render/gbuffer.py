"""The g-buffer of one frame: what is seen where, before any light falls on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from cosmos_exp.render.geometry import Geometry
from cosmos_exp.render.types import SKY_TAG
from cosmos_exp.sensors.camera import Camera


@dataclass(frozen=True)
class GBuffer:
    """One camera at time t, `samples` x `samples` samples per pixel, S = samples.

    ids: [S*H,S*W] int32, triangle seen (static ones first, then moving), -1 for the sky. inverse: float32, 1 / ray
    parameter. rays: [3,S*H,S*W] float32 camera-frame directions. camera_to_world: [4,4] relative to the renderer's
    origin. Sample (S*v, S*u) lies on the centre of pixel (u, v).
    """

    camera: Camera
    t: float
    samples: int
    ids: np.ndarray
    inverse: np.ndarray
    rays: np.ndarray
    camera_to_world: np.ndarray
    static: Geometry
    moving: Geometry

    def _pixels(self, array: np.ndarray) -> np.ndarray:
        return array[:: self.samples, :: self.samples]

    @property
    def depth(self) -> np.ndarray:
        """[H,W] float32 metres along the camera's z axis, +inf for the sky."""
        with np.errstate(divide="ignore"):
            depth = self._pixels(self.rays[2]) / self._pixels(self.inverse)
        depth[self._pixels(self.ids) < 0] = np.inf
        return depth

    @property
    def semantic(self) -> np.ndarray:
        """[H,W] uint8 CityScapes tags."""
        return _gather(self._pixels(self.ids), self.static.codes, self.moving.codes, 1, SKY_TAG).astype(np.uint8)

    @property
    def instance(self) -> np.ndarray:
        """[H,W] uint16: 1 + the index of the track in the scene, 0 = no track."""
        return _gather(self._pixels(self.ids), self.static.codes, self.moving.codes, 2, 0).astype(np.uint16)

    @property
    def normals(self) -> np.ndarray:
        """[H,W,3] int8, unit vectors x127 in the camera frame, facing the camera; 0 for the sky."""
        rotation = self.camera_to_world[:3, :3].T.astype(np.float32)
        ids, rays = self._pixels(self.ids), self.rays[:, :: self.samples, :: self.samples]
        return _normals(ids, rays, rotation, self.static.attributes, self.moving.attributes)


@njit(cache=True, nogil=True)
def _gather(ids, static, moving, column, nothing):
    height, width = ids.shape
    out = np.empty((height, width), np.uint16)
    count = len(static)
    for y in range(height):
        for x in range(width):
            i = ids[y, x]
            if i < 0:
                out[y, x] = nothing
            elif i < count:
                out[y, x] = static[i, column]
            else:
                out[y, x] = moving[i - count, column]
    return out


@njit(cache=True, nogil=True)
def _normals(ids, rays, rotation, static, moving):
    height, width = ids.shape
    out = np.zeros((height, width, 3), np.int8)
    count = len(static)
    for y in range(height):
        for x in range(width):
            i = ids[y, x]
            if i < 0:
                continue
            a = static[i] if i < count else moving[i - count]
            nx = rotation[0, 0] * a[0] + rotation[0, 1] * a[1] + rotation[0, 2] * a[2]
            ny = rotation[1, 0] * a[0] + rotation[1, 1] * a[1] + rotation[1, 2] * a[2]
            nz = rotation[2, 0] * a[0] + rotation[2, 1] * a[1] + rotation[2, 2] * a[2]
            towards = nx * rays[0, y, x] + ny * rays[1, y, x] + nz * rays[2, y, x]
            scale = np.float32(-127.0) if towards > 0 else np.float32(127.0)
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = np.rint(nx * scale), np.rint(ny * scale), np.rint(nz * scale)
    return out
