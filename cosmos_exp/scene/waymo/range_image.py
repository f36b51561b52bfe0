"""LiDAR range images to points, by the geometry that the dataset documents."""

from __future__ import annotations

import numpy as np


def inclinations(values: np.ndarray | None, lowest: float, highest: float, rows: int) -> np.ndarray:
    """[rows] radians, the top row first. values: of every beam, ascending; None for beams at equal steps."""
    if values is None or not len(values):
        values = lowest + (np.arange(rows) + 0.5) / rows * (highest - lowest)
    return np.asarray(values, np.float64)[::-1]


@np.errstate(invalid="ignore")
def sweep_points(
    ranges: np.ndarray,
    beams: np.ndarray,
    sensor_to_vehicle: np.ndarray,
    pixel_poses: np.ndarray | None,
    vehicle_to_world: np.ndarray,
) -> np.ndarray:
    """Points [N,3] float32 in the vehicle frame of the whole sweep.

    Pixels without return (range <= 0) give none, those of a range or pose that is not finite a point that is not.

    ranges: [H,W] metres. beams: [H] inclinations. Columns run clockwise from straight behind, in the vehicle's
    azimuth. pixel_poses: [H,W,6] roll, pitch, yaw, x, y, z of the vehicle in the world when each pixel was
    measured; None where the sweep is already corrected for motion.
    """
    rows, columns = np.nonzero(ranges > 0)
    width = ranges.shape[1]
    yaw = np.arctan2(sensor_to_vehicle[1, 0], sensor_to_vehicle[0, 0])
    azimuth = ((width - columns - 0.5) / width * 2 - 1) * np.pi - yaw
    inclination, distance = beams[rows], ranges[rows, columns].astype(np.float64)
    across = np.cos(inclination) * distance
    points = np.stack([across * np.cos(azimuth), across * np.sin(azimuth), np.sin(inclination) * distance], axis=1)
    points = points @ sensor_to_vehicle[:3, :3].T + sensor_to_vehicle[:3, 3]
    if pixel_poses is not None:
        poses = pixel_poses[rows, columns].astype(np.float64)
        world = np.einsum("nij,nj->ni", _rotations(*poses[:, :3].T), points) + poses[:, 3:]
        points = (world - vehicle_to_world[:3, 3]) @ vehicle_to_world[:3, :3]
    return points.astype(np.float32)


def _rotations(roll: np.ndarray, pitch: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """[N,3,3] Rz(yaw) Ry(pitch) Rx(roll)."""
    (sr, sp, sy), (cr, cp, cy) = np.sin([roll, pitch, yaw]), np.cos([roll, pitch, yaw])
    rows = [
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ]
    return np.moveaxis(np.array(rows), 2, 0)
