"""Meshes of roadside objects: buildings, trees, poles, signs, barriers and the housings of traffic lights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from cosmos_exp.rendering.barriers import barrier_mesh
from cosmos_exp.rendering.mesh import Material, Mesh, box, cylinder, ellipsoid, fan, join, mesh, quad, transformed
from cosmos_exp.rendering.palette import Tag
from cosmos_exp.scene.types import Building, Pole, SceneMap, TrafficLight, TrafficSign, Tree

STOREY = 3.1
GABLE_BELOW = 9.5  # metres: four-cornered buildings up to this height have a pitched roof
LAMP_POST = 5.0  # metres: vertical poles from this height on carry a street lamp
ARM = 1.6
SIGN_COLORS = {
    "stop": (0.75, 0.05, 0.06),
    "warning": (0.95, 0.75, 0.10),
    "crosswalk": (0.10, 0.25, 0.65),
    "direction": (0.05, 0.30, 0.55),
    "no_parking": (0.70, 0.08, 0.10),
    "yield": (0.85, 0.20, 0.15),
}
SIGN_WHITE = (0.92, 0.92, 0.90)
METAL_GREY = (0.36, 0.37, 0.38)


def structure_mesh(scene_map: SceneMap) -> Mesh:
    lights = [light.pose[:2, 3] for light in scene_map.traffic_lights]
    parts = [building_mesh(building) for building in scene_map.buildings]
    parts += [tree_mesh(tree) for tree in scene_map.trees]
    parts += [pole_mesh(pole) for pole in scene_map.poles]
    parts += [lamp_mesh(pole, head) for pole, head in street_lamps(scene_map, lights)]
    parts += [sign_mesh(sign) for sign in scene_map.traffic_signs]
    parts += [housing_mesh(light) for light in scene_map.traffic_lights]
    parts += [barrier_mesh(barrier) for barrier in scene_map.barriers]
    return join(parts)


def building_mesh(building: Building) -> Mesh:
    """Walls with a texture frame each (u metres along the wall, v metres up), and a flat or pitched roof."""
    base = np.asarray(building.footprint, np.float64)
    base = base.copy()
    base[:, 2] = base[:, 2].min()
    rng = np.random.default_rng(building.seed)
    seed = float(rng.random())
    gable = len(base) == 4 and building.height < GABLE_BELOW
    parts = [wall_mesh(base, building.height, building.color, seed)]
    top = base + [0, 0, building.height]
    if gable:
        parts.append(gable_mesh(top, building.color, rng))
    else:
        tone = rng.uniform(0.28, 0.45)
        parts.append(mesh(fan(top), Material.ROOF, Tag.BUILDING, (tone, tone, tone * 1.02)))
        parts.append(parapet_mesh(top, building.color))
    return join(parts)


def wall_mesh(base: np.ndarray, height: float, color: tuple, seed: float) -> Mesh:
    walls, frames = [], []
    for a, b in zip(base, np.roll(base, -1, axis=0)):
        along = b - a
        length = np.linalg.norm(along)
        if length < 0.05:
            continue
        along = along / length
        walls.append(quad(a - [0, 0, 0.5], b - [0, 0, 0.5], b + [0, 0, height], a + [0, 0, height]))
        bays = max(int(length / 2.7), 1)
        scale = bays / length
        frames += [[*(along * scale), -(along @ a) * scale, 0, 0, 1, -a[2]]] * 2
    if not walls:
        return join([])
    return mesh(np.concatenate(walls), Material.FACADE, Tag.BUILDING, color, frame=np.array(frames), seed=seed)


def gable_mesh(top: np.ndarray, wall_color: tuple, rng: np.random.Generator) -> Mesh:
    """Two slopes over the longer side with eaves, and the triangles below them."""
    if np.linalg.norm(top[1] - top[0]) < np.linalg.norm(top[2] - top[1]):
        top = np.roll(top, -1, axis=0)
    a, b, c, d = top
    rise = np.array([0, 0, 0.38 * np.linalg.norm(c - b)])
    start, end = (a + d) / 2 + rise, (b + c) / 2 + rise
    along = (b - a) / np.linalg.norm(b - a) * 0.4
    out = (a - d) / np.linalg.norm(a - d) * 0.5 - [0, 0, 0.5 * 0.76]
    back = (d - a) / np.linalg.norm(d - a) * 0.5 - [0, 0, 0.5 * 0.76]
    slopes = [
        quad(a + out - along, b + out + along, end + along, start - along),
        quad(c + back + along, d + back - along, start - along, end + along),
    ]
    reds = ((0.45, 0.20, 0.14), (0.38, 0.24, 0.18), (0.28, 0.28, 0.30), (0.50, 0.28, 0.20))
    roof = mesh(np.concatenate(slopes), Material.ROOF, Tag.BUILDING, reds[int(rng.integers(4))], two_sided=True)
    ends = np.array([[b, c, end], [d, a, start]])
    return join([roof, mesh(ends, Material.PLAIN, Tag.BUILDING, wall_color, two_sided=True)])


def parapet_mesh(top: np.ndarray, color: tuple) -> Mesh:
    faces = [quad(a, b, b + [0, 0, 0.7], a + [0, 0, 0.7]) for a, b in zip(top, np.roll(top, -1, axis=0))]
    shade = tuple(0.8 * c for c in color)
    return mesh(np.concatenate(faces), Material.PLAIN, Tag.BUILDING, shade, two_sided=True)


def tree_mesh(tree: Tree) -> Mesh:
    """A broad-leaved tree of three crown lobes, or a conifer of stacked cones (every fifth seed)."""
    rng = np.random.default_rng(tree.seed)
    base = np.asarray(tree.position, np.float64)
    up = np.array([0, 0, 1.0])
    trunk_top = base + 0.45 * tree.height * up
    trunk = cylinder(base - 0.3 * up, trunk_top, 0.03 * tree.height, 5, top_radius=0.02 * tree.height, caps=False)
    parts = [mesh(trunk, Material.BARK, Tag.VEGETATION, (0.30, 0.23, 0.17))]
    green = np.array([0.20, 0.34, 0.12]) + rng.uniform(-0.04, 0.05, 3) * [1.2, 1, 0.6]
    if rng.random() < 0.2:
        for k in range(3):
            low = base + (0.18 + 0.25 * k) * tree.height * up
            high = base + (0.58 + 0.21 * k) * tree.height * up
            cone = cylinder(low, high, tree.crown_radius * (1 - 0.27 * k), 7, top_radius=0.03)
            parts.append(mesh(cone, Material.FOLIAGE, Tag.VEGETATION, green * 0.75, seed=float(rng.random())))
        return join(parts)
    r = tree.crown_radius
    centre = base + (tree.height - r) * up
    parts.append(_crown(centre, (r, r, 0.95 * r), green, rng, finer=True))
    for _ in range(2):
        angle = rng.uniform(0, 2 * np.pi)
        shift = np.array([np.cos(angle), np.sin(angle), rng.uniform(-0.6, 0.3)]) * 0.6 * r
        size = rng.uniform(0.5, 0.7) * r
        parts.append(_crown(centre + shift, (size, size, size), green * rng.uniform(0.85, 1.15), rng, finer=False))
    return join(parts)


def _crown(centre: np.ndarray, radii: ArrayLike, color: np.ndarray, rng: np.random.Generator, *, finer: bool) -> Mesh:
    lobe = ellipsoid(centre, radii, rough=0.14, seed=int(rng.integers(2**31)), finer=finer)
    return mesh(lobe, Material.FOLIAGE, Tag.VEGETATION, np.clip(color, 0, 1), seed=float(rng.random()))


def pole_mesh(pole: Pole) -> Mesh:
    base, top = np.asarray(pole.base, np.float64), np.asarray(pole.top, np.float64)
    if np.linalg.norm(top - base) < 1e-3:
        return join([])
    shape = cylinder(base, top, max(pole.radius, 0.04), 6)
    return mesh(shape, Material.METAL, Tag.POLE, METAL_GREY)


def street_lamps(scene_map: SceneMap, excluded: Sequence[np.ndarray] = ()) -> list[tuple[Pole, np.ndarray]]:
    """Tall upright poles without a traffic light, each with the position [3] of its lamp over the road."""
    edges = [lane.left[:: max(len(lane.left) // 40, 1)] for lane in scene_map.lanes if lane.type.value == "driving"]
    road = np.concatenate([*edges, np.zeros((0, 3))])
    lights = np.array(excluded).reshape(-1, 2)
    lamps = []
    for pole in scene_map.poles:
        axis = np.asarray(pole.top) - pole.base
        upright = axis[2] >= LAMP_POST and np.hypot(axis[0], axis[1]) < 0.2 * axis[2]
        taken = len(lights) and np.linalg.norm(lights - pole.top[:2], axis=1).min() < 2.5
        if not upright or taken or not len(road):
            continue
        gap = road[:, :2] - pole.top[:2]
        nearest = gap[np.argmin((gap**2).sum(1))]
        reach = np.linalg.norm(nearest)
        direction = nearest / reach if reach > 1e-6 else np.array([1.0, 0.0])
        lamps.append((pole, np.asarray(pole.top, np.float64) + [*(ARM * direction), 0.15]))
    return lamps


def lamp_mesh(pole: Pole, head: np.ndarray) -> Mesh:
    top = np.asarray(pole.top, np.float64)
    along = (head - top) * [1, 1, 0] / ARM
    side = np.array([-along[1], along[0], 0])
    arm = cylinder(top - [0, 0, 0.05], head, 0.05, 4)
    hood = transformed(box((0.7, 0.3, 0.12)), _pose(along, side, head))
    x, y = 0.33 * along, 0.13 * side
    below = head - [0, 0, 0.065]
    glow = quad(below - x + y, below + x + y, below + x - y, below - x - y)
    return join(
        [
            mesh(arm, Material.METAL, Tag.POLE, METAL_GREY),
            mesh(hood, Material.METAL, Tag.POLE, METAL_GREY),
            mesh(glow, Material.LAMP, Tag.POLE, (1.0, 0.85, 0.6), two_sided=True),
        ]
    )


def _pose(x: np.ndarray, y: np.ndarray, origin: np.ndarray) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 3] = x, y, origin
    return pose


def sign_mesh(sign: TrafficSign) -> Mesh:
    """A plate with a coloured face, a pale symbol bar on it, and a grey back."""
    depth, width, height = sign.size
    x = depth / 2 + 0.01
    kind = sign.kind.lower()
    color = next((c for name, c in SIGN_COLORS.items() if name in kind), SIGN_WHITE)
    inner = (0.75, 0.10, 0.10) if color is SIGN_WHITE else SIGN_WHITE
    face = _plate(x, width, height)
    symbol = _plate(x + 0.01, 0.55 * width, 0.22 * height)
    parts = [
        mesh(box((depth, width, height)), Material.METAL, Tag.TRAFFIC_SIGN, (0.45, 0.46, 0.47)),
        mesh(face, Material.PLAIN, Tag.TRAFFIC_SIGN, color),
        mesh(symbol, Material.PLAIN, Tag.TRAFFIC_SIGN, inner),
    ]
    return join([_placed(part, sign.pose) for part in parts])


def housing_mesh(light: TrafficLight) -> Mesh:
    depth, width, height = light.size
    body = mesh(box((depth, width, height)), Material.PLAIN, Tag.TRAFFIC_LIGHT, (0.06, 0.06, 0.06))
    board = mesh(_plate(depth / 2 + 0.01, 1.5 * width, 1.15 * height), Material.PLAIN, Tag.TRAFFIC_LIGHT, (0.09,) * 3)
    return join([_placed(body, light.pose), _placed(board, light.pose)])


def signal_lamps(light: TrafficLight) -> list[np.ndarray]:
    """World triangles of the red, yellow and green lens (upright heads; others get theirs along the longer side)."""
    depth, width, height = light.size
    tall = height >= width
    spread, across = (height, width) if tall else (width, height)
    radius = 0.42 * min(across, spread / 3)
    angle = 2 * np.pi * np.arange(8) / 8
    lenses = []
    for k in (1, 0, -1):
        centre = np.array([0.0, 0.0, k * spread / 3]) if tall else np.array([0.0, -k * spread / 3, 0.0])
        ring = np.stack([np.full(8, depth / 2 + 0.03), radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        lenses.append(transformed(fan(ring + centre), light.pose))
    return lenses


def _plate(x: float, width: float, height: float) -> np.ndarray:
    y, z = width / 2, height / 2
    return quad((x, -y, -z), (x, y, -z), (x, y, z), (x, -y, z))


def _placed(part: Mesh, pose: np.ndarray) -> Mesh:
    values = {name: getattr(part, name) for name in Mesh.__dataclass_fields__}
    return Mesh(**{**values, "triangles": transformed(part.triangles, pose)})
