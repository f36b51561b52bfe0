"""A scene as a clip of the ClipGT format, in memory: what is written of it, and what is drawn of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.common.counted_warnings import CountedWarnings
from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.clipgt.clip import BEYOND, FPS, MOST_FRAMES, SKIPPED, Clip
from cosmos_exp.scene.clipgt.map import map_columns
from cosmos_exp.scene.clipgt.rig import rig_json
from cosmos_exp.scene.clipgt.tables import APPEARANCE, COLUMNS, Table
from cosmos_exp.scene.crop import cut_trajectory
from cosmos_exp.scene.finite import require_finite
from cosmos_exp.scene.motion import quaternions
from cosmos_exp.scene.rds_hq.objects import Appearance
from cosmos_exp.scene.rds_hq.poses import check_rigid
from cosmos_exp.scene.types import ActorClass, Scene, Trajectory
from cosmos_exp.sensors.camera import Camera

CATEGORIES = {
    ActorClass.CAR: "automobile",
    ActorClass.TRUCK: "heavy_truck",
    ActorClass.BUS: "bus",
    ActorClass.TRAIN: "train_or_tram_car",
    ActorClass.MOTORCYCLE: "motorcycle",
    ActorClass.BICYCLE: "bicycle",
    ActorClass.RIDER: "rider",
    ActorClass.PEDESTRIAN: "person",
    ActorClass.OTHER: "other",
}
MICROSECONDS = 1e6


class SceneClip(Clip):
    """The scene as `ClipGt` reads it from the folder that `write_clip` makes: equal to the bit.

    Time 0 is the scene's start. World: as of `anchor`. cameras: of the calibration. notes say which objects are left
    out. UserError for a scene whose numbers are not finite, or whose rig has poses that are not rigid.
    """

    def __init__(self, scene: Scene, cameras: Iterable[Camera] = ()):
        require_finite(scene)
        self.scene = scene
        self._cameras = tuple(cameras)
        self._world = np.linalg.inv(anchor(scene))
        super().__init__(clip_name(scene), ())
        makers: dict[str, Callable[[], tuple[dict[str, Any], np.ndarray]]] = {
            "calibration_estimate": self._calibration,
            "egomotion_estimate": self._egomotion,
            "obstacle": self._obstacles,
        }
        self._made = {name: self._as_table(name, *make()) for name, make in makers.items()}
        for name, columns in map_columns(scene.map, self._world, start=scene.start).items():
            self._made[name] = self._as_table(name, columns, np.zeros(0, np.int64))
        self.tables = tuple(name for name in COLUMNS if self._made[name].rows)

    def table(self, name: str) -> Table:
        return self._made[name]

    @cached_property
    def frame_times(self) -> np.ndarray:
        """FPS a second, from the scene's start to its end."""
        count = int(np.floor(self.scene.duration * FPS + 1e-6)) + 1
        if count > MOST_FRAMES:
            raise UserError(
                f"scene {self.scene.clip_id} is {self.scene.duration:g} s long, {count} frames: a clip has at most "
                f"{MOST_FRAMES}, {(MOST_FRAMES - 1) / FPS:g} s; give a shorter scene.duration"
            )
        return np.round(np.arange(count) / FPS * MICROSECONDS).astype(np.int64)

    def time(self, t: float) -> int:
        """Microseconds of the clip at a time of the scene, seconds."""
        return round((t - self.scene.start) * MICROSECONDS)

    def _as_table(self, name: str, columns: dict[str, Any], times: np.ndarray) -> Table:
        return Table(Path(f"{self.clip_id}.{name}"), len(next(iter(columns.values()))), columns, times)

    def _calibration(self) -> tuple[dict[str, Any], np.ndarray]:
        return {"rig_json": [rig_json(self._cameras)]}, np.zeros(1, np.int64)

    def _egomotion(self) -> tuple[dict[str, Any], np.ndarray]:
        times, poses = self._sampled(self.scene.rig_trajectory, self.scene.start, self.scene.end)
        if len(times) < 2:
            raise UserError(f"scene {self.scene.clip_id} has a rig at one time alone: a clip has two or more poses")
        check_rigid(poses, lambda i: f"scene {self.scene.clip_id}: the rig's pose {i}")
        return _placed("location", poses), times

    def _obstacles(self) -> tuple[dict[str, Any], np.ndarray]:
        """Rows from BEYOND before the scene to BEYOND after it, as far as an object shows in it."""
        start, end = (self.scene.start - BEYOND / MICROSECONDS, self.scene.end + BEYOND / MICROSECONDS)
        made: list[dict[str, Any]] = []
        warnings, times, names = CountedWarnings(), [np.zeros(0, np.int64)], set()
        for number, track in enumerate(self.scene.tracks):
            own_times, poses = self._sampled(track.trajectory, start, end)
            if len(own_times) < 2:
                warnings.add("objects at fewer than two times of the clip left out", track.id)
                continue
            if track.id in names or track.id.startswith(SKIPPED):
                warnings.add("objects whose id the format cannot have left out", track.id)
                continue
            names.add(track.id)
            look = Appearance(track.actor_class, number, track.color, track.model, track.role)
            count = len(own_times)
            times.append(own_times)
            made.append(
                {
                    "trackline_id": [track.id] * count,
                    **_placed("center", poses),
                    "size": np.tile(np.array(track.size, np.float64), (count, 1)),
                    "category": [CATEGORIES[track.actor_class]] * count,
                    APPEARANCE: [json.dumps(look.to_json())] * count,
                }
            )
        for note in warnings:
            self._note(note)
        return _joined(made), np.concatenate(times)

    def _sampled(self, path: Trajectory, start: float, end: float) -> tuple[np.ndarray, np.ndarray]:
        """Microseconds, strictly ascending, and poses in the clip's world, as of `cut_trajectory`."""
        cut = cut_trajectory(path, start, end)
        if cut is None:
            return np.zeros(0, np.int64), np.zeros((0, 4, 4))
        times = np.round((cut.times - self.scene.start) * MICROSECONDS).astype(np.int64)
        kept = np.concatenate([[True], np.diff(times) > 0])
        return times[kept], self._world @ cut.poses[kept]


def anchor(scene: Scene) -> np.ndarray:
    """[4,4] from the clip's world to the scene's: by the format's convention it begins at the first pose of the rig and
    with its heading; z stays up."""
    pose = scene.rig_trajectory.at(scene.start)
    yaw = np.arctan2(pose[1, 0], pose[0, 0])
    made = np.eye(4)
    made[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    made[:3, 3] = pose[:3, 3]
    return made


def clip_name(scene: Scene) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", scene.clip_id)


def _placed(name: str, poses: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(poses[:, :3, 3]), "orientation": quaternions(poses[:, :3, :3])}


def _joined(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The columns of several tables, one after the other."""
    columns: dict[str, Any] = {"trackline_id": [], "category": [], APPEARANCE: []}
    for name in columns:
        columns[name] = [value for part in parts for value in part[name]]
    for name, width in (("center", 3), ("size", 3), ("orientation", 4)):
        columns[name] = np.concatenate([np.zeros((0, width)), *(part[name] for part in parts)])
    return columns
