"""A roundabout of one lane with three or four legs; circulating traffic, counter-clockwise, has the right of way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosmos_exp.scene.procedural.paths import Path, arc, bezier, direction, join, on_ground, straight
from cosmos_exp.scene.procedural.roads import (
    REACH,
    Route,
    Street,
    add_crosswalk,
    add_pole,
    add_road,
    add_sign,
    facing_pose,
)
from cosmos_exp.scene.types import Lane, LaneLine, LaneType, TrafficSign, Tree

FLARE = 16.0  # metres from the circle's outer edge to the ends of the legs
JOIN = 0.62  # radians from a leg's axis to where its traffic meets the circle
SPEED = (4.5, 7.0)  # m/s
BLEND = 6  # exponent that rounds the corners between legs and circle


@dataclass(frozen=True)
class Circle:
    """centre: [2]. island, outer: radii in metres of the edges of the circulating lane. axes: {leg: angle of its place
    on the circle}."""

    centre: np.ndarray
    island: float
    outer: float
    axes: dict[int, float]

    @property
    def middle(self) -> float:
        return (self.island + self.outer) / 2

    def at(self, angles: np.ndarray, radii: np.ndarray | float) -> np.ndarray:
        """[N,3] points around the centre."""
        radii = np.broadcast_to(radii, angles.shape)
        return on_ground(self.centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1))

    def kerb(self, angles: np.ndarray, half_width: float, beyond: float = 0.0) -> np.ndarray:
        """[N] radii of the outer kerb: the circle, widened to legs of this half width, and moved `beyond` outwards."""
        total = np.full(angles.shape, self.outer + beyond) ** BLEND
        for axis in self.axes.values():
            aside = np.angle(np.exp(1j * (angles - axis)))
            near = np.abs(aside) < np.pi / 2
            total += np.where(near, (half_width + beyond) / np.maximum(np.sin(np.abs(aside)), 0.05), 0.0) ** BLEND
        return total ** (1 / BLEND)


def build_roundabout(rng: np.random.Generator, street: Street, heading: float) -> None:
    """The ego comes along `heading`; leg k comes in along heading + k * 90 degrees."""
    island = float(rng.uniform(8.0, 14.0))
    outer = island + float(rng.uniform(5.2, 6.2))
    end = outer + FLARE
    distance = end + float(rng.uniform(-8.0, 14.0))
    centre = distance * direction(heading)
    missing = int(rng.choice([1, 2, 3])) if rng.random() < 0.3 else None
    legs = {}
    for k in (k for k in range(4) if k != missing):
        yaw = heading + k * np.pi / 2
        reach = REACH + (street.ego_travel if k != 0 else 0.0) + (distance if k == 0 else 0.0)
        legs[k] = straight(centre - (end + reach) * direction(yaw), yaw, reach)
    circle = Circle(centre, island, outer, {k: heading + k * np.pi / 2 + np.pi for k in legs})
    for k, leg in legs.items():
        add_road(street, leg, f"leg{k}")
        if street.area != "rural":
            add_crosswalk(street, leg, leg.length - 4.0, None)
        add_sign(street, leg, leg.length - 1.5, "yield")
        add_sign(street, leg, leg.length - 30.0, street.sign_kind(rng, ("direction", "warning", "speed_limit")))
    add_surface(street, circle)
    ramps = {k: entry_and_exit(street, circle, leg, k) for k, leg in legs.items()}
    for k, (entry, _) in ramps.items():
        add_splitter(street, circle, legs[k], entry, k)
    add_routes(rng, street, circle, legs, ramps)
    add_island(rng, street, circle)
    start = legs[0].length + end - distance
    street.ego_stations = (start - 4.0, start + 4.0)


def add_surface(street: Street, circle: Circle) -> None:
    """Pavement from the island to the kerb, and sidewalks, leg by leg."""
    section = street.section
    end = circle.outer + FLARE
    inset = float(np.arctan2(section.kerb, end))
    for k, axis in circle.axes.items():
        front = np.linspace(axis - inset, axis + inset, 9)
        street.lanes.append(
            Lane(
                f"circle_leg{k}",
                LaneType.DRIVING,
                circle.at(front, circle.island),
                circle.at(front, end / np.cos(front - axis)),
                junction=True,
            )
        )
        span = next_axis(circle, k) - axis
        angles = np.linspace(axis + inset, axis + span - inset, max(int(span * circle.outer), 24))
        kerb = circle.at(angles, circle.kerb(angles, section.kerb))
        inner = circle.at(angles, circle.island)
        street.lanes.append(Lane(f"circle_side{k}", LaneType.DRIVING, inner, kerb, junction=True))
        street.road_boundaries.append(kerb)
        if section.sidewalk:
            wide = float(np.arctan2(section.kerb + section.sidewalk, end))
            angles = np.linspace(axis + wide, axis + span - wide, len(angles))
            outer = circle.at(angles, circle.kerb(angles, section.kerb, section.sidewalk))
            street.lanes.append(Lane(f"circle_sidewalk{k}", LaneType.SIDEWALK, kerb, outer, junction=True))


def next_axis(circle: Circle, k: int) -> float:
    """Angle of the next leg counter-clockwise, above that of leg k."""
    axis = circle.axes[k]
    turns = [(other - axis) % (2 * np.pi) for j, other in circle.axes.items() if j != k]
    return axis + min(turns)


def entry_and_exit(street: Street, circle: Circle, leg: Path, k: int) -> tuple[Path, Path]:
    """From the leg's end onto the circle, and from the circle to the leg."""
    lane, axis = street.section.lane_edge(0.5), circle.axes[k]
    enter, leave = leg.shifted(-lane), leg.reversed().shifted(-lane)
    on, off = axis + JOIN, axis - JOIN
    entry = bezier(
        enter.points[-1],
        float(enter.headings[-1]),
        circle.at(np.array([on]), circle.middle)[0, :2],
        on + np.pi / 2 - 2 * np.pi,
    )
    exit_ = bezier(circle.at(np.array([off]), circle.middle)[0, :2], off + np.pi / 2, leave.points[0], axis)
    return entry, exit_


def add_splitter(street: Street, circle: Circle, leg: Path, entry: Path, k: int) -> None:
    """The island between entry and exit, as wide as the entry leaves room, and the line at which traffic yields."""
    section, axis = street.section, circle.axes[k]
    ahead, left = -direction(axis), -direction(axis + np.pi / 2)
    offsets = entry.points - circle.centre
    radial, aside = -(offsets @ ahead), -(offsets @ left)
    radii = np.linspace(circle.outer + FLARE - 0.5, circle.outer + 1.2, 12)
    room = np.interp(radii, radial[::-1], aside[::-1]) - section.lane_width / 2 - 0.3
    half = np.clip(room, 0.05, 2.5)
    spine = circle.centre - radii[:, None] * ahead
    one, other = (on_ground(spine + sign * half[:, None] * left) for sign in (1.0, -1.0))
    street.lanes.append(Lane(f"splitter{k}", LaneType.MEDIAN, one, other, junction=True))
    street.road_boundaries.append(np.concatenate([one, other[::-1]]))
    at = int(np.argmin(np.abs(np.linalg.norm(offsets, axis=1) - circle.outer - 0.4)))
    across = direction(float(entry.headings[at]) + np.pi / 2)
    reach = section.lane_width / 2
    street.wait_lines.append(on_ground(np.stack([entry.points[at] + s * reach * across for s in (1, -1)])))


def add_routes(
    rng: np.random.Generator, street: Street, circle: Circle, legs: dict[int, Path], ramps: dict[int, tuple[Path, Path]]
) -> None:
    """Every way from a leg to another."""
    section = street.section
    speed = float(rng.uniform(*SPEED))
    lane = section.lane_edge(0.5)
    for k, leg in legs.items():
        for j in legs:
            if j == k:
                continue
            start = circle.axes[k] + JOIN
            turn = (circle.axes[j] - JOIN - start) % (2 * np.pi)
            around = arc(circle.centre, circle.middle, start, start + turn)
            path = join(leg.shifted(-lane), ramps[k][0], around, ramps[j][1], legs[j].reversed().shifted(-lane))
            if k == 0:
                street.ego_routes.append(len(street.routes))
            street.routes.append(Route(f"leg{k}_leg{j}", path, speed))


def add_island(rng: np.random.Generator, street: Street, circle: Circle) -> None:
    """A raised disc with trees and, across from every entry, a sign."""
    angles = np.linspace(0.0, 2 * np.pi, 49)
    street.lanes.append(
        Lane("island", LaneType.MEDIAN, circle.at(angles, 0.05), circle.at(angles, circle.island), junction=True)
    )
    street.road_boundaries.append(circle.at(angles, circle.island))
    street.lane_lines.append(LaneLine(circle.at(angles, circle.island + 0.35), "solid", street.section.centre_color))
    for _ in range(int(rng.integers(0, 5))):
        height = float(rng.uniform(2.5, 5.5))
        at = circle.at(rng.uniform(0, 2 * np.pi, 1), float(rng.uniform(0.0, 0.55)) * circle.island)[0]
        street.trees.append(Tree(at + [0.0, 0.0, 0.1], height, 0.3 * height, int(rng.integers(2**31))))
    for axis in circle.axes.values():
        foot = circle.at(np.array([axis + 0.15]), circle.island - 0.8)[0, :2]
        add_pole(street, foot, 1.9, 0.05)
        pose = facing_pose(foot + 0.08 * direction(axis), 1.5, axis)
        street.traffic_signs.append(
            TrafficSign(f"sign_{len(street.traffic_signs)}", pose, (0.04, 1.2, 0.5), "direction")
        )
