"""Distances and areas in the ground plane."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BLOCK = 1_000_000  # cells of a table of points and pieces that are in memory together


def distance_to_polyline(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """[N] distances in the plane from points [N,2] to a polyline [M,2]."""
    a, step = line[:-1], np.diff(line, axis=0)
    squared = np.maximum((step * step).sum(-1), 1e-12)
    found = np.empty(len(points))
    for rows in blocks(len(points), len(a)):
        offset = points[rows, None] - a
        along = np.clip((offset * step).sum(-1) / squared, 0.0, 1.0)
        found[rows] = np.linalg.norm(offset - along[..., None] * step, axis=-1).min(axis=1)
    return found


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of the rows of a table, each with BLOCK cells at most: what a step of the table's evaluation holds."""
    height = max(BLOCK // max(columns, 1), 1)
    return (slice(i, i + height) for i in range(0, rows, height))


def inside_quads(points: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """[N] bool: which points [N,2] lie in any of the convex quads [Q,4,2] (either orientation)."""
    edges = np.roll(quads, -1, axis=1) - quads
    inside = np.zeros(len(points), bool)
    for rows in blocks(len(points), 4 * len(quads)):
        offset = points[rows, None, None] - quads
        side = edges[..., 0] * offset[..., 1] - edges[..., 1] * offset[..., 0]
        inside[rows] = ((side > 0).all(-1) | (side < 0).all(-1)).any(-1)
    return inside


def nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """[N] index of the nearest of others [M,2] to each of points [N,2]."""
    found = np.empty(len(points), dtype=np.int64)
    for rows in blocks(len(points), len(others)):
        found[rows] = np.linalg.norm(points[rows, None] - others, axis=-1).argmin(axis=1)
    return found
