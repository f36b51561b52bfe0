"""Map lines as strips of short parts: cut, painted, doubled, and laid out for the kernel that draws them.

Arithmetic is float32 where the reference's is, since it decides how many parts there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.rendering.wsm.colors import Color, Paint

LANE_STEP, STEP = 0.05, 0.8  # metres, of which parts are a little longer
DASH, DASH_PERIOD = np.float32(3.0), np.float32(12.0)
SHORT_DASH, SHORT_PERIOD = np.float32(1.5), np.float32(3.0)
DOTTED, DOT_BLOCK, EVERY = 18, 72, 3  # parts of a group of dots, of it with its gap, and between dots
ONE_IN = 10
GAP = 0.2  # metres between the lines of a double one
MOST_PARTS = 6_000_000  # of a map: 300 km of lane lines
CHUNK = 64  # points that are tested for visibility together

Parts = tuple[np.ndarray, np.ndarray]
"""Starts and ends, float32 [N,3] each."""


@dataclass(frozen=True)
class Strips:
    """points: float32 [N,3]. joined: bool [N], whether a part leads from a point to the next.

    Chunks of points of one line, [C+1] `starts`, with color uint8 [C,3], width float64 [C] in pixels at depth 0, and
    spheres float32 [C,4], centre and radius, around their parts.
    """

    points: np.ndarray
    joined: np.ndarray
    starts: np.ndarray
    colors: np.ndarray
    widths: np.ndarray
    spheres: np.ndarray

    @classmethod
    def of(cls, lines: Iterable[tuple[Parts, Color, float]]) -> Strips:
        """In the order of drawing."""
        points, joined, starts, colors, widths = [np.zeros((0, 3), np.float32)], [np.zeros(0, bool)], [0], [], []
        total = 0
        for parts, color, width in lines:
            if not len(parts[0]):
                continue
            line, links = _strip(parts)
            chunks = range(0, len(line), CHUNK)
            starts += [total + min(start + CHUNK, len(line)) for start in chunks]
            colors += [color] * len(chunks)
            widths += [width] * len(chunks)
            points.append(line)
            joined.append(links)
            total += len(line)
            if total > MOST_PARTS:
                raise UserError(f"the map's lines have more than {MOST_PARTS} parts: is it one clip's?")
        every = np.concatenate(points)
        bounds = np.array(starts, np.int64)
        return cls(
            every,
            np.concatenate(joined),
            bounds,
            np.array(colors, np.uint8).reshape(-1, 3),
            np.array(widths, np.float64),
            _spheres(every, bounds),
        )


def cut(points: np.ndarray, step: float) -> Parts:
    """Each edge of length L in max(2, int(L / step)) - 1 even parts.

    Rounded as the reference rounds: which triangles `delaunay` finds along a straight edge depends on it.
    """
    points = points.astype(np.float32)
    start, way = points[:-1], np.diff(points, axis=0)
    count = np.maximum(2, (np.sqrt((way * way).sum(axis=1)) / np.float32(step)).astype(np.int64)) - 1
    if count.sum() > MOST_PARTS:
        raise UserError(f"a map line has {count.sum():.3g} parts of {step:g} m: a map has at most {MOST_PARTS}")
    edge = np.repeat(np.arange(len(count)), count)
    number = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    steps = (way / count[:, None].astype(np.float32))[edge]
    starts, ends = (steps * i[:, None].astype(np.float32) + start[edge] for i in (number, number + 1))
    ends[number + 1 == count[edge]] = points[1:]
    return starts, ends


def painted(parts: Parts, paint: Paint) -> Parts:
    """What of the parts of a lane line is painted."""
    return PAINTERS[paint](parts)


def doubled(parts: Parts, paints: Sequence[Paint]) -> list[Parts]:
    """The parts of a single line, or those of the left and of the right line of a double one, GAP apart.

    The gap is in the plane of the first two coordinates.
    """
    if len(paints) == 1:
        return [painted(parts, paints[0])]
    starts, ends = parts
    way = ends - starts
    length = np.sqrt((way * way).sum(axis=1, keepdims=True))
    unit = np.divide(way, length, out=np.zeros_like(way), where=length > 0)
    aside = np.float32(GAP / 2) * np.stack([-unit[:, 1], unit[:, 0], np.zeros(len(unit), np.float32)], axis=1)
    left, right = (starts + aside, ends + aside), (starts - aside, ends - aside)
    return [painted(left, paints[0]), painted(right, paints[1])]


def _long_dashes(parts: Parts) -> Parts:
    """Parts across the end of a dash are cut there."""
    starts, ends = parts
    before, after = _stations(parts)
    length = np.maximum(after - before, np.float32(1e-12))
    pieces = []
    for later in (0, 1):
        dash = (np.floor(before / DASH_PERIOD) + np.float32(later)) * DASH_PERIOD
        low, high = np.maximum(before, dash), np.minimum(after, dash + DASH)
        kept = np.flatnonzero(high > low)
        u, v = (((at - before) / length)[kept, None] for at in (low, high))
        a, b = starts[kept], ends[kept]
        pieces.append((kept, np.where(u > 0, a + u * (b - a), a), np.where(v < 1, a + v * (b - a), b)))
    kept, begins, finishes = (np.concatenate(columns) for columns in zip(*pieces))
    order = np.argsort(kept, kind="stable")
    return begins[order], finishes[order]


def _short_dashes(parts: Parts) -> Parts:
    """Parts across the end of a dash are left out."""
    before, after = _stations(parts)
    period = np.floor(before / SHORT_PERIOD) * SHORT_PERIOD
    return _kept(parts, after <= period + SHORT_DASH)


def _dot_dashes(parts: Parts) -> Parts:
    number = np.arange(len(parts[0]))
    if len(number) > DOTTED:
        number = number % DOT_BLOCK
        return _kept(parts, (number < DOTTED) & (number % EVERY == 0))
    return _kept(parts, number % EVERY == 0)


PAINTERS: dict[Paint, Callable[[Parts], Parts]] = {
    Paint.SOLID: lambda parts: parts,
    Paint.LONG_DASHES: _long_dashes,
    Paint.SHORT_DASHES: _short_dashes,
    Paint.DOT_DASHES: _dot_dashes,
    Paint.DOTS: lambda parts: _kept(parts, np.arange(len(parts[0])) % ONE_IN == 0),
}


def _stations(parts: Parts) -> Parts:
    """Metres along the line at the start and at the end of each part, a running sum in float32."""
    way = parts[1] - parts[0]
    after = np.cumsum(np.sqrt((way * way).sum(axis=1)), dtype=np.float32)
    return np.concatenate([np.zeros(1, np.float32), after[:-1]]), after


def _kept(parts: Parts, mask: np.ndarray) -> Parts:
    return parts[0][mask], parts[1][mask]


def _strip(parts: Parts) -> tuple[np.ndarray, np.ndarray]:
    """Points, each once where a part begins at the end of the one before, and which lead to the next."""
    starts, ends = parts
    breaks = np.ones(len(starts), bool)  # the end of a part is not the start of the next
    breaks[:-1] = (ends[:-1] != starts[1:]).any(axis=1)
    place = np.arange(len(starts)) + np.concatenate([[0], np.cumsum(breaks[:-1])])
    points = np.empty((len(starts) + int(breaks.sum()), 3), np.float32)
    joined = np.zeros(len(points), bool)
    points[place], joined[place] = starts, True
    points[place[breaks] + 1] = ends[breaks]
    return points, joined


def _spheres(points: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Around the points of each chunk and the first of the next."""
    if len(starts) < 2:
        return np.zeros((0, 4), np.float32)
    follow = np.minimum(starts[1:], len(points) - 1)
    low, high = (
        pick(reduce.reduceat(points, starts[:-1], axis=0), points[follow])
        for reduce, pick in ((np.minimum, np.minimum), (np.maximum, np.maximum))
    )
    radius = np.linalg.norm(high - low, axis=1, keepdims=True) / 2
    return np.concatenate([(low + high) / 2, radius * np.float32(1.001) + np.float32(1e-3)], axis=1)
