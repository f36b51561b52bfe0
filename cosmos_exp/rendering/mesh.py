"""Triangle meshes and primitive shapes.

A shape is an array of triangles [N,3,3], metres, wound counter-clockwise seen from outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from cosmos_exp.rendering.palette import Tag


class Material(IntEnum):
    """How a triangle is shaded; the numbers are those of the shading kernel."""

    PLAIN = 0
    ASPHALT = 1
    PAVING = 2
    GRASS = 3
    PAINT = 4
    FACADE = 5
    ROOF = 6
    FOLIAGE = 7
    METAL = 8
    GLASS = 9
    HEADLIGHT = 10
    TAILLIGHT = 11
    LAMP = 12
    SIGNAL = 13
    KERB = 14
    BARK = 15


NO_FRAME = np.zeros(8, np.float32)


@dataclass(frozen=True)
class Mesh:
    """Triangles and their materials.

    triangles: [N,3,3] float64. color: [N,3] float32, RGB 0..1 (sRGB). material, tag: [N] uint8. instance: [N] uint16.
    frame: [N,8] float32, texture coordinates as affine functions of position, (u, v) = (f0:3 . p + f3, f4:7 . p + f7).
    seed: [N] float32 in 0..1. two_sided: [N] bool; other triangles are visible from outside only.
    """

    triangles: np.ndarray
    color: np.ndarray
    material: np.ndarray
    tag: np.ndarray
    instance: np.ndarray
    frame: np.ndarray
    seed: np.ndarray
    two_sided: np.ndarray

    def __len__(self) -> int:
        return len(self.triangles)


def mesh(
    triangles: np.ndarray,
    material: Material,
    tag: Tag,
    color: ArrayLike,
    *,
    instance: int = 0,
    frame: np.ndarray = NO_FRAME,
    seed: float = 0.0,
    two_sided: bool = False,
) -> Mesh:
    """One shape of one material. color: [3] or [N,3]; frame: [8] or [N,8]."""
    n = len(triangles)
    return Mesh(
        np.asarray(triangles, np.float64).reshape(n, 3, 3),
        np.broadcast_to(np.asarray(color, np.float32), (n, 3)),
        np.full(n, material, np.uint8),
        np.full(n, tag, np.uint8),
        np.full(n, instance, np.uint16),
        np.broadcast_to(np.asarray(frame, np.float32), (n, 8)),
        np.full(n, seed, np.float32),
        np.full(n, two_sided),
    )


def join(meshes: Sequence[Mesh]) -> Mesh:
    if not meshes:
        return mesh(np.zeros((0, 3, 3)), Material.PLAIN, Tag.UNLABELED, (0, 0, 0))
    fields = Mesh.__dataclass_fields__
    return Mesh(**{name: np.concatenate([getattr(m, name) for m in meshes]) for name in fields})


def quad(a: ArrayLike, b: ArrayLike, c: ArrayLike, d: ArrayLike) -> np.ndarray:
    """Two triangles of the corners a, b, c, d, counter-clockwise from outside."""
    return np.array([[a, b, c], [a, c, d]], np.float64)


def strip(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Surface between two polylines [N,3] of equal length, facing up when `left` is on the left."""
    a, b, c, d = right[:-1], right[1:], left[1:], left[:-1]
    return np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])


def fan(polygon: np.ndarray) -> np.ndarray:
    """Convex polygon [K,3], counter-clockwise from outside."""
    first = np.broadcast_to(polygon[0], (len(polygon) - 2, 3))
    return np.stack([first, polygon[1:-1], polygon[2:]], axis=1)


def loft(sections: Sequence[np.ndarray], *, caps: bool = True) -> np.ndarray:
    """Tube through closed sections [K,3] each, counter-clockwise when seen from the last one; caps close its ends."""
    parts = []
    for near, far in pairwise(sections):
        for i in range(len(near)):
            j = (i + 1) % len(near)
            parts.append(quad(near[i], near[j], far[j], far[i]))
    if caps:
        parts += [fan(np.asarray(sections[0])[::-1]), fan(np.asarray(sections[-1]))]
    return np.concatenate(parts)


def box(size: ArrayLike, center: ArrayLike = (0.0, 0.0, 0.0)) -> np.ndarray:
    """Cuboid of (length, width, height) along x, y, z: 12 triangles."""
    x, y, z = np.asarray(size, np.float64) / 2
    ring = np.array([[-x, -y, 0], [x, -y, 0], [x, y, 0], [-x, y, 0]])
    low, high = ring + [0, 0, -z], ring + [0, 0, z]
    return loft([low, high]) + np.asarray(center, np.float64)


def cylinder(
    base: ArrayLike,
    top: ArrayLike,
    radius: float,
    sides: int,
    *,
    top_radius: float | None = None,
    caps: bool = True,
) -> np.ndarray:
    """Prism with a regular cross-section between two points."""
    start, end = np.asarray(base, np.float64), np.asarray(top, np.float64)
    axis = (end - start) / max(float(np.linalg.norm(end - start)), 1e-9)
    side = np.cross(axis, [1.0, 0, 0] if abs(axis[0]) < 0.9 else [0, 1.0, 0])
    side /= np.linalg.norm(side)
    other = np.cross(axis, side)
    angle = 2 * np.pi * np.arange(sides) / sides
    ring = np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * other
    return loft([start + radius * ring, end + (radius if top_radius is None else top_radius) * ring], caps=caps)


def ellipsoid(
    center: ArrayLike, radii: ArrayLike, *, rough: float = 0.0, seed: int = 0, finer: bool = True
) -> np.ndarray:
    """Ellipsoid of 80 triangles (20 where not finer); rough: relative random change of the corner radii."""
    corners, faces = _ICOSPHERE if finer else _ICOSAHEDRON
    scale = 1 + rough * np.random.default_rng(seed).uniform(-1, 1, len(corners))[:, None]
    points = corners * scale * np.asarray(radii) + np.asarray(center)
    return points[faces]


def transformed(triangles: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Triangles [N,3,3] transformed by a pose [4,4]."""
    return triangles @ pose[:3, :3].T + pose[:3, 3]


def _icosahedron() -> tuple[np.ndarray, np.ndarray]:
    g = (1 + 5**0.5) / 2
    corners = np.array([[0, s, t * g] for s in (-1, 1) for t in (-1, 1)], np.float64)
    corners = np.concatenate([np.roll(corners, k, axis=1) for k in range(3)]) / np.hypot(1, g)
    length = np.linalg.norm(corners[:, None] - corners[None], axis=2)
    near = (length > 0) & (length < 1.06)
    faces = [
        (i, j, k)
        for i in range(12)
        for j in range(12)
        for k in range(12)
        if i < j and i < k and j != k and near[i, j] and near[j, k] and near[i, k]
        and np.linalg.det(corners[[i, j, k]]) > 0
    ]  # fmt: skip
    return corners, np.array(faces)


def _subdivided(corners: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    points, result = list(corners), []
    index: dict[tuple[int, int], int] = {}

    def middle(a: int, b: int) -> int:
        key = (min(a, b), max(a, b))
        if key not in index:
            point = points[a] + points[b]
            index[key] = len(points)
            points.append(point / np.linalg.norm(point))
        return index[key]

    for a, b, c in faces:
        ab, bc, ca = middle(a, b), middle(b, c), middle(c, a)
        result += [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return np.array(points), np.array(result)


_ICOSAHEDRON = _icosahedron()
_ICOSPHERE = _subdivided(*_ICOSAHEDRON)
