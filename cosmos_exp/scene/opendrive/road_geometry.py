"""Reference lines and cubic profiles of OpenDRIVE roads, evaluated at arrays of stations.

OpenDRIVE's inertial frame is right-handed (x east, y north, z up), so it is our world frame. Metres and radians.
Formulas: ASAM OpenDRIVE 1.7, chapters 8 (geometries) and 10.5 (elevation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

GAUSS_NODES, GAUSS_WEIGHTS = np.polynomial.legendre.leggauss(8)
SPIRAL_PANELS = 16
ARC_LENGTH_SAMPLES = 256


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
        u = s[:, None] * nodes
        angle = self.start * u + rate / 2 * u**2
        points = s[:, None] * np.stack([np.cos(angle) @ weights, np.sin(angle) @ weights], axis=-1)
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
class ParamPoly3:
    """u(p), v(p) cubic; p runs over [0, 1] (normalised) or [0, length] while s runs over [0, length]."""

    u: tuple[float, float, float, float]
    v: tuple[float, float, float, float]
    length: float
    normalized: bool

    def _p(self, s: np.ndarray) -> np.ndarray:
        return s / self.length if self.normalized else s

    def at(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p = self._p(s)
        points = np.stack([polynomial(self.u, p), polynomial(self.v, p)], axis=-1)
        return points, np.arctan2(slope(self.v, p), slope(self.u, p))

    def curvature(self, s: np.ndarray) -> np.ndarray:
        p = self._p(s)
        return planar_curvature(slope(self.u, p), slope(self.v, p), bend(self.u, p), bend(self.v, p))


@dataclass(frozen=True)
class Poly3:
    """v(u) cubic in the local frame; the station is the arc length along it."""

    v: tuple[float, float, float, float]
    length: float

    def _u(self, s: np.ndarray) -> np.ndarray:
        grid = np.linspace(0.0, self.length, ARC_LENGTH_SAMPLES)
        speed = np.hypot(1.0, slope(self.v, grid))
        travelled = np.concatenate([[0.0], np.cumsum((speed[1:] + speed[:-1]) / 2 * np.diff(grid))])
        return np.interp(s, travelled, grid)

    def at(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u = self._u(s)
        return np.stack([u, polynomial(self.v, u)], axis=-1), np.arctan(slope(self.v, u))

    def curvature(self, s: np.ndarray) -> np.ndarray:
        u = self._u(s)
        return planar_curvature(np.ones_like(u), slope(self.v, u), np.zeros_like(u), bend(self.v, u))


def polynomial(c: Sequence[float] | np.ndarray, x: np.ndarray) -> np.ndarray:
    return c[0] + x * (c[1] + x * (c[2] + x * c[3]))


def slope(c: Sequence[float], x: np.ndarray) -> np.ndarray:
    return c[1] + x * (2 * c[2] + x * 3 * c[3])


def bend(c: Sequence[float], x: np.ndarray) -> np.ndarray:
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

    def _pieces(self, s: np.ndarray):
        starts = np.array([g.s for g in self.geometries])
        index = np.clip(np.searchsorted(starts, s + 1e-9, side="right") - 1, 0, len(starts) - 1)
        for i in np.unique(index):
            chosen = index == i
            yield self.geometries[i], chosen, s[chosen] - self.geometries[i].s

    def at(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World points [N,2] and headings [N] at stations s [N]."""
        points, headings = np.empty((len(s), 2)), np.empty(len(s))
        for g, chosen, local_s in self._pieces(s):
            local, heading = g.curve.at(local_s)
            c, sn = np.cos(g.heading), np.sin(g.heading)
            points[chosen] = local @ np.array([[c, sn], [-sn, c]]) + (g.x, g.y)
            headings[chosen] = heading + g.heading
        return points, headings

    def curvature(self, s: np.ndarray) -> np.ndarray:
        values = np.empty(len(s))
        for g, chosen, local_s in self._pieces(s):
            values[chosen] = g.curve.curvature(local_s)
        return values


@dataclass(frozen=True)
class Profile:
    """Piecewise cubic of the station. starts: [K] ordered. coefficients: [K,4] of (station - start). Empty: 0."""

    starts: np.ndarray
    coefficients: np.ndarray

    def __call__(self, s: np.ndarray) -> np.ndarray:
        if len(self.starts) == 0:
            return np.zeros(len(s))
        i = np.clip(np.searchsorted(self.starts, s + 1e-9, side="right") - 1, 0, len(self.starts) - 1)
        return polynomial(self.coefficients[i].T, s - self.starts[i])

    @property
    def is_curved(self) -> bool:
        return bool(np.any(np.abs(self.coefficients[:, 2:]) > 1e-9))


def profile(records: Sequence[tuple[float, float, float, float, float]]) -> Profile:
    """Profile from rows (start, a, b, c, d) in any order."""
    table = np.array(sorted(records), dtype=np.float64).reshape(-1, 5)
    return Profile(table[:, 0], table[:, 1:])
