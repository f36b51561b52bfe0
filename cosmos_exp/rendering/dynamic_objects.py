"""Per-frame geometry and lighting: dynamic objects, traffic light lenses, lamp light and contact shadows."""

from __future__ import annotations

import numpy as np

from cosmos_exp.rendering.actors import actor_mesh
from cosmos_exp.rendering.compiled import kernel, part
from cosmos_exp.rendering.frame_objects import FrameObjects, PlacedObject
from cosmos_exp.rendering.geometry import Geometry, compile_mesh, srgb_to_linear
from cosmos_exp.rendering.lighting import GroundGrid
from cosmos_exp.rendering.mesh import Material
from cosmos_exp.rendering.palette import Tag
from cosmos_exp.rendering.raster_kernels import place
from cosmos_exp.rendering.structures import signal_lamps, street_lamps
from cosmos_exp.scene.types import ActorClass, LightState, SceneMap

GRID_CELLS = 320
GRID_CELL = 0.5
LENS_COLORS = {
    LightState.RED: (1.0, 0.06, 0.04),
    LightState.YELLOW: (1.0, 0.62, 0.05),
    LightState.GREEN: (0.1, 0.95, 0.35),
}
LENS_ORDER = (LightState.RED, LightState.YELLOW, LightState.GREEN)
LAMP_REACH = 11.0
LIT = (ActorClass.CAR, ActorClass.TRUCK, ActorClass.BUS, ActorClass.MOTORCYCLE)


class DynamicObjects:
    """Geometry of moving objects and of the map's signals, relative to `origin` [3]. Meshes are kept by instance."""

    def __init__(self, scene_map: SceneMap, origin: np.ndarray):
        self.origin = origin
        self.templates: dict[int, dict[tuple[str, int], Geometry]] = {}
        lights = scene_map.traffic_lights
        self.lenses = np.array([np.stack(signal_lamps(light)) - origin for light in lights]).reshape(-1, 3, 6, 3, 3)
        heads = [head - origin for _, head in street_lamps(scene_map, [light.pose[:2, 3] for light in lights])]
        self.lamp_heads = np.array(heads).reshape(-1, 3)

    def relative(self, pose: np.ndarray) -> np.ndarray:
        """A world pose [4,4] relative to the origin."""
        pose = pose.copy()
        pose[:3, 3] -= self.origin
        return pose

    def forget(self, instance: int) -> None:
        """Drop the meshes of an object that will not be drawn again."""
        self.templates.pop(instance, None)

    def geometry(self, frame: FrameObjects) -> Geometry:
        placed = [self.relative(item.pose) for item in frame.objects]
        templates = [self._template(item) for item in frame.objects]
        lens_count = self.lenses.shape[0] * 18
        total = sum(map(len, templates)) + lens_count
        triangles, attributes = np.empty((total, 3, 3), np.float32), np.empty((total, 16), np.float32)
        codes, two_sided = np.empty((total, 3), np.int32), np.zeros(total, bool)
        chunks, spheres = np.zeros(len(placed) + 2, np.int64), np.empty((len(placed) + 1, 4))
        start = 0
        for k, (pose, local) in enumerate(zip(placed, templates)):
            end = start + len(local)
            place(local.triangles, local.attributes, pose, triangles[start:end], attributes[start:end])
            codes[start:end], two_sided[start:end] = local.codes, local.two_sided
            spheres[k, :3] = pose[:3, :3] @ local.spheres[0, :3] + pose[:3, 3]
            spheres[k, 3] = local.spheres[0, 3]
            chunks[k + 1] = start = end
        self._write_lenses(frame, triangles[start:], attributes[start:], codes[start:])
        two_sided[start:] = True
        spheres[-1] = (0, 0, 0, 1e6)
        chunks[-1] = total
        return Geometry(triangles, two_sided, attributes, codes, chunks, spheres)

    def _template(self, item: PlacedObject) -> Geometry:
        meshes, key = self.templates.setdefault(item.instance, {}), (item.track.id, item.phase)
        if key not in meshes:
            mesh = actor_mesh(item.track, item.instance, item.phase)
            meshes[key] = compile_mesh(mesh, np.zeros(3), chunked=False)
        return meshes[key]

    def _write_lenses(
        self, frame: FrameObjects, triangles: np.ndarray, attributes: np.ndarray, codes: np.ndarray
    ) -> None:
        if not len(triangles):
            return
        triangles[:] = self.lenses.reshape(-1, 3, 3)
        attributes[:] = 0
        attributes[:, 2] = 1
        codes[:] = (Material.SIGNAL, Tag.TRAFFIC_LIGHT, 0)
        for i, state in enumerate(frame.light_states):
            for k, lens in enumerate(LENS_ORDER):
                rows = slice(18 * i + 6 * k, 18 * i + 6 * k + 6)
                lit = state is lens
                attributes[rows, 3:6] = srgb_to_linear(LENS_COLORS[lens]) * (1.0 if lit else 0.06)
                attributes[rows, 14] = float(lit)

    def ground_grid(self, frame: FrameObjects) -> GroundGrid:
        """Light of street lamps and headlights, and contact shadows under vehicles, around the ego."""
        centre = self.relative(frame.ego)[:2, 3]
        low = np.floor(centre / GRID_CELL) * GRID_CELL - GRID_CELLS / 2 * GRID_CELL
        boxes = np.zeros((len(frame.objects), 8))
        for k, item in enumerate(frame.objects):
            track, pose = item.track, self.relative(item.pose)
            length, width, _ = track.size
            boxes[k] = (
                *pose[:2, 3],
                *pose[:2, 0],
                length / 2,
                width / 2,
                track.actor_class in LIT,
                track.role != "parked",
            )
        values = np.zeros((2, GRID_CELLS, GRID_CELLS), np.float32)
        _fill_grid(values[0], values[1], low, GRID_CELL, self.lamp_heads, boxes, LAMP_REACH)
        return GroundGrid(values, low, GRID_CELL)


@kernel(seconds=0.4)
def _fill_grid(light, shade, low, cell, lamps, boxes, reach):
    """boxes: [N,8] = centre, heading, half length, half width, has lamps, is in traffic."""
    for i in range(len(lamps)):
        x, y = (lamps[i, 0] - low[0]) / cell, (lamps[i, 1] - low[1]) / cell
        rows, columns = _window(x, y, 2.2 * reach / cell, light.shape[0])
        for r in range(rows[0], rows[1]):
            for c in range(columns[0], columns[1]):
                d = ((c + 0.5 - x) ** 2 + (r + 0.5 - y) ** 2) * cell * cell / (reach * reach)
                light[r, c] += 0.8 * max(1.0 - d / 4.84, 0.0) / (1.0 + 5.0 * d)
    for i in range(len(boxes)):
        hx, hy, length, width = boxes[i, 2], boxes[i, 3], boxes[i, 4], boxes[i, 5]
        x, y = (boxes[i, 0] - low[0]) / cell, (boxes[i, 1] - low[1]) / cell
        lit = boxes[i, 6] > 0 and boxes[i, 7] > 0
        rows, columns = _window(x, y, (length + (20.0 if lit else 1.0)) / cell, light.shape[0])
        for r in range(rows[0], rows[1]):
            for c in range(columns[0], columns[1]):
                dx, dy = (c + 0.5 - x) * cell, (r + 0.5 - y) * cell
                u, v = dx * hx + dy * hy, -dx * hy + dy * hx
                away = np.hypot(max(abs(u) - length, 0.0), max(abs(v) - width, 0.0))
                shade[r, c] = max(shade[r, c], 1.0 - min(away / 0.7, 1.0))
                ahead = u - length
                if lit and ahead > 0.0 and abs(v) < 12.0:
                    spread = v / (1.2 + 0.35 * ahead)
                    light[r, c] += 0.5 * np.exp(-spread * spread) * max(1.0 - ahead / 20.0, 0.0) ** 1.5


@part()
def _window(x, y, radius, size):
    """Rows and columns within `radius`, the border left out."""
    rows = (max(int(y - radius), 1), min(int(y + radius) + 2, size - 1))
    columns = (max(int(x - radius), 1), min(int(x + radius) + 2, size - 1))
    return rows, columns
