"""Polylines and polygons of an HD map: culling, transformation to the camera frame, clipping at the camera plane."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cosmos_exp.rendering.compiled import kernel

RANGE = 122.5  # metres of depth at which everything has faded to black
STEP = 0.8  # metres between the points that lane lines and road boundaries are subdivided into
STROKE_CLIP, HULL_CLIP = 0.2, 0.05  # distance past the camera plane at which an edge is cut, relative to its length
SLACK = 1e-3  # metres


@dataclass(frozen=True)
class Shapes:
    """Vertex lists one after the other. points: [N,3] float64. starts: [S+1] int64. layers: [S] int64, ascending.

    spheres: [S,4], centre and radius of a bounding sphere of each shape; only set by `of`.
    """

    points: np.ndarray
    starts: np.ndarray
    layers: np.ndarray
    spheres: np.ndarray | None = None

    @classmethod
    def of(cls, vertices: Sequence[Sequence[np.ndarray]]) -> Shapes:
        """vertices: of every layer, a list of [K,3], K > 0."""
        flat = [v for layer in vertices for v in layer]
        points = np.concatenate([np.zeros((0, 3)), *flat])
        starts = np.cumsum([0, *map(len, flat)], dtype=np.int64)
        layers = np.repeat(np.arange(len(vertices)), [len(layer) for layer in vertices])
        return cls(points, starts, layers, _spheres(points, starts))

    def before(self, world_to_camera: np.ndarray) -> Shapes:
        """In the camera frame, those that may have a part in front of the camera and within RANGE."""
        pose = world_to_camera.astype(np.float64)
        assert self.spheres is not None
        points, starts, kept = _before(self.points, self.starts, self.spheres, pose[:3, :3].copy(), pose[:3, 3].copy())
        return Shapes(points, starts, self.layers[kept])

    def followed_by(self, other: Shapes) -> Shapes:
        """Both; the other's layers must not have lower numbers."""
        return Shapes(
            np.concatenate([self.points, other.points]),
            np.concatenate([self.starts, other.starts[1:] + self.starts[-1]]),
            np.concatenate([self.layers, other.layers]),
        )

    def by_layer(self) -> Iterator[tuple[int, int, int]]:
        """Layer, first shape and the one after its last, of every layer that has shapes."""
        numbers, first = np.unique(self.layers, return_index=True)
        yield from zip(numbers.tolist(), first.tolist(), [*first[1:].tolist(), len(self.layers)])


@kernel(seconds=0.3)
def _spheres(points, starts):
    spheres = np.empty((len(starts) - 1, 4))
    for s in range(len(spheres)):
        square = 0.0
        for k in range(3):
            low = high = points[starts[s], k]
            for i in range(starts[s], starts[s + 1]):
                low, high = min(low, points[i, k]), max(high, points[i, k])
            spheres[s, k] = (low + high) / 2
            square += (high - low) ** 2
        spheres[s, 3] = np.sqrt(square) / 2
    return spheres


def subdivided(line: np.ndarray) -> np.ndarray:
    """Every edge of length L as max(2, int(L / STEP)) evenly spaced points, both ends included."""
    lengths = np.sqrt((np.diff(line, axis=0) ** 2).sum(axis=1))
    parts = []
    for a, b, length in zip(line, line[1:], lengths):
        count = max(2, int(length / STEP))
        parts.append(np.stack([np.linspace(p, q, count) for p, q in zip(a, b)], axis=1)[:-1])
    return np.concatenate([*parts, line[-1:]])


@kernel(seconds=0.4)
def _before(points, starts, spheres, rotation, translation):
    result = np.empty((len(points), 3))
    kept, kept_starts = np.empty(len(spheres), np.int64), np.zeros(len(starts), np.int64)
    shapes = count = 0
    for s in range(len(spheres)):
        x, y, z, radius = spheres[s, 0], spheres[s, 1], spheres[s, 2], spheres[s, 3]
        depth = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z + translation[2]
        if depth + radius < -SLACK or depth - radius > RANGE + SLACK:
            continue
        for i in range(starts[s], starts[s + 1]):
            x, y, z = points[i, 0], points[i, 1], points[i, 2]
            for k in range(3):
                result[count, k] = (rotation[k, 0] * x + rotation[k, 1] * y + rotation[k, 2] * z) + translation[k]
            count += 1
        kept[shapes] = s
        shapes += 1
        kept_starts[shapes] = count
    return result[:count], kept_starts[: shapes + 1], kept[:shapes]


@kernel(seconds=0.4)
def crossings(points, starts, compat):
    """Edges that pass through the camera plane.

    [N] int64: for the vertex that such an edge starts from its number, else -1. [K,2,3]: the ends of the part that is
    drawn, both divided by their depth. compat: an end on the plane itself does not count as behind.
    """
    number = np.empty(len(points), np.int64)
    ends = np.empty((len(points), 2, 3))
    count = 0
    for s in range(len(starts) - 1):
        for i in range(starts[s], starts[s + 1]):
            number[i] = -1
        for i in range(starts[s], starts[s + 1] - 1):
            z0, z1 = points[i, 2], points[i + 1, 2]
            if not (z0 * z1 < 0 if compat else (z0 <= 0) != (z1 <= 0)):
                continue
            front, back = (i, i + 1) if z0 > z1 else (i + 1, i)
            t = -points[back, 2] / (points[front, 2] - points[back, 2]) + STROKE_CLIP
            depth = t * points[front, 2] + (1 - t) * points[back, 2]
            for k in range(3):
                ends[count, 0, k] = points[front, k] / points[front, 2]
                ends[count, 1, k] = (t * points[front, k] + (1 - t) * points[back, k]) / depth
            number[i] = count
            count += 1
    return number, ends[:count]


@kernel(seconds=0.4)
def cut_at_camera_plane(points, starts):
    """Closed walks cut at depth 0: points, starts, and the mean depth of each walk's points."""
    result = np.empty((2 * len(points), 3))
    cut_starts = np.zeros(len(starts), np.int64)
    depth = np.zeros(len(starts) - 1)
    count = 0
    for s in range(len(starts) - 1):
        first = count
        for i in range(starts[s], starts[s + 1] - 1):
            here, there = points[i, 2] >= 0, points[i + 1, 2] >= 0
            if here:
                for k in range(3):
                    result[count, k] = points[i, k]
                count += 1
            if here != there:
                front, back = (i, i + 1) if here else (i + 1, i)
                t = -points[back, 2] / (points[front, 2] - points[back, 2]) + HULL_CLIP
                for k in range(3):
                    result[count, k] = points[back, k] + t * (points[front, k] - points[back, k])
                count += 1
        last = starts[s + 1] - 1
        if points[last, 2] >= 0:
            for k in range(3):
                result[count, k] = points[last, k]
            count += 1
        cut_starts[s + 1] = count
        if count > first:
            depth[s] = result[first:count, 2].mean()
    return result[:count], cut_starts, depth
