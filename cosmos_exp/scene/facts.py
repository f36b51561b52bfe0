"""Attributes of a recorded drive for captions, derived from the map around the ego path.

road: straight_2lane | straight_4lane | curve | intersection | t_junction. area: residential | downtown | rural.
lanes: number of driving lanes of the road the ego starts on, both directions. speed: the ego's mean in km/h. town: the
map's name.
"""

from __future__ import annotations

import numpy as np

from cosmos_exp.scene.types import Lane, LaneType, SceneMap, Trajectory

AHEAD = 25.0  # metres straight on from the path's end that count as part of the route
CURVE = np.radians(15.0)
BESIDE = 40.0
NEAR_JUNCTION = 30.0


def scene_facts(scene_map: SceneMap, path: Trajectory) -> dict[str, str]:
    """path: the ego's poses; its first is where the scene starts."""
    driving = [lane for lane in scene_map.lanes if lane.type is LaneType.DRIVING]
    route = _route(path)
    lanes = _lanes_of_start(driving, path)
    length = float(np.linalg.norm(np.diff(path.poses[:, :2, 3], axis=0), axis=1).sum())
    speed = length / max(float(path.times[-1] - path.times[0]), 1e-6)
    return {
        "road": _road(driving, route, path, lanes),
        "area": _area(scene_map, route, lanes),
        "lanes": str(lanes),
        "speed": f"{3.6 * speed:.0f} km/h",
        "town": scene_map.name,
    }


def _route(path: Trajectory) -> np.ndarray:
    """[N,2] about every 2 m along the path, and AHEAD metres straight on from its end."""
    xy = path.poses[:, :2, 3]
    kept = [xy[0]]
    for point in xy[1:]:
        if np.linalg.norm(point - kept[-1]) >= 2.0:
            kept.append(point)
    on = np.arange(0.0, AHEAD, 2.0)[:, None] * path.poses[-1, :2, 0]
    return np.concatenate([np.array(kept), xy[-1] + on])


def _road(driving: list[Lane], route: np.ndarray, path: Trajectory, lanes: int) -> str:
    inside = [lane for lane in driving if lane.junction and _covers(lane, route).any()]
    if inside:
        return "t_junction" if _arms(driving, route, inside) == 3 else "intersection"
    first, last = path.poses[0, :2, 0], path.poses[-1, :2, 0]
    if np.arccos(np.clip(first @ last, -1.0, 1.0)) > CURVE:
        return "curve"
    return "straight_2lane" if lanes <= 2 else "straight_4lane"


def _covers(lane: Lane, points: np.ndarray) -> np.ndarray:
    """[N] bool: which points [N,2] lie on the lane."""
    centre = (lane.left + lane.right)[:, :2] / 2
    half = np.linalg.norm(lane.left - lane.right, axis=1).max() / 2
    if (np.linalg.norm(centre[:, None] - points, axis=-1).min(axis=0) > 10.0 + half).all():
        return np.zeros(len(points), bool)
    a, step = centre[:-1], np.diff(centre, axis=0)
    offset = points[:, None] - a
    along = (offset * step).sum(-1) / np.maximum((step * step).sum(-1), 1e-12)
    aside = np.linalg.norm(offset - np.clip(along, 0, 1)[..., None] * step, axis=-1)
    return ((along >= 0) & (along <= 1) & (aside <= half)).any(axis=1)


def _arms(driving: list[Lane], route: np.ndarray, inside: list[Lane]) -> int:
    """Directions from which traffic enters the junction around the first crossed lane."""
    middle = (inside[0].left + inside[0].right)[:, :2].mean(axis=0) / 2
    headings: list[float] = []
    for lane in driving:
        start = (lane.left[0] + lane.right[0])[:2] / 2
        if not lane.junction or np.linalg.norm(start - middle) > NEAR_JUNCTION:
            continue
        step = (lane.left[1] + lane.right[1] - lane.left[0] - lane.right[0])[:2]
        heading = float(np.arctan2(step[1], step[0]))
        if all(np.cos(heading - other) < 0.7 for other in headings):
            headings.append(heading)
    return len(headings)


def _lanes_of_start(driving: list[Lane], path: Trajectory) -> int:
    """Driving lanes of the road (`road:section` of the lane ids) under, or else nearest to, the first pose."""
    at = path.poses[0, :2, 3]
    if not driving:
        return 0

    def distance(lane: Lane) -> float:
        return float(np.linalg.norm((lane.left + lane.right)[:, :2] / 2 - at, axis=1).min())

    plain = [lane for lane in driving if not lane.junction] or driving
    under = [lane for lane in plain if _covers(lane, at[None])[0]]
    road = min(under or plain, key=distance).id.rsplit(":", 1)[0]
    return len({lane.id.split("/")[0] for lane in plain if lane.id.rsplit(":", 1)[0] == road})


def _area(scene_map: SceneMap, route: np.ndarray, lanes: int) -> str:
    """rural without a sidewalk near, downtown beside a road of four lanes or more, residential otherwise."""
    walks = [lane.left[:, :2] for lane in scene_map.lanes if lane.type is LaneType.SIDEWALK]
    near = any(np.linalg.norm(walk[:, None] - route[::3], axis=-1).min() < BESIDE for walk in walks)
    if not near:
        return "rural"
    return "downtown" if lanes >= 4 else "residential"
