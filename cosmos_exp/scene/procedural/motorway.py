"""A motorway: two to six lanes a direction, a median barrier, shoulders, sometimes a ramp; nobody on foot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosmos_exp.scene.procedural.layouts import CrossSection
from cosmos_exp.scene.procedural.paths import Path, bend, direction, straight, through
from cosmos_exp.scene.procedural.roads import KERB_GAP, REACH, Route, Street, add_hatch, add_pole, add_sign, facing_pose
from cosmos_exp.scene.types import Barrier, Lane, LaneLine, LaneType, TrafficSign

TOP_SPEED = 36.0  # m/s
BARRIER = 0.6  # metres, width of the median barrier
TAPER, PARALLEL = 45.0, 70.0  # metres in which a ramp widens, and those that it lies beside the road
RAMP_WIDTH = 3.75
RAMP_SPEED = 16.0  # m/s
RAMP_SLOPE = 0.16  # metres aside per metre, far out


def motorway_section(rng: np.random.Generator) -> CrossSection:
    """The median is that of the barrier and of a narrow shoulder on either side of it."""
    return CrossSection(
        lanes=int(rng.choice([2, 3, 4, 5, 6], p=[0.3, 0.3, 0.2, 0.1, 0.1])),
        lane_width=float(rng.uniform(3.5, 3.75)),
        parking=0.0,
        shoulder=float(rng.uniform(2.2, 3.2)),
        sidewalk=0.0,
        centre="",
        centre_color="yellow" if rng.random() < 0.5 else "white",
        median=BARRIER + 2 * float(rng.uniform(0.5, 1.2)),
    )


def build_motorway(rng: np.random.Generator, street: Street, heading: float) -> None:
    length = 2 * REACH + street.ego_travel
    origin = -REACH * direction(heading)
    path = straight(origin, heading, length)
    if rng.random() < 0.5:
        angle, radius = float(rng.uniform(0.15, 0.5) * rng.choice([-1.0, 1.0])), float(rng.uniform(350.0, 900.0))
        before = float(rng.uniform(0.3, 1.0)) * REACH
        after = max(length - before - abs(angle) * radius, 40.0)
        path = bend(origin, heading, before=before, angle=angle, radius=radius, after=after, transition=60.0)
    limit = float(rng.uniform(22.0, 33.0))
    street.top_speed, street.ego_speeds = TOP_SPEED, (0.7 * limit, 1.08 * limit)
    ramp = draw_ramp(rng, path) if rng.random() < 0.5 else None
    add_side(street, path, "right", limit, ramp)
    add_side(street, path.reversed(), "left", limit, None)
    street.barriers.append(Barrier(path.offset(0.0), 0.85, BARRIER))
    street.road_boundaries += [path.offset(BARRIER / 2), path.offset(-BARRIER / 2)]
    add_roadside(rng, street, path, ramp)
    street.ego_routes = list(range(street.section.lanes))
    street.ego_stations = (REACH - 5.0, REACH + 5.0)


@dataclass(frozen=True)
class Ramp:
    """Of the right side of a path. inner, outer: [N] metres from the outermost driving lane to the ramp's edges, equal
    where there is no ramp; parted: [N] bool, where it has left the road. exits: off the road, else onto it."""

    inner: np.ndarray
    outer: np.ndarray
    parted: np.ndarray
    exits: bool


def draw_ramp(rng: np.random.Generator, path: Path) -> Ramp:
    exits = bool(rng.random() < 0.6)
    begin = REACH + float(rng.uniform(-90.0, 20.0))
    along = path.stations if exits else path.length - path.stations
    width = RAMP_WIDTH * np.clip((along - begin) / TAPER, 0.0, 1.0)
    beyond = np.maximum(along - begin - TAPER - PARALLEL, 0.0)
    turn = 80.0  # metres in which the ramp turns away
    aside = np.where(beyond < turn, RAMP_SLOPE * beyond**2 / (2 * turn), RAMP_SLOPE * (beyond - turn / 2))
    return Ramp(aside, aside + width, beyond > 0.0, exits)


def add_side(street: Street, way: Path, name: str, limit: float, ramp: Ramp | None) -> None:
    """The lanes of one direction with their shoulders, lines and routes; those to the left are faster."""
    section = street.section
    edge = section.driving
    for i in range(section.lanes):
        lane = Lane(
            f"road_{name}_{i}",
            LaneType.DRIVING,
            way.offset(-section.lane_edge(i)),
            way.offset(-section.lane_edge(i + 1)),
        )
        street.lanes.append(lane)
        speed = limit * (1.0 - 0.12 * i)
        street.routes.append(Route(f"{name}_{i}", way.shifted(-section.lane_edge(i + 0.5)), speed))
        if i:
            street.lane_lines.append(LaneLine(way.offset(-section.lane_edge(i)), "broken", "white"))
    inner = section.lane_edge(0)
    street.lanes.append(Lane(f"road_{name}_inner", LaneType.SHOULDER, way.offset(0.0), way.offset(-inner)))
    street.lane_lines.append(LaneLine(way.offset(-inner + 0.1), "solid", section.centre_color, 0.2))
    if ramp is None:
        street.lanes.append(Lane(f"road_{name}_outer", LaneType.SHOULDER, way.offset(-edge), way.offset(-section.kerb)))
        street.lane_lines.append(LaneLine(way.offset(-edge - 0.1), "solid", "white", 0.2))
        street.road_boundaries.append(way.offset(-section.kerb))
        return
    add_ramp(street, way, ramp)


def add_ramp(street: Street, way: Path, ramp: Ramp) -> None:
    """The ramp's lane, the outer shoulder beside it, and the gore between it and the road."""
    edge, shoulder = street.section.driving, street.section.shoulder
    points = {name: way.offset(-edge - values) for name, values in (("left", ramp.inner), ("right", ramp.outer))}
    on_ramp, parted = ramp.outer - ramp.inner > 0.0, ramp.parted
    on_ramp[:-1] |= on_ramp[1:]
    on_ramp[1:] |= on_ramp[:-1]
    street.lanes.append(Lane("ramp", LaneType.DRIVING, points["left"][on_ramp], points["right"][on_ramp]))
    outer = way.offset(-edge - ramp.outer - shoulder)
    street.lanes.append(Lane("road_right_outer", LaneType.SHOULDER, points["right"], outer))
    street.road_boundaries.append(outer)
    street.lane_lines.append(LaneLine(way.offset(-edge - ramp.outer - 0.1), "solid", "white", 0.2))
    gore = np.minimum(ramp.inner, shoulder)
    street.lanes.append(Lane("gore", LaneType.SHOULDER, way.offset(-edge)[parted], way.offset(-edge - gore)[parted]))
    beside = on_ramp & ~parted
    street.lane_lines.append(LaneLine(way.offset(-edge)[beside], "broken", "white", 0.2))
    street.lane_lines.append(LaneLine(way.offset(-edge - 0.1)[parted], "solid", "white", 0.2))
    street.lane_lines.append(LaneLine(way.offset(-edge - ramp.inner - 0.1)[parted], "solid", "white", 0.2))
    split = ramp.inner > shoulder + 0.4
    street.road_boundaries += [way.offset(-edge - shoulder)[split], points["left"][split]]
    full = ramp.outer - ramp.inner > 0.95 * RAMP_WIDTH
    centre = (points["left"] + points["right"])[full, :2] / 2
    street.routes.append(Route("ramp", through(centre), RAMP_SPEED))


def add_roadside(rng: np.random.Generator, street: Street, path: Path, ramp: Ramp | None) -> None:
    """Guard rails or sound walls, and signs: small ones at the edge, large ones on two posts."""
    section, kind = street.section, float(rng.random())
    sides = [path.reversed()] + ([path] if ramp is None else [])
    for way in sides:
        if kind < 0.4:
            street.barriers.append(Barrier(way.offset(-section.kerb - 0.5), 0.75, 0.3, "rail"))
        elif kind < 0.55:
            street.barriers.append(Barrier(way.offset(-section.kerb - 2.5), float(rng.uniform(2.2, 3.5)), 0.5))
    for station in rng.uniform(REACH, REACH + street.ego_travel + 90.0, size=2):
        if ramp is None or not (ramp.outer > 0)[np.searchsorted(path.stations, station)]:
            add_sign(street, path, float(station), street.sign_kind(rng, ("speed_limit", "direction")))
    station = REACH + float(rng.uniform(30.0, 110.0))
    beyond = 0.0 if ramp is None else float(np.interp(station, path.stations, ramp.outer))
    add_board(street, path, station, section.kerb + beyond + KERB_GAP)
    if ramp is None and rng.random() < 0.3:
        add_hatch(street, path, REACH, REACH + 30.0, -section.kerb + section.shoulder / 2, section.shoulder - 0.4)


def add_board(street: Street, path: Path, station: float, edge: float) -> None:
    """A large direction sign on two poles, beginning `edge` metres right of the path."""
    xy, angle = path.at(station)
    heading = float(angle)
    right = direction(heading - np.pi / 2)
    centre = xy + (edge + 2.2) * right
    for aside in (-1.4, 1.4):
        add_pole(street, centre + aside * right, 4.4, 0.09)
    pose = facing_pose(centre - 0.15 * direction(heading), 3.9, heading + np.pi)
    street.traffic_signs.append(TrafficSign(f"sign_{len(street.traffic_signs)}", pose, (0.06, 4.2, 2.2), "direction"))
