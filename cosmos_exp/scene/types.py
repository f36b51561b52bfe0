"""A driving scene: static map, dynamic objects and ego trajectory.

World frame everywhere: right-handed, metres, x forward (east), y left (north), z up; radians; seconds.
Readers convert to it once (CARLA is left-handed and in degrees, RDS-HQ already agrees).
Poses are 4x4 float64 matrices that map the local frame to the world frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np


class ActorClass(str, Enum):
    """Dynamic object classes, by CityScapes name."""

    CAR = "car"
    TRUCK = "truck"
    BUS = "bus"
    TRAIN = "train"
    MOTORCYCLE = "motorcycle"
    BICYCLE = "bicycle"
    RIDER = "rider"
    PEDESTRIAN = "pedestrian"
    OTHER = "other"


class LaneType(str, Enum):
    DRIVING = "driving"
    BIKING = "biking"
    PARKING = "parking"
    SHOULDER = "shoulder"
    SIDEWALK = "sidewalk"
    MEDIAN = "median"
    OTHER = "other"


class LightState(str, Enum):
    RED = "red"
    YELLOW = "yellow"
    GREEN = "green"
    OFF = "off"


@dataclass(frozen=True)
class Trajectory:
    """Poses over time.

    times: [N] float64 seconds, strictly increasing. poses: [N,4,4] float64, local to world.
    """

    times: np.ndarray
    poses: np.ndarray

    def covers(self, t: float, tolerance: float = 1e-6) -> bool:
        return self.times[0] - tolerance <= t <= self.times[-1] + tolerance

    def at(self, t: float) -> np.ndarray:
        """Pose [4,4] at time t: translation lerp, rotation slerp; clamped to the ends."""
        if len(self.times) == 1 or t <= self.times[0]:
            return self.poses[0]
        if t >= self.times[-1]:
            return self.poses[-1]
        i = int(np.searchsorted(self.times, t, side="right")) - 1
        u = (t - self.times[i]) / (self.times[i + 1] - self.times[i])
        return interpolate_pose(self.poses[i], self.poses[i + 1], float(u))

    def sample(self, times: np.ndarray) -> np.ndarray:
        """Poses [T,4,4] at the given times."""
        return np.stack([self.at(float(t)) for t in times])


def interpolate_pose(a: np.ndarray, b: np.ndarray, u: float) -> np.ndarray:
    """Pose between a (u=0) and b (u=1): lerp of the translation, slerp (Rodrigues) of the rotation."""
    relative = a[:3, :3].T @ b[:3, :3]
    cos_angle = np.clip((np.trace(relative) - 1) / 2, -1.0, 1.0)
    angle = float(np.arccos(cos_angle))
    pose = np.eye(4)
    pose[:3, 3] = (1 - u) * a[:3, 3] + u * b[:3, 3]
    if angle < 1e-9:
        pose[:3, :3] = a[:3, :3]
        return pose
    if angle > np.pi - 1e-4:  # the axis is undefined near a half turn: take it from the symmetric part
        axis = np.sqrt(np.clip((np.diag(relative) + 1) / 2, 0, None))
        k = int(np.argmax(axis))
        axis = (relative + relative.T)[k] / (4 * axis[k])
        axis[k] = np.sqrt(np.clip((relative[k, k] + 1) / 2, 0, None))
        axis /= np.linalg.norm(axis)
    else:
        skew = (relative - relative.T) / (2 * np.sin(angle))
        axis = np.array([skew[2, 1], skew[0, 2], skew[1, 0]])
    K = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    partial = np.eye(3) + np.sin(u * angle) * K + (1 - np.cos(u * angle)) * (K @ K)
    pose[:3, :3] = a[:3, :3] @ partial
    return pose


@dataclass(frozen=True)
class Track:
    """A dynamic object, moving or parked.

    size: (length, width, height) metres. The trajectory is that of the cuboid's **centre**, FLU axes.
    color: RGB in 0..1 where known. The object exists from the trajectory's first time to its last.
    """

    id: str
    actor_class: ActorClass
    size: tuple[float, float, float]
    trajectory: Trajectory
    color: tuple[float, float, float] | None = None
    model: str = ""
    role: str = ""

    def exists_at(self, t: float) -> bool:
        return self.trajectory.covers(t)


@dataclass(frozen=True)
class Lane:
    """A strip of road surface. left, right: [N,3] edges with the same stations, in driving direction."""

    id: str
    type: LaneType
    left: np.ndarray
    right: np.ndarray
    junction: bool = False


@dataclass(frozen=True)
class LaneLine:
    """Painted line. points: [N,3]. style: solid | broken | solid_solid. color: white | yellow. width metres.

    marking: its style in RDS-HQ and ClipGT where that tells more than ours, such as DOT_DASHED_SINGLE.
    """

    points: np.ndarray
    style: str = "solid"
    color: str = "white"
    width: float = 0.15
    marking: str = ""


@dataclass(frozen=True)
class Pole:
    """Vertical pole. base, top: [3]; radius metres."""

    base: np.ndarray
    top: np.ndarray
    radius: float = 0.08


@dataclass(frozen=True)
class TrafficSign:
    """A traffic sign plate. pose: [4,4] of its centre, x = facing direction. size: (depth, width, height)."""

    id: str
    pose: np.ndarray
    size: tuple[float, float, float]
    kind: str = ""


@dataclass(frozen=True)
class TrafficLight:
    """A traffic light head. pose: [4,4] of its centre, x = facing direction. size: (depth, width, height).

    state_times: [K] seconds and states: K values; states[k] holds from state_times[k] on.
    """

    id: str
    pose: np.ndarray
    size: tuple[float, float, float]
    state_times: np.ndarray = field(default_factory=lambda: np.zeros(0))
    states: tuple[LightState, ...] = ()

    def state_at(self, t: float) -> LightState:
        if not self.states:
            return LightState.OFF
        k = int(np.searchsorted(self.state_times, t, side="right")) - 1
        return self.states[max(k, 0)]


@dataclass(frozen=True)
class Building:
    """Box-shaped building. footprint: [K,3] convex polygon at ground level, counter-clockwise from above."""

    footprint: np.ndarray
    height: float
    color: tuple[float, float, float]
    seed: int = 0


@dataclass(frozen=True)
class Tree:
    """position: [3] at the ground; metres."""

    position: np.ndarray
    height: float
    crown_radius: float
    seed: int = 0


@dataclass(frozen=True)
class Barrier:
    """A low wall or a guard rail along a road. points: [N,3] its foot. height, width: metres. kind: concrete | rail."""

    points: np.ndarray
    height: float = 0.85
    width: float = 0.4
    kind: str = "concrete"


@dataclass(frozen=True)
class SceneMap:
    """The static map.

    lanes cover road and sidewalk surface; road_boundaries: [N,3] kerb polylines; crosswalks and road_markings: [K,3]
    polygons; wait_lines: [2+,3] polylines. buildings and trees are generated along the road network.
    """

    name: str
    lanes: tuple[Lane, ...] = ()
    lane_lines: tuple[LaneLine, ...] = ()
    road_boundaries: tuple[np.ndarray, ...] = ()
    crosswalks: tuple[np.ndarray, ...] = ()
    road_markings: tuple[np.ndarray, ...] = ()
    wait_lines: tuple[np.ndarray, ...] = ()
    poles: tuple[Pole, ...] = ()
    traffic_signs: tuple[TrafficSign, ...] = ()
    traffic_lights: tuple[TrafficLight, ...] = ()
    buildings: tuple[Building, ...] = ()
    trees: tuple[Tree, ...] = ()
    barriers: tuple[Barrier, ...] = ()


class Sweeps(Protocol):
    """LiDAR point clouds. Sweeps are numbered in frames of 1/30 s; frame 0 is at 0 s."""

    def lidar_frames(self) -> Sequence[int]:
        """Frames with a sweep, ascending."""
        ...

    def lidar(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Points [N,3] in the sensor's frame, metres, and lidar_to_world [4,4]."""
        ...


@dataclass(frozen=True)
class Scene:
    """Everything visible to a rig in [start, end] seconds.

    ego: the ego vehicle's cuboid. rig_trajectory: poses of the rig frame (FLU, origin on the ground below the rear
    axle), which sensors are mounted on. tracks: all other objects. facts: attributes for captions, such as
    `{"road": "intersection", "area": "residential"}`. ego_origin: [3] origin of the ego actor in the rig frame where
    the source has actors, as CARLA does. sweeps: recorded LiDAR, where there is one. notes: what the
    user should know of how the scene was chosen, in sentences.
    """

    clip_id: str
    source: str
    map: SceneMap
    ego: Track
    rig_trajectory: Trajectory
    tracks: tuple[Track, ...]
    start: float
    end: float
    seed: int = 0
    facts: dict[str, str] = field(default_factory=dict)
    ego_origin: np.ndarray | None = None
    sweeps: Sweeps | None = None
    notes: tuple[str, ...] = ()

    @property
    def duration(self) -> float:
        return self.end - self.start

    def frame_times(self, num_frames: int, fps: float) -> np.ndarray:
        """[num_frames] seconds, the first at `start`, then every 1/fps."""
        return self.start + np.arange(num_frames) / fps
