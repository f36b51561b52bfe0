"""Meshes of barriers along roads: concrete walls and guard rails."""

from __future__ import annotations

import itertools

import numpy as np

from cosmos_exp.rendering.mesh import Material, Mesh, box, join, mesh, strip
from cosmos_exp.rendering.palette import Tag
from cosmos_exp.rendering.roads import offset_polyline, without_repeated_points
from cosmos_exp.scene.types import Barrier

CONCRETE = (0.60, 0.59, 0.56)
STEEL = (0.52, 0.53, 0.54)
FOOT = 0.35  # metres below the ground that a concrete wall reaches, so that it stands on uneven ground
TOE = 0.3  # height of a concrete wall's wide foot, as a share of the whole
BEAM = 0.31  # metres, height of a rail's beam
POST_SPACING = 4.0  # metres


def barrier_mesh(barrier: Barrier) -> Mesh:
    line = without_repeated_points(barrier.points)
    if len(line) < 2:
        return join([])
    return _rail(line, barrier) if barrier.kind == "rail" else _wall(line, barrier)


def _wall(line: np.ndarray, barrier: Barrier) -> Mesh:
    """Slanted below and upright above."""
    half, toe, top = barrier.width / 2, TOE * barrier.height, barrier.height
    profile = ((half, -FOOT), (half, 0.08), (0.45 * half, toe), (0.35 * half, top))
    sides = []
    for sign in (1.0, -1.0):
        edges = [offset_polyline(line, sign * reach) + [0, 0, z] for reach, z in profile]
        sides += [strip(low, high) for low, high in itertools.pairwise(edges)]
    cap = 0.35 * half
    sides.append(strip(offset_polyline(line, cap) + [0, 0, top], offset_polyline(line, -cap) + [0, 0, top]))
    return mesh(np.concatenate(sides), Material.PLAIN, Tag.WALL, CONCRETE, two_sided=True)


def _rail(line: np.ndarray, barrier: Barrier) -> Mesh:
    """A beam on posts."""
    low = line + [0, 0, barrier.height - BEAM]
    high = line + [0, 0, barrier.height]
    beam = np.concatenate([strip(low, high), strip(high, low)])
    parts = [mesh(beam, Material.METAL, Tag.GUARD_RAIL, STEEL, two_sided=True)]
    stations = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    for station in np.arange(POST_SPACING / 2, stations[-1], POST_SPACING):
        foot = np.array([np.interp(station, stations, line[:, k]) for k in range(3)])
        height = barrier.height - 0.05 + FOOT
        post = box((0.12, 0.12, height), foot + [0, 0, height / 2 - FOOT])
        parts.append(mesh(post, Material.METAL, Tag.GUARD_RAIL, STEEL))
    return join(parts)
