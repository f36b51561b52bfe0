"""Planar curves by arc length: centre lines of roads, lanes and walks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Path:
    """points: [N,2] metres. headings: [N] unwrapped radians. stations: [N] metres from the start, increasing."""

    points: np.ndarray
    headings: np.ndarray
    stations: np.ndarray

    @property
    def length(self) -> float:
        return float(self.stations[-1])

    @property
    def curvature(self) -> float:
        """The largest, 1/m."""
        return float(np.abs(np.diff(self.headings) / np.diff(self.stations)).max())

    def at(self, station: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Positions [...,2] and headings [...] at the given stations, clamped to the ends."""
        xy = np.stack([np.interp(station, self.stations, self.points[:, k]) for k in range(2)], axis=-1)
        return xy, np.interp(station, self.stations, self.headings)

    def offset(self, distance: float | np.ndarray) -> np.ndarray:
        """[N,3] the curve moved `distance` metres to its left, by one number or [N], z = 0."""
        normal = np.stack([-np.sin(self.headings), np.cos(self.headings)], axis=-1)
        return on_ground(self.points + np.asarray(distance)[..., None] * normal)

    def shifted(self, distance: float) -> Path:
        """The parallel curve `distance` metres to the left, by its own arc length."""
        return from_points(self.offset(distance)[:, :2], self.headings)

    def reversed(self) -> Path:
        return Path(self.points[::-1], self.headings[::-1] + np.pi, self.length - self.stations[::-1])

    def part(self, start: float, end: float) -> Path:
        """The piece between two stations."""
        inside = (self.stations > start + 1e-6) & (self.stations < end - 1e-6)
        stations = np.concatenate([[start], self.stations[inside], [end]])
        points, headings = self.at(stations)
        return Path(points, headings, stations - start)


def on_ground(points: np.ndarray) -> np.ndarray:
    """[N,2] -> [N,3] with z = 0."""
    return np.concatenate([points, np.zeros((len(points), 1))], axis=1)


def direction(heading: float) -> np.ndarray:
    """Unit vector [2] of a heading."""
    return np.array([np.cos(heading), np.sin(heading)])


def from_points(points: np.ndarray, headings: np.ndarray) -> Path:
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    return Path(points, headings, np.concatenate([[0.0], np.cumsum(steps)]))


def straight(start: np.ndarray, heading: float, length: float, step: float = 4.0) -> Path:
    """A line; vertices about every `step` metres."""
    stations = np.linspace(0.0, length, max(int(np.ceil(length / step)), 1) + 1)
    points = np.asarray(start, float) + stations[:, None] * direction(heading)
    return Path(points, np.full(len(stations), float(heading)), stations)


def bend(
    start: np.ndarray,
    heading: float,
    *,
    before: float,
    angle: float,
    radius: float,
    after: float,
    transition: float = 15.0,
) -> Path:
    """Straight for `before` metres, a turn by `angle` radians (left positive), straight for `after` metres.

    The curvature rises to 1/radius and falls back linearly over `transition` metres (clothoids), so steering is smooth.
    """
    arc = max(abs(angle) * radius - transition, 0.0)
    peak = abs(angle) / (arc + transition)
    knots = np.cumsum([0.0, before, transition, arc, transition, after])
    stations = np.linspace(0.0, knots[-1], int(np.ceil(knots[-1])) + 1)
    curvature = np.interp(stations, knots, [0.0, 0.0, peak, peak, 0.0, 0.0]) * np.sign(angle)
    step = stations[1]
    headings = heading + np.concatenate([[0.0], np.cumsum((curvature[1:] + curvature[:-1]) / 2 * step)])
    middle = (headings[1:] + headings[:-1]) / 2
    moves = step * np.stack([np.cos(middle), np.sin(middle)], axis=-1)
    return from_points(np.concatenate([[np.asarray(start, float)], start + np.cumsum(moves, axis=0)]), headings)


def quarter_turn(start: np.ndarray, heading: float, end: np.ndarray, left: bool) -> Path:
    """From `start` along `heading` to `end` after turning by 90 degrees: a circular arc with straight leads."""
    sign = 1.0 if left else -1.0
    ahead = direction(heading)
    aside = sign * np.array([-ahead[1], ahead[0]])
    along, across = float((end - start) @ ahead), float((end - start) @ aside)
    radius = min(along, across)
    phi = np.linspace(0.0, np.pi / 2, 13)
    arc = (
        start + (along - radius + radius * np.sin(phi))[:, None] * ahead + (radius * (1 - np.cos(phi)))[:, None] * aside
    )
    points, headings = arc, heading + sign * phi
    if along - radius > 1e-6:
        points, headings = np.vstack([start, points]), np.concatenate([[heading], headings])
    if across - radius > 1e-6:
        points, headings = np.vstack([points, end]), np.concatenate([headings, [headings[-1]]])
    return from_points(points, headings)


def through(points: np.ndarray) -> Path:
    """The path through points [N,2], its headings those of the steps around each."""
    steps = np.gradient(points, axis=0)
    return from_points(points, np.unwrap(np.arctan2(steps[:, 1], steps[:, 0])))


def bezier(start: np.ndarray, heading: float, end: np.ndarray, end_heading: float, handle: float = 0.38) -> Path:
    """A cubic curve between two poses; handle: length of its tangents as a share of the distance."""
    reach = handle * float(np.linalg.norm(end - start))
    a, b = start + reach * direction(heading), end - reach * direction(end_heading)
    u = np.linspace(0.0, 1.0, 21)[:, None]
    v = 1 - u
    points = v**3 * start + 3 * v**2 * u * a + 3 * v * u**2 * b + u**3 * end
    tangents = v**2 * (a - start) + 2 * v * u * (b - a) + u**2 * (end - b)
    turns = np.unwrap(np.concatenate([[heading], np.arctan2(tangents[:, 1], tangents[:, 0])]))
    return from_points(points, turns[1:])


def arc(centre: np.ndarray, radius: float, start: float, end: float) -> Path:
    """Counter-clockwise around the centre from one angle to a larger one; vertices about every metre."""
    angles = np.linspace(start, end, max(int(np.ceil((end - start) * radius)), 2) + 1)
    points = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return from_points(points, angles + np.pi / 2)


def join(*paths: Path) -> Path:
    """One path through all; a vertex shared by two neighbours is kept once."""
    points, headings = [paths[0].points], [paths[0].headings]
    for path in paths[1:]:
        turn = np.round((headings[-1][-1] - path.headings[0]) / (2 * np.pi)) * 2 * np.pi
        skip = 1 if np.linalg.norm(path.points[0] - points[-1][-1]) < 1e-6 else 0
        points.append(path.points[skip:])
        headings.append(path.headings[skip:] + turn)
    return from_points(np.concatenate(points), np.concatenate(headings))
