"""Areas as triangles: as outlined, or, as the reference fills them, the Delaunay triangles of their vertices."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.rendering.roads import triangulated
from cosmos_exp.rendering.wsm.strips import STEP, cut

MOST_VERTICES = 1000  # of an area, once it is cut

Point = tuple[int, int]


def area_triangles(ring: np.ndarray, *, reference_compat: bool, place: str) -> np.ndarray:
    """Triangles [N,3,3] float32 of a ring [K,3], closed or open, whose edges are cut at STEP metres.

    The outline on the ground, that is in the first two coordinates, is kept. reference_compat: the convex hull is
    filled in the plane of these coordinates, and UserError for a ring without an area there, which ends the reference.
    place: name of the area in messages.
    """
    starts, ends = cut(ring, STEP)
    points = np.concatenate([starts, ends[-1:]])
    if len(points) > MOST_VERTICES:
        raise UserError(f"{place} has {len(points)} vertices, one every {STEP:g} m: at most {MOST_VERTICES} are drawn")
    if np.allclose(points[-1], points[0]):
        points = points[:-1]
    if not reference_compat:
        return triangulated(_without_repeats(points.astype(np.float64))).astype(np.float32)
    triangles = delaunay(points[:, :2])
    if not len(triangles):
        raise UserError(
            f"{place} has no area across the first heading of the car (it is level): the reference stops there; "
            "without --reference-compat it is drawn"
        )
    return points[triangles]


def delaunay(points: np.ndarray) -> np.ndarray:
    """Triangles [N,3] of indices into float points [K,2]; empty where all points are on one line.

    Exact arithmetic: a triangulation by sweeping is made Delaunay's by flips (Lawson, 1977). Of four points on one
    circle, either diagonal may be the result.
    """
    exact = _whole_numbers(points)
    order = sorted(range(len(exact)), key=lambda i: exact[i])
    order = [i for n, i in enumerate(order) if n == 0 or exact[i] != exact[order[n - 1]]]
    mesh = _Mesh(exact)
    mesh.sweep(order)
    mesh.flip()
    return np.array(sorted(mesh.triangles()), np.int64).reshape(-1, 3)


class _Mesh:
    """Triangles by their directed edges: `apex[a, b]` is the third corner of the triangle to the left of a -> b."""

    def __init__(self, points: list[Point]):
        self.points = points
        self.apex: dict[tuple[int, int], int] = {}

    def triangles(self) -> Iterable[tuple[int, int, int]]:
        return {(a, b, c) for (a, b), c in self.apex.items() if a < b and a < c}

    def sweep(self, order: list[int]) -> None:
        """Add points from left to right, each joined with the edges of the hull that it sees."""
        line = 2
        while line < len(order) and self._turn(order[0], order[1], order[line]) == 0:
            line += 1
        if line >= len(order):
            return
        tip = order[line]
        turn = self._turn(order[0], order[1], tip)
        first = order[:line]
        for a, b in pairwise(first):
            self._add(*((a, b, tip) if turn > 0 else (b, a, tip)))
        hull = [*first, tip] if turn > 0 else [*first[::-1], tip]
        for new in order[line + 1 :]:
            hull = self._extended(hull, new)

    def _extended(self, hull: list[int], new: int) -> list[int]:
        """The hull, counter-clockwise, with a point to the right of it."""
        count = len(hull)
        seen = [self._turn(hull[i], hull[(i + 1) % count], new) < 0 for i in range(count)]
        for i in range(count):
            if seen[i]:
                self._add(hull[(i + 1) % count], hull[i], new)
        begin = next(i for i in range(count) if seen[i] and not seen[i - 1])
        end = next(i for i in range(begin, begin + count) if not seen[(i + 1) % count]) + 1
        kept = [hull[i % count] for i in range(end, begin + count + 1)]
        return [*kept, new]

    def _add(self, a: int, b: int, c: int) -> None:
        self.apex[a, b], self.apex[b, c], self.apex[c, a] = c, a, b

    def flip(self) -> None:
        waiting = list(self.apex)
        while waiting:
            a, b = waiting.pop()
            c, d = self.apex.get((a, b)), self.apex.get((b, a))
            if c is None or d is None or not self._inside(a, b, c, d):
                continue
            for edge in ((a, b), (b, a)):
                del self.apex[edge]
            self._add(a, d, c)
            self._add(d, b, c)
            waiting += [(a, d), (d, b), (b, c), (c, a)]

    def _turn(self, a: int, b: int, c: int) -> int:
        """Above 0 where c is to the left of a -> b."""
        (ax, ay), (bx, by), (cx, cy) = self.points[a], self.points[b], self.points[c]
        return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)

    def _inside(self, a: int, b: int, c: int, d: int) -> bool:
        """Whether d is inside the circle through a, b, c (counter-clockwise)."""
        dx, dy = self.points[d]
        (px, py), (qx, qy), (rx, ry) = ((self.points[i][0] - dx, self.points[i][1] - dy) for i in (a, b, c))
        p, q, r = px * px + py * py, qx * qx + qy * qy, rx * rx + ry * ry
        return p * (qx * ry - qy * rx) - q * (px * ry - py * rx) + r * (px * qy - py * qx) > 0


def _whole_numbers(points: np.ndarray) -> list[Point]:
    """All coordinates times one power of two that makes them whole."""
    exact = [(Fraction(float(x)), Fraction(float(y))) for x, y in points]
    scale = max((value.denominator for point in exact for value in point), default=1)
    return [(int(x * scale), int(y * scale)) for x, y in exact]


def _without_repeats(points: np.ndarray) -> np.ndarray:
    repeats = (points[1:] == points[:-1]).all(axis=1)
    return points[np.concatenate([[True], ~repeats])]
