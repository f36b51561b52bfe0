"""CARLA's frame (left-handed: x forward, y right, z up; degrees) to the world frame (right-handed FLU, radians)."""

from __future__ import annotations

import numpy as np

MIRROR = np.diag([1.0, -1.0, 1.0])


def flu_points(points: np.ndarray) -> np.ndarray:
    """[...,3] CARLA metres -> [...,3] world metres."""
    return np.asarray(points, dtype=np.float64) * np.array([1.0, -1.0, 1.0])


def carla_rotation(rotation: np.ndarray) -> np.ndarray:
    """[...,3] roll, pitch, yaw in degrees -> [...,3,3] in CARLA's frame, as its 0.9.16 client builds it."""
    roll, pitch, yaw = np.moveaxis(np.radians(np.asarray(rotation, dtype=np.float64)), -1, 0)
    cr, cp, cy = np.cos(roll), np.cos(pitch), np.cos(yaw)
    sr, sp, sy = np.sin(roll), np.sin(pitch), np.sin(yaw)
    rows = [
        [cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr],
        [cp * sy, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr],
        [sp, -cp * sr, cp * cr],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def flu_poses(location: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """[N,3] metres and [N,3] roll, pitch, yaw degrees in CARLA's frame -> [N,4,4] world poses (M_flu = S M S)."""
    poses = np.tile(np.eye(4), (len(location), 1, 1))
    poses[:, :3, :3] = MIRROR @ carla_rotation(rotation) @ MIRROR
    poses[:, :3, 3] = flu_points(location)
    return poses


def flu_heading(yaw: float) -> float:
    """CARLA yaw in degrees (clockwise from above) -> world heading in radians (counter-clockwise)."""
    return float(-np.radians(yaw))
