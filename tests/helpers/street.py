"""A small street that is ray-cast from its equations, so that depth, classes and motion are exact."""

from __future__ import annotations

import numpy as np

from cosmos_exp.rendering.palette import Tag
from cosmos_exp.rendering.types import CameraRender
from cosmos_exp.sensors.camera import Camera

SIZE = (256, 144)
NUM_FRAMES = 9
FPS = 10.0
SPEED = 8.0  # m/s
CAMERAS = {
    "front_wide_120fov": {"hfov": 120, "position": [1.75, 0.0, 1.45], "rotation": [0, 2, 0]},
    "cross_left_120fov": {"hfov": 120, "position": [2.45, 0.95, 0.95], "rotation": [0, 0, 66]},
    "cross_right_120fov": {"hfov": 120, "position": [2.45, -0.95, 0.95], "rotation": [0, 0, -66]},
}
# low corner, high corner, tag, colour
BOXES = [
    ((-60, -60, -1), (120, 60, 0), Tag.ROAD, (0.35, 0.35, 0.38)),
    ((-60, 9, 0), (120, 20, 9), Tag.BUILDING, (0.6, 0.4, 0.3)),
    ((-60, -20, 0), (120, -9, 7), Tag.BUILDING, (0.5, 0.5, 0.3)),
    ((14, 4, 0), (15, 5, 4), Tag.POLE, (0.75, 0.75, 0.7)),
    ((10, -6, 0), (12, -4.5, 3), Tag.VEGETATION, (0.2, 0.45, 0.2)),
    ((4, 5, 0), (6, 6.5, 2.5), Tag.VEGETATION, (0.25, 0.5, 0.15)),
    ((5, -6, 0), (6, -5, 2), Tag.FENCE, (0.7, 0.3, 0.2)),
]
SKY_COLOR = np.array([0.55, 0.7, 0.9])


def texture(points: np.ndarray, distance: np.ndarray, pixel_angle: float) -> np.ndarray:
    """Band-limited noise in -1..1: plane waves of 0.6 to 5 m, faded out where a pixel is too coarse for them."""
    rng = np.random.default_rng(7)
    value = np.zeros(len(points))
    for _ in range(48):
        length = np.exp(rng.uniform(np.log(0.6), np.log(5.0)))
        direction = rng.normal(size=3)
        k = 2 * np.pi / length * direction / np.linalg.norm(direction)
        fade = np.exp(-((distance * pixel_angle * 3 / length) ** 2))
        value += fade * np.sin(points @ k + rng.uniform(0, 2 * np.pi))
    return value / np.sqrt(48)


def raycast(camera: Camera, rig_pose: np.ndarray, boxes=BOXES) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """rgb uint8, depth float32 (z), semantic uint8 of one frame."""
    pose = rig_pose @ camera.camera_to_rig
    rays = camera.model.rays().astype(np.float64)
    shape = rays.shape[:2]
    directions = rays.reshape(-1, 3) @ pose[:3, :3].T
    directions[np.abs(directions) < 1e-9] = 1e-9
    nearest = np.full(len(directions), np.inf)
    tags = np.full(len(directions), Tag.SKY, np.uint8)
    colors = np.tile(SKY_COLOR, (len(directions), 1))
    for low, high, tag, color in boxes:
        a, b = (np.array(low) - pose[:3, 3]) / directions, (np.array(high) - pose[:3, 3]) / directions
        enter, leave = np.minimum(a, b).max(axis=1), np.maximum(a, b).min(axis=1)
        hit = (enter > 0.1) & (enter <= leave) & (enter < nearest)
        nearest[hit], tags[hit], colors[hit] = enter[hit], tag, color
    solid = np.isfinite(nearest)
    points = pose[:3, 3] + directions[solid] * nearest[solid, None]
    colors[solid] *= 1 + 0.4 * texture(points, nearest[solid], 2.0 / camera.model.width)[:, None]
    rgb = np.round(255 * np.clip(colors, 0, 1)).astype(np.uint8).reshape(*shape, 3)
    depth = np.where(solid, nearest * rays.reshape(-1, 3)[:, 2], np.inf).astype(np.float32)
    return rgb, depth.reshape(shape), tags.reshape(shape)


def render(camera: Camera, rig_poses: np.ndarray) -> CameraRender:
    frames = [raycast(camera, pose) for pose in rig_poses]
    rgb, depth, semantic = (np.stack(parts) for parts in zip(*frames))
    return CameraRender(camera.name, np.arange(len(frames)) / FPS, rgb=rgb, depth=depth, semantic=semantic)
