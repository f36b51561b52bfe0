"""The HD-map control: map elements and object boxes on black, in the colours and with the fading of RDS-HQ.

Colours fade with the depth z of a stroke, w = 2 (122.5 - z) / 255; overlapping strokes mix by the maximum of each
channel; nothing hides anything. Strokes are 8 px wide (boxes 5 px) in an image of 720 rows and scale with the height.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numba import njit

from cosmos_exp.scene.types import ActorClass, Scene, SceneMap, Track
from cosmos_exp.sensors.camera import CameraModel

RANGE = 122.5
REFERENCE_HEIGHT = 720
MAP_WIDTH, BOX_WIDTH = 8.0, 5.0
STEP = 0.8  # metres between the points that lane lines and boundaries are subdivided into
NEAR = 0.1

COLORS = {
    "lanelines": (98, 183, 249),
    "poles": (66, 40, 144),
    "road_boundaries": (200, 36, 35),
    "wait_lines": (185, 63, 34),
    "crosswalks": (206, 131, 63),
    "road_markings": (126, 204, 205),
    "traffic_signs": (131, 175, 155),
    "traffic_lights": (252, 157, 155),
}
OBJECT_COLORS = {
    ActorClass.CAR: (255, 0, 0),
    ActorClass.TRUCK: (0, 0, 255),
    ActorClass.BUS: (0, 0, 255),
    ActorClass.TRAIN: (0, 0, 255),
    ActorClass.PEDESTRIAN: (0, 255, 0),
    ActorClass.MOTORCYCLE: (255, 255, 0),
    ActorClass.BICYCLE: (255, 255, 0),
    ActorClass.RIDER: (255, 255, 0),
    ActorClass.OTHER: (255, 255, 255),
}
# Halves of (length, width, height); consecutive faces 0-3 and 4-7, i and i+4 joined by an edge.
CORNERS = np.array(
    [(1, 1, 1), (1, -1, 1), (-1, -1, 1), (-1, 1, 1), (1, 1, -1), (1, -1, -1), (-1, -1, -1), (-1, 1, -1)]
) / 2.0  # fmt: skip
EDGES = np.array(
    [(0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7)]
)  # fmt: skip


class HdMap:
    """The map's strokes and hulls relative to `origin` [3], ready to be drawn from anywhere."""

    def __init__(self, scene: Scene, origin: np.ndarray):
        segments, colors = _map_segments(scene.map)
        self.segments = (segments - origin).astype(np.float64)
        self.segment_colors = colors
        self.hulls = [(points - origin, color) for points, color in _map_hulls(scene.map)]
        self.hull_spheres = np.array([_sphere(points) for points, _ in self.hulls]).reshape(-1, 4)

    def draw(self, model: CameraModel, pose: np.ndarray, placed: list[tuple[int, Track, np.ndarray]]) -> np.ndarray:
        """[H,W,3] uint8. pose: [4,4] camera to world relative to the origin; placed: index, track, pose of objects."""
        image = np.zeros((model.height, model.width, 3), np.uint8)
        rotation, eye = pose[:3, :3], pose[:3, 3]
        scale = model.height / REFERENCE_HEIGHT
        near = self._hulls_in_range(rotation, eye)
        for i in near:
            points, color = self.hulls[i]
            _draw_hull(image, model, (points - eye) @ rotation, color)
        self._draw_segments(image, model, self.segments, self.segment_colors, rotation, eye, MAP_WIDTH * scale)
        if placed:
            boxes, colors = _box_segments(placed)
            self._draw_segments(image, model, boxes, colors, rotation, eye, BOX_WIDTH * scale)
        return image

    def _hulls_in_range(self, rotation: np.ndarray, eye: np.ndarray) -> np.ndarray:
        depth = (self.hull_spheres[:, :3] - eye) @ rotation[:, 2]
        radius = self.hull_spheres[:, 3]
        return np.flatnonzero((depth + radius > NEAR) & (depth < RANGE))

    @staticmethod
    def _draw_segments(image, model, segments, colors, rotation, eye, width) -> None:
        """segments: [N,2,3] in the world, colors: [N,3]."""
        ends, kept = _clipped(segments, rotation, eye)
        if not len(kept):
            return
        pixels = model.project(ends.reshape(-1, 3)).reshape(-1, 4)
        strength = 2 * (RANGE - np.clip(ends[:, :, 2].mean(axis=1), 0, RANGE)) / 255
        _strokes(image, pixels, (colors[kept] * strength[:, None]).astype(np.uint8), max(width, 1.0))


@njit(cache=True, nogil=True)
def _clipped(segments, rotation, eye):
    """Camera-frame ends [M,2,3] of the parts in front of the near plane and within range, and their indices."""
    ends = np.empty((len(segments), 2, 3))
    kept = np.empty(len(segments), np.int64)
    count = 0
    for i in range(len(segments)):
        for j in range(2):
            x, y, z = segments[i, j, 0] - eye[0], segments[i, j, 1] - eye[1], segments[i, j, 2] - eye[2]
            for k in range(3):
                ends[count, j, k] = rotation[0, k] * x + rotation[1, k] * y + rotation[2, k] * z
        a, b = ends[count, 0, 2], ends[count, 1, 2]
        if (a < NEAR and b < NEAR) or (a > RANGE and b > RANGE):
            continue
        if a < NEAR or b < NEAR:
            s = (NEAR - a) / (b - a)
            j = 0 if a < NEAR else 1
            for k in range(3):
                cut = ends[count, 0, k] + s * (ends[count, 1, k] - ends[count, 0, k])
                ends[count, j, k] = cut
        kept[count] = i
        count += 1
    return ends[:count], kept[:count]


@njit(cache=True, nogil=True)
def _strokes(image, pixels, colors, width):
    """Straight strokes with round caps; pixels: [N,4] = u0, v0, u1, v1. Each channel keeps its maximum."""
    rows, columns = image.shape[:2]
    radius = width / 2
    for i in range(len(pixels)):
        u0, v0, u1, v1 = pixels[i]
        du, dv = u1 - u0, v1 - v0
        length2 = du * du + dv * dv
        x0, x1 = max(min(u0, u1) - radius, 0.0), min(max(u0, u1) + radius, columns - 1.0)
        y0, y1 = max(min(v0, v1) - radius, 0.0), min(max(v0, v1) + radius, rows - 1.0)
        if not (x0 <= x1 and y0 <= y1):
            continue
        r, g, b = colors[i]
        for y in range(int(np.ceil(y0)), int(y1) + 1):
            lo, hi = _row_span(y, u0, v0, du, dv, length2, radius, x0, x1)
            for x in range(lo, hi + 1):
                image[y, x, 0] = max(image[y, x, 0], r)
                image[y, x, 1] = max(image[y, x, 1], g)
                image[y, x, 2] = max(image[y, x, 2], b)


@njit(cache=True, nogil=True)
def _row_span(y, u0, v0, du, dv, length2, radius, x0, x1):
    """First and last column of row y within `radius` of the segment: the union of its two caps and its band."""
    lo, hi = 1e30, -1e30
    for v, u in ((v0, u0), (v0 + dv, u0 + du)):
        rest = radius * radius - (y - v) * (y - v)
        if rest >= 0.0:
            half = np.sqrt(rest)
            lo, hi = min(lo, u - half), max(hi, u + half)
    if length2 > 0.0:
        length = np.sqrt(length2)
        # |cross| <= radius * length and 0 <= dot <= length2, both linear in x
        low, high = x0 - 1.0, x1 + 1.0
        low, high = _between(dv, -dv * u0 - du * (y - v0), -radius * length, radius * length, low, high)
        low, high = _between(du, -du * u0 + dv * (y - v0), 0.0, length2, low, high)
        if low <= high:
            lo, hi = min(lo, low), max(hi, high)
    lo, hi = max(lo, x0), min(hi, x1)
    if not lo <= hi:
        return 1, 0
    return int(np.ceil(lo)), int(np.floor(hi))


@njit(cache=True, nogil=True)
def _between(slope, offset, least, most, low, high):
    """The part of [low, high] where least <= slope x + offset <= most."""
    if abs(slope) < 1e-12:
        return (low, high) if least <= offset <= most else (1.0, 0.0)
    a, b = (least - offset) / slope, (most - offset) / slope
    return max(low, min(a, b)), min(high, max(a, b))


def _draw_hull(image: np.ndarray, model: CameraModel, points: np.ndarray, color: tuple[int, int, int]) -> None:
    """Fill the convex hull of camera-frame points [K,3], clipped at the near plane."""
    clipped = _clip_polygon(points)
    if len(clipped) < 3 or clipped[:, 2].min() > RANGE:
        return
    depth = min(float(clipped[:, 2].mean()), RANGE)
    pixels = np.clip(model.project(clipped), -1e5, 1e5)
    low, high = pixels.min(0), pixels.max(0)
    if high[0] < 0 or high[1] < 0 or low[0] >= model.width or low[1] >= model.height:
        return
    hull = cv2.convexHull(np.round(pixels).astype(np.int32))
    x0, y0 = np.maximum(np.floor(low), 0).astype(int)
    x1, y1 = int(min(high[0] + 2, model.width)), int(min(high[1] + 2, model.height))
    patch = np.zeros((y1 - y0, x1 - x0, 3), np.uint8)
    strength = 2 * (RANGE - depth) / 255
    cv2.fillConvexPoly(patch, hull - [x0, y0], [int(c * strength) for c in color])
    view = image[y0:y1, x0:x1]
    np.maximum(view, patch, out=view)


def _clip_polygon(points: np.ndarray) -> np.ndarray:
    if points[:, 2].min() >= NEAR:
        return points
    kept = []
    for a, b in zip(points, np.roll(points, -1, axis=0)):
        if a[2] >= NEAR:
            kept.append(a)
        if (a[2] >= NEAR) != (b[2] >= NEAR):
            kept.append(a + (NEAR - a[2]) / (b[2] - a[2]) * (b - a))
    return np.array(kept).reshape(-1, 3)


def _map_segments(scene_map: SceneMap) -> tuple[np.ndarray, np.ndarray]:
    """Segments [N,2,3] and colours [N,3] of all polylines of the map."""
    lines = [(_subdivided(line.points), "lanelines") for line in scene_map.lane_lines]
    lines += [(_subdivided(line), "road_boundaries") for line in scene_map.road_boundaries]
    lines += [(np.asarray(line, np.float64), "wait_lines") for line in scene_map.wait_lines]
    lines += [(np.stack([pole.base, pole.top]), "poles") for pole in scene_map.poles]
    segments = [np.stack([points[:-1], points[1:]], axis=1) for points, _ in lines]
    colors = [np.tile(np.array(COLORS[layer], float), (max(len(points) - 1, 0), 1)) for points, layer in lines]
    empty = np.zeros((0, 2, 3)), np.zeros((0, 3))
    return np.concatenate([empty[0], *segments]), np.concatenate([empty[1], *colors])


def _subdivided(line: np.ndarray) -> np.ndarray:
    """Every edge of length L in max(2, int(L / 0.8)) evenly spaced points, its ends included."""
    line = np.asarray(line, np.float64).reshape(-1, 3)
    if len(line) < 2:
        return line
    parts = []
    for a, b in pairwise(line):
        count = max(2, int(np.linalg.norm(b - a) / STEP))
        parts.append(np.linspace(a, b, count)[:-1])
    return np.concatenate([*parts, line[-1:]])


def _map_hulls(scene_map: SceneMap) -> list[tuple[np.ndarray, tuple[int, int, int]]]:
    hulls = [(polygon, COLORS["crosswalks"]) for polygon in scene_map.crosswalks]
    hulls += [(polygon, COLORS["road_markings"]) for polygon in scene_map.road_markings]
    hulls += [(_cuboid(sign.pose, sign.size), COLORS["traffic_signs"]) for sign in scene_map.traffic_signs]
    hulls += [(_cuboid(light.pose, light.size), COLORS["traffic_lights"]) for light in scene_map.traffic_lights]
    return [(np.asarray(points, np.float64), color) for points, color in hulls if len(points) >= 3]


def _cuboid(pose: np.ndarray, size: tuple[float, float, float]) -> np.ndarray:
    return (CORNERS * size) @ pose[:3, :3].T + pose[:3, 3]


def _sphere(points: np.ndarray) -> np.ndarray:
    centre = points.mean(axis=0)
    return np.append(centre, np.linalg.norm(points - centre, axis=1).max())


def _box_segments(placed: list[tuple[int, Track, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    corners = np.stack([_cuboid(pose, track.size) for _, track, pose in placed])
    colors = np.array([OBJECT_COLORS[track.actor_class] for _, track, _ in placed], float)
    return corners[:, EDGES].reshape(-1, 2, 3), np.repeat(colors, len(EDGES), axis=0)
