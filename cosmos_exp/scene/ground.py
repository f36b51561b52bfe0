"""The ground around a road network on a grid: occupancy, clearance and elevation."""

from __future__ import annotations

import cv2
import numpy as np

from cosmos_exp.scene.types import Lane

MARGIN = 60.0  # metres around the lanes that the grids reach
MAX_CELLS = 3000  # per side of the occupancy grid


class OccupancyGrid:
    """Occupancy of the ground.

    origin: [2] metres of cell (0, 0). cell: metres per cell. occupied: [rows, columns] uint8, 1 = occupied.
    """

    def __init__(self, lanes: tuple[Lane, ...]):
        edges = np.concatenate([e[:, :2] for lane in lanes for e in (lane.left, lane.right)])
        self.origin = edges.min(0) - MARGIN
        extent = edges.max(0) + MARGIN - self.origin
        self.cell = max(0.5, float(extent.max()) / MAX_CELLS)
        width, height = np.ceil(extent / self.cell).astype(int) + 1
        self.occupied = np.zeros((height, width), np.uint8)

    def paint(self, polygon: np.ndarray) -> None:
        """Mark every cell that the polygon [K,2+] touches as occupied."""
        cells = self.cells(polygon[:, :2])
        cv2.fillPoly(self.occupied, [cells], 1)

    def paint_strip(self, left: np.ndarray, right: np.ndarray) -> None:
        """Mark the strip between two polylines [N,3], quad by quad (the strip may fold or be concave)."""
        a, b = self.cells(left[:, :2]), self.cells(right[:, :2])
        quads = np.stack([a[:-1], a[1:], b[1:], b[:-1]], axis=1)
        for quad in quads:
            cv2.fillConvexPoly(self.occupied, cv2.convexHull(quad), 1)

    def cells(self, points: np.ndarray) -> np.ndarray:
        """[N,2] int32 (column, row)."""
        return np.round((points - self.origin) / self.cell).astype(np.int32)

    def lookup(self, image: np.ndarray, points: np.ndarray, outside: float) -> np.ndarray:
        """Values of an image on this grid at points [N,2]; `outside` beyond the grid."""
        cells = self.cells(points)
        height, width = image.shape
        inside = (cells >= 0).all(1) & (cells[:, 0] < width) & (cells[:, 1] < height)
        values = np.full(len(points), outside, float)
        values[inside] = image[cells[inside, 1], cells[inside, 0]]
        return values

    def is_free(self, polygon: np.ndarray) -> bool:
        """Does the convex polygon [K,2] lie on the grid and touch no occupied cell?"""
        cells = self.cells(polygon)
        low, high = cells.min(0), cells.max(0)
        height, width = self.occupied.shape
        if (low < 0).any() or high[0] >= width or high[1] >= height:
            return False
        window = np.zeros((high[1] - low[1] + 1, high[0] - low[0] + 1), np.uint8)
        cv2.fillConvexPoly(window, cells - low, 1)
        return not (self.occupied[low[1] : high[1] + 1, low[0] : high[0] + 1] & window).any()

    def close_gaps(self, width: float) -> None:
        """Mark free slivers narrower than `width` metres as occupied, such as those between lanes of a junction."""
        size = 2 * round(width / self.cell / 2) + 1
        self.occupied = cv2.morphologyEx(self.occupied, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))

    def clearance(self) -> np.ndarray:
        """[rows, columns] float32 metres to the nearest occupied cell."""
        return cv2.distanceTransform(1 - self.occupied, cv2.DIST_L2, 3) * self.cell


class GroundHeight:
    """Height of the ground beside the lanes: that of the nearest lane edge."""

    CELL = 3.0

    def __init__(self, lanes: tuple[Lane, ...]):
        edges = np.concatenate([e for lane in lanes for e in (lane.left, lane.right)])
        self.origin = edges[:, :2].min(0) - MARGIN
        columns, rows = np.ceil((edges[:, :2].max(0) + MARGIN - self.origin) / self.CELL).astype(int) + 1
        unknown = np.ones((rows, columns), np.uint8)
        c, r = self.cells(edges[:, :2])
        unknown[r, c] = 0
        _, self.nearest = cv2.distanceTransformWithLabels(unknown, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        self.heights = np.zeros(int(self.nearest.max()) + 1)
        self.heights[self.nearest[r, c]] = edges[:, 2]

    def cells(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Columns and rows of points [...,2]."""
        cells = np.round((xy - self.origin) / self.CELL).astype(int)
        return cells[..., 0], cells[..., 1]

    def at(self, xy: np.ndarray) -> np.ndarray:
        """Heights [...] of points [...,2], which lie within MARGIN of the lanes' bounding box."""
        columns, rows = self.cells(xy)
        height, width = self.nearest.shape
        return self.heights[self.nearest[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]]
