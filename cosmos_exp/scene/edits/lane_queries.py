"""Queries on the lanes of a map: lanes beside a pose, the lane ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.types import Lane, LaneType

SAME_LANE = 1.0  # metres within which centre lines are pieces of one lane
JOINED = 2.0  # metres between the end of a lane and the start of the one that continues it
SHARPEST = np.radians(30.0)  # bend where one lane continues another
REACH = 40.0  # metres to either side in which lanes are looked for
SAME_LEVEL = 3.0  # metres of height; beyond this a lane is on a bridge or below one


def centre_line(lane: Lane) -> np.ndarray:
    """[N,3] in driving direction."""
    return (lane.left + lane.right) / 2


def reversed_lane(lane: Lane) -> Lane:
    return replace(lane, left=lane.right[::-1], right=lane.left[::-1])


def lateral_of_lanes(lanes: Sequence[Lane], pose: np.ndarray, count: int) -> float:
    """Metres to the left from the lane that the pose [4,4] is in to the lane `count` lanes further left (negative:
    right), whichever way it is driven. Raises UserError where there are fewer lanes."""
    offsets = _lane_offsets(lanes, pose)
    if not len(offsets):
        raise UserError(f"lanes={count}: the map has no driving lane here to count from; give lateral in metres")
    own = int(np.argmin(np.abs(offsets)))
    if not 0 <= own + count < len(offsets):
        right, left = -own, len(offsets) - 1 - own
        nearest = left if count > left else right
        raise UserError(f"lanes={count}: there are {left} lanes to the left and {own} to the right; nearest: {nearest}")
    return float(offsets[own + count] - offsets[own])


def _lane_offsets(lanes: Sequence[Lane], pose: np.ndarray) -> np.ndarray:
    """Increasing metres to the left at which the centres of driving lanes cross the pose's lateral axis."""
    found = []
    for lane in lanes:
        if lane.type is LaneType.DRIVING:
            found += [y for y, _, _ in _crossings(centre_line(lane), pose)]
    kept: list[float] = []
    for offset in sorted(found):
        if not kept or offset - kept[-1] > SAME_LANE:
            kept.append(offset)
    return np.array(kept)


def _crossings(points: np.ndarray, pose: np.ndarray) -> list[tuple[float, float, int]]:
    """Where a polyline [N,3] crosses the lateral axis of the pose, about along its heading or against it:
    (metres to the left, radians of its heading in the pose's frame, index of the segment)."""
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    before, after = local[:-1], local[1:]
    step = after - before
    crosses = (np.minimum(before[:, 0], after[:, 0]) <= 0) & (np.maximum(before[:, 0], after[:, 0]) > 0)
    result = []
    for i in np.flatnonzero(crosses & (np.abs(step[:, 0]) > np.abs(step[:, 1]))):
        at = before[i] - step[i] * before[i, 0] / step[i, 0]
        if abs(at[1]) <= REACH and abs(at[2]) <= SAME_LEVEL:
            result.append((float(at[1]), float(np.arctan2(step[i, 1], step[i, 0])), int(i)))
    return result


def lane_ahead(lanes: Sequence[Lane], pose: np.ndarray, length: float) -> np.ndarray:
    """[N,3] points from the pose [4,4] on, along its lane and those that continue it, at the pose's own distance from
    the lane's centre; at most about `length` metres, less where the lanes end, and N = 1 off every lane."""
    start = pose[None, :3, 3]
    driving = [lane for lane in lanes if lane.type is LaneType.DRIVING]
    options = []
    for lane in driving:
        line = centre_line(lane)
        for offset, turn, i in _crossings(line, pose):
            width = np.linalg.norm(lane.left[i] - lane.right[i])
            if abs(offset) <= width / 2 + 0.5 and abs(turn) < SHARPEST * 2:
                options.append((abs(offset) + 5 * abs(turn), -offset, lane, line[i + 1 :]))
    if not options:
        return start
    _, offset, lane, points = min(options, key=lambda option: option[0])
    used = {lane.id}
    while _length(np.concatenate([start, points])) < length:
        successor = _continuing(driving, points, used)
        if successor is None:
            break
        used.add(successor.id)
        points = np.concatenate([points, centre_line(successor)[1:]])
    points = points + offset * _normals(points)
    return _up_to(_without_short_steps(np.concatenate([start, points])), length)


def _continuing(lanes: Sequence[Lane], points: np.ndarray, used: set[str]) -> Lane | None:
    """The lane that begins where the polyline ends, with the smallest change of direction."""
    if len(points) < 2:
        return None
    direction = _heading(points[-1] - points[-2])
    best, smallest = None, SHARPEST
    for lane in lanes:
        line = centre_line(lane)
        if lane.id in used or np.linalg.norm(line[0] - points[-1]) > JOINED:
            continue
        turn = _heading(line[1] - line[0]) - direction
        turn = abs((turn + np.pi) % (2 * np.pi) - np.pi)
        if turn < smallest:
            best, smallest = lane, turn
    return best


def _heading(step: np.ndarray) -> float:
    return float(np.arctan2(step[1], step[0]))


def _normals(points: np.ndarray) -> np.ndarray:
    """[N,3] horizontal unit vectors to the left of a polyline."""
    if len(points) < 2:
        return np.zeros_like(points)
    tangent = np.gradient(points, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0], np.zeros(len(points))], axis=1)
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)


def _length(points: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def _without_short_steps(points: np.ndarray, shortest: float = 0.5) -> np.ndarray:
    kept = [points[0]]
    for point in points[1:]:
        if np.linalg.norm(point - kept[-1]) >= shortest:
            kept.append(point)
    return np.stack(kept)


def _up_to(points: np.ndarray, length: float) -> np.ndarray:
    stations = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    if stations[-1] <= length:
        return points
    inside = stations < length
    end = [np.interp(length, stations, points[:, k]) for k in range(3)]
    return np.concatenate([points[inside], [end]])
