"""LiDAR condition video: five sweeps around a frame as a soft depth image, grey, near dark, black where nothing is.

Points inside a moving object's box are carried along with that object to the frame that is drawn. Every point is
splatted on 5x5 pixels with Gaussian weights and a depth weight under which the nearest wins softly. The rules are
those of the RDS-HQ toolkit, measured on its images; it needs a GPU for them, this does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from numpy.polynomial.polynomial import polyder, polyval

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.types import Sweeps
from cosmos_exp.sensors.camera import CameraModel
from cosmos_exp.sensors.ftheta import FTheta
from cosmos_exp.sensors.pinhole import Pinhole

if TYPE_CHECKING:
    from cosmos_exp.scene.rds_hq.objects import ObjectRecord

MIN_RANGE = 3.0  # metres from the sensor: nearer points are the ego vehicle's own
MAX_DEPTH = 75.0  # metres, white
SWEEP_OFFSETS = (-6, -3, 0, 3, 6)  # frames of 1/30 s
BOX_MARGIN = 1.2
SHARPNESS = 50.0  # of the depth weight
FAR = 1000.0
RADIUS = 2  # pixels; of the splat
SWEEPS_KEPT = 8

_kernel = njit(cache=True, nogil=True, error_model="numpy")

Objects = Mapping[float, Mapping[str, "ObjectRecord"]]


@dataclass(frozen=True)
class _Sweep:
    """World points [N,3] of one sweep: those that stand, and those of moving objects with who moves them.

    owners: (object id, indices into `moving`, world to object [4,4]). A point may have several owners.
    """

    standing: np.ndarray
    moving: np.ndarray
    owners: tuple[tuple[str, np.ndarray, np.ndarray], ...]


class LidarRenderer:
    """Draws the LiDAR images of any camera. Holds a few sweeps at a time; safe to call from several threads.

    objects: {frame: {id: record}}, at every frame that is drawn and at every frame of `sweeps_used(...)`.
    frames: the frames that are drawn, ascending. device: torch device that splats, such as `cuda`; None is the CPU
    without torch.

    reference_compat reproduces three things of the toolkit: sweeps are limited to number `len(frames) - 1` even where
    the drawn frames are not 0, 1, 2...; a point in the boxes of two objects is moved by both (otherwise by the one
    whose box it is deeper in); f-theta angles go through the backward polynomial, with a maximum angle of its own.
    """

    def __init__(
        self, sweeps: Sweeps, objects: Objects, frames: Iterable[int], *, reference_compat: bool = False,
        device: str | None = None,
    ):  # fmt: skip
        self._sweeps = sweeps
        self._objects = objects
        self._available = np.asarray(sorted(sweeps.lidar_frames()), np.int64)
        if not len(self._available):
            raise UserError("there is no LiDAR sweep to draw: the clip's `lidar_raw` layer is missing or empty")
        self._last = len(list(frames)) - 1 if reference_compat else None
        self._compat = reference_compat
        self._device = device
        self._prepared = lru_cache(maxsize=SWEEPS_KEPT)(self._prepare)

    @classmethod
    def of_clip(
        cls, clip, frames: Iterable[int], *, reference_compat: bool = False, device: str | None = None
    ) -> LidarRenderer:
        """For an RdsHqClip: objects are steadied and interpolated to the drawn frames and to those of the sweeps."""
        from cosmos_exp.scene.rds_hq.objects import at_frames, average_static_objects

        frames = sorted(frames)
        last = len(frames) - 1 if reference_compat else None
        used = sweeps_used(frames, clip.lidar_frames(), last=last)
        last_key = frames[-1] if reference_compat and frames else None
        objects = at_frames(average_static_objects(clip.objects()), sorted({*frames, *used}), last_used=last_key)
        return cls(clip, objects, frames, reference_compat=reference_compat, device=device)

    def frame(self, model: CameraModel, camera_to_world: np.ndarray, frame: float) -> np.ndarray:
        """[H,W,3] uint8. camera_to_world: [4,4], OpenCV axes. frame: in 1/30 s, whole or not."""
        depth = self.depth(model, camera_to_world, frame)
        grey = (np.clip(depth, 0.0, MAX_DEPTH) / MAX_DEPTH * 255.0).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)

    def depth(self, model: CameraModel, camera_to_world: np.ndarray, frame: float) -> np.ndarray:
        """[H,W] float64 metres along the optical axis, 0 where no point is near."""
        points, weights = self.points(frame)
        if self._device is None:
            return splat_depth(points, weights, model, camera_to_world, reference_compat=self._compat)
        from cosmos_exp.render.lidar import torch_splat

        lens, ftheta = lens_numbers(model, self._compat), isinstance(model, FTheta)
        options = {"size": (model.height, model.width), "ftheta": ftheta, "lens": lens, "device": self._device}
        return torch_splat.splat_depth(points, weights, camera_to_world=camera_to_world, **options)

    def points(self, frame: float) -> tuple[list[np.ndarray], list[float]]:
        """World points [N,3] of the sweeps around a frame, moving objects where they are at that frame; their weights
        (how often the sweep counts)."""
        points, weights = [], []
        numbers = sweep_numbers(frame, self._available, last=self._last)
        for number in dict.fromkeys(numbers):
            sweep = self._prepared(number)
            points += [sweep.standing, self._carried(sweep, frame)]
            weights += [float(numbers.count(number))] * 2
        return points, weights

    def _prepare(self, number: int) -> _Sweep:
        xyz, to_world = self._sweeps.lidar(number)
        xyz = np.asarray(xyz)
        if xyz.ndim != 2 or xyz.shape[1] != 3:
            raise UserError(f"LiDAR sweep {number}: points must be [N,3], got {list(xyz.shape)}")
        distance = np.linalg.norm(xyz, axis=1)
        xyz = xyz[(distance >= MIN_RANGE) & np.isfinite(distance)].astype(np.float64)
        world = xyz @ np.asarray(to_world, np.float64)[:3, :3].T + np.asarray(to_world, np.float64)[:3, 3]
        boxes = [(key, record) for key, record in self._objects.get(number, {}).items() if record.moving]
        nearest = np.full(len(world), np.inf)
        owner = np.full(len(world), -1)
        inside = []
        for i, (_, record) in enumerate(boxes):
            to_box = np.linalg.inv(np.asarray(record.pose, np.float64))
            inside.append(_claim(world, to_box, np.asarray(record.size) / 2 * BOX_MARGIN, i, nearest, owner))
        moving = np.flatnonzero(owner >= 0)
        owners = []
        for i, (key, record) in enumerate(boxes):
            mine = inside[i] if self._compat else np.flatnonzero(owner == i)
            if len(mine):
                to_box = np.linalg.inv(np.asarray(record.pose, np.float64))
                owners.append((key, np.searchsorted(moving, mine), to_box))
        return _Sweep(world[owner < 0], world[moving], tuple(owners))

    def _carried(self, sweep: _Sweep, frame: float) -> np.ndarray:
        """The sweep's moving points where their objects are at `frame`; gone where the object is."""
        points = sweep.moving.copy()
        kept = np.ones(len(points), bool)
        present = self._objects[frame] if sweep.owners else {}
        for key, indices, to_box in sweep.owners:
            if key not in present:
                kept[indices] = False
                continue
            motion = np.asarray(present[key].pose, np.float64) @ to_box
            points[indices] = points[indices] @ motion[:3, :3].T + motion[:3, 3]
        return points[kept]


def sweep_numbers(frame: float, available: Sequence[int], *, last: int | None = None) -> list[int]:
    """The five sweeps of a frame: the nearest available ones to SWEEP_OFFSETS around it.

    available: frame numbers of the sweeps, ascending. last: largest number that may be asked for.
    """
    available = np.asarray(available)
    wanted = [max(frame + offset, 0) for offset in SWEEP_OFFSETS]
    if last is not None:
        wanted = [min(number, last) for number in wanted]
    return [int(available[np.abs(available - number).argmin()]) for number in wanted]


def sweeps_used(frames: Iterable[int], available: Sequence[int], *, last: int | None = None) -> list[int]:
    """All sweeps that the given frames need, ascending."""
    return sorted({number for frame in frames for number in sweep_numbers(frame, available, last=last)})


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
        lens = lens_numbers(model, reference_compat)
        for chunk, weight in zip(points, weights):
            _splat(chunk, weight, rotation, translation, isinstance(model, FTheta), lens, power, sums)
    return np.divide(sums[..., 1], sums[..., 0], out=np.zeros(sums.shape[:2]), where=sums[..., 0] > 0)


def lens_numbers(model: CameraModel, reference_compat: bool) -> np.ndarray:
    """A model's numbers as `_project` reads them."""
    if isinstance(model, Pinhole):
        return np.array([model.fx, model.fy, model.cx, model.cy])
    if not isinstance(model, FTheta):
        raise TypeError(f"no LiDAR projection for the camera model {type(model).__name__}")
    fw_poly, max_angle, (radius, slope) = model.fw_poly, model.max_angle, model.beyond_max
    if reference_compat:
        fw_poly = replace(model, poly=tuple(model.bw_poly), backward=True).fw_poly
        max_angle = replace(model, poly=tuple(fw_poly), backward=False).forward_domain_end()
        radius, slope = polyval(max_angle, fw_poly), polyval(max_angle, polyder(fw_poly))
    return np.array([*fw_poly, max_angle, radius, slope, *model.center, *model.linear])


@_kernel
def _claim(points, to_box, half, number, nearest, owner):
    """Indices of the points inside a box; where the box is the one they are deepest in, it becomes their owner."""
    reach = half[0] * half[0] + half[1] * half[1] + half[2] * half[2]
    found = np.empty(len(points), np.int64)
    count = 0
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        a = to_box[0, 0] * x + to_box[0, 1] * y + to_box[0, 2] * z + to_box[0, 3]
        b = to_box[1, 0] * x + to_box[1, 1] * y + to_box[1, 2] * z + to_box[1, 3]
        c = to_box[2, 0] * x + to_box[2, 1] * y + to_box[2, 2] * z + to_box[2, 3]
        if a * a + b * b + c * c > reach or abs(a) > half[0] or abs(b) > half[1] or abs(c) > half[2]:
            continue
        found[count] = i
        count += 1
        distance = max(abs(a) / half[0], abs(b) / half[1], abs(c) / half[2])
        if distance < nearest[i]:
            nearest[i] = distance
            owner[i] = number
    return found[:count].copy()


@_kernel
def _farthest(points, row, offset):
    farthest = 0.0
    for i in range(len(points)):
        z = row[0] * points[i, 0] + row[1] * points[i, 1] + row[2] * points[i, 2] + offset
        if z > farthest:
            farthest = z
    return farthest


@_kernel
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


@_kernel
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
