"""Crops a map to the surroundings of a path, and a trajectory to a window of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from cosmos_exp.scene.types import Lane, SceneMap, Trajectory


def crop_map(scene_map: SceneMap, points: np.ndarray, radius: float) -> SceneMap:
    """The map within `radius` metres (in the ground plane) of any of `points` [N,2+].

    Polylines, barriers and lanes are cut between stations, one station beyond the radius at each cut; areas, poles,
    signs, lights, buildings and trees are kept uncut. A lane cut into several pieces keeps its id, with `/1`, ... from
    the second piece on.
    """
    near = _Near(points, radius)
    return replace(
        scene_map,
        lanes=tuple(piece for lane in scene_map.lanes for piece in _cut_lane(near, lane)),
        lane_lines=tuple(
            replace(line, points=line.points[run]) for line in scene_map.lane_lines for run in near.runs(line.points)
        ),
        road_boundaries=tuple(line[run] for line in scene_map.road_boundaries for run in near.runs(line)),
        crosswalks=_kept(near, scene_map.crosswalks, lambda area: area),
        road_markings=_kept(near, scene_map.road_markings, lambda area: area),
        wait_lines=_kept(near, scene_map.wait_lines, lambda line: line),
        poles=_kept(near, scene_map.poles, lambda pole: pole.base[None]),
        traffic_signs=_kept(near, scene_map.traffic_signs, lambda sign: sign.pose[None, :3, 3]),
        traffic_lights=_kept(near, scene_map.traffic_lights, lambda light: light.pose[None, :3, 3]),
        buildings=_kept(near, scene_map.buildings, lambda building: building.footprint),
        trees=_kept(near, scene_map.trees, lambda tree: tree.position[None]),
        barriers=tuple(
            replace(barrier, points=barrier.points[run])
            for barrier in scene_map.barriers
            for run in near.runs(barrier.points)
        ),
    )


def cut_trajectory(path: Trajectory, start: float, end: float) -> Trajectory | None:
    """What of a trajectory lies from start to end, seconds: its own poses, and where it is cut, those in between. None
    where it is outside."""
    first, last = max(start, float(path.times[0])), min(end, float(path.times[-1]))
    if first > last:
        return None
    inside = path.times[(path.times > first) & (path.times < last)]
    times = np.concatenate([[first], inside, [last] if last > first else []])
    return Trajectory(times, path.sample(times))


class _Near:
    def __init__(self, points: np.ndarray, radius: float):
        xy = np.asarray(points, dtype=np.float64)[:, :2]
        spacing = max(radius / 50, 1.0)
        kept = [0]
        for i in range(1, len(xy)):
            if np.linalg.norm(xy[i] - xy[kept[-1]]) >= spacing or i == len(xy) - 1:
                kept.append(i)
        self.path = xy[kept]
        self.radius = radius

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """[N] bool: which points [N,2+] are within the radius of the path."""
        a, step = self.path[:-1], np.diff(self.path, axis=0)
        if len(a) == 0:
            return np.linalg.norm(points[:, :2] - self.path[0], axis=1) <= self.radius
        offset = points[:, None, :2] - a
        along = np.clip((offset * step).sum(-1) / np.maximum((step * step).sum(-1), 1e-12), 0.0, 1.0)
        return np.linalg.norm(offset - along[..., None] * step, axis=-1).min(axis=1) <= self.radius

    def runs(self, *polylines: np.ndarray) -> Iterator[slice]:
        """Slices of the stations of parallel polylines that are near, widened by one station."""
        near = np.any([self(line) for line in polylines], axis=0)
        wide = near.copy()
        wide[1:] |= near[:-1]
        wide[:-1] |= near[1:]
        edges = np.flatnonzero(np.diff(np.concatenate([[False], wide, [False]])))
        for first, last in zip(edges[::2], edges[1::2]):
            if last - first >= 2:
                yield slice(int(first), int(last))


def _cut_lane(near: _Near, lane: Lane) -> Iterator[Lane]:
    for i, run in enumerate(near.runs(lane.left, lane.right)):
        yield replace(lane, id=f"{lane.id}/{i}" if i else lane.id, left=lane.left[run], right=lane.right[run])


def _kept(near: _Near, items: Iterable, points_of) -> tuple:
    return tuple(item for item in items if near(points_of(item)).any())
