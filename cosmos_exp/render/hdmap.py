"""The HD-map control: map elements and object boxes on black, with the look of the RDS-HQ renderer.

Every layer, and every class of objects, has a canvas of its own on which later elements cover earlier ones; the frame
is the maximum of all canvases. Nothing hides anything by depth. Colours fade with the camera depth z of a stroke:
w = 2 (122.5 - z) / 255. Strokes are 8 px wide (boxes 5 px) in an image of 720 rows.

The reference has defects that this module has only with reference_compat: lines, boxes and polygons of which no vertex
is inside the image are not drawn though they may cross it (a pinhole's mirrored points behind the camera count as
inside); strokes beyond the fading range are drawn black over earlier ones; the weight of a polygon there is negative
and wraps to a bright colour; widths do not scale with the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

from cosmos_exp.errors import UserError, unknown_name
from cosmos_exp.render.hdmap_shapes import RANGE, Shapes, crossings, cut_at_camera_plane, subdivided
from cosmos_exp.render.layer_canvas import LayerCanvas
from cosmos_exp.render.polygon_clip import clip_to_image
from cosmos_exp.render.thick_lines import cap, clip_line, draw_line
from cosmos_exp.scene.map_layers import LAYER_SHAPES, MapLayers
from cosmos_exp.sensors.camera import CameraModel

REFERENCE_HEIGHT = 720
MAP_WIDTH, BOX_WIDTH = 8, 5
FARTHEST = 2.0**28  # pixels
SUBDIVIDED = ("lanelines", "road_boundaries")
SHAPES = {**LAYER_SHAPES, "lanes": "polyline"}

COLORS = {
    "lanelines": (98, 183, 249),
    "lanes": (56, 103, 221),
    "poles": (66, 40, 144),
    "road_boundaries": (200, 36, 35),
    "wait_lines": (185, 63, 34),
    "crosswalks": (206, 131, 63),
    "road_markings": (126, 204, 205),
    "traffic_signs": (131, 175, 155),
    "traffic_lights": (252, 157, 155),
}
BOX_COLORS = {
    "Car": (255, 0, 0),
    "Truck": (0, 0, 255),
    "Pedestrian": (0, 255, 0),
    "Cyclist": (255, 255, 0),
    "Others": (255, 255, 255),
}
# A walk over the corners of a cuboid that passes all of its twelve edges.
CUBOID_WALK = np.array([0, 1, 2, 3, 0, 4, 5, 6, 7, 4, 5, 1, 2, 6, 7, 3])


@dataclass(frozen=True)
class Box:
    """An object's cuboid. color_class: one of BOX_COLORS. corners: [8,3] world, in the order of `cuboid_corners`."""

    track_id: str
    color_class: str
    corners: np.ndarray


class HdMap:
    """A map's layers, subdivided and ready to be drawn from anywhere. `draw` may be called from several threads."""

    def __init__(self, layers: MapLayers, *, reference_compat: bool = False):
        self.reference_compat = reference_compat
        self._lines: dict[str, Shapes] = {}
        self._polygons: dict[str, Shapes] = {}
        for name, elements in layers.items():
            if name not in SHAPES:
                raise UserError(unknown_name("layer", name, SHAPES))
            self._add(name, [np.asarray(v, np.float64).reshape(-1, 3) for v in elements])
        self._canvases: list[LayerCanvas] = []

    def _add(self, name: str, elements: list[np.ndarray]) -> None:
        if SHAPES[name] == "polyline":
            lines = [v for v in elements if len(v) >= 2]
            self._lines[name] = Shapes.of([subdivided(v) for v in lines] if name in SUBDIVIDED else lines)
        elif SHAPES[name] == "surface":
            self._polygons[name] = Shapes.of([np.concatenate([v, v[:1]]) for v in elements if len(v) >= 2])
        else:
            self._polygons[name] = Shapes.of([v[CUBOID_WALK] for v in elements])

    def draw(
        self,
        model: CameraModel,
        camera_to_world: np.ndarray,
        boxes: Iterable[Box] = (),
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """[H,W,3] uint8 RGB. camera_to_world: [4,4], OpenCV camera axes. out: an image of the model's size to fill."""
        if out is None:
            out = np.empty((model.height, model.width, 3), np.uint8)
        frame = _Frame(model, np.linalg.inv(camera_to_world), self._take_canvas(model), self.reference_compat)
        for name, lines in self._lines.items():
            frame.draw_lines(lines, COLORS[name], MAP_WIDTH)
        for name, polygons in self._polygons.items():
            frame.draw_polygons(polygons, COLORS[name])
        for name, lines in _box_lines(boxes).items():
            frame.draw_lines(lines, BOX_COLORS[name], BOX_WIDTH)
        frame.canvas.finish(out)
        self._canvases.append(frame.canvas)
        return out

    def _take_canvas(self, model: CameraModel) -> LayerCanvas:
        """One that no other thread draws on; those of other sizes are dropped."""
        while self._canvases:
            try:
                canvas = self._canvases.pop()
            except IndexError:  # another thread was faster
                break
            if canvas.layer.shape == (model.height, model.width):
                return canvas
        return LayerCanvas(model.width, model.height)


def stroke_width(width: int, height: int) -> int:
    """Pixels, in an image of so many rows, of a stroke that is `width` pixels wide in one of 720."""
    return max(round(width * height / REFERENCE_HEIGHT), 1)


def _box_lines(boxes: Iterable[Box]) -> dict[str, Shapes]:
    """Per class the walks over the boxes' edges, by track id in the order of strings."""
    walks: dict[str, list[np.ndarray]] = {}
    for box in sorted(boxes, key=lambda box: box.track_id):
        if box.color_class not in BOX_COLORS:
            raise UserError(unknown_name("class of boxes", box.color_class, BOX_COLORS))
        walks.setdefault(box.color_class, []).append(box.corners[CUBOID_WALK])
    return {name: Shapes.of(vertices) for name, vertices in walks.items()}


@dataclass(frozen=True)
class _Frame:
    model: CameraModel
    world_to_camera: np.ndarray
    canvas: LayerCanvas
    compat: bool

    def draw_lines(self, lines: Shapes, color: Sequence[int], width: int) -> None:
        points, starts = lines.before(self.world_to_camera)
        if not len(points):
            return
        number, ends = crossings(points, starts, self.compat)
        pixels = self.model.project(points)
        cut = self.model.project(ends.reshape(-1, 3)).reshape(-1, 4)
        thickness = width if self.compat else stroke_width(width, self.model.height)
        canvas = self.canvas
        _draw_lines(
            canvas.layer, canvas.drawn, canvas.shift, canvas.rows, points[:, 2].copy(), pixels, starts, number, cut,
            np.array(color, np.float64), thickness, cap(thickness), self.compat,
        )  # fmt: skip
        canvas.merge()

    def draw_polygons(self, polygons: Shapes, color: Sequence[int]) -> None:
        points, starts = polygons.before(self.world_to_camera)
        if not len(points):
            return
        drawn = False
        cut, cut_starts, depths = cut_at_camera_plane(points, starts)
        corners = _truncated(self.model.project(cut), self.compat)
        seen = self._seen(points, starts) if self.compat else np.ones(len(depths), bool)
        for i in np.flatnonzero(seen):
            first, last = cut_starts[i], cut_starts[i + 1]
            if last - first >= 3 and (self.compat or depths[i] < RANGE):
                drawn |= self._fill(corners[first:last], depths[i], color)
        if drawn:
            self.canvas.merge()

    def _seen(self, points: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Which polygons have a vertex before the camera and inside the image, as the reference asks for."""
        u, v = _truncated(self.model.project(points), True).T
        inside = (points[:, 2] > 0) & (u >= 0) & (u < self.model.width) & (v >= 0) & (v < self.model.height)
        return np.logical_or.reduceat(inside, starts[:-1]) & (np.minimum.reduceat(points[:, 2], starts[:-1]) <= RANGE)

    def _fill(self, corners: np.ndarray, depth: float, color: Sequence[int]) -> bool:
        width, height = self.model.width, self.model.height
        hull = cv2.convexHull(corners)[:, 0]
        if len(hull) < 3:
            return False
        hull = clip_to_image(hull, width, height)
        if not len(hull):
            return False
        weight = 2 * (RANGE - depth) / 255
        red, green, blue = (int(weight * c) & 255 for c in color)
        cv2.fillPoly(self.canvas.channels, [hull], (red, green, blue, 0))
        (left, top), (right, bottom) = hull.min(axis=0).tolist(), hull.max(axis=0).tolist()
        self.canvas.touch(min(left, width - 1), top, min(right, width - 1), bottom)
        return True


def _truncated(pixels: np.ndarray, compat: bool) -> np.ndarray:
    """int32. Pixels beyond its range become its least number in the reference, and stay as far out as they can here."""
    if compat:
        return np.where(np.abs(pixels) < 2.0**31, pixels, -(2.0**31)).astype(np.int32)
    return np.nan_to_num(np.clip(pixels, -FARTHEST, FARTHEST)).astype(np.int32)


@njit(cache=True, nogil=True)
def _whole(pixel, compat):
    """Pixels beyond the range of int32: see `_truncated`."""
    if compat:
        return np.int64(pixel) if -(2.0**31) <= pixel < 2.0**31 else np.int64(-(2**31))
    return np.int64(min(max(pixel, -FARTHEST), FARTHEST))


@njit(cache=True, nogil=True)
def _draw_lines(
    layer, drawn, shift, rows, depth, pixels, starts, number, cut, color, thickness, caps, compat
):  # fmt: skip
    """Polylines with vertices pixels [N,2] float64 at camera depths [N]; number, cut: `crossings`, projected."""
    height, width = layer.shape
    for s in range(len(starts) - 1):
        first, last = starts[s], starts[s + 1]
        if compat and not _shown(depth, pixels, first, last, width, height):
            continue
        for i in range(first, last - 1):
            mean = (depth[i] + depth[i + 1]) / 2
            if number[i] >= 0:
                a, b, c, d = cut[number[i]]
            elif max(depth[i], depth[i + 1]) < 0 or (not compat and depth[i] <= 0):
                continue
            else:
                a, b, c, d = pixels[i, 0], pixels[i, 1], pixels[i + 1, 0], pixels[i + 1, 1]
                a, b, c, d = np.rint(a), np.rint(b), np.rint(c), np.rint(d)
            if not compat and mean >= RANGE:
                continue
            _, x0, y0, x1, y1 = clip_line(
                width - 1, height - 1, _whole(a, compat), _whole(b, compat), _whole(c, compat), _whole(d, compat)
            )
            weight = 2 * (RANGE - min(max(mean, 0.0), RANGE)) / 255
            packed = np.uint32(0)
            for k in range(3):
                packed |= np.uint32(weight * color[k]) << np.uint32(8 * k)
            draw_line(layer, drawn, shift, rows, x0, y0, x1, y1, thickness, caps, packed)


@njit(cache=True, nogil=True)
def _shown(depth, pixels, first, last, width, height):
    """Whether the reference draws a polyline: one vertex inside the image, one within range."""
    inside = near = False
    for i in range(first, last):
        u, v = np.rint(pixels[i, 0]), np.rint(pixels[i, 1])
        inside |= 0 <= u < width and 0 <= v < height
        near |= depth[i] <= RANGE
    return inside and near
