"""Reference lines and cubic profiles of OpenDRIVE roads, evaluated at arrays of stations.

OpenDRIVE's inertial frame is right-handed (x east, y north, z up), so it is our world frame. Metres and radians.
Formulas: ASAM OpenDRIVE 1.7, chapters 8 (geometries) and 10.5 (elevation).

A record holds from its start to the next record's. Where two meet, `within` says which of them is meant: a station
[N] inside the record's range, by default the station itself, which takes the record that begins there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from cosmos_exp.scene.opendrive.planar import blocks

GAUSS_NODES, GAUSS_WEIGHTS = np.polynomial.legendre.leggauss(8)
SPIRAL_PANELS = 16
CUBIC_PANELS = 64  # of a cubic curve, for its arc length


class Curve(Protocol):
    """A planar curve that starts at the origin along the local u axis (unless its polynomial says otherwise)."""

    def at(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Local points [N,2] and headings [N] at arc lengths s [N]."""
        ...

    def curvature(self, s: np.ndarray) -> np.ndarray:
        """[N] absolute curvature, 1/m."""
        ...


@dataclass(frozen=True)
class Line:
    def at(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.stack([s, np.zeros_like(s)], axis=-1), np.zeros_like(s)

    def curvature(self, s: np.ndarray) -> np.ndarray:
        return np.zeros_like(s)


@dataclass(frozen=True)
class Spiral:
    """Clothoid: curvature grows linearly from `start` to `end` over `length`; an arc where they are equal."""

    start: float
    end: float
    length: float

    def at(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rate = (self.end - self.start) / self.length
        if rate == 0.0:
            return arc_points(self.start, s), self.start * s
        edges = np.linspace(0.0, 1.0, SPIRAL_PANELS + 1)
        nodes = (edges[:-1, None] + (GAUSS_NODES + 1) / 2 * np.diff(edges)[:, None]).ravel()
        weights = np.tile(GAUSS_WEIGHTS / 2 / SPIRAL_PANELS, SPIRAL_PANELS)
        points = np.empty((len(s), 2))
        for rows in blocks(len(s), len(nodes)):
            u = s[rows, None] * nodes
            angle = self.start * u + rate / 2 * u**2
            points[rows] = s[rows, None] * np.stack([np.cos(angle) @ weights, np.sin(angle) @ weights], axis=-1)
        return points, self.start * s + rate / 2 * s**2

    def curvature(self, s: np.ndarray) -> np.ndarray:
        return np.abs(self.start + (self.end - self.start) * s / self.length)


def arc_points(curvature: float, s: np.ndarray) -> np.ndarray:
    """[N,2] points of a circle that leaves the origin along u; a line where the curvature is 0."""
    # sinc keeps the chord exact for curvatures down to 0.
    half = curvature * s / 2
    chord = s * np.sinc(half / np.pi)
    return np.stack([chord * np.cos(half), chord * np.sin(half)], axis=-1)


@dataclass(frozen=True)
class Cubic:
    """u(p), v(p) cubic for p in [0, end], with the arc length from p = 0 as station: paramPoly3, and poly3 with u = p.

    Beyond the curve's last point it goes straight on.
    """

    u: tuple[float, float, float, float]
    v: tuple[float, float, float, float]
    end: float

    @property
    def arc_length(self) -> float:
        return float(self._travelled[-1])

    def _speed(self, p: np.ndarray) -> np.ndarray:
        return np.hypot(slope(self.u, p), slope(self.v, p))

    def _distance(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """[N] arc lengths between p = a and p = b, both [N]: Gauss-Legendre."""
        nodes = a[:, None] + (b - a)[:, None] * (GAUSS_NODES + 1) / 2
        return self._speed(nodes) @ GAUSS_WEIGHTS * (b - a) / 2

    @cached_property
    def _grid(self) -> np.ndarray:
        return np.linspace(0.0, self.end, CUBIC_PANELS + 1)

    @cached_property
    def _travelled(self) -> np.ndarray:
        """[CUBIC_PANELS + 1] arc lengths at the grid."""
        return np.concatenate([[0.0], np.cumsum(self._distance(self._grid[:-1], self._grid[1:]))])

    def _p(self, s: np.ndarray) -> np.ndarray:
        """[N] parameters at arc lengths [N] on the curve: from a table, then two steps of Newton's method."""
        p = np.interp(s, self._travelled, self._grid)
        panel = np.clip(np.searchsorted(self._grid, p, side="right") - 1, 0, CUBIC_PANELS - 1)
        start = self._grid[panel]
        for _ in range(2):
            missing = s - self._travelled[panel] - self._distance(start, p)
            p = np.clip(p + missing / np.maximum(self._speed(p), 1e-9), start, self._grid[panel + 1])
        return p

    def at(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        on_curve = np.clip(s, 0.0, self.arc_length)
        p = self._p(on_curve)
        heading = np.arctan2(slope(self.v, p), slope(self.u, p))
        points = np.stack([polynomial(self.u, p), polynomial(self.v, p)], axis=-1)
        ahead = (s - on_curve)[:, None] * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
        return points + ahead, heading

    def curvature(self, s: np.ndarray) -> np.ndarray:
        p = self._p(np.clip(s, 0.0, self.arc_length))
        return planar_curvature(slope(self.u, p), slope(self.v, p), bend(self.u, p), bend(self.v, p))


def polynomial(c: Sequence[float] | np.ndarray, x: np.ndarray) -> np.ndarray:
    return c[0] + x * (c[1] + x * (c[2] + x * c[3]))


def slope(c: Sequence[float] | np.ndarray, x: np.ndarray) -> np.ndarray:
    return c[1] + x * (2 * c[2] + x * 3 * c[3])


def bend(c: Sequence[float] | np.ndarray, x: np.ndarray) -> np.ndarray:
    return 2 * c[2] + 6 * c[3] * x


def planar_curvature(du: np.ndarray, dv: np.ndarray, ddu: np.ndarray, ddv: np.ndarray) -> np.ndarray:
    return np.abs(du * ddv - dv * ddu) / np.maximum(np.hypot(du, dv), 1e-9) ** 3


@dataclass(frozen=True)
class Geometry:
    """A curve placed at station s with pose (x, y, heading)."""

    s: float
    x: float
    y: float
    heading: float
    length: float
    curve: Curve


@dataclass(frozen=True)
class ReferenceLine:
    """geometries: ordered by station."""

    geometries: tuple[Geometry, ...]

    @cached_property
    def _starts(self) -> np.ndarray:
        return np.array([g.s for g in self.geometries])

    def _pieces(self, s: np.ndarray, within: np.ndarray):
        index = np.maximum(np.searchsorted(self._starts, within, side="right") - 1, 0)
        for i in np.unique(index):
            chosen = index == i
            yield self.geometries[i], chosen, s[chosen] - self.geometries[i].s

    def at(self, s: np.ndarray, within: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """World points [N,2] and headings [N] at stations s [N]."""
        points, headings = np.empty((len(s), 2)), np.empty(len(s))
        for g, chosen, local_s in self._pieces(s, s if within is None else within):
            local, heading = g.curve.at(local_s)
            c, sn = np.cos(g.heading), np.sin(g.heading)
            points[chosen] = local @ np.array([[c, sn], [-sn, c]]) + (g.x, g.y)
            headings[chosen] = heading + g.heading
        return points, headings

    def curvature(self, s: np.ndarray, within: np.ndarray | None = None) -> np.ndarray:
        values = np.empty(len(s))
        for g, chosen, local_s in self._pieces(s, s if within is None else within):
            values[chosen] = g.curve.curvature(local_s)
        return values


@dataclass(frozen=True)
class Profile:
    """Piecewise cubic of the station. starts: [K] ordered. coefficients: [K,4] of (station - start). 0 before the
    first record, and everywhere without records."""

    starts: np.ndarray
    coefficients: np.ndarray

    def _records(self, s: np.ndarray, within: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients [4,N] of the records that hold, and the stations [N] since their starts."""
        i = np.searchsorted(self.starts, s if within is None else within, side="right") - 1
        held = i >= 0
        return np.where(held, self.coefficients[i].T, 0.0), np.where(held, s - self.starts[i], 0.0)

    def __call__(self, s: np.ndarray, within: np.ndarray | None = None) -> np.ndarray:
        return polynomial(*self._records(s, within)) if len(self.starts) else np.zeros(len(s))

    def bend(self, s: np.ndarray, within: np.ndarray | None = None) -> np.ndarray:
        """[N] second derivatives, 1/m."""
        return bend(*self._records(s, within)) if len(self.starts) else np.zeros(len(s))

    @property
    def is_constant(self) -> bool:
        """Is it constant between the starts of its records?"""
        return not self.coefficients[:, 1:].any()


def profile(records: Sequence[tuple[float, float, float, float, float]]) -> Profile:
    """Profile from rows (start, a, b, c, d) in any order; of rows with one start the last holds."""
    table = np.array(sorted(records, key=lambda row: row[0]), dtype=np.float64).reshape(-1, 5)
    return Profile(table[:, 0], table[:, 1:])
