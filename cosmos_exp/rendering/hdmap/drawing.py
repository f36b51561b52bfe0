"""The HD-map control: map elements and object boxes on black, in the style of the RDS-HQ renderer.

Every layer, and every class of objects, has a canvas of its own on which later elements cover earlier ones; the frame
is the maximum of all canvases. There is no depth test. Colours fade with the camera depth z of a stroke:
w = 2 (122.5 - z) / 255. Strokes are 8 px wide (boxes 5 px) in an image of 720 rows.

The reference has defects that are reproduced only with reference_compat: lines, boxes and polygons of which no vertex
is inside the image are not drawn though they may cross it (a pinhole's mirrored points behind the camera count as
inside); strokes beyond the fading range are drawn black over earlier ones; the weight of a polygon there is negative
and wraps to a bright colour; widths do not scale with the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.rendering.hdmap.canvas import LayerCanvas
from cosmos_exp.rendering.hdmap.polygon_clip import clip_to_image
from cosmos_exp.rendering.hdmap.polylines import FARTHEST, draw_polylines
from cosmos_exp.rendering.hdmap.shapes import RANGE, Shapes, crossings, cut_at_camera_plane, subdivided
from cosmos_exp.rendering.hdmap.thick_lines import cap
from cosmos_exp.scene.map_layers import LAYER_SHAPES, MapLayers
from cosmos_exp.sensors.camera import CameraModel

REFERENCE_HEIGHT = 720
MAP_WIDTH, BOX_WIDTH = 8, 5
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
    """The layers of a map, preprocessed for drawing from any pose. `draw` may be called from several threads."""

    def __init__(self, layers: MapLayers, *, reference_compat: bool = False):
        self.reference_compat = reference_compat
        arrays = {name: [np.asarray(v, np.float64).reshape(-1, 3) for v in layers[name]] for name in layers}
        for name in arrays:
            if name not in SHAPES:
                raise UserError(unknown_name("layer", name, SHAPES))
        lines = {name: _polylines(name, v) for name, v in arrays.items() if SHAPES[name] == "polyline"}
        polygons = {name: _walks(name, v) for name, v in arrays.items() if SHAPES[name] != "polyline"}
        self._line_colors = [COLORS[name] for name in lines]
        self._polygon_colors = [COLORS[name] for name in polygons]
        self._lines, self._polygons = Shapes.of([*lines.values()]), Shapes.of([*polygons.values()])
        self._canvases: list[LayerCanvas] = []

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
        compat = self.reference_compat
        world_to_camera = np.linalg.inv(camera_to_world)
        walks = Shapes.of([*([] for _ in self._line_colors), *_box_walks(boxes).values()])
        lines = self._lines.before(world_to_camera).followed_by(walks.before(world_to_camera))
        polygons = self._polygons.before(world_to_camera)
        number, ends = crossings(lines.points, lines.starts, compat)
        cut, cut_starts, depths = cut_at_camera_plane(polygons.points, polygons.starts)
        parts = [lines.points, ends.reshape(-1, 3), cut, polygons.points if compat else cut[:0]]
        pixels = model.project(np.concatenate(parts))
        line_pixels, end_pixels, corners, vertices = np.split(pixels, np.cumsum([len(part) for part in parts[:-1]]))

        canvas = self._take_canvas(model)
        self._draw_lines(canvas, lines, line_pixels, number, end_pixels.reshape(-1, 4))
        cut_polygons = Shapes(cut, cut_starts, polygons.layers)
        shown = _shown_polygons(canvas, polygons, vertices) if compat else depths < RANGE
        self._draw_polygons(canvas, cut_polygons, _truncated(corners, compat), np.where(shown, depths, np.nan))
        canvas.finish(out)
        self._canvases.append(canvas)
        return out

    def _draw_lines(
        self, canvas: LayerCanvas, lines: Shapes, pixels: np.ndarray, number: np.ndarray, ends: np.ndarray
    ) -> None:
        """Map layers and then classes of boxes; number, ends: `crossings`, projected."""
        depth = lines.points[:, 2].copy()
        of_boxes = [*BOX_COLORS.values()]
        for layer, first, last in lines.by_layer():
            is_map = layer < len(self._line_colors)
            color = self._line_colors[layer] if is_map else of_boxes[layer - len(self._line_colors)]
            width = MAP_WIDTH if is_map else BOX_WIDTH
            thickness = width if self.reference_compat else stroke_width(width, canvas.layer.shape[0])
            draw_polylines(
                canvas.layer, canvas.drawn, canvas.shift, canvas.rows, depth, pixels, lines.starts[first : last + 1],
                number, ends, np.array(color, np.float64), thickness, cap(thickness), self.reference_compat,
            )  # fmt: skip
            canvas.merge()

    def _draw_polygons(self, canvas: LayerCanvas, polygons: Shapes, corners: np.ndarray, depths: np.ndarray) -> None:
        """corners: int32 [N,2]; depths: nan for polygons that are not to be drawn."""
        for layer, first, last in polygons.by_layer():
            for i in first + np.flatnonzero(~np.isnan(depths[first:last])):
                start, end = polygons.starts[i], polygons.starts[i + 1]
                if end - start >= 3:
                    _fill(canvas, corners[start:end], depths[i], self._polygon_colors[layer])
            canvas.merge()

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
    """Stroke width in an image of `height` rows, pixels; `width` applies to 720 rows."""
    return max(round(width * height / REFERENCE_HEIGHT), 1)


def _polylines(name: str, elements: list[np.ndarray]) -> list[np.ndarray]:
    lines = [v for v in elements if len(v) >= 2]
    return [subdivided(v) for v in lines] if name in SUBDIVIDED else lines


def _walks(name: str, elements: list[np.ndarray]) -> list[np.ndarray]:
    """Closed walks over the corners of polygons, and over the edges of cuboids."""
    if SHAPES[name] == "cuboid":
        return [v[CUBOID_WALK] for v in elements]
    return [np.concatenate([v, v[:1]]) for v in elements if len(v) >= 2]


def _box_walks(boxes: Iterable[Box]) -> dict[str, list[np.ndarray]]:
    """Per class the walks over the boxes' edges, by track id in the order of strings."""
    walks: dict[str, list[np.ndarray]] = {name: [] for name in BOX_COLORS}
    for box in sorted(boxes, key=lambda box: box.track_id):
        if box.color_class not in BOX_COLORS:
            raise UserError(unknown_name("class of boxes", box.color_class, BOX_COLORS))
        walks[box.color_class].append(box.corners[CUBOID_WALK])
    return walks


def _shown_polygons(canvas: LayerCanvas, polygons: Shapes, pixels: np.ndarray) -> np.ndarray:
    """Which polygons the reference draws: a vertex before the camera and inside the image, and one within RANGE."""
    if not len(polygons.layers):
        return np.zeros(0, bool)
    height, width = canvas.layer.shape
    u, v = _truncated(pixels, True).T
    depth = polygons.points[:, 2]
    inside = (depth > 0) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
    first = polygons.starts[:-1]
    return np.logical_or.reduceat(inside, first) & (np.minimum.reduceat(depth, first) <= RANGE)


def _fill(canvas: LayerCanvas, corners: np.ndarray, depth: float, color: Sequence[int]) -> None:
    """The convex hull of int32 corners [K,2], in one colour."""
    height, width = canvas.layer.shape
    hull = cv2.convexHull(corners)[:, 0]
    if len(hull) < 3:
        return
    hull = clip_to_image(hull, width, height)
    if not len(hull):
        return
    weight = 2 * (RANGE - depth) / 255
    red, green, blue = (int(weight * c) & 255 for c in color)
    cv2.fillPoly(canvas.channels, [hull], (red, green, blue, 0))
    (left, top), (right, bottom) = hull.min(axis=0).tolist(), hull.max(axis=0).tolist()
    canvas.touch(min(left, width - 1), top, min(right, width - 1), bottom)


def _truncated(pixels: np.ndarray, compat: bool) -> np.ndarray:
    """int32. Pixels beyond its range become its least number in the reference, and stay as far out as they can here."""
    if compat:
        return np.where(np.abs(pixels) < 2.0**31, pixels, -(2.0**31)).astype(np.int32)
    return np.nan_to_num(np.clip(pixels, -FARTHEST, FARTHEST)).astype(np.int32)
