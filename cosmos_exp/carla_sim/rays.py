"""Rays through the world: what the client's `cast_ray`, `project_point` and `ground_projection` meet.

A ray is a camera a few pixels wide; it meets what the cameras see.
"""

from __future__ import annotations

import numpy as np

from cosmos_exp.carla_sim.actors import Actor
from cosmos_exp.carla_sim.renderers import TickPictures
from cosmos_exp.carla_sim.transforms import Transform
from cosmos_exp.scene.carla.axes import flu_points
from cosmos_exp.sensors.camera import Camera
from cosmos_exp.sensors.pinhole import Pinhole

SIDE = 9  # pixels of the picture, whose middle is the ray
RAY = Pinhole(SIDE, SIDE, 2000.0, 2000.0, SIDE // 2, SIDE // 2)
MOST_HITS = 16
ON = 0.01  # metres behind a surface that the ray goes on


def hits(pictures: TickPictures, start: np.ndarray, end: np.ndarray, most: int = MOST_HITS) -> list[list]:
    """[[x, y, z], semantic class] of the surfaces between two points [3], nearest first. CARLA's frame, metres."""
    way = end - start
    length = float(np.linalg.norm(way))
    found: list[list] = []
    gone = 0.0
    while length - gone > ON and len(found) < most:
        distance, tag = _first(pictures, start + way / length * gone, way / length)
        gone += distance
        if not gone <= length + 1e-6:
            break
        found.append([(start + way / length * gone).tolist(), tag])
        gone += ON
    return found


def _first(pictures: TickPictures, start: np.ndarray, direction: np.ndarray) -> tuple[float, int]:
    """Metres to the first surface, inf where there is none, and its class."""
    forward = flu_points(direction)
    side = np.cross(forward, [0.0, 0.0, 1.0] if abs(forward[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([side, np.cross(forward, side), forward], axis=1)
    pose[:3, 3] = flu_points(start)
    eye = Actor(-1, "sensor.camera.depth", Transform(start))  # 0 is the parent of what has none
    placed = pictures.place(eye, pose)
    gbuffer = placed.look(Camera("ray", RAY, placed.to_rig))
    return float(gbuffer.depth[SIDE // 2, SIDE // 2]), int(gbuffer.semantic[SIDE // 2, SIDE // 2])
