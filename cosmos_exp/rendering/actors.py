"""Meshes of moving objects, in the frame of their cuboid: origin at its centre, x forward, y left, z up, metres.

Every mesh fits its cuboid (length, width, height); proportions follow the class and the height.
"""

from __future__ import annotations

import numpy as np

from cosmos_exp.rendering.mesh import Material, Mesh, box, cylinder, ellipsoid, fan, join, loft, mesh, quad
from cosmos_exp.rendering.palette import ACTOR_TAGS, Tag
from cosmos_exp.scene.types import ActorClass, Track

GLASS = (0.10, 0.12, 0.14)
RUBBER = (0.05, 0.05, 0.055)
RIM = (0.55, 0.56, 0.58)
DARK = (0.08, 0.08, 0.085)
HEADLIGHT = (0.95, 0.95, 0.90)
TAILLIGHT = (0.55, 0.03, 0.03)
SKIN = (0.72, 0.52, 0.42)
GAIT_PHASES = 8
STRIDE = 1.4  # metres of one full gait cycle

# Fractions of length (front = 0.5, rear = -0.5) at which the cabin's lower and upper edges lie, belt and hood heights.
SHAPES = {
    "sedan": {"cabin": (-0.34, 0.26), "roof": (-0.20, 0.06), "belt": 0.62, "hood": 0.57, "trunk": 0.62},
    "hatchback": {"cabin": (-0.48, 0.28), "roof": (-0.40, 0.08), "belt": 0.60, "hood": 0.56, "trunk": 0.60},
    "suv": {"cabin": (-0.48, 0.26), "roof": (-0.43, 0.10), "belt": 0.58, "hood": 0.54, "trunk": 0.58},
    "van": {"cabin": (-0.495, 0.36), "roof": (-0.48, 0.22), "belt": 0.54, "hood": 0.47, "trunk": 0.54},
}


def actor_mesh(track: Track, instance: int, phase: int = 0) -> Mesh:
    """The mesh of a track. phase: 0..GAIT_PHASES-1, gait phase of a pedestrian."""
    size = tuple(max(float(s), 0.05) for s in track.size)
    rng = np.random.default_rng([*track.id.encode(), 5])
    tag = ACTOR_TAGS[track.actor_class]
    color = track.color if track.color is not None else tuple(rng.uniform(0.1, 0.8, 3))
    if track.actor_class is ActorClass.CAR:
        parts = car_parts(size, color, car_shape(track), tag)
    elif track.actor_class in (ActorClass.TRUCK, ActorClass.BUS, ActorClass.TRAIN):
        is_truck = track.actor_class is ActorClass.TRUCK
        parts = truck_parts(size, color, tag, rng) if is_truck else bus_parts(size, color, tag)
    elif track.actor_class in (ActorClass.MOTORCYCLE, ActorClass.BICYCLE):
        parts = two_wheeler_parts(size, color, tag, motor=track.actor_class is ActorClass.MOTORCYCLE)
    elif track.actor_class is ActorClass.RIDER:
        parts = person_parts(size, color, tag, rng, seated=True, phase=0)
    elif track.actor_class is ActorClass.PEDESTRIAN:
        parts = person_parts(size, color, tag, rng, seated=False, phase=phase)
    else:
        parts = [mesh(box(size), Material.PLAIN, tag, color)]
    whole = join(parts)
    whole.instance[:] = instance
    return whole


def car_shape(track: Track) -> dict:
    if track.model in SHAPES:
        return SHAPES[track.model]
    length, _, height = track.size
    if height > 1.9:
        return SHAPES["van"]
    if height > 1.62:
        return SHAPES["suv"]
    return SHAPES["hatchback" if length < 4.2 else "sedan"]


def car_parts(size: tuple, color: tuple, shape: dict, tag: Tag) -> list[Mesh]:
    length, width, height = size
    z = _level(height)
    radius = 0.215 * height if height < 1.8 else 0.17 * height
    floor = 0.6 * radius
    half = 0.485 * width
    belt, hood, trunk = z(shape["belt"]), z(shape["hood"]), z(shape["trunk"])
    low = floor - height / 2
    sections = [
        _ring(-0.5 * length, 0.88 * half, low + 0.12, trunk - 0.12 * height),
        _ring(-0.47 * length, half, low, trunk),
        _ring(shape["cabin"][1] * length, half, low, belt),
        _ring(0.46 * length, 0.96 * half, low, hood),
        _ring(0.5 * length, 0.84 * half, low + 0.10, hood - 0.13 * height),
    ]
    parts = [mesh(loft(sections), Material.METAL, tag, color)]
    skirt = loft([_ring(x * length, 1.01 * half, low, low + 0.12 * height) for x in (-0.475, 0.465)])
    parts.append(mesh(skirt, Material.PLAIN, tag, DARK))
    parts += cabin_parts(length, half, belt - 0.01, height / 2, shape, color, tag)
    parts += wheel_parts(length, width, height, radius, (-0.31, 0.31), tag)
    parts += light_parts(length, half, z(0.44), z(0.50), hood - 0.13 * height, tag)
    return parts


def _level(height: float):
    """Fraction of the height above the ground -> z in the cuboid's frame."""
    return lambda fraction: (fraction - 0.5) * height


def _ring(x: float, half_width: float, low: float, high: float) -> np.ndarray:
    """A cross-section at x: [4,3], wound for a loft along +x."""
    return np.array([[x, -half_width, low], [x, half_width, low], [x, half_width, high], [x, -half_width, high]])


def cabin_parts(length: float, half: float, low: float, high: float, shape: dict, color: tuple, tag: Tag) -> list[Mesh]:
    """Cabin: painted pillars and roof with panes 12 mm outside them."""
    (x0, x1), (r0, r1) = (np.array(shape[k]) * length for k in ("cabin", "roof"))
    wide, narrow = 0.94 * half, 0.76 * half
    bottom = np.array([[x0, -wide, low], [x1, -wide, low], [x1, wide, low], [x0, wide, low]])
    top = np.array([[r0, -narrow, high], [r1, -narrow, high], [r1, narrow, high], [r0, narrow, high]])
    parts = [mesh(loft([bottom, top], caps=True), Material.METAL, tag, color)]
    panes = []
    for i, (left, right) in enumerate(((0.10, 0.52), (0.06, 0.94), (0.48, 0.90), (0.06, 0.94))):
        j = (i + 1) % 4
        a, b, c, d = bottom[i], bottom[j], top[j], top[i]
        out = np.cross(b - a, d - a)
        out = 0.012 * out / np.linalg.norm(out)
        spans = ((left, right),) if i % 2 else ((0.07, 0.47), (0.51, 0.93))
        for u0, u1 in spans:
            panes.append(
                quad(*[_on_face(a, b, c, d, u, v) + out for u, v in ((u0, 0.10), (u1, 0.10), (u1, 0.88), (u0, 0.88))])
            )
    parts.append(mesh(np.concatenate(panes), Material.GLASS, tag, GLASS))
    return parts


def _on_face(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray, u: float, v: float) -> np.ndarray:
    return (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * d + u * c)


def wheel_parts(
    length: float, width: float, height: float, radius: float, axles: tuple, tag: Tag, *, sides: int = 10
) -> list[Mesh]:
    """Tyres with rims, and the dark arch behind each."""
    tyres, rims, arches = [], [], []
    for x in axles:
        for side in (-1, 1):
            centre = np.array([x * length, side * (0.5 * width - 0.11), radius - height / 2])
            outer = centre + [0, side * 0.12, 0]
            tyres.append(cylinder(centre - [0, side * 0.08, 0], outer, radius, sides))
            rims.append(_disc(outer + [0, side * 0.004, 0], 0.62 * radius, side, 8))
            arches.append(_disc(centre + [0, side * 0.10, 0.02], 1.18 * radius, side, sides))
    return [
        mesh(np.concatenate(tyres), Material.PLAIN, tag, RUBBER),
        mesh(np.concatenate(rims), Material.METAL, tag, RIM),
        mesh(np.concatenate(arches), Material.PLAIN, tag, (0.03, 0.03, 0.03)),
    ]


def _disc(centre: np.ndarray, radius: float, side: int, corners: int) -> np.ndarray:
    """Disc facing +y (side 1) or -y (side -1)."""
    angle = -side * 2 * np.pi * np.arange(corners) / corners
    return fan(centre + radius * np.stack([np.cos(angle), np.zeros(corners), np.sin(angle)], axis=1))


def light_parts(length: float, half: float, low: float, high: float, nose: float, tag: Tag) -> list[Mesh]:
    """Headlights, grille and taillights just outside the end faces."""
    front, rear = 0.5 * length + 0.008, -0.5 * length - 0.008
    top = min(nose - 0.02, high + 0.12)
    heads = [_end_plate(front, y0, y1, top - 0.16, top, 1) for y0, y1 in ((0.48, 0.80), (-0.80, -0.48))]
    tails = [_end_plate(rear, y0, y1, low, high + 0.04, -1) for y0, y1 in ((0.52, 0.84), (-0.84, -0.52))]
    grille = [_end_plate(front, -0.44, 0.44, top - 0.22, top - 0.05, 1)]
    plates = [_end_plate(rear, -0.25, 0.25, low - 0.12, low + 0.02, -1)]
    scale = np.array([1, half, 1])
    return [
        mesh(np.concatenate(heads) * scale, Material.HEADLIGHT, tag, HEADLIGHT),
        mesh(np.concatenate(tails) * scale, Material.TAILLIGHT, tag, TAILLIGHT),
        mesh(np.concatenate(grille) * scale, Material.PLAIN, tag, DARK),
        mesh(np.concatenate(plates) * scale, Material.PLAIN, tag, (0.85, 0.85, 0.8)),
    ]


def _end_plate(x: float, y0: float, y1: float, z0: float, z1: float, facing: int) -> np.ndarray:
    if facing < 0:
        y0, y1 = y1, y0
    return quad((x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1))


def truck_parts(size: tuple, color: tuple, tag: Tag, rng: np.random.Generator) -> list[Mesh]:
    """A cab with windscreen and a cargo box behind it."""
    length, width, height = size
    half, z = 0.49 * width, _level(height)
    cab_from = 0.5 * length - min(2.1, 0.35 * length)
    cab = [
        _ring(cab_from, half, z(0.16), z(0.78)),
        _ring(0.5 * length - 0.25, half, z(0.16), z(0.78)),
        _ring(0.5 * length, 0.96 * half, z(0.16), z(0.44)),
    ]
    cargo_color = (0.86, 0.86, 0.84) if rng.random() < 0.6 else tuple(0.5 * c + 0.3 for c in color)
    cargo = loft([_ring(x, 0.99 * half, z(0.24), z(1.0)) for x in (-0.5 * length, cab_from - 0.25)])
    chassis = loft([_ring(x, 0.7 * half, z(0.13), z(0.24)) for x in (-0.49 * length, cab_from)])
    a, b = 0.5 * length - 0.24, 0.5 * length + 0.01
    windscreen = quad(
        (b, -0.88 * half, z(0.47)), (b, 0.88 * half, z(0.47)), (a, 0.88 * half, z(0.75)), (a, -0.88 * half, z(0.75))
    )
    sides = [_side_pane(cab_from + 0.5, a - 0.1, s * (half + 0.01), z(0.47), z(0.72), s) for s in (-1, 1)]
    return [
        mesh(loft(cab), Material.METAL, tag, color),
        mesh(cargo, Material.PLAIN, tag, cargo_color),
        mesh(chassis, Material.PLAIN, tag, DARK),
        mesh(np.concatenate([windscreen, *sides]), Material.GLASS, tag, GLASS, two_sided=True),
        *wheel_parts(length, width, height, min(0.5, 0.16 * height), (-0.33, -0.2, 0.37), tag),
        *light_parts(length, half, z(0.17), z(0.22), z(0.30), tag),
    ]


def _side_pane(x0: float, x1: float, y: float, low: float, high: float, side: int) -> np.ndarray:
    if side > 0:
        x0, x1 = x1, x0
    return quad((x0, y, low), (x1, y, low), (x1, y, high), (x0, y, high))


def bus_parts(size: tuple, color: tuple, tag: Tag) -> list[Mesh]:
    """A box with a window band, doors and large end windows; trains take the same shape."""
    length, width, height = size
    half, z = 0.49 * width, _level(height)
    body = loft(
        [_ring(x * length, w * half, z(0.10), z(1.0)) for x, w in ((-0.5, 0.97), (-0.48, 1), (0.48, 1), (0.5, 0.97))]
    )
    panes = []
    count = max(int(length / 1.6), 2)
    for side in (-1, 1):
        for i in range(count):
            x0 = (-0.46 + 0.92 * (i + 0.06) / count) * length
            x1 = (-0.46 + 0.92 * (i + 0.94) / count) * length
            low = z(0.14) if side < 0 and i in (count - 1, count // 2) else z(0.45)
            panes.append(_side_pane(x0, x1, side * (half + 0.012), low, z(0.84), side))
    panes.append(_end_plate(0.5 * length + 0.01, -0.9 * half, 0.9 * half, z(0.40), z(0.86), 1))
    panes.append(_end_plate(-0.5 * length - 0.01, -0.8 * half, 0.8 * half, z(0.52), z(0.84), -1))
    sign = _end_plate(0.5 * length + 0.012, -0.6 * half, 0.6 * half, z(0.88), z(0.96), 1)
    return [
        mesh(body, Material.METAL, tag, color),
        mesh(np.concatenate(panes), Material.GLASS, tag, GLASS),
        mesh(sign, Material.TAILLIGHT, tag, (0.9, 0.55, 0.1)),
        *wheel_parts(length, width, height, min(0.5, 0.16 * height), (-0.28, 0.30), tag),
        *light_parts(length, half, z(0.16), z(0.24), z(0.30), tag),
    ]


def two_wheeler_parts(size: tuple, color: tuple, tag: Tag, *, motor: bool) -> list[Mesh]:
    length, width, height = size
    radius = 0.5 * min(0.33 * length, 0.62 * height) if motor else 0.5 * min(0.38 * length, 0.65 * height)
    thickness = 0.07 if motor else 0.02
    axle = 0.5 * length - radius
    low = radius - height / 2
    parts = []
    for x in (-axle, axle):
        wheel = cylinder((x, -thickness, low), (x, thickness, low), radius, 12)
        parts.append(mesh(wheel, Material.PLAIN, tag, RUBBER))
        for side in (-1, 1):
            hub = _disc(np.array([x, side * (thickness + 0.004), low]), 0.72 * radius, side, 8)
            parts.append(mesh(hub, Material.METAL, tag, (0.42, 0.43, 0.44)))
    bar = (0.32 * length, 0.36 * height)
    seat = (-0.16 * length, (0.20 if motor else 0.30) * height)
    tubes = [((-axle, low), seat), (seat, bar), ((-0.05 * length, low), bar), ((axle, low), bar)]
    for (xa, za), (xb, zb) in tubes:
        parts.append(mesh(cylinder((xa, 0, za), (xb, 0, zb), 0.03, 5), Material.METAL, tag, color))
    handle = cylinder((bar[0], -0.45 * width, bar[1] + 0.05), (bar[0], 0.45 * width, bar[1] + 0.05), 0.02, 4)
    parts.append(mesh(handle, Material.PLAIN, tag, DARK))
    saddle_size = (0.35 * length, 0.28, 0.12) if motor else (0.14 * length, 0.12, 0.06)
    parts.append(mesh(box(saddle_size, (seat[0], 0, seat[1] + 0.05)), Material.PLAIN, tag, DARK))
    if motor:
        tank = box((0.45 * length, 0.30, 0.34 * height), (0.06 * length, 0, 0.0))
        parts.append(mesh(tank, Material.METAL, tag, color))
        lamp = _end_plate(bar[0] + 0.03, -0.1, 0.1, bar[1] - 0.16, bar[1] + 0.02, 1)
        tail = _end_plate(seat[0] - 0.18 * length, -0.08, 0.08, seat[1], seat[1] + 0.1, -1)
        parts += [mesh(lamp, Material.HEADLIGHT, tag, HEADLIGHT), mesh(tail, Material.TAILLIGHT, tag, TAILLIGHT)]
    return parts


def person_parts(
    size: tuple, color: tuple, tag: Tag, rng: np.random.Generator, *, seated: bool, phase: int
) -> list[Mesh]:
    """Head, hair, jacket, arms and legs; arms and legs swing in antiphase."""
    _, width, height = size
    z = _level(height)
    legs = tuple(rng.uniform(0.04, 0.35) * np.array([1.0, 1.0, rng.uniform(1.0, 1.6)]))
    hair = tuple(rng.uniform(0.03, 0.35) * np.array([1.0, 0.8, 0.6]))
    skin = tuple(np.array(SKIN) * rng.uniform(0.45, 1.15))
    swing = 0.0 if seated else 0.42 * np.sin(2 * np.pi * phase / GAIT_PHASES)
    shoulder, hip = z(0.82), z(0.50 if not seated else 0.36)
    head_radius = 0.075 * height
    lean = 0.16 if seated else 0.0
    torso = cylinder((0, 0, hip - 0.03), (lean, 0, shoulder + 0.02), 0.30 * width, 7, top_radius=0.36 * width)
    torso[..., 0] = lean + (torso[..., 0] - lean) * 0.65
    parts = [
        mesh(torso, Material.PLAIN, tag, color),
        mesh(ellipsoid((lean, 0, z(0.92)), (head_radius,) * 3, finer=False), Material.PLAIN, tag, skin),
        mesh(ellipsoid((lean - 0.02, 0, z(0.945)), (1.06 * head_radius,) * 3, finer=False), Material.PLAIN, tag, hair),
    ]
    leg, arm = hip - z(0.02), 0.36 * height
    for side in (-1, 1):
        forward = side * swing
        foot = np.array([np.sin(forward) * leg, side * 0.17 * width, hip - np.cos(forward) * leg])
        start = np.array([0, side * 0.17 * width, hip])
        if seated:
            knee = np.array([0.34, side * 0.2 * width, hip - 0.08])
            foot = np.array([0.22, side * 0.18 * width, z(0.0) - 0.05])
            parts.append(mesh(cylinder(start, knee, 0.075, 5), Material.PLAIN, tag, legs))
            start = knee
        parts.append(mesh(cylinder(start, foot, 0.085, 5, top_radius=0.06), Material.PLAIN, tag, legs))
        shoe = box((0.24, 0.09, 0.08), foot + [0.05, 0, 0.02])
        parts.append(mesh(shoe, Material.PLAIN, tag, DARK))
        top = np.array([lean, side * 0.42 * width, shoulder])
        reach = 1.0 if seated else -0.8 * forward
        hand = top + [np.sin(reach) * arm, 0, -np.cos(reach) * arm]
        parts.append(mesh(cylinder(top, hand, 0.055, 5, top_radius=0.045), Material.PLAIN, tag, color))
        parts.append(mesh(box((0.08, 0.07, 0.1), hand), Material.PLAIN, tag, skin))
    return parts
