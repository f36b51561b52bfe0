"""A narrow residential street: cars parked on both sides, driveways, and trees in the front gardens."""

from __future__ import annotations

import numpy as np

from cosmos_exp.scene.procedural.layouts import CrossSection
from cosmos_exp.scene.procedural.paths import Path, bend, direction, straight
from cosmos_exp.scene.procedural.roads import (
    REACH,
    Street,
    add_crosswalk,
    add_plain_routes,
    add_road,
    add_sign,
)
from cosmos_exp.scene.types import Lane, LaneType, Tree

SPEED = (4.0, 8.5)  # m/s
DRIVEWAY_LENGTH = (5.2, 7.5)  # metres beyond the sidewalk


def residential_section(rng: np.random.Generator) -> CrossSection:
    return CrossSection(
        lanes=1,
        lane_width=float(rng.uniform(2.6, 3.0)),
        parking=float(rng.uniform(2.0, 2.2)),
        shoulder=float(rng.uniform(0.2, 0.4)),
        sidewalk=float(rng.uniform(1.4, 2.2)),
        centre="",
        centre_color="white",
    )


def build_residential(rng: np.random.Generator, street: Street, heading: float) -> None:
    length = 2 * REACH + street.ego_travel
    origin = -REACH * direction(heading)
    path = straight(origin, heading, length)
    if rng.random() < 0.5:
        angle, radius = float(rng.uniform(0.2, 0.9) * rng.choice([-1.0, 1.0])), float(rng.uniform(60.0, 140.0))
        before = REACH + float(rng.uniform(-30.0, 30.0))
        path = bend(origin, heading, before=before, angle=angle, radius=radius, after=length - before)
    add_road(street, path, "road")
    add_plain_routes(street, path, float(rng.uniform(*SPEED)))
    street.parked_share = (0.6, 0.85)
    street.ego_stations = (REACH - 5.0, REACH + 5.0)
    for way in (path, path.reversed()):
        add_gardens(rng, street, way)
    if rng.random() < 0.3:
        add_crosswalk(street, path, REACH + float(rng.uniform(15.0, 45.0)), None)
    for station in rng.uniform(REACH - 20.0, REACH + street.ego_travel + 60.0, size=3):
        kind = street.sign_kind(rng, ("speed_limit", "no_parking", "warning"))
        way, at = (path, station) if rng.random() < 0.6 else (path.reversed(), path.length - station)
        add_sign(street, way, float(at), kind)


def add_gardens(rng: np.random.Generator, street: Street, way: Path) -> None:
    """Driveways on the right of the way, some steps apart, and small trees between them."""
    section = street.section
    edge = section.kerb + section.sidewalk
    station = float(rng.uniform(8.0, 20.0))
    while station < way.length - 12.0:
        xy, angle = way.at(station)
        right = direction(float(angle) - np.pi / 2)
        if rng.random() < 0.55:
            width, depth = float(rng.uniform(2.8, 3.6)), float(rng.uniform(*DRIVEWAY_LENGTH))
            drive = straight(xy + edge * right, float(angle) - np.pi / 2, depth)
            left, other = drive.offset(width / 2), drive.offset(-width / 2)
            street.lanes.append(Lane(f"driveway_{len(street.driveways)}", LaneType.OTHER, left, other))
            street.driveways.append(drive)
            street.driveway_mouths.append(xy + (section.kerb - section.parking / 2) * right)
        elif rng.random() < 0.8:
            height = float(rng.uniform(3.0, 7.0))
            foot = xy + (edge + float(rng.uniform(1.2, 2.4))) * right
            tree = Tree(np.array([*foot, 0.0]), height, 0.3 * height, int(rng.integers(2**31)))
            street.trees.append(tree)
        station += float(rng.uniform(7.0, 14.0))
