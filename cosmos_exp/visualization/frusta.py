"""Camera frusta as 2D shapes in the rig frame (metres; FLU, origin on the ground below the rear axle)."""

from __future__ import annotations

import numpy as np

from cosmos_exp.sensors.camera import Camera, CameraModel, fields_of_view
from cosmos_exp.visualization.canvas import Color

COLORS: tuple[Color, ...] = (
    (36, 104, 204),
    (226, 110, 26),
    (44, 150, 84),
    (202, 48, 74),
    (132, 80, 190),
    (0, 146, 166),
    (186, 140, 8),
    (204, 70, 160),
    (104, 88, 72),
    (96, 112, 132),
)
STEPS = 49
DRAW_DISTANCE = 7.0  # metres, of a camera with a field of view of 60 degrees


def color_of(index: int) -> Color:
    return COLORS[index % len(COLORS)]


def draw_distance(model: CameraModel, *, at_60_degrees: float = DRAW_DISTANCE) -> float:
    """Length of the drawn frustum, metres: longer for narrow cameras, so that the areas are about equal."""
    return at_60_degrees * float(np.clip(np.sqrt(np.radians(60) / fields_of_view(model)[0]), 0.6, 1.6))


def frustum_from_above(camera: Camera, distance: float) -> np.ndarray:
    """[STEPS+1,2] x, y: the camera, then the arc at `distance` from it through the middle row of the image."""
    (_, cy) = camera.model.project(np.array([[0.0, 0.0, 1.0]]))[0]
    rays = _rays(camera, np.linspace(0, camera.model.width, STEPS), np.full(STEPS, cy))
    flat = rays[:, :2] / np.maximum(np.linalg.norm(rays[:, :2], axis=1, keepdims=True), 1e-9)
    origin = camera.camera_to_rig[:2, 3]
    return np.concatenate([origin[None], origin + distance * flat])


def frustum_from_the_side(camera: Camera, distance: float) -> np.ndarray:
    """[STEPS+1,2] x, z: the camera, then the arc through the middle column of the image, cut off at the ground."""
    (cx, _) = camera.model.project(np.array([[0.0, 0.0, 1.0]]))[0]
    rays = _rays(camera, np.full(STEPS, cx), np.linspace(0, camera.model.height, STEPS))
    origin = camera.camera_to_rig[:3, 3]
    to_ground = np.full(STEPS, np.inf)
    np.divide(-origin[2], rays[:, 2], out=to_ground, where=(rays[:, 2] < 0) & (origin[2] > 0))
    points = origin + rays * np.minimum(distance, to_ground)[:, None]
    return np.concatenate([origin[None], points])[:, [0, 2]]


def _rays(camera: Camera, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return camera.model.unproject(np.stack([u, v], axis=1)) @ camera.camera_to_rig[:3, :3].T
