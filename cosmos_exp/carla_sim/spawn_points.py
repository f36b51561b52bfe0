"""Spawn points of a map: places on its driving lanes, as CARLA's towns have them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cosmos_exp.carla_sim.transforms import Transform
from cosmos_exp.scene.types import Lane, LaneType, SceneMap

SPACING = 12.0  # metres along a lane
FREE = 5.0  # metres before and behind a point that its lane goes on
ABOVE = 0.3  # metres over the road
NEAREST = 6.0  # metres between two points


def spawn_points(scene_map: SceneMap) -> list[Transform]:
    """In the middle of driving lanes outside of junctions, heading along them, in the map's order of lanes.

    A map without a lane that is long enough has the middles of its driving lanes.
    """
    lanes = [lane for lane in scene_map.lanes if lane.type is LaneType.DRIVING and not lane.junction]
    points = [pose for lane in lanes for pose in _along(lane)]
    points = points or [pose for lane in lanes for pose in _along(lane, free=0.0)]
    kept: list[np.ndarray] = []
    for pose in points:
        if not kept or np.linalg.norm(np.stack(kept)[:, :3, 3] - pose[:3, 3], axis=1).min() >= NEAREST:
            kept.append(pose)
    return [Transform.of_pose(pose) for pose in kept]


def _along(lane: Lane, free: float = FREE) -> Iterator[np.ndarray]:
    """Poses [4,4] on a lane, in the world frame."""
    middle = (lane.left + lane.right) / 2
    steps = np.linalg.norm(np.diff(middle, axis=0), axis=1)
    way = np.concatenate([[0.0], np.cumsum(steps)])
    room = way[-1] - 2 * free
    if room < 0 or way[-1] == 0:
        return
    count = int(room / SPACING) + 1
    for s in free + (np.arange(count) + 0.5) * room / count:
        i = min(int(np.searchsorted(way, s, side="right")) - 1, len(steps) - 1)
        forward = (middle[i + 1] - middle[i]) / steps[i]
        level = np.hypot(*forward[:2])
        left = np.array([-forward[1], forward[0], 0.0]) / level
        pose = np.eye(4)
        pose[:3, :3] = np.stack([forward, left, np.cross(forward, left)], axis=1)
        pose[:3, 3] = middle[i] + (s - way[i]) * forward + [0.0, 0.0, ABOVE]
        yield pose
