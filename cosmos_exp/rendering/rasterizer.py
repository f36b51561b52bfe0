"""Rasterisation of a geometry through a camera model, and into the shadow map of the sun."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from cosmos_exp.rendering import raster_kernels
from cosmos_exp.rendering.geometry import Geometry
from cosmos_exp.rendering.lighting import ShadowMap
from cosmos_exp.sensors.camera import CameraModel
from cosmos_exp.sensors.ftheta import FTheta
from cosmos_exp.sensors.pinhole import Pinhole

FAR = 700.0
SHADOW_DISTANCE = 3000.0
SHADOW_EXTENT = 160.0
SHADOW_SIZE = 640


def rasterize(
    model: CameraModel, rays: np.ndarray | None, geometry: Geometry, pose: np.ndarray, first: int,
    inverse: np.ndarray, ids: np.ndarray, *, far: float = FAR,
) -> None:  # fmt: skip
    """Rasterise a geometry from a pose [4,4] camera to world."""
    rotation = np.ascontiguousarray(pose[:3, :3].T)
    translation = -rotation @ pose[:3, 3]
    shared = (geometry.triangles, geometry.two_sided, geometry.chunks, geometry.spheres, rotation, translation)
    if isinstance(model, FTheta):
        raster_kernels.draw_ftheta(*shared, rays, lens_numbers(model), far, first, inverse, ids)
    elif isinstance(model, Pinhole):
        intrinsics = np.array([model.fx, model.fy, model.cx, model.cy])
        raster_kernels.draw_pinhole(*shared, intrinsics, raster_kernels.NEAR, far, first, inverse, ids)
    else:
        raise TypeError(f"no rasteriser for the camera model {type(model).__name__}")


@lru_cache(maxsize=16)
def sample_rays(model: CameraModel) -> np.ndarray:
    """[3,H,W] float32 directions to which the inverse depth refers: z = 1 for a pinhole, else unit length."""
    rays = model.rays()
    if isinstance(model, Pinhole):
        rays = rays / rays[..., 2:]
    rays = np.ascontiguousarray(np.moveaxis(rays, 2, 0))
    rays.flags.writeable = False
    return rays


@lru_cache(maxsize=16)
def lens_numbers(model: FTheta) -> np.ndarray:
    """[14] of the kernels, see `raster_kernels.draw_ftheta`."""
    return np.array([*model.fw_poly, model.max_angle, *model.beyond_max, *model.center, *model.linear])


def empty_shadow_map(sun: np.ndarray, centre: np.ndarray) -> ShadowMap:
    """An empty shadow map around `centre` [3], seen from far away in the direction `sun` [3].

    The centre moves by whole texels only, so that shadow edges are temporally stable.
    """
    side = np.cross(sun, [0, 0, 1.0] if abs(sun[2]) < 0.999 else [1.0, 0, 0])
    side /= np.linalg.norm(side)
    rotation = np.stack([side, np.cross(-sun, side), -sun])
    texel = SHADOW_EXTENT / SHADOW_SIZE
    middle = np.round(rotation @ centre / texel) * texel
    translation = -middle + [0, 0, SHADOW_DISTANCE]
    focal = SHADOW_SIZE * SHADOW_DISTANCE / SHADOW_EXTENT
    return ShadowMap(np.zeros((SHADOW_SIZE, SHADOW_SIZE), np.float32), rotation, translation, focal)


def rasterize_shadows(shadows: ShadowMap, geometry: Geometry) -> None:
    """Add a geometry to a shadow map, in place."""
    middle = SHADOW_SIZE / 2
    model = Pinhole(SHADOW_SIZE, SHADOW_SIZE, shadows.focal, shadows.focal, middle, middle)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = shadows.rotation.T, -shadows.rotation.T @ shadows.translation
    unused = np.empty(shadows.inverse.shape, np.int32)
    rasterize(model, None, geometry, pose, 0, shadows.inverse, unused, far=np.inf)
