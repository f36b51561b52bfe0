"""World Scenario maps: what NVIDIA's renderer of Cosmos-Transfer2.5 and Cosmos3 draws with OpenGL, drawn on the CPU.

Lines, areas, signs, lights and objects are projected by the f-theta camera and then drawn flat, with a depth buffer and
four samples per pixel: all between vertices is affine in the image. Colours fade to black at 200 m; lines have their
width in pixels, which shrinks likewise.

The reference has defects that are reproduced only with reference_compat, see `docs/world_scenario.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.rendering.rasterizer import lens_numbers
from cosmos_exp.rendering.wsm import colors, kernels
from cosmos_exp.rendering.wsm.areas import area_triangles
from cosmos_exp.rendering.wsm.colors import Color, line_style
from cosmos_exp.rendering.wsm.elements import Elements
from cosmos_exp.rendering.wsm.strips import LANE_STEP, STEP, Parts, Strips, cut, doubled
from cosmos_exp.sensors.ftheta import FTheta

SAMPLES: dict[int, Sequence[float]] = {1: (0.5,), 4: (0.625, 0.125, 0.875, 0.375)}
"""Offsets in x of a pixel's samples, from its top down. In y they are spread evenly."""
MERGE = 3.0  # pixels up to which parts of a line are drawn as one, where the reference need not be met
SCALED_TO = 1280  # pixels of a picture's width, for which widths of lines are given, where they are scaled
NEAR = 0.05  # metres before the camera where areas and boxes are cut
CUBOID = np.array(  # two triangles per face
    [(0, 1, 2), (0, 2, 3), (4, 5, 6), (4, 6, 7), (0, 1, 5), (0, 5, 4), (1, 2, 6), (1, 6, 5), (2, 3, 7), (2, 7, 6)]
    + [(3, 0, 4), (3, 4, 7)]
)
LIGHT_WALK = np.array([0, 1, 2, 3, 0, 4, 5, 6, 7, 4, 5, 1, 2, 6, 7, 3])
LIGHT = np.stack([np.zeros(14, np.int64), LIGHT_WALK[1:-1], LIGHT_WALK[2:]], axis=1)
BOX = np.array(
    [(0, 1, 5), (0, 4, 5), (2, 3, 7), (2, 6, 7), (0, 2, 3), (0, 1, 2), (4, 6, 7), (4, 5, 6), (0, 4, 7), (0, 3, 7)]
    + [(1, 5, 6), (1, 2, 6)]
)
BOX_EDGES = np.array([(0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7)])
SINGLE_FACE, SINGLE_EDGE = np.array([(0, 1, 2)]), np.array([(0, 1)])
NO_FACES, NO_EDGES = np.zeros((0, 3), np.int64), np.zeros((0, 2), np.int64)
EDGE_COLOR = np.array(colors.BOX_EDGE, np.float64)
FRONT = np.array([True, True, False, False, True, True, False, False])  # corners of a box


@dataclass(frozen=True)
class Box:
    """An object. color_class: one of `colors.BOXES`. corners: [8,3] world, in the order of `cuboid_corners`."""

    track_id: str
    color_class: str
    corners: np.ndarray


class Canvas:
    """The samples of one image, see `kernels`. Black and infinitely far between frames. scale: of widths of lines."""

    def __init__(self, width: int, height: int, samples: int, scale: float):
        self.samples, self.scale = samples, scale
        self.offsets = np.array(SAMPLES[samples])
        self.depth = np.full((samples * height, width), kernels.EMPTY, np.int32)
        self.color = np.zeros((samples * height, width), np.uint32)
        self.used = np.tile(np.array([width, 0], np.int32), (samples * height, 1))
        self.bounds = np.empty((samples * height, 2))

    @property
    def target(self) -> tuple:
        """Last arguments of the kernels that draw."""
        return self.samples, self.offsets, self.bounds, self.depth, self.color, self.used


class WorldScenario:
    """The map of a clip, prepared for drawing from any pose. `draw` may be called from several threads.

    samples: of a pixel, 4 or 1. merge: pixels up to which neighbouring parts of a map line are drawn as one; 0 draws
    each. scaled: widths of lines are a share of the picture's, as if it were drawn SCALED_TO pixels wide and resized;
    else they are in pixels at any size, as in the reference. UserError for a map that cannot be drawn.
    """

    def __init__(
        self,
        elements: Elements,
        *,
        reference_compat: bool = False,
        samples: int = 4,
        merge: float = 0.0,
        scaled: bool = False,
    ):
        if samples not in SAMPLES:
            raise UserError(f"{samples} samples per pixel: allowed are {' and '.join(map(str, SAMPLES))}")
        self.reference_compat, self.samples, self.merge, self.scaled = reference_compat, samples, merge, scaled
        self._strips = Strips.of(_lines(elements, reference_compat))
        self._triangles, self._colors = _triangles(elements, reference_compat)
        self._lights = elements.lights
        self._canvases: list[Canvas] = []

    def draw(
        self,
        model: FTheta,
        camera_to_world: np.ndarray,
        boxes: Iterable[Box] = (),
        frame: int = 0,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """[H,W,3] uint8 RGB. camera_to_world: [4,4], OpenCV camera axes, in the world of the elements. frame: number by
        which states of lights are looked up. out: an image of the model's size to fill."""
        if out is None:
            out = np.empty((model.height, model.width, 3), np.uint8)
        view = _View.of(model, camera_to_world)
        canvas = self._take_canvas(model)
        strips = self._strips
        kernels.draw_strips(
            strips.points, strips.joined, strips.starts, strips.colors, strips.widths * canvas.scale, strips.spheres,
            *view.numbers, self.merge, *canvas.target,
        )  # fmt: skip
        self._fill(canvas, view, self._triangles, self._colors)
        self._draw_lights(canvas, view, frame)
        self._draw_boxes(canvas, view, sorted(boxes, key=lambda box: box.track_id))
        kernels.resolve(canvas.samples, canvas.depth, canvas.color, canvas.used, out)
        self._canvases.append(canvas)
        return out

    def _draw_lights(self, canvas: Canvas, view: _View, frame: int) -> None:
        shape = LIGHT if self.reference_compat else CUBOID
        for corners, state in self._lights:
            if view.depths(corners).max() >= 0:
                tint = np.broadcast_to(np.array(colors.light_color(state(frame)), np.float64), (len(shape), 3, 3))
                self._fill(canvas, view, corners[shape], tint)

    def _draw_boxes(self, canvas: Canvas, view: _View, boxes: Sequence[Box]) -> None:
        """Neighbours in the order of drawing go to the kernel together; those that reach behind the camera are cut."""
        corners = np.stack([box.corners for box in boxes]) if boxes else np.zeros((0, 8, 3))
        front, rear = (np.array([colors.BOXES[box.color_class][end] for box in boxes], np.float64) for end in (0, 1))
        tint = np.where(FRONT[:, None], front[:, None], rear[:, None]) if boxes else corners
        points = view.project(corners)
        if self.reference_compat:
            shown = view.inside(points).any(axis=1)
            return _draw(canvas, points[shown], tint[shown], BOX, BOX_EDGES)
        shown = (points[..., 2].max(axis=1) > NEAR) & (points[..., 2].min(axis=1) < kernels.RANGE)
        crossing = points[..., 2].min(axis=1) <= NEAR
        start = 0
        for i in [*np.flatnonzero(shown & crossing), len(boxes)]:
            whole = start + np.flatnonzero(shown[start:i])
            _draw(canvas, points[whole], tint[whole], BOX, BOX_EDGES)
            if i < len(boxes):
                self._fill(canvas, view, corners[i][BOX], tint[i][BOX])
                edges = view.project(view.before_camera(corners[i][BOX_EDGES]))
                _draw(canvas, edges, np.zeros_like(edges), NO_FACES, SINGLE_EDGE)
            start = i + 1

    def _fill(self, canvas: Canvas, view: _View, triangles: np.ndarray, tint: np.ndarray) -> None:
        """triangles: [N,3,3] world. tint: [N,3,3] of their corners, 0..255."""
        if not self.reference_compat:
            triangles, tint = view.cut(triangles, tint)
        if len(triangles):
            _draw(canvas, view.project(triangles), tint, SINGLE_FACE, NO_EDGES)

    def _take_canvas(self, model: FTheta) -> Canvas:
        """One that no other thread draws on; those of other sizes are dropped."""
        while self._canvases:
            try:
                canvas = self._canvases.pop()
            except IndexError:  # another thread was faster
                break
            if canvas.depth.shape == (self.samples * model.height, model.width):
                return canvas
        scale = model.width / SCALED_TO if self.scaled else 1.0
        return Canvas(model.width, model.height, self.samples, scale)


def warm_up() -> None:
    """Compile or load the kernels."""
    lens = FTheta(64, 36, (32.0, 18.0), (0.0, 32.0, 0.0, 0.0, 0.0, 0.0), backward=False)
    WorldScenario(Elements()).draw(lens, np.eye(4))


@dataclass(frozen=True)
class _View:
    """A camera at a pose. rotation, translation: world to camera; lens: of the kernels."""

    model: FTheta
    rotation: np.ndarray
    translation: np.ndarray
    lens: np.ndarray

    @classmethod
    def of(cls, model: FTheta, camera_to_world: np.ndarray) -> _View:
        inverse = np.linalg.inv(camera_to_world.astype(np.float64))
        return cls(model, np.ascontiguousarray(inverse[:3, :3]), inverse[:3, 3].copy(), lens_numbers(model))

    @property
    def numbers(self) -> tuple:
        return self.rotation, self.translation, self.lens

    def depths(self, points: np.ndarray) -> np.ndarray:
        return points @ self.rotation[2] + self.translation[2]

    def project(self, points: np.ndarray) -> np.ndarray:
        """[...,3] world -> [...,3] pixels and depth."""
        out = np.empty(points.shape)
        flat = np.ascontiguousarray(points, np.float64).reshape(-1, 3)
        kernels.project(flat, *self.numbers, out.reshape(-1, 3))
        return out

    def inside(self, points: np.ndarray) -> np.ndarray:
        """[...] bool: which projected points [...,3] are before the camera and in the image."""
        u, v, depth = np.moveaxis(points, -1, 0)
        return (depth > 0) & (u >= 0) & (u < self.model.width) & (v >= 0) & (v < self.model.height)

    def before_camera(self, edges: np.ndarray) -> np.ndarray:
        """Edges [N,2,3] of the world, cut at NEAR; those behind are left out."""
        depth = self.depths(edges)
        kept = (depth > NEAR).any(axis=1)
        edges, depth = edges[kept].copy(), depth[kept]
        for end in (0, 1):
            behind = np.flatnonzero(depth[:, end] <= NEAR)
            a, b = edges[behind, end], edges[behind, 1 - end]
            share = (NEAR - depth[behind, end]) / (depth[behind, 1 - end] - depth[behind, end])
            edges[behind, end] = a + share[:, None] * (b - a)
        return edges

    def cut(self, triangles: np.ndarray, tint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Triangles [N,3,3] and their corners' colours, cut at NEAR and without those beyond the range."""
        depth = self.depths(triangles)
        inside = depth > NEAR
        whole = inside.all(axis=1) & (depth.min(axis=1) < kernels.RANGE)
        crossing = np.flatnonzero(inside.any(axis=1) & ~inside.all(axis=1))
        corners = np.concatenate([triangles, tint], axis=2)
        pieces = [piece for i in crossing for piece in _cut_triangle(corners[i], depth[i])]
        made = np.concatenate([corners[whole], np.array(pieces).reshape(-1, 3, 6)])
        return made[..., :3], made[..., 3:]


def _draw(canvas: Canvas, points: np.ndarray, tints: np.ndarray, faces: np.ndarray, edges: np.ndarray) -> None:
    """Bodies, as of `kernels.draw_bodies`."""
    tints = np.ascontiguousarray(tints, np.float64)
    kernels.draw_bodies(points, tints, faces, edges, EDGE_COLOR, colors.BOX_EDGE_WIDTH * canvas.scale, *canvas.target)


def _cut_triangle(corners: np.ndarray, depth: np.ndarray) -> Iterator[np.ndarray]:
    """The part of a triangle with corners [3,6] beyond NEAR, as one triangle or two."""
    kept = []
    for i in range(3):
        j = (i + 1) % 3
        if depth[i] > NEAR:
            kept.append(corners[i])
        if (depth[i] > NEAR) != (depth[j] > NEAR):
            kept.append(corners[i] + (NEAR - depth[i]) / (depth[j] - depth[i]) * (corners[j] - corners[i]))
    for i in range(1, len(kept) - 1):
        yield np.stack([kept[0], kept[i], kept[i + 1]])


def _lines(elements: Elements, compat: bool) -> Iterator[tuple[Parts, Color, float]]:
    """All 12-pixel lines, then poles: the reference's order, which decides between equal depths."""
    for lines, color in ((elements.road_boundaries, colors.ROAD_BOUNDARY), (elements.wait_lines, colors.WAIT_LINE)):
        for points in lines:
            yield cut(points, STEP), color, colors.LINE_WIDTH
    for line in elements.lane_lines:
        style = line_style(line.colors, line.styles, reference_compat=compat)
        if style is not None:
            for parts in doubled(cut(line.points, LANE_STEP), style.paint):
                yield parts, style.color, colors.LINE_WIDTH
    for points in elements.poles:
        yield cut(points, STEP), colors.POLE, colors.POLE_WIDTH


def _triangles(elements: Elements, compat: bool) -> tuple[np.ndarray, np.ndarray]:
    """Crosswalks, road markings and signs: triangles [N,3,3] and the colours of their corners."""
    triangles, tints = [np.zeros((0, 3, 3))], [np.zeros((0, 3, 3))]
    layers: list[tuple[str, Sequence[np.ndarray], Color]] = [
        ("crosswalk", elements.crosswalks, colors.CROSSWALK),
        ("road marking", elements.road_markings, colors.ROAD_MARKING),
    ]
    for name, areas, color in layers:
        for number, ring in enumerate(areas):
            made = area_triangles(ring, reference_compat=compat, place=f"{name} {number}")
            triangles.append(made)
            tints.append(np.broadcast_to(np.array(color, np.float64), made.shape))
    for corners in elements.traffic_signs:
        triangles.append(corners[CUBOID])
        tints.append(np.broadcast_to(np.array(colors.TRAFFIC_SIGN, np.float64), (len(CUBOID), 3, 3)))
    return np.concatenate(triangles), np.concatenate(tints)
