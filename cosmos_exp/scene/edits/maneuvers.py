"""Speed and lane changes along a path of poses over stations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.edits.lane_queries import lane_ahead, lateral_of_lanes, reversed_lane
from cosmos_exp.scene.lane_surface import LaneSurface
from cosmos_exp.scene.types import Lane, Trajectory

STEEPEST = 15 / 8  # largest slope of `smoothstep`
SHORTEST_STEP = 1e-3  # metres; poses closer than this to the one before are dropped
MAX_SPEED = 70.0  # m/s
HALF_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass
class SpeedChange:
    factor: float = 1.0
    """Times its own speed at every moment; 1 leaves it."""
    target: float | None = None
    """Metres per second instead of a factor."""
    start: float = 0.0
    """Seconds after the scene's start."""
    duration: float = 0.0
    """Seconds from the own to the new speed."""


@dataclass
class LaneChange:
    lateral: float = 0.0
    """Metres to the left; negative: right; 0: none."""
    lanes: int = 0
    """Lanes of the map to the left instead of metres."""
    start: float = 1.0
    """Seconds after the scene's start."""
    duration: float = 3.0
    """Seconds from lane to lane."""
    stay: float | None = None
    """Seconds in the new lane before it returns within the same duration; null: it does not return."""

    @property
    def end(self) -> float:
        return self.start + self.duration * (1 if self.stay is None else 2) + (self.stay or 0.0)


def speed_problems(change: SpeedChange, key: str, duration: float) -> Iterator[str]:
    """Problems of a speed change in a scene of `duration` seconds; `key`: its name in the config."""
    if not (math.isfinite(change.factor) and change.factor >= 0):
        yield f"{key}.factor={change.factor:g}: must be 0 or more and finite"
    if change.target is not None and not 0 <= change.target <= MAX_SPEED:
        yield f"{key}.target={change.target:g}: must be 0 to {MAX_SPEED:g} m/s"
    if change.target is not None and change.factor != 1:
        yield f"{key}: give factor or target, not both"
    yield from time_problems(f"{key}.start", change.start, duration)
    if not (math.isfinite(change.duration) and change.duration >= 0):
        yield f"{key}.duration={change.duration:g}: must be 0 s or longer and finite"


def lane_change_problems(change: LaneChange, key: str, duration: float) -> Iterator[str]:
    """Like `speed_problems`, for a change of lane."""
    if not (math.isfinite(change.lateral) and abs(change.lateral) <= 30):
        nearest = "" if not math.isfinite(change.lateral) else f"; nearest is {math.copysign(30, change.lateral):g}"
        yield f"{key}.lateral={change.lateral:g}: must be -30 to 30 m{nearest}"
    if change.lateral and change.lanes:
        yield f"{key}: give lateral or lanes, not both"
    if not (change.lateral or change.lanes):
        return
    if not (math.isfinite(change.duration) and change.duration > 0):
        yield f"{key}.duration={change.duration:g}: must be longer than 0 s and finite"
    elif change.stay is not None and not (math.isfinite(change.stay) and change.stay >= 0):
        yield f"{key}.stay={change.stay:g}: must be 0 s or longer and finite"
    else:
        yield from time_problems(f"{key}.start", change.start, duration)


def time_problems(key: str, value: float, duration: float) -> Iterator[str]:
    """A moment, in seconds after the scene's start, must lie within the scene."""
    if not 0 <= value <= duration:
        scene = f"to {duration:g} s, the scene's duration" if math.isfinite(duration) else "s or later"
        nearest = "" if not math.isfinite(value) else f"; nearest is {min(max(value, 0.0), duration):g}"
        yield f"{key}={value:g}: must be 0 {scene}{nearest}"


def smoothstep(u: np.ndarray) -> np.ndarray:
    """0 before u = 0, 1 after u = 1, between them a quintic with zero slope and curvature at both ends."""
    u = np.clip(u, 0.0, 1.0)
    return u**3 * (10 - 15 * u + 6 * u**2)


def smoothstep_slope(u: np.ndarray) -> np.ndarray:
    u = np.clip(u, 0.0, 1.0)
    return 30 * u**2 * (1 - u) ** 2


def blend_weight(change: SpeedChange, times: np.ndarray) -> np.ndarray:
    """[T] weight 0..1 of the new speed at `times` (seconds after the scene's start)."""
    if change.duration == 0:
        return (times >= change.start).astype(float)
    return smoothstep((times - change.start) / change.duration)


def change_lane(
    poses: np.ndarray, times: np.ndarray, change: LaneChange, lanes: Sequence[Lane], surface: LaneSurface
) -> np.ndarray:
    """Poses [T,4,4] on the ground after a lane change. times: [T] seconds after the scene's start.

    Raises UserError where there are no such lanes or the way is too short for the change.
    """
    lateral = change.lateral
    if change.lanes:
        moment = min(int(np.searchsorted(times, change.start)), len(times) - 1)
        lateral = lateral_of_lanes(lanes, poses[moment], change.lanes)
    if lateral == 0:
        return poses
    return displaced(poses, *lateral_profile(change, lateral, times, stations_of(poses)), surface)


def lateral_profile(
    change: LaneChange, lateral: float, times: np.ndarray, stations: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Metres to the left, and their slope over the station, at `times` [T] (after the scene's start) and `stations`.

    lateral: metres to the left of the whole change. It is a function of the distance driven, so a vehicle that
    stands does not slide. Raises UserError where that distance is too short (a heading of over 45 degrees).
    """
    offset, slope = np.zeros(len(times)), np.zeros(len(times))
    moves = [(change.start, lateral)]
    if change.stay is not None:
        moves.append((change.start + change.duration + change.stay, -lateral))
    for start, metres in moves:
        if start >= times[-1]:
            continue
        begin, end = np.interp([start, start + change.duration], times, stations)
        # extrapolated at the last speed beyond the scene's end
        late = start + change.duration - times[-1]
        if late > 0:
            end += late * (end - begin) / max(times[-1] - start, 1e-9)
        if STEEPEST * abs(metres) > end - begin:
            raise UserError(
                f"a lane change of {metres:g} m needs {STEEPEST * abs(metres):.1f} m of driving, but from {start:g} s "
                f"to {start + change.duration:g} s only {end - begin:.1f} m are driven: choose at most "
                f"{(end - begin) / STEEPEST:.2f} m, a longer duration or a higher speed"
            )
        u = (stations - begin) / (end - begin)
        offset += metres * smoothstep(u)
        slope += metres * smoothstep_slope(u) / (end - begin)
    return offset, slope


def stations_of(poses: np.ndarray) -> np.ndarray:
    """[N] metres driven from the first of poses [N,4,4]."""
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


@dataclass(frozen=True)
class DrivenPath:
    """Poses [N,4,4] (FLU, on the ground) at stations [N]: metres driven, strictly increasing."""

    stations: np.ndarray
    poses: np.ndarray

    @classmethod
    def through(cls, poses: np.ndarray) -> DrivenPath:
        """The path through these poses [N,4,4], from station 0 on; poses closer than SHORTEST_STEP are left out."""
        driven = stations_of(poses)
        kept = [0]
        for i in range(1, len(poses)):
            if driven[i] - driven[kept[-1]] >= SHORTEST_STEP:
                kept.append(i)
        return cls(driven[kept], poses[kept])

    @property
    def last(self) -> float:
        return float(self.stations[-1])

    def at(self, stations: np.ndarray) -> np.ndarray:
        """Poses [T,4,4]; straight on beyond the ends."""
        poses = Trajectory(self.stations, self.poses).sample(stations)
        beyond = np.maximum(stations - self.last, 0.0) + np.minimum(stations - self.stations[0], 0.0)
        poses[:, :3, 3] += beyond[:, None] * poses[:, :3, 0]
        return poses

    def extended(self, lanes: Sequence[Lane], ahead: float = 0.0, behind: float = 0.0) -> DrivenPath:
        """With up to `ahead` and `behind` metres more along the lanes at its ends, as far as there are any."""
        path = self._prolonged(lanes, ahead)
        if behind > 0:
            path = path._turned()._prolonged([reversed_lane(lane) for lane in lanes], behind)._turned()
        return path

    def _turned(self) -> DrivenPath:
        """The same path in the opposite direction; stations with opposite sign."""
        return DrivenPath(-self.stations[::-1], self.poses[::-1] @ HALF_TURN)

    def _prolonged(self, lanes: Sequence[Lane], length: float) -> DrivenPath:
        if length <= 0:
            return self
        points = lane_ahead(lanes, self.poses[-1], length)
        if len(points) < 2:
            return self
        more = self.last + stations_of(poses_along(points))[1:]
        poses = np.concatenate([self.poses, poses_along(points)[1:]])
        return DrivenPath(np.concatenate([self.stations, more]), poses)


def poses_along(points: np.ndarray) -> np.ndarray:
    """[N,4,4] FLU poses at points [N,3], N > 1: x along the polyline, no roll."""
    tangent = np.gradient(points, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-12)
    left = np.stack([-tangent[:, 1], tangent[:, 0], np.zeros(len(points))], axis=1)
    left /= np.maximum(np.linalg.norm(left, axis=1, keepdims=True), 1e-12)
    poses = np.tile(np.eye(4), (len(points), 1, 1))
    poses[:, :3, 0], poses[:, :3, 1], poses[:, :3, 2] = tangent, left, np.cross(tangent, left)
    poses[:, :3, 3] = points
    return poses


def displaced(poses: np.ndarray, offset: np.ndarray, slope: np.ndarray, surface: LaneSurface) -> np.ndarray:
    """Poses [T,4,4] moved `offset` [T] metres to their left, on the ground, facing along the new path.

    slope: [T] change of the offset per metre of the old path. The ground is that of the lanes where both old and new
    place lie on one, and the vehicle's own plane elsewhere.
    """
    moved = poses.copy()
    moved[:, :3, 3] += offset[:, None] * poses[:, :3, 1]
    rise = surface.heights(moved[:, :3, 3]) - surface.heights(poses[:, :3, 3])
    moved[:, 2, 3] = np.where(np.isnan(rise), moved[:, 2, 3], poses[:, 2, 3] + rise)
    return moved @ yaw_matrices(np.arctan2(slope, 1 - _curvature(poses) * offset))


def _curvature(poses: np.ndarray) -> np.ndarray:
    """[T] radians per metre, left positive; 0 where the poses do not move."""
    if len(poses) < 2:
        return np.zeros(len(poses))
    heading = np.unwrap(np.arctan2(poses[:, 1, 0], poses[:, 0, 0]))
    driven = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(poses[:, :2, 3], axis=0), axis=1))])
    turn, step = np.gradient(heading), np.gradient(driven)
    return np.where(step > SHORTEST_STEP, turn / np.maximum(step, SHORTEST_STEP), 0.0)


def yaw_matrices(angles: np.ndarray) -> np.ndarray:
    """[T,4,4] rotations about z by angles [T] radians."""
    matrices = np.tile(np.eye(4), (len(angles), 1, 1))
    cos, sin = np.cos(angles), np.sin(angles)
    matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 1, 0], matrices[:, 1, 1] = cos, -sin, sin, cos
    return matrices


def dense_times(own: np.ndarray, start: float, end: float, step: float = 0.05) -> np.ndarray:
    """`own` times within [start, end], those ends, and so many between them that no gap exceeds `step` seconds."""
    grid = np.linspace(start, end, max(math.ceil((end - start) / step - 1e-9), 1) + 1)
    times = np.unique(np.concatenate([own[(own > start) & (own < end)], grid]))
    keep = np.concatenate([[True], np.diff(times) > 1e-6])
    return times[keep]
