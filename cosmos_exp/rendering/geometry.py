"""Meshes in the memory layout of the kernels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from cosmos_exp.rendering.mesh import Mesh

CHUNK_CELL = 24.0  # metres
LARGE = 60.0  # metres: each triangle of a larger extent gets a chunk of its own


@dataclass(frozen=True)
class Geometry:
    """triangles: [N,3,3] float32. two_sided: [N] bool.

    attributes: [N,16] float32 = normal, linear RGB, texture frame (8), seed, 0. codes: [N,3] int32 = material, tag,
    instance. chunks: [C+1] int64 starts of runs of neighbours, spheres: [C,4] float64 around each.
    """

    triangles: np.ndarray
    two_sided: np.ndarray
    attributes: np.ndarray
    codes: np.ndarray
    chunks: np.ndarray
    spheres: np.ndarray

    def __len__(self) -> int:
        return len(self.triangles)


def compile_mesh(mesh: Mesh, origin: np.ndarray, *, chunked: bool = True) -> Geometry:
    """Kernel layout of a mesh, relative to `origin` [3]; degenerate triangles are dropped."""
    corners = mesh.triangles - origin
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1)
    keep = np.flatnonzero(length > 1e-12)
    if chunked:
        keep = keep[np.argsort(_cells(corners[keep]), kind="stable")]
    corners, normals = corners[keep], normals[keep] / length[keep, None]
    attributes = np.zeros((len(keep), 16), np.float32)
    attributes[:, 0:3] = normals
    attributes[:, 3:6] = srgb_to_linear(mesh.color[keep])
    attributes[:, 6:14] = mesh.frame[keep]
    attributes[:, 9] += mesh.frame[keep, 0:3] @ origin.astype(np.float32)
    attributes[:, 13] += mesh.frame[keep, 4:7] @ origin.astype(np.float32)
    attributes[:, 14] = mesh.seed[keep]
    codes = np.stack([mesh.material[keep], mesh.tag[keep], mesh.instance[keep]], axis=1).astype(np.int32)
    chunks = _starts(_cells(corners)) if chunked and len(keep) else np.array([0, len(keep)])
    spheres = np.array([_sphere(corners[a:b]) for a, b in pairwise(chunks)]).reshape(-1, 4)
    triangles = np.ascontiguousarray(corners, np.float32)
    return Geometry(triangles, mesh.two_sided[keep].copy(), attributes, codes, chunks.astype(np.int64), spheres)


def srgb_to_linear(srgb: ArrayLike) -> np.ndarray:
    values = np.asarray(srgb, np.float64)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _cells(corners: np.ndarray) -> np.ndarray:
    """[N] grid cell of each triangle's centroid; -1 - i for a large one."""
    middle = np.floor(corners.mean(axis=1)[:, :2] / CHUNK_CELL).astype(np.int64)
    cells = (middle[:, 0] + 100_000) * 1_000_000 + middle[:, 1] + 500_000
    if len(corners):
        large = np.flatnonzero(np.ptp(corners, axis=1).max(axis=1) > LARGE)
        cells[large] = -1 - np.arange(len(large))[::-1]
    return cells


def _starts(cells: np.ndarray) -> np.ndarray:
    changes = np.flatnonzero(np.diff(cells)) + 1
    return np.concatenate([[0], changes, [len(cells)]])


def _sphere(corners: np.ndarray) -> np.ndarray:
    points = corners.reshape(-1, 3)
    if not len(points):
        return np.zeros(4)
    centre = (points.min(0) + points.max(0)) / 2
    return np.append(centre, np.linalg.norm(points - centre, axis=1).max())
