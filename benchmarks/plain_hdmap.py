"""A plain way to make a clip's HD-map video, to compare with: numpy and OpenCV, one polyline at a time.

Every frame subdivides and projects every polyline anew and draws it segment by segment on a canvas of its layer; the
videos of the layers are held whole, joined by their maximum, resized, and then encoded. Same look, same rules.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from cosmos_exp.rendering.hdmap.drawing import BOX_COLORS, COLORS, CUBOID_WALK, SUBDIVIDED
from cosmos_exp.rendering.hdmap.shapes import RANGE
from cosmos_exp.scene.map_layers import LAYER_SHAPES, cuboid_corners

FARTHEST = 30_000  # pixels


def hdmap_video(model, poses, layers, boxes_by_frame) -> np.ndarray:
    """uint8 [F,H,W,3]. poses: camera to world [F,4,4]; boxes_by_frame: for each frame (class, pose, size) of boxes."""
    shape = (len(poses), model.height, model.width, 3)
    whole = np.zeros(shape, np.uint8)
    to_camera = np.linalg.inv(poses)
    for layer, elements in layers.items():
        draw = _draw_polyline if LAYER_SHAPES[layer] == "polyline" else _draw_hull
        video = np.zeros(shape, np.uint8)
        for canvas, pose in zip(video, to_camera):
            for points in elements:
                draw(canvas, model, pose, _prepared(points, layer), COLORS[layer])
        whole = np.maximum(whole, video)
    for kind, color in BOX_COLORS.items():
        video = np.zeros(shape, np.uint8)
        for canvas, pose, boxes in zip(video, to_camera, boxes_by_frame):
            for box_kind, box_pose, size in boxes:
                if box_kind == kind:
                    _draw_polyline(canvas, model, pose, cuboid_corners(box_pose, size)[CUBOID_WALK], color, thickness=5)
        whole = np.maximum(whole, video)
    return whole


def _prepared(points: np.ndarray, layer: str) -> np.ndarray:
    if layer in SUBDIVIDED:
        return _subdivided(points)
    if LAYER_SHAPES[layer] == "surface":
        return np.concatenate([points, points[:1]])
    if LAYER_SHAPES[layer] == "cuboid":
        return points[CUBOID_WALK]
    return points


def _subdivided(points: np.ndarray) -> np.ndarray:
    parts = [points[:1]]
    for start, end in pairwise(points):
        count = max(2, int(np.linalg.norm(end - start) / 0.8))
        parts.append(np.linspace(start, end, count)[1:])
    return np.concatenate(parts)


def _to_camera(points: np.ndarray, world_to_camera: np.ndarray) -> np.ndarray:
    return points @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]


def _shade(color: tuple[int, int, int], depth: float) -> tuple[int, ...]:
    weight = 2 * (RANGE - min(max(depth, 0.0), RANGE)) / 255
    return tuple(int(weight * c) for c in color)


def _draw_polyline(canvas, model, pose, points, color, thickness=8) -> None:
    if len(points) < 2:
        return
    local = _to_camera(points, pose)
    z = local[:, 2]
    if (z < 0).all() or z.min() > RANGE:
        return
    pixels = np.rint(model.project(local))
    if not ((pixels >= 0) & (pixels < (model.width, model.height))).all(axis=1).any():
        return
    pixels = np.clip(pixels, -FARTHEST, FARTHEST).astype(int).tolist()
    z = z.tolist()
    for i in range(len(points) - 1):
        za, zb = z[i], z[i + 1]
        if za < 0 and zb < 0:
            continue
        start, end = pixels[i], pixels[i + 1]
        if za < 0 or zb < 0:
            front, back = (local[i], local[i + 1]) if zb < 0 else (local[i + 1], local[i])
            t = -back[2] / (front[2] - back[2]) + 0.2
            ends = np.trunc(model.project(np.stack([front, t * front + (1 - t) * back])))
            start, end = np.clip(ends, -FARTHEST, FARTHEST).astype(int).tolist()
        _, start, end = cv2.clipLine((0, 0, model.width, model.height), start, end)
        cv2.line(canvas, start, end, _shade(color, (za + zb) / 2), thickness)


def _draw_hull(canvas, model, pose, points, color) -> None:
    local = _to_camera(points, pose)
    z = local[:, 2]
    pixels = np.trunc(model.project(local))
    inside = ((pixels >= 0) & (pixels < (model.width, model.height))).all(axis=1)
    if len(points) < 3 or not (inside & (z > 0)).any() or z.min() > RANGE:
        return
    kept = []
    for a, b in pairwise(local):
        if a[2] >= 0:
            kept.append(a)
        if (a[2] < 0) != (b[2] < 0):
            front, back = (a, b) if b[2] < 0 else (b, a)
            t = -back[2] / (front[2] - back[2]) + 0.05
            kept.append(t * front + (1 - t) * back)
    if len(kept) < 3:
        return
    corners = np.clip(np.trunc(model.project(np.stack(kept))), -FARTHEST, FARTHEST).astype(np.int32)
    cv2.fillPoly(canvas, [cv2.convexHull(corners)], _shade(color, float(np.mean([p[2] for p in kept]))))
