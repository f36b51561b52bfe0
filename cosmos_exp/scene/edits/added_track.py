"""Tracks added by an edit: initial position, path and speed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.input_files import did_you_mean
from cosmos_exp.scene.edits.lane_queries import centre_line, lateral_of_lanes
from cosmos_exp.scene.edits.maneuvers import (
    HALF_TURN,
    MAX_SPEED,
    DrivenPath,
    LaneChange,
    SpeedChange,
    blend_weight,
    change_lane,
    dense_times,
    displaced,
    lane_change_problems,
    poses_along,
    speed_problems,
    time_problems,
    yaw_matrices,
)
from cosmos_exp.scene.edits.pose_file import read_pose_file
from cosmos_exp.scene.lane_surface import LaneSurface
from cosmos_exp.scene.types import ActorClass, Lane, Scene, Track, Trajectory

# class: (length, width, height) metres, speed in m/s; None: that of the ego
TYPICAL = {
    ActorClass.CAR: ((4.6, 1.9, 1.5), None),
    ActorClass.TRUCK: ((8.0, 2.5, 3.3), None),
    ActorClass.BUS: ((11.5, 2.5, 3.1), None),
    ActorClass.TRAIN: ((25.0, 2.7, 3.6), None),
    ActorClass.MOTORCYCLE: ((2.1, 0.8, 1.2), None),
    ActorClass.BICYCLE: ((1.8, 0.6, 1.1), 4.5),
    ActorClass.RIDER: ((0.55, 0.5, 1.3), 4.5),
    ActorClass.PEDESTRIAN: ((0.45, 0.55, 1.75), 1.4),
    ActorClass.OTHER: ((1.0, 1.0, 1.0), 0.0),
}


@dataclass(frozen=True)
class Add:
    """A new track, whose id is the edit's name.

    It starts `gap` metres from the ego along the ego's path, or at `station` of `lane`, or at `position`; or it is on
    the poses of a file. From there it follows that path, further on the lanes that continue it; with a heading other
    than 0 and 180 it goes straight.
    """

    class_: str = "car"
    size: tuple[float, float, float] | None = None
    """Length, width, height in metres; null: typical of its class."""
    color: tuple[float, float, float] | None = None
    """Red, green, blue, 0 to 1."""
    role: str = "added"
    gap: float | None = None
    """Metres from bumper to bumper at the scene's start; negative: behind the ego."""
    lane: str | None = None
    """Id of a lane of the map."""
    station: float = 0.0
    """Metres from the start of that lane to the middle of the track."""
    position: tuple[float, float] | None = None
    """x and y in the world."""
    poses: str | None = None
    """File of poses of its box's centre: .csv or .json."""
    lateral: float = 0.0
    """Metres to the left of the path it follows."""
    lanes: int = 0
    """Lanes of the map to the left instead of metres."""
    heading: float = 0.0
    """Degrees to the left of the path's direction; with `position`, of the world's x axis. 180: oncoming."""
    start: float = 0.0
    """Seconds after the scene's start at which it starts to move."""
    speed: float | None = None
    """Metres per second; null: the ego's at the scene's start for motor vehicles, typical for others."""
    relative_speed: float = 0.0
    """Metres per second, added to the speed."""
    speed_change: SpeedChange = field(default_factory=SpeedChange)
    lane_change: LaneChange = field(default_factory=LaneChange)


def add_problems(key: str, edit: Add, duration: float) -> Iterator[str]:
    """Problems of an edit named `key` in a scene of `duration` seconds."""
    classes = [c.value for c in ActorClass]
    if edit.class_ not in classes:
        yield f"{key}.class: {unknown_name('class', edit.class_, classes)}"
    if edit.size is not None and not all(0.05 <= side <= 100 for side in edit.size):
        yield f"{key}.size={list(edit.size)}: length, width and height must be 0.05 to 100 m"
    if edit.color is not None and not all(0 <= part <= 1 for part in edit.color):
        yield f"{key}.color={list(edit.color)}: red, green and blue are 0 to 1"
    places = [name for name in ("gap", "lane", "position", "poses") if getattr(edit, name) is not None]
    if len(places) != 1:
        given = f"not {' and '.join(places)} together" if places else "none is given"
        yield f"{key}: give one of gap, lane, position or poses; {given}"
    if edit.poses is not None and not Path(edit.poses).is_file():
        yield f"{key}.poses: no file {edit.poses!r}{did_you_mean(edit.poses)}"
    if edit.poses is not None and edit.poses.endswith(".tar"):
        yield f"{key}.poses: a novel-pose tar holds poses of the ego; give a .csv or .json"
    if edit.lateral and edit.lanes:
        yield f"{key}: give lateral or lanes, not both"
    if edit.speed is not None and not 0 <= edit.speed <= MAX_SPEED:
        yield f"{key}.speed={edit.speed:g}: must be 0 to {MAX_SPEED:g} m/s; the direction is heading's"
    yield from time_problems(f"{key}.start", edit.start, duration)
    yield from speed_problems(edit.speed_change, f"{key}.speed_change", duration)
    yield from lane_change_problems(edit.lane_change, f"{key}.lane_change", duration)


def added_track(scene: Scene, name: str, edit: Add) -> Track:
    """The track `name` of an edit without problems. UserError where the scene has no such lane, or no room for it."""
    actor_class = ActorClass(edit.class_)
    size = edit.size or TYPICAL[actor_class][0]
    if edit.poses is not None:
        trajectory = read_pose_file(Path(edit.poses), scene.start)
    else:
        times = dense_times(scene.rig_trajectory.times, scene.start, scene.end)
        driven = _driven(scene, edit, actor_class, times)
        ground = _ground_poses(scene, edit, size, times - scene.start, driven)
        ground[:, :3, 3] += size[2] / 2 * ground[:, :3, 2]
        trajectory = Trajectory(times, ground)
    return Track(name, actor_class, size, trajectory, edit.color, actor_class.value, edit.role)


def _driven(scene: Scene, edit: Add, actor_class: ActorClass, times: np.ndarray) -> np.ndarray:
    """Metres [T] driven since the scene's start."""
    typical = TYPICAL[actor_class][1]
    speed = edit.speed if edit.speed is not None else _ego_speed(scene) if typical is None else typical
    speed = max(speed + edit.relative_speed, 0.0)
    middle = (times[1:] + times[:-1]) / 2 - scene.start
    share = blend_weight(edit.speed_change, middle)
    change = edit.speed_change
    target = change.factor * speed if change.target is None else change.target
    speeds = np.where(middle >= edit.start, (1 - share) * speed + share * target, 0.0)
    return np.concatenate([[0.0], np.cumsum(speeds * np.diff(times))])


def _ego_speed(scene: Scene, step: float = 0.1) -> float:
    step = min(step, scene.duration)
    a, b = scene.rig_trajectory.at(scene.start), scene.rig_trajectory.at(scene.start + step)
    return float(np.linalg.norm(b[:3, 3] - a[:3, 3]) / step)


def _ground_poses(scene: Scene, edit: Add, size: Sequence[float], times: np.ndarray, driven: np.ndarray) -> np.ndarray:
    """Poses [T,4,4] of the ground below the track's middle. times: [T] from 0."""
    lanes, surface = scene.map.lanes, LaneSurface(scene.map.lanes)
    path, first = _place(scene, edit, size)
    start = _reaching(path, np.array([first]), lanes).at(np.array([first]))
    lateral = lateral_of_lanes(lanes, start[0], edit.lanes) if edit.lanes else edit.lateral
    oncoming = _same_angle(edit.heading, 180.0)
    if edit.position is None and (oncoming or _same_angle(edit.heading, 0.0)):
        stations = first + (-driven if oncoming else driven)
        poses = _reaching(path, stations, lanes).at(stations)
        poses = displaced(poses, np.full(len(times), lateral), np.zeros(len(times)), surface)
        poses = poses @ HALF_TURN if oncoming else poses
    else:
        start = displaced(start, np.array([lateral]), np.zeros(1), surface)
        start = start @ yaw_matrices(np.array([math.radians(edit.heading)]))
        poses = DrivenPath(np.zeros(1), start).at(driven)
    return change_lane(poses, times, edit.lane_change, lanes, surface)


def _same_angle(a: float, b: float) -> bool:
    """Whether two angles in degrees are the same direction."""
    return abs(math.remainder(a - b, 360.0)) < 1e-6


def _reaching(path: DrivenPath, stations: np.ndarray, lanes: Sequence[Lane]) -> DrivenPath:
    """The path, extended along the lanes where the stations [T] leave it."""
    ahead, behind = float(stations.max() - path.last), float(path.stations[0] - stations.min())
    return path.extended(lanes, max(ahead, 0.0), max(behind, 0.0))


def _place(scene: Scene, edit: Add, size: Sequence[float]) -> tuple[DrivenPath, float]:
    """The path it is placed on, and the station of its middle at the scene's start."""
    if edit.gap is not None:
        rig = scene.rig_trajectory
        path = DrivenPath.through(rig.sample(dense_times(rig.times, scene.start, scene.end)))
        middle = np.linalg.inv(rig.at(scene.start)) @ scene.ego.trajectory.at(scene.start)[:, 3]
        reach = (scene.ego.size[0] + size[0]) / 2
        return path, float(middle[0]) + (edit.gap + reach if edit.gap >= 0 else edit.gap - reach)
    if edit.lane is not None:
        lanes = {lane.id: lane for lane in scene.map.lanes}
        if edit.lane not in lanes:
            raise UserError(unknown_name("lane", edit.lane, lanes))
        path = DrivenPath.through(poses_along(centre_line(lanes[edit.lane])))
        if not 0 <= edit.station <= path.last:
            nearest = min(max(edit.station, 0.0), path.last)
            raise UserError(
                f"station={edit.station:g}: lane {edit.lane} is {path.last:.1f} m long; nearest {nearest:g}"
            )
        return path, edit.station
    assert edit.position is not None  # `add_problems`: exactly one of gap, lane, position and poses is given
    pose = np.eye(4)
    pose[:3, 3] = *edit.position, scene.rig_trajectory.at(scene.start)[2, 3]
    height = LaneSurface(scene.map.lanes).heights(pose[None, :3, 3])[0]
    pose[2, 3] = pose[2, 3] if math.isnan(height) else height
    return DrivenPath(np.zeros(1), pose[None]), 0.0
