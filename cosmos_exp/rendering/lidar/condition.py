"""LiDAR condition video: five sweeps around a frame, splatted into a grey depth image; no return is black.

Points inside the box of a moving object are transformed with that object to the drawn frame. Every point is splatted
on 5x5 pixels with Gaussian weights and a depth weight that favours the nearest point. The rules are those of the RDS-HQ
toolkit, determined from its images; the toolkit needs a GPU for them, this module does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from cosmos_exp.common.errors import UserError
from cosmos_exp.rendering.compiled import kernel
from cosmos_exp.rendering.lidar.splat import projection_parameters, splat_depth
from cosmos_exp.scene.rds_hq.clip import RdsHqClip
from cosmos_exp.scene.rds_hq.objects import ObjectRecord, at_frames, average_static_objects
from cosmos_exp.scene.types import Sweeps
from cosmos_exp.sensors.camera import CameraModel
from cosmos_exp.sensors.ftheta import FTheta

MIN_RANGE = 3.0  # metres from the sensor: nearer points are the ego vehicle's own
MAX_DEPTH = 75.0  # metres, white
SWEEP_OFFSETS = (-6, -3, 0, 3, 6)  # frames of 1/30 s
BOX_MARGIN = 1.2
SWEEPS_KEPT = 8

Objects = Mapping[float, Mapping[str, ObjectRecord]]


@dataclass(frozen=True)
class _Sweep:
    """World points [N,3] of one sweep: static ones, and those of moving objects with their owners.

    owners: (object id, indices into `dynamic`, world to object [4,4]). A point may have several owners.
    """

    static: np.ndarray
    dynamic: np.ndarray
    owners: tuple[tuple[str, np.ndarray, np.ndarray], ...]


class LidarRenderer:
    """Draws the LiDAR images of any camera. Caches a few sweeps; may be called from several threads.

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
    def from_clip(
        cls, clip: RdsHqClip, frames: Iterable[int], *, reference_compat: bool = False, device: str | None = None
    ) -> LidarRenderer:
        """For an RdsHqClip: objects are stabilised and interpolated to the drawn frames and to those of the sweeps."""
        frames = sorted(frames)
        last = len(frames) - 1 if reference_compat else None
        used = sweeps_used(frames, clip.lidar_frames(), last=last)
        last_key = frames[-1] if reference_compat and frames else None
        at_used_frames = at_frames(average_static_objects(clip.objects()), sorted({*frames, *used}), last_used=last_key)
        objects: Objects = {frame: records for frame, records in at_used_frames.items()}
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
        from cosmos_exp.rendering.lidar import torch_splat

        return torch_splat.splat_depth(
            points,
            weights,
            size=(model.height, model.width),
            ftheta=isinstance(model, FTheta),
            lens=projection_parameters(model, self._compat),
            camera_to_world=camera_to_world,
            device=self._device,
        )

    def points(self, frame: float) -> tuple[list[np.ndarray], list[float]]:
        """World points [N,3] of the sweeps around a frame, moving objects at their pose in that frame; and their
        weights (how often a sweep is selected)."""
        points: list[np.ndarray] = []
        weights: list[float] = []
        numbers = sweep_numbers(frame, self._available, last=self._last)
        for number in dict.fromkeys(numbers):
            sweep = self._prepared(number)
            points += [sweep.static, self._moved_with_objects(sweep, frame)]
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

    def _moved_with_objects(self, sweep: _Sweep, frame: float) -> np.ndarray:
        """The sweep's dynamic points at the pose of their object at `frame`, without those of absent objects."""
        points = sweep.dynamic.copy()
        kept = np.ones(len(points), bool)
        present = self._objects[frame] if sweep.owners else {}
        for key, indices, to_box in sweep.owners:
            if key not in present:
                kept[indices] = False
                continue
            motion = np.asarray(present[key].pose, np.float64) @ to_box
            points[indices] = points[indices] @ motion[:3, :3].T + motion[:3, 3]
        return points[kept]


def sweep_numbers(frame: float, available: ArrayLike, *, last: int | None = None) -> list[int]:
    """The five sweeps of a frame: the nearest available ones to SWEEP_OFFSETS around it.

    available: frame numbers of the sweeps, ascending. last: largest number that may be asked for.
    """
    numbers = np.asarray(available)
    wanted = [max(frame + offset, 0) for offset in SWEEP_OFFSETS]
    if last is not None:
        wanted = [min(number, last) for number in wanted]
    return [int(numbers[np.abs(numbers - number).argmin()]) for number in wanted]


def sweeps_used(frames: Iterable[int], available: ArrayLike, *, last: int | None = None) -> list[int]:
    """All sweeps that the given frames need, ascending."""
    return sorted({number for frame in frames for number in sweep_numbers(frame, available, last=last)})


@kernel()
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
