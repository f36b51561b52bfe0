"""The g-buffer of one frame: the visible triangle and its depth per sample, before shading."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosmos_exp.rendering.compiled import kernel
from cosmos_exp.rendering.geometry import Geometry
from cosmos_exp.rendering.types import SKY_TAG
from cosmos_exp.sensors.camera import Camera


@dataclass(frozen=True)
class GBuffer:
    """One camera at time t, `samples` x `samples` samples per pixel, S = samples.

    ids: [S*H,S*W] int32, visible triangle (static ones first, then dynamic), -1 for the sky. inverse: float32, 1 / ray
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

    @property
    def depth(self) -> np.ndarray:
        """[H,W] float32 metres along the camera's z axis, +inf for the sky."""
        return self.output("depth")

    @property
    def semantic(self) -> np.ndarray:
        """[H,W] uint8 CityScapes tags."""
        return self.output("semantic")

    @property
    def instance(self) -> np.ndarray:
        """[H,W] uint16: 1 + the index of the track in the scene, 0 = no track."""
        return self.output("instance")

    @property
    def normals(self) -> np.ndarray:
        """[H,W,3] int8, unit vectors x127 in the camera frame, facing the camera; 0 for the sky."""
        return self.output("normals")

    def output(self, name: str, out: np.ndarray | None = None) -> np.ndarray:
        """The output of that name: depth, semantic, instance or normals; written to `out` where given."""
        dtype, channels = GBUFFER_OUTPUTS[name]
        if out is None:
            model = self.camera.model
            out = np.empty((model.height, model.width, *channels), dtype)
        ids = self.ids[:: self.samples, :: self.samples]
        rays = self.rays[:, :: self.samples, :: self.samples]
        if name == "depth":
            _depth(ids, rays[2], self.inverse[:: self.samples, :: self.samples], out)
        elif name == "semantic":
            _codes(ids, self.static.codes, self.moving.codes, 1, SKY_TAG, out)
        elif name == "instance":
            _codes(ids, self.static.codes, self.moving.codes, 2, 0, out)
        else:
            rotation = self.camera_to_world[:3, :3].T.astype(np.float32)
            _normals(ids, rays, rotation, self.static.attributes, self.moving.attributes, out)
        return out


GBUFFER_OUTPUTS = {
    "depth": (np.float32, ()),
    "semantic": (np.uint8, ()),
    "instance": (np.uint16, ()),
    "normals": (np.int8, (3,)),
}


@kernel()
def _depth(ids, rz, inverse, out):
    height, width = ids.shape
    for y in range(height):
        for x in range(width):
            out[y, x] = rz[y, x] / inverse[y, x] if ids[y, x] >= 0 else np.float32(np.inf)


@kernel()
def _codes(ids, static, moving, column, nothing, out):
    height, width = ids.shape
    count = len(static)
    for y in range(height):
        last, value = np.int32(-1), np.int32(nothing)
        for x in range(width):
            i = ids[y, x]
            if i != last:
                last = i
                value = np.int32(nothing) if i < 0 else (static[i, column] if i < count else moving[i - count, column])
            out[y, x] = value


@kernel()
def _normals(ids, rays, rotation, static, moving, out):
    height, width = ids.shape
    count = len(static)
    x8, y8, z8 = np.int8(0), np.int8(0), np.int8(0)
    for y in range(height):
        last = np.int32(-1)
        for x in range(width):
            i = ids[y, x]
            if i < 0:
                out[y, x, 0], out[y, x, 1], out[y, x, 2] = 0, 0, 0
                continue
            if i != last:
                last = i
                a = static[i] if i < count else moving[i - count]
                nx = rotation[0, 0] * a[0] + rotation[0, 1] * a[1] + rotation[0, 2] * a[2]
                ny = rotation[1, 0] * a[0] + rotation[1, 1] * a[1] + rotation[1, 2] * a[2]
                nz = rotation[2, 0] * a[0] + rotation[2, 1] * a[1] + rotation[2, 2] * a[2]
                towards = nx * rays[0, y, x] + ny * rays[1, y, x] + nz * rays[2, y, x]
                scale = np.float32(-127.0) if towards > 0 else np.float32(127.0)
                x8, y8, z8 = np.int8(np.rint(nx * scale)), np.int8(np.rint(ny * scale)), np.int8(np.rint(nz * scale))
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = x8, y8, z8
