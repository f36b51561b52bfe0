"""Novel ego trajectories in a given scene."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cosmos_exp.common.errors import UserError, ValidationErrors
from cosmos_exp.common.input_files import did_you_mean
from cosmos_exp.scene.edits.maneuvers import (
    DrivenPath,
    LaneChange,
    SpeedChange,
    blend_weight,
    change_lane,
    dense_times,
    displaced,
    lane_change_problems,
    speed_problems,
    stations_of,
    yaw_matrices,
)
from cosmos_exp.scene.edits.pose_file import read_pose_file
from cosmos_exp.scene.lane_surface import LaneSurface
from cosmos_exp.scene.types import Lane, Scene, Trajectory

MAX_SHIFT = 30.0  # metres
MAX_UP = 20.0  # metres


@dataclass
class EgoEdit:
    """Applied in this order: poses, speed, shift, lane_change, yaw and up. The defaults change nothing."""

    poses: str | None = None
    """File of rig poses to follow instead: .csv, .json, or the .tar of an RDS-HQ novel trajectory."""
    speed: SpeedChange = field(default_factory=SpeedChange)
    """Along its own path; beyond its end along the lane."""
    lane_change: LaneChange = field(default_factory=LaneChange)
    shift: float = 0.0
    """Metres to the left of its path; negative: right."""
    up: float = 0.0
    """Metres above its path."""
    yaw: float = 0.0
    """Degrees that the vehicle is turned to the left against its path."""


def ego_edit_problems(edit: EgoEdit, duration: float = math.inf, key: str = "scene.ego_edit") -> Iterator[str]:
    """Problems of an edit in a scene of `duration` seconds, one message per problem."""
    if edit.poses is not None and not Path(edit.poses).is_file():
        yield f"{key}.poses: no file {edit.poses!r}{did_you_mean(edit.poses)}"
    for name, limit, unit in (("shift", MAX_SHIFT, "m"), ("up", MAX_UP, "m"), ("yaw", 180.0, "degrees")):
        value = getattr(edit, name)
        if not math.isfinite(value):
            yield f"{key}.{name}={value:g}: must be a finite number, -{limit:g} to {limit:g} {unit}"
        elif abs(value) > limit:
            nearest = math.copysign(limit, value)
            yield f"{key}.{name}={value:g}: must be -{limit:g} to {limit:g} {unit}; nearest is {nearest:g}"
    yield from speed_problems(edit.speed, f"{key}.speed", duration)
    yield from lane_change_problems(edit.lane_change, f"{key}.lane_change", duration)


def edit_ego(scene: Scene, edit: EgoEdit) -> Scene:
    """The scene with the ego's rig and cuboid on a novel trajectory over [scene.start, scene.end].

    Raises ValidationErrors with all that `ego_edit_problems` finds, UserError where the map does not allow the edit.
    """
    if edit == EgoEdit():
        return scene
    problems = list(ego_edit_problems(edit, scene.duration))
    if problems:
        raise ValidationErrors(problems)
    own = scene.rig_trajectory
    rig = edited_rig(own, edit, scene.map.lanes, scene.start, scene.end)
    rig_to_cuboid = np.linalg.inv(own.at(scene.start)) @ scene.ego.trajectory.at(scene.start)
    ego = replace(scene.ego, trajectory=Trajectory(rig.times, rig.poses @ rig_to_cuboid))
    return replace(scene, ego=ego, rig_trajectory=rig)


def edited_rig(rig: Trajectory, edit: EgoEdit, lanes: Sequence[Lane], start: float, end: float) -> Trajectory:
    """The rig's trajectory (FLU, on the ground) in [start, end] seconds after an edit without problems.

    lanes: of the map, to continue beyond the path's end, count lanes and find the ground beside the path; without lanes
    the ground is the vehicle's own plane. Raises UserError where the map does not allow the edit.
    """
    if edit.poses is not None:
        rig = _from_file(Path(edit.poses), start, end)
    times = dense_times(rig.times, start, end)
    poses = rig.sample(times)
    if edit.speed != SpeedChange():
        poses = _at_speed(poses, times - start, edit.speed, lanes)
    surface = LaneSurface(lanes)
    if edit.shift:
        poses = displaced(poses, np.full(len(times), edit.shift), np.zeros(len(times)), surface)
    try:
        poses = change_lane(poses, times - start, edit.lane_change, lanes, surface)
    except UserError as error:
        raise UserError(f"scene.ego_edit.lane_change: {error}") from None
    poses = poses @ yaw_matrices(np.full(1, math.radians(edit.yaw)))
    poses[:, 2, 3] += edit.up
    return Trajectory(times, poses)


def _from_file(path: Path, start: float, end: float) -> Trajectory:
    given = read_pose_file(path, start)
    if not (given.covers(start) and given.covers(end, tolerance=1e-3)):
        first, last = given.times[[0, -1]] - start
        raise UserError(
            f"scene.ego_edit.poses: {str(path)!r} has poses from {first:.3g} s to {last:.3g} s, the scene lasts from 0 "
            f"to {end - start:.3g} s: give poses for all of it, or a shorter scene"
        )
    return given


def _at_speed(poses: np.ndarray, times: np.ndarray, change: SpeedChange, lanes: Sequence[Lane]) -> np.ndarray:
    """Poses [T,4,4] on the same path, and the lane ahead of it, at the new speed. times: [T] from 0."""
    driven = stations_of(poses)
    share = blend_weight(change, (times[1:] + times[:-1]) / 2)
    kept = (1 - share) * np.diff(driven)
    full = share * (np.diff(driven) if change.target is None else np.diff(times))
    scale = change.factor if change.target is None else change.target
    stations = np.concatenate([[0.0], np.cumsum(kept + scale * full)])
    path = DrivenPath.through(poses)
    if stations[-1] > path.last:
        path = path.extended(lanes, ahead=stations[-1] - path.last)
    if stations[-1] > path.last + 0.05:
        most = (path.last - kept.sum()) / full.sum()
        what = "factor" if change.target is None else "target"
        raise UserError(
            f"scene.ego_edit.speed.{what}={scale:g}: {stations[-1]:.1f} m would be driven, but the ego's path and the "
            f"lane that goes on from it end after {path.last:.1f} m: the largest {what} is "
            f"{math.floor(100 * most) / 100:g}"
        )
    return path.at(stations)
