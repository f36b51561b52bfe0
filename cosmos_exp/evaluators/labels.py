"""The labels of a scene in the pixels of one camera: objects with boxes, and paint on the road with its lane line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from cosmos_exp.evaluators.types import OBJECT_CLASSES, PAINT_CLASSES, object_class, paint_class
from cosmos_exp.rendering.palette import Tag
from cosmos_exp.rendering.types import CameraRender
from cosmos_exp.scene.map_layers import cuboid_corners
from cosmos_exp.scene.types import LaneLine, Scene
from cosmos_exp.sensors.camera import Camera

MIN_PIXELS = 4  # visible ones of an object that is labelled
LEAST_PIXELS, MOST_OCCLUSION = 12, 0.75  # of an object that a detector is expected to find
NEAR = 0.1  # metres: boxes are cut at this depth
SPACING = 0.25  # metres between samples of a lane line
FARTHEST_PAINT = 120.0  # metres from the camera to lane lines that are looked at
MARKING = -1
"""In the lines of `paint_lines`: paint that is no lane line."""
_FIRST_OF_MAP = tuple(OBJECT_CLASSES).index("traffic_light")
EDGES = np.array([(0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7)])


@dataclass(frozen=True)
class ObjectLabel:
    """An object in one frame. kind: index into OBJECT_CLASSES. box: left, top, right, bottom in pixels of its cuboid,
    cut off by the image; visible: of its pixels that are seen, of which there are `pixels`. distance: metres to its
    centre. occlusion: share of the cuboid's outline that something nearer covers, 0..1. code: its instance in the
    render, or of lights and signs their tag. depths: metres of its nearest and farthest corner."""

    id: str
    kind: int
    frame: int
    box: tuple[float, float, float, float]
    visible: tuple[float, float, float, float]
    pixels: int
    distance: float
    occlusion: float
    code: int
    depths: tuple[float, float]

    def mask(self, render: CameraRender, frame: int) -> tuple[np.ndarray, tuple[int, int]]:
        """bool [h,w], its visible pixels within the box, and where the box begins (left, top). frame: of the render."""
        left, top, right, bottom = (int(v) for v in self.box)
        window = np.s_[frame, top:bottom, left:right]
        return _mask(self.kind, self.code, self.depths, render, window), (left, top)

    @property
    def name(self) -> str:
        return tuple(OBJECT_CLASSES)[self.kind]

    @property
    def height(self) -> float:
        """Pixels of the box, from top to bottom."""
        return self.box[3] - self.box[1]


def _mask(kind: int, code: int, depths: tuple[float, float], render: CameraRender, window: Any) -> np.ndarray:
    """Pixels of a track by its instance, of a light or sign by its tag and depth."""
    if kind < _FIRST_OF_MAP:
        return render.output("instance")[window] == code
    depth = render.output("depth")[window]
    return (render.output("semantic")[window] == code) & (depth > depths[0] - 0.5) & (depth < depths[1] + 0.5)


@dataclass(frozen=True)
class ViewLabels:
    """Labels of one view in R frames. frames: [R] their indices in the clip. objects: those with visible pixels; their
    `frame` counts within the R frames. lines: int32 [R,H,W], as of `paint_lines`; paint: uint8 [R,H,W], its classes."""

    frames: np.ndarray
    objects: Sequence[ObjectLabel]
    lines: np.ndarray
    paint: np.ndarray

    @property
    def nbytes(self) -> int:
        """Of the arrays."""
        return self.lines.nbytes + self.paint.nbytes

    def objects_of(self, frame: int) -> list[ObjectLabel]:
        return [label for label in self.objects if label.frame == frame]

    def at(self, rows: np.ndarray, frames: np.ndarray) -> ViewLabels:
        """Those of these of the R frames, [r] in ascending order. frames: [r] their indices in the clip."""
        objects = [replace(o, frame=new) for new, row in enumerate(rows.tolist()) for o in self.objects_of(row)]
        return ViewLabels(frames, objects, self.lines[rows], self.paint[rows])


def view_labels(scene: Scene, camera: Camera, render: CameraRender, frames: np.ndarray) -> ViewLabels:
    """render: depth, semantic and instance of the camera. frames: [R] those of its frames that are labelled."""
    outputs = {name: render.output(name)[frames] for name in ("depth", "semantic", "instance")}
    part = CameraRender(render.camera, render.times[frames], **outputs)
    lines = paint_lines(scene, camera, part.times, part)
    objects = object_labels(scene, camera, part.times, part)
    return ViewLabels(frames, objects, lines, paint_classes(lines, scene.map.lane_lines))


@dataclass(frozen=True)
class _Cuboid:
    """code: the instance of a track, or of a light or sign its tag."""

    id: str
    kind: int
    corners: np.ndarray
    code: int


def to_be_found(label: ObjectLabel) -> bool:
    """Whether a detector is expected to find an object; others are neither hits nor misses."""
    return label.pixels >= LEAST_PIXELS and label.occlusion <= MOST_OCCLUSION


def object_labels(scene: Scene, camera: Camera, times: np.ndarray, render: CameraRender) -> list[ObjectLabel]:
    """Labels of every object with at least MIN_PIXELS visible pixels, in the order of frames.

    times: [F] seconds. render: depth, semantic and instance of the camera at these times. Raises ValueError where one
    was not rendered.
    """
    found = []
    for frame, t in enumerate(np.asarray(times, float).tolist()):
        world_to_camera = np.linalg.inv(scene.rig_trajectory.at(t) @ camera.camera_to_rig)
        for cuboid in _cuboids(scene, t):
            corners = cuboid.corners @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
            label = _label(cuboid, frame, corners, camera, render) if corners[:, 2].max() > NEAR else None
            if label:
                found.append(label)
    return found


def _cuboids(scene: Scene, t: float) -> Iterator[_Cuboid]:
    for index, track in enumerate(scene.tracks):
        kind = object_class(track.actor_class)
        if kind is not None and track.exists_at(t):
            yield _Cuboid(track.id, kind, cuboid_corners(track.trajectory.at(t), track.size), index + 1)
    kinds = tuple(OBJECT_CLASSES)
    for light in scene.map.traffic_lights:
        corners = cuboid_corners(light.pose, light.size)
        yield _Cuboid(light.id, kinds.index("traffic_light"), corners, Tag.TRAFFIC_LIGHT)
    for sign in scene.map.traffic_signs:
        yield _Cuboid(sign.id, kinds.index("traffic_sign"), cuboid_corners(sign.pose, sign.size), Tag.TRAFFIC_SIGN)


def _label(
    cuboid: _Cuboid, frame: int, corners: np.ndarray, camera: Camera, render: CameraRender
) -> ObjectLabel | None:
    """corners: [8,3], camera frame. None for less than MIN_PIXELS visible pixels."""
    pixels = camera.model.project(_in_front(corners))
    size = camera.model.width, camera.model.height
    left, top = np.clip(np.round(pixels.min(axis=0)).astype(int), 0, size)
    right, bottom = np.clip(np.round(pixels.max(axis=0)).astype(int) + 1, 0, size)
    if right <= left or bottom <= top:
        return None
    window = np.s_[frame, top:bottom, left:right]
    depths = max(float(corners[:, 2].min()), NEAR), float(corners[:, 2].max())
    mask = _mask(cuboid.kind, cuboid.code, depths, render, window)
    count = int(mask.sum())
    if count < MIN_PIXELS:
        return None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    outline = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(outline, cv2.convexHull(np.round(pixels - (left, top)).astype(np.int32)), 1)
    covered = (render.output("depth")[window] < depths[0] - 0.3) & ~mask & (outline > 0)
    return ObjectLabel(
        id=cuboid.id,
        kind=cuboid.kind,
        frame=frame,
        box=(float(left), float(top), float(right), float(bottom)),
        visible=(
            float(left + columns[0]),
            float(top + rows[0]),
            float(left + columns[-1] + 1),
            float(top + rows[-1] + 1),
        ),
        pixels=count,
        distance=float(np.linalg.norm(corners.mean(axis=0))),
        occlusion=float(covered.sum() / max(1, (outline > 0).sum())),
        code=cuboid.code,
        depths=depths,
    )


def _in_front(corners: np.ndarray) -> np.ndarray:
    """The corners in front of the camera, and where edges cross the plane at NEAR."""
    a, b = corners[EDGES[:, 0]], corners[EDGES[:, 1]]
    crossing = (a[:, 2] > NEAR) != (b[:, 2] > NEAR)
    u = (NEAR - a[crossing, 2]) / (b[crossing, 2] - a[crossing, 2])
    return np.concatenate([corners[corners[:, 2] > NEAR], a[crossing] + u[:, None] * (b[crossing] - a[crossing])])


def paint_lines(scene: Scene, camera: Camera, times: np.ndarray, render: CameraRender) -> np.ndarray:
    """int32 [F,H,W]: 0 without paint, 1 + index of the lane line in the map, MARKING for other paint.

    A painted pixel is of the lane line nearest to it in the image, where that is no further than the width of paint.
    times, render: as of `object_labels`.
    """
    depth, tags = render.output("depth"), render.output("semantic")
    samples, lines = _lane_samples(scene)
    focal = _focal(camera)
    found = np.zeros(tags.shape, np.int32)
    for frame, t in enumerate(np.asarray(times, float).tolist()):
        paint = tags[frame] == Tag.ROAD_LINE
        found[frame][paint] = MARKING
        world_to_camera = np.linalg.inv(scene.rig_trajectory.at(t) @ camera.camera_to_rig)
        seeds = _seeds(samples @ world_to_camera[:3, :3].T + world_to_camera[:3, 3], lines, camera, depth[frame])
        if not paint.any() or not seeds.any():
            continue
        away, nearest = cv2.distanceTransformWithLabels(
            (seeds == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        line_of = np.zeros(int(nearest.max()) + 1, np.int32)
        line_of[nearest[seeds > 0]] = seeds[seeds > 0]
        near = paint & (away <= 1.5 + 0.35 * focal / np.maximum(depth[frame], 0.5))
        found[frame][near] = line_of[nearest[near]]
    return found


def paint_classes(lines: np.ndarray, lane_lines: Sequence[LaneLine]) -> np.ndarray:
    """`paint_lines` -> uint8 [F,H,W]: 0 or 1 + index into PAINT_CLASSES."""
    table = np.array([0, *(1 + paint_class(line) for line in lane_lines), 1 + PAINT_CLASSES.index("marking")], np.uint8)
    return table[lines]


def _lane_samples(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """[M,3] points on lane lines near the ego's path, and [M] 1 + index of the line."""
    path = scene.rig_trajectory.poses[:, :3, 3]
    low, high = path.min(axis=0)[:2] - FARTHEST_PAINT, path.max(axis=0)[:2] + FARTHEST_PAINT
    points, lines = [np.zeros((0, 3))], [np.zeros(0, np.int32)]
    for index, line in enumerate(scene.map.lane_lines, 1):
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line.points, axis=0), axis=1))])
        at = np.arange(0.0, along[-1] + 1e-9, SPACING)
        sampled = np.stack([np.interp(at, along, line.points[:, axis]) for axis in range(3)], axis=1)
        sampled = sampled[((sampled[:, :2] > low) & (sampled[:, :2] < high)).all(axis=1)]
        points.append(sampled)
        lines.append(np.full(len(sampled), index, np.int32))
    return np.concatenate(points), np.concatenate(lines)


def _seeds(points: np.ndarray, lines: np.ndarray, camera: Camera, depth: np.ndarray) -> np.ndarray:
    """int32 [H,W]: the line of each visible sample at its pixel, the nearest on top. points: [M,3], camera frame."""
    height, width = depth.shape
    seeds = np.zeros((height, width), np.int32)
    ahead = (points[:, 2] > NEAR) & (points[:, 2] < FARTHEST_PAINT)
    points, lines = points[ahead], lines[ahead]
    u, v = np.round(camera.model.project(points)).T
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    u, v, z, lines = u[inside].astype(int), v[inside].astype(int), points[inside, 2], lines[inside]
    seen = np.abs(depth[v, u] - z) < 0.05 * z + 0.3
    order = np.flatnonzero(seen)[np.argsort(-z[seen], kind="stable")]
    seeds[v[order], u[order]] = lines[order]
    return seeds


def _focal(camera: Camera) -> float:
    """Pixels per radian at the centre of the image."""
    model = camera.model
    pair = np.array([[model.width / 2, model.height / 2], [model.width / 2 + 1, model.height / 2]])
    a, b = model.unproject(pair)
    return 1.0 / max(float(np.arccos(np.clip(a @ b, -1, 1))), 1e-6)
