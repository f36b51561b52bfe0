"""Walkers: they go straight where they are told to, at the speed that they are told, on the ground below them.

They walk through what is in their way. The ways of AI controllers are found by the client, which leads its walkers on
the navigation mesh of the map.
"""

from __future__ import annotations

import math

import numpy as np

from cosmos_exp.carla_sim.transforms import Transform
from cosmos_exp.scene.lane_surface import LaneSurface

FASTEST = 20.0  # m/s
LAYER = 2.5  # metres from the ground that a walker is on it


def walk(
    transform: Transform, direction: np.ndarray, speed: float, half_height: float, delta: float, surface: LaneSurface
) -> Transform:
    """The transform after `delta` seconds. direction: [3], CARLA's frame; its length does not count. speed: m/s.

    A walker's origin is at the middle of its height. Off the lanes it keeps its height.
    """
    flat = np.array([direction[0], direction[1], 0.0], np.float64)
    length = float(np.linalg.norm(flat))
    if length < 1e-6 or speed <= 0:
        return standing(transform, half_height, surface)
    velocity = flat / length * min(speed, FASTEST)
    moved = Transform(
        transform.location + velocity * delta,
        np.array([0.0, 0.0, math.degrees(math.atan2(velocity[1], velocity[0]))]),
    )
    return standing(moved, half_height, surface)


def standing(transform: Transform, half_height: float, surface: LaneSurface) -> Transform:
    """The transform with its feet on the ground, where there is one below."""
    x, y, z = transform.location.tolist()
    (height,) = surface.heights(np.array([[x, -y, z - half_height]]), LAYER).tolist()
    return transform if math.isnan(height) else Transform(np.array([x, y, height + half_height]), transform.rotation)
