"""The navigation mesh that a client's AI controllers lead walkers on: sidewalks, and the roads between them.

A Detour mesh of one tile (Mononen, Recast & Detour, version 7 of its tiles), as CARLA's client loads it. Its axes are
x, height, y of CARLA's frame. Sidewalks are joined where their borders meet; there are no crosswalks in it, and walkers
cross a road only where the client lets them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

import numpy as np

from cosmos_exp.scene.types import Lane, LaneType

SET_MAGIC, SET_VERSION = int.from_bytes(b"TESM", "little"), 1
TILE_MAGIC, TILE_VERSION = int.from_bytes(b"VAND", "little"), 7
AREAS = {LaneType.SIDEWALK: (1, 0x02), LaneType.DRIVING: (3, 0x08), LaneType.SHOULDER: (3, 0x08)}  # area, flag
WALKABLE = (2.0, 0.3, 0.5)  # height, radius and climb of a walker, metres
JOINED = 0.06  # metres within which two corners are one
MOST = 0xFFFF  # corners, and triangles
POLYGON = np.dtype(
    [("link", "<u4"), ("corners", "<u2", 6), ("beside", "<u2", 6), ("flags", "<u2"), ("count", "u1"), ("area", "u1")]
)
DETAIL = np.dtype([("corner", "<u4"), ("triangle", "<u4"), ("corners", "u1"), ("triangles", "u1"), ("unused", "<u2")])
LINK_BYTES = 12
ALL_BOUNDARY = 0b010101  # of a detail triangle: its three edges are those of the polygon


def navigation_mesh(lanes: Iterable[Lane]) -> bytes:
    """Empty where the lanes have no sidewalk, or more than a tile holds. Without roads where those are too many."""
    used = [lane for lane in lanes if lane.type in AREAS and not (lane.junction and lane.type is not LaneType.SIDEWALK)]
    sidewalks = [lane for lane in used if lane.type is LaneType.SIDEWALK]
    for chosen in (used, sidewalks):
        corners, triangles, kinds = _triangles(chosen)
        if len(sidewalks) and 0 < max(len(corners), len(triangles)) < MOST:
            return _set(_tile(corners, triangles, kinds), len(triangles), corners)
    return b""


def _triangles(lanes: list[Lane]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corners [V,3] in Detour's axes, triangles [T,3] of their indices, [T,2] area and flag."""
    corners = _Corners()
    found, kinds = [], []
    for lane in lanes:
        left, right = (corners.indices(edge * [1.0, -1.0, 1.0]) for edge in (lane.left, lane.right))
        for a, b, c, d in zip(left, right, right[1:], left[1:]):
            for triangle in ((a, b, c), (a, c, d)):
                if len(set(triangle)) == 3:
                    found.append(triangle)
                    kinds.append(AREAS[lane.type])
    points = np.array(corners.points).reshape(-1, 3)[:, [0, 2, 1]]
    triangles = np.array(found, int).reshape(-1, 3)
    u, v = points[triangles[:, 1]] - points[triangles[:, 0]], points[triangles[:, 2]] - points[triangles[:, 0]]
    turned = v[:, 0] * u[:, 2] - u[:, 0] * v[:, 2]
    triangles[turned < 0] = triangles[turned < 0][:, ::-1]
    kept = np.abs(turned) > 1e-4
    return points, triangles[kept], np.array(kinds, int).reshape(-1, 2)[kept]


class _Corners:
    """Points without those that are the same."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float, float]] = []
        self._cells: dict[tuple[int, int], list[int]] = {}

    def indices(self, line: np.ndarray) -> list[int]:
        return [self._index(*point) for point in line.tolist()]

    def _index(self, x: float, y: float, z: float) -> int:
        column, row = int(x // JOINED), int(y // JOINED)
        for i in (column - 1, column, column + 1):
            for j in (row - 1, row, row + 1):
                for number in self._cells.get((i, j), ()):
                    px, py, pz = self.points[number]
                    if (px - x) ** 2 + (py - y) ** 2 < JOINED**2 and abs(pz - z) < 0.5:
                        return number
        self.points.append((x, y, z))
        self._cells.setdefault((column, row), []).append(len(self.points) - 1)
        return len(self.points) - 1


def _tile(corners: np.ndarray, triangles: np.ndarray, kinds: np.ndarray) -> bytes:
    count = len(triangles)
    polygons = np.zeros(count, POLYGON)
    polygons["corners"][:, :3], polygons["beside"][:, :3] = triangles, _beside(triangles)
    polygons["area"], polygons["flags"], polygons["count"] = kinds[:, 0], kinds[:, 1], 3
    details = np.zeros(count, DETAIL)
    details["triangle"], details["triangles"] = np.arange(count), 1
    faces = np.tile(np.array([0, 1, 2, ALL_BOUNDARY], np.uint8), (count, 1))
    links = 3 * count
    low, high = corners.min(axis=0) - [0, 1, 0], corners.max(axis=0) + [0, 1, 0]
    header = struct.pack("<2i3iI", TILE_MAGIC, TILE_VERSION, 0, 0, 0, 0)
    header += struct.pack("<9i", count, len(corners), links, count, 0, count, 0, 0, count)
    header += struct.pack("<10f", *WALKABLE, *low, *high, 1.0)
    parts = (corners.astype("<f4"), polygons, np.zeros(links * LINK_BYTES, np.uint8), details, faces)
    return header + b"".join(part.tobytes() for part in parts)


def _beside(triangles: np.ndarray) -> np.ndarray:
    """[T,3] 1 + the triangle beyond each edge, 0 where there is none."""
    beside = np.zeros_like(triangles)
    open_edges: dict[tuple[int, int], tuple[int, int]] = {}
    for number, corners in enumerate(triangles.tolist()):
        for edge in range(3):
            a, b = corners[edge], corners[(edge + 1) % 3]
            other = open_edges.pop((b, a), None)
            if other is None:
                open_edges.setdefault((a, b), (number, edge))
            else:
                beside[number, edge], beside[other] = other[0] + 1, number + 1
    return beside


def _set(tile: bytes, polygons: int, corners: np.ndarray) -> bytes:
    low, high = corners.min(axis=0), corners.max(axis=0)
    bits = max(polygons - 1, 1).bit_length()
    head = struct.pack("<3i", SET_MAGIC, SET_VERSION, 1)
    head += struct.pack("<5f2i", *low, high[0] - low[0], high[2] - low[2], 1, 1 << bits)
    return head + struct.pack("<Ii", 1 << bits, len(tile)) + tile
