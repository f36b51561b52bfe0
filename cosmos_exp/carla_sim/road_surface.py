"""The height of the lanes of a map at any place."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from cosmos_exp.scene.types import Lane

CELL = 8.0  # metres of the grid by which quads are found
LAYER = 2.5  # metres between a height and the surface that belongs to it


class RoadSurface:
    """Quads between the edges of lanes, by cell. World frame (FLU)."""

    def __init__(self, lanes: Iterable[Lane]):
        strips = [np.stack([lane.left[:-1], lane.left[1:], lane.right[1:], lane.right[:-1]], 1) for lane in lanes]
        self._quads = np.concatenate(strips) if strips else np.zeros((0, 4, 3))
        flat = self._quads[..., :2]
        low, high = (np.floor(edge / CELL).astype(int).tolist() for edge in (flat.min(axis=1), flat.max(axis=1)))
        self._cells: dict[tuple[int, int], list[int]] = {}
        for number, ((x0, y0), (x1, y1)) in enumerate(zip(low, high)):
            for x in range(x0, x1 + 1):
                for y in range(y0, y1 + 1):
                    self._cells.setdefault((x, y), []).append(number)

    def height(self, x: float, y: float, z: float) -> float | None:
        """Height of the surface at (x, y) that is nearest to z; None where there is none within LAYER metres of it."""
        found = self._cells.get((int(np.floor(x / CELL)), int(np.floor(y / CELL))))
        if not found:
            return None
        quads = self._quads[found]
        heights = np.concatenate([_heights(quads[:, corners], x, y) for corners in ((0, 1, 2), (0, 2, 3))])
        away = np.abs(heights - z)
        away[np.isnan(away)] = np.inf
        best = int(np.argmin(away))
        return float(heights[best]) if away[best] <= LAYER else None


def _heights(triangles: np.ndarray, x: float, y: float) -> np.ndarray:
    """[N] heights of triangles [N,3,3] at (x, y), NaN beside them."""
    a, b, c = (triangles[:, k] for k in range(3))
    u, v, p = b - a, c - a, np.array([x, y]) - a[:, :2]
    with np.errstate(divide="ignore", invalid="ignore"):
        area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
        s = (p[:, 0] * v[:, 1] - p[:, 1] * v[:, 0]) / area
        t = (u[:, 0] * p[:, 1] - u[:, 1] * p[:, 0]) / area
        inside = (s >= -1e-9) & (t >= -1e-9) & (s + t <= 1 + 1e-9)
        return np.where(inside, a[:, 2] + s * u[:, 2] + t * v[:, 2], np.nan)
