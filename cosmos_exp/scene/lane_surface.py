"""The height of the lanes of a map at any place."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from cosmos_exp.scene.types import Lane

CELL = 8.0  # metres of the grid by which triangles are found
SMALLEST = 1e-9  # m^2: a smaller triangle is none
EDGE = 1e-6  # share of a triangle that it is larger, so that no point falls between two


class LaneSurface:
    """Triangles between the edges of lanes, by cell. World frame (FLU)."""

    def __init__(self, lanes: Iterable[Lane]):
        lanes = list(lanes)
        strips = [np.stack([lane.left[:-1], lane.left[1:], lane.right[1:], lane.right[:-1]], 1) for lane in lanes]
        quads = np.concatenate(strips) if strips else np.zeros((0, 4, 3))
        triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
        u, v = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
        area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
        kept = np.abs(area) > SMALLEST
        triangles, u, v, area = triangles[kept], u[kept], v[kept], area[kept, None]
        self._corner = triangles[:, 0]
        pieces = np.array([(lane, piece) for lane, strip in enumerate(strips) for piece in range(len(strip))], int)
        self._piece = np.tile(pieces.reshape(-1, 2), (2, 1))[kept]
        # Shares s, t of the edges u and v at a place p from the corner, as rows to be multiplied by p; then the height.
        self._s = np.stack([v[:, 1], -v[:, 0]], 1) / area
        self._t = np.stack([-u[:, 1], u[:, 0]], 1) / area
        self._rise = self._s * u[:, 2:] + self._t * v[:, 2:]
        self._cells = _by_cell(triangles[..., :2])

    def heights(self, points: np.ndarray, within: float = np.inf) -> np.ndarray:
        """[N] z of the surface at the x, y of points [N,3], the level nearest to their z; NaN beside all lanes, and
        where the level is more than `within` metres away."""
        return self._below(points, within)[1]

    def piece(self, point: np.ndarray, within: float = np.inf) -> tuple[int, int] | None:
        """Which lane is below a point [3], and between which of its stations: from that index to the next. None beside
        all lanes."""
        index, height = self._below(point[None], within)
        return None if np.isnan(height[0]) else (int(self._piece[index[0], 0]), int(self._piece[index[0], 1]))

    def _below(self, points: np.ndarray, within: float) -> tuple[np.ndarray, np.ndarray]:
        """[N] the triangle at the x, y of points [N,3] that is nearest to their z, and its height, NaN for none."""
        cells = {(x, y) for x, y in np.floor(points[:, :2] / CELL).astype(int).tolist()}
        found = [self._cells[cell] for cell in cells if cell in self._cells]
        if not found:
            return np.zeros(len(points), int), np.full(len(points), np.nan)
        index = found[0] if len(found) == 1 else np.concatenate(found)
        place = points[:, None, :2] - self._corner[None, index, :2]
        s = (place * self._s[index]).sum(axis=2)
        t = (place * self._t[index]).sum(axis=2)
        height = self._corner[index, 2] + (place * self._rise[index]).sum(axis=2)
        away = np.abs(height - points[:, 2:])
        away[(s < -EDGE) | (t < -EDGE) | (s + t > 1 + EDGE) | (away > within)] = np.inf
        best = away.argmin(axis=1)
        rows = np.arange(len(points))
        return index[best], np.where(np.isfinite(away[rows, best]), height[rows, best], np.nan)


def _by_cell(triangles: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    """Indices of the triangles [N,3,2] whose bounding boxes meet each cell."""
    low, high = (np.floor(edge / CELL).astype(int).tolist() for edge in (triangles.min(axis=1), triangles.max(axis=1)))
    cells: dict[tuple[int, int], list[int]] = {}
    for number, ((x0, y0), (x1, y1)) in enumerate(zip(low, high)):
        for x in range(x0, x1 + 1):
            for y in range(y0, y1 + 1):
                cells.setdefault((x, y), []).append(number)
    return {cell: np.array(found) for cell, found in cells.items()}
