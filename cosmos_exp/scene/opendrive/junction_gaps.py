"""Road surface of a junction that no lane covers: the wedges between turning lanes and the slivers along kerbs."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from cosmos_exp.scene.opendrive.notes import Notes
from cosmos_exp.scene.opendrive.planar import nearest
from cosmos_exp.scene.types import Lane, LaneType

CELL = 0.1  # metres
RIM = np.ones((5, 5), np.uint8)  # cells a gap is widened by, for the slivers that the cells of its rim leave
LARGEST_JUNCTION = 500.0  # metres across
LARGEST_GAP = 300.0  # square metres; larger gaps are traffic islands or building blocks
ROAD_SHARE = 0.35  # of a gap's rim that must touch drivable surface
BELOW = 0.01  # metres: keeps lanes on top where a gap's cells overlap them
DRIVABLE = (LaneType.DRIVING, LaneType.BIKING, LaneType.PARKING, LaneType.SHOULDER)


def fill_junctions(junctions: dict[str, list[Lane]], lanes: list[Lane], notes: Notes) -> list[Lane]:
    """Shoulder lanes that cover the gaps of each junction, named `<junction>:gap:<k>`.

    junctions: the lanes of each junction. lanes: all lanes of the map. A gap is bare ground that lanes enclose on all
    sides within the junction's bounding box and that mostly borders on drivable surface.
    """
    boxes = [_bounds([lane]) for lane in lanes]
    found: list[Lane] = []
    for junction, own in junctions.items():
        low, high = _bounds(own)
        if (high - low).max() > LARGEST_JUNCTION:
            notes.add(f"junctions more than {LARGEST_JUNCTION:g} m across keep their gaps", f"junction {junction!r}")
            continue
        near = [lane for lane, (a, b) in zip(lanes, boxes) if (a < high).all() and (b > low).all()]
        grid = _Grid(low, high)
        for lane in near:
            grid.paint(lane)
        heights = np.concatenate([edge for lane in own for edge in (lane.left, lane.right)])
        for gap in grid.gaps():
            for left, right in grid.strips(gap):
                left, right = (_on_surface(edge, heights) for edge in (left, right))
                found.append(Lane(f"{junction}:gap:{len(found)}", LaneType.SHOULDER, left, right, junction=True))
    return found


def _bounds(lanes: list[Lane]) -> tuple[np.ndarray, np.ndarray]:
    points = np.concatenate([edge[:, :2] for lane in lanes for edge in (lane.left, lane.right)])
    return points.min(axis=0), points.max(axis=0)


def _on_surface(xy: np.ndarray, surface: np.ndarray) -> np.ndarray:
    """[N,3]: xy at the height of the nearest of the surface's points, a little below."""
    return np.concatenate([xy, surface[nearest(xy, surface[:, :2]), 2:] - BELOW], axis=1)


class _Grid:
    """Cells around a junction: 0 bare, 1 drivable, 2 other lanes. Rows run along y, columns along x."""

    def __init__(self, low: np.ndarray, high: np.ndarray):
        self.low = low
        columns, rows = np.ceil((high - low) / CELL).astype(int) + 1
        self.cells = np.zeros((rows, columns), np.uint8)

    def paint(self, lane: Lane) -> None:
        a, b = (np.round((edge[:, :2] - self.low) / CELL).astype(np.int32) for edge in (lane.left, lane.right))
        value = 1 if lane.type in DRIVABLE else 2
        for quad in np.stack([a[:-1], a[1:], b[1:], b[:-1]], axis=1):
            cv2.fillConvexPoly(self.cells, cv2.convexHull(quad), value)

    def gaps(self) -> Iterator[np.ndarray]:
        """[rows, columns] bool mask of each enclosed gap."""
        count, labels, stats, _ = cv2.connectedComponentsWithStats((self.cells == 0).astype(np.uint8), connectivity=4)
        rows, columns = self.cells.shape
        for k in range(1, count):
            x, y, width, height, area = stats[k]
            if x == 0 or y == 0 or x + width == columns or y + height == rows or area * CELL**2 > LARGEST_GAP:
                continue
            mask = labels == k
            wide = cv2.dilate(mask.astype(np.uint8), RIM) > 0
            rim = wide & ~mask
            if (self.cells[rim] == 1).mean() >= ROAD_SHARE:
                yield wide & (self.cells != 2)

    def strips(self, mask: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Left and right edges [N,2] of pieces that cover the mask and have one run of cells per row."""
        open_pieces: list[list[tuple[int, int, int]]] = []
        for row in np.flatnonzero(mask.any(axis=1)):
            edges = np.flatnonzero(np.diff(np.concatenate([[0], mask[row].astype(np.int8), [0]])))
            runs = [(int(a), int(b), int(row)) for a, b in zip(edges[::2], edges[1::2])]
            continued = []
            for piece in open_pieces:
                touching = [r for r in runs if r[0] < piece[-1][1] and r[1] > piece[-1][0]]
                alone = len(touching) == 1 and _touched_once(touching[0], open_pieces)
                if piece[-1][2] == row - 1 and alone:
                    piece.append(touching[0])
                    runs.remove(touching[0])
                    continued.append(piece)
                else:
                    yield self._edges(piece)
            open_pieces = continued + [[run] for run in runs]
        for piece in open_pieces:
            yield self._edges(piece)

    def _edges(self, piece: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray]:
        """The piece's sides in driving direction +y, half a cell taller than its rows at both ends."""
        table = np.array([piece[0], *piece, piece[-1]], dtype=np.float64)
        table[0, 2] -= 0.5
        table[-1, 2] += 0.5
        left, right = table[:, [0, 2]], table[:, [1, 2]]
        left[:, 0] -= 0.5
        right[:, 0] -= 0.5
        return self.low + CELL * left, self.low + CELL * right


def _touched_once(run: tuple[int, int, int], pieces: list[list[tuple[int, int, int]]]) -> bool:
    return sum(p[-1][2] == run[2] - 1 and run[0] < p[-1][1] and run[1] > p[-1][0] for p in pieces) == 1
