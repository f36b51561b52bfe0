"""Splatting of LiDAR points into a depth image, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.polynomial.polynomial import polyder, polyval

from cosmos_exp.rendering.compiled import kernel, part
from cosmos_exp.sensors.camera import CameraModel
from cosmos_exp.sensors.ftheta import FTheta
from cosmos_exp.sensors.pinhole import Pinhole

SHARPNESS = 50.0  # of the depth weight
FAR = 1000.0
RADIUS = 2  # pixels; of the splat


def splat_depth(
    points: Sequence[np.ndarray],
    weights: Sequence[float],
    model: CameraModel,
    camera_to_world: np.ndarray,
    *,
    reference_compat: bool = False,
) -> np.ndarray:
    """[H,W] float64 metres: weighted mean depth of world points [N,3] splatted around their pixels, 0 without any.

    A point's weight is `w exp(-d^2/2) / (exp(50 log(1+z) / log(1+z_max)) + 1e-7)` with d the distance in pixels to
    the pixel's centre, which lies at +0.5 here, z the depth up to FAR, and z_max the largest depth among all points.
    """
    pose = np.asarray(camera_to_world, np.float64)
    rotation = np.ascontiguousarray(pose[:3, :3].T)
    translation = -rotation @ pose[:3, 3]
    farthest = max((_farthest(p, rotation[2], translation[2]) for p in points), default=0.0)
    sums = np.zeros((model.height, model.width, 2))
    if farthest > 0:
        power = SHARPNESS / np.log1p(min(farthest, FAR))
        lens = projection_parameters(model, reference_compat)
        for chunk, weight in zip(points, weights):
            _splat(chunk, weight, rotation, translation, isinstance(model, FTheta), lens, power, sums)
    return np.divide(sums[..., 1], sums[..., 0], out=np.zeros(sums.shape[:2]), where=sums[..., 0] > 0)


def projection_parameters(model: CameraModel, reference_compat: bool) -> np.ndarray:
    """Parameters of a camera model in the layout of `_project`."""
    if isinstance(model, Pinhole):
        return np.array([model.fx, model.fy, model.cx, model.cy])
    if not isinstance(model, FTheta):
        raise TypeError(f"no LiDAR projection for the camera model {type(model).__name__}")
    fw_poly, max_angle, (radius, slope) = model.fw_poly, model.max_angle, model.beyond_max
    if reference_compat:
        fw_poly = replace(model, poly=tuple(model.bw_poly), backward=True).fw_poly
        max_angle = replace(model, poly=tuple(fw_poly), backward=False).forward_domain_end()
        radius, slope = float(polyval(max_angle, fw_poly)), float(polyval(max_angle, polyder(fw_poly)))
    return np.array([*fw_poly, max_angle, radius, slope, *model.center, *model.linear])


@kernel()
def _farthest(points, row, offset):
    farthest = 0.0
    for i in range(len(points)):
        z = row[0] * points[i, 0] + row[1] * points[i, 1] + row[2] * points[i, 2] + offset
        if z > farthest:
            farthest = z
    return farthest


@part()
def _project(x, y, z, ftheta, lens):
    if not ftheta:
        return lens[0] * x / z + lens[2], lens[1] * y / z + lens[3]
    across = np.sqrt(x * x + y * y)
    if across == 0.0:
        return lens[9], lens[10]
    angle = np.arctan2(across, z)
    if angle <= lens[6]:
        radius = 0.0
        for k in range(5, -1, -1):
            radius = radius * angle + lens[k]
    else:
        radius = lens[7] + (angle - lens[6]) * lens[8]
    qx, qy = x * radius / across, y * radius / across
    return lens[11] * qx + lens[12] * qy + lens[9], lens[13] * qx + qy + lens[10]


@kernel()
def _splat(points, weight, rotation, translation, ftheta, lens, power, sums):
    """Add every point in front of the camera to sums [H,W,2]: total weight and weighted depth."""
    height, width, _ = sums.shape
    across, down = np.empty(2 * RADIUS + 1), np.empty(2 * RADIUS + 1)
    for i in range(len(points)):
        px, py, pz = points[i, 0], points[i, 1], points[i, 2]
        z = rotation[2, 0] * px + rotation[2, 1] * py + rotation[2, 2] * pz + translation[2]
        if not z > 0.0:
            continue
        x = rotation[0, 0] * px + rotation[0, 1] * py + rotation[0, 2] * pz + translation[0]
        y = rotation[1, 0] * px + rotation[1, 1] * py + rotation[1, 2] * pz + translation[1]
        u, v = _project(x, y, z, ftheta, lens)
        if not (-RADIUS <= u < width + RADIUS and -RADIUS <= v < height + RADIUS):
            continue
        column, row = int(np.floor(u)), int(np.floor(v))
        for k in range(2 * RADIUS + 1):
            du, dv = u - (column + k - RADIUS + 0.5), v - (row + k - RADIUS + 0.5)
            across[k], down[k] = np.exp(-du * du / 2), np.exp(-dv * dv / 2)
        w = weight / ((1.0 + min(z, FAR)) ** power + 1e-7)
        for j in range(max(0, RADIUS - row), min(2 * RADIUS + 1, height - row + RADIUS)):
            wj = w * down[j]
            for k in range(max(0, RADIUS - column), min(2 * RADIUS + 1, width - column + RADIUS)):
                total = wj * across[k]
                sums[row + j - RADIUS, column + k - RADIUS, 0] += total
                sums[row + j - RADIUS, column + k - RADIUS, 1] += total * z
