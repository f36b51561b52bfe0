"""Street layouts with a signalled junction of three or four legs at right angles."""

from __future__ import annotations

import numpy as np

from cosmos_exp.scene.procedural.paths import Path, direction, join, on_ground, quarter_turn, straight
from cosmos_exp.scene.procedural.roads import (
    CROSSWALK_WIDTH,
    KERB_GAP,
    REACH,
    Route,
    Signals,
    Street,
    Walk,
    add_arrow,
    add_crosswalk,
    add_light,
    add_road,
    add_sign,
    add_wait_line,
)
from cosmos_exp.scene.types import Lane, LaneType, LightState

STOP_SETBACK = CROSSWALK_WIDTH + 1.8  # stop line to the junction's edge


def draw_signals(rng: np.random.Generator, mixed: bool = False) -> Signals:
    """Timelines of the two conflicting groups: "main" (the ego's road) and "cross". Never green or yellow together.

    mixed: every state at the start of the ego's signal is as likely as the others, also off.
    """
    if mixed:
        return mixed_signals(rng)
    R, Y, G = LightState.RED, LightState.YELLOW, LightState.GREEN
    change = float(rng.uniform(0.8, 3.0))
    timelines = {
        "go": (([0.0], (G,)), ([0.0], (R,))),
        "wait": (([0.0], (R,)), ([0.0], (G,))),
        "starting": (([0.0, change + 1.0], (R, G)), ([0.0, change], (Y, R))),
        "ending": (([0.0, change, change + 3.0], (G, Y, R)), ([0.0, change + 4.0], (R, G))),
    }
    main, cross = timelines[str(rng.choice(list(timelines), p=[0.4, 0.3, 0.2, 0.1]))]
    return {"main": (np.array(main[0]), main[1]), "cross": (np.array(cross[0]), cross[1])}


def mixed_signals(rng: np.random.Generator) -> Signals:
    R, Y, G, off = LightState.RED, LightState.YELLOW, LightState.GREEN, LightState.OFF
    change = float(rng.uniform(0.6, 3.0))
    timelines = {
        "go": (([0.0, change + 2.0], (G, Y)), ([0.0], (R,))),
        "ending": (([0.0, change], (Y, R)), ([0.0, change + 1.0], (R, G))),
        "wait": (([0.0], (R,)), ([0.0, change + 2.0], (G, Y))),
        "starting": (([0.0, change + 1.0], (R, G)), ([0.0, change], (Y, R))),
        "all red": (([0.0, change], (R, G)), ([0.0], (R,))),
        "off": (([0.0], (off,)), ([0.0], (off,))),
    }
    main, cross = timelines[str(rng.choice(list(timelines), p=[0.25, 0.2, 0.2, 0.15, 0.1, 0.1]))]
    return {"main": (np.array(main[0]), main[1]), "cross": (np.array(cross[0]), cross[1])}


def build_junction(rng: np.random.Generator, street: Street, heading: float) -> None:
    """The ego comes along `heading`; leg k comes in along heading + k * 90 degrees. A T-junction lacks one side leg."""
    section = street.section
    corner = max(section.sidewalk, 1.0) + float(rng.uniform(2.5, 5.0))
    inner = section.kerb + corner
    stop_distance = inner + STOP_SETBACK
    distance = stop_distance + float(rng.uniform(6.0, 35.0))
    centre = distance * direction(heading)
    street.signals = draw_signals(rng, street.mixed_states)
    missing = int(rng.choice([1, 3])) if street.kind == "t_junction" else None
    legs = {}
    for k in range(4):
        if k != missing:
            yaw = heading + k * np.pi / 2
            reach = REACH + (street.ego_travel if k == 2 else distance if k == 0 else 0.0)
            legs[k] = straight(centre - (inner + reach) * direction(yaw), yaw, reach)
    for k, leg in legs.items():
        add_road(street, leg, f"leg{k}")
        across = inner + 1.0 if (k + 2) % 4 in legs else section.kerb + KERB_GAP
        add_leg_furniture(rng, street, leg, f"leg{k}", signal_group(k), inner + across)
    add_junction_surface(street, centre, heading, inner, missing)
    add_routes(rng, street, legs, street.layout.speed_limit(rng, street.area))
    start = legs[0].length + inner - distance
    street.ego_stations = (start - 6.0, start + 4.0)


def signal_group(k: int) -> str:
    return "main" if k % 2 == 0 else "cross"


def add_leg_furniture(
    rng: np.random.Generator, street: Street, leg: Path, name: str, signal: str, far_side: float
) -> None:
    """Crosswalk, stop line, signal heads and a sign where the leg meets the junction.

    far_side: metres from the end of the leg to the signal beyond the junction.
    """
    section = street.section
    add_crosswalk(street, leg, leg.length - 0.6 - CROSSWALK_WIDTH / 2, signal)
    stop = leg.length - STOP_SETBACK
    add_wait_line(street, leg, stop)
    yaw = float(leg.headings[-1])
    ahead, left = direction(yaw), direction(yaw + np.pi / 2)
    edge = leg.points[-1]
    near = edge - STOP_SETBACK * ahead - (section.kerb + KERB_GAP) * left
    far = edge + far_side * ahead - (section.kerb + KERB_GAP) * left
    add_light(street, near, yaw, signal, 3.6)
    add_light(street, far, yaw, signal, 5.4)
    kind = "speed_limit" if name == "leg0" else "warning"
    add_sign(street, leg, stop - 22.0, street.sign_kind(rng) if street.mixed_states else kind)


def add_junction_surface(street: Street, centre: np.ndarray, heading: float, inner: float, missing: int | None) -> None:
    """Through lanes both ways, corner pieces between them, kerbs and sidewalks around the corners."""
    section = street.section
    for k in range(4):
        yaw = heading + k * np.pi / 2
        before, after = inner, inner
        if missing is not None and k == missing:
            before = -section.driving
        if missing is not None and (k + 2) % 4 == missing:
            after = -section.driving
        through = straight(centre - before * direction(yaw), yaw, before + after)
        for i in range(section.lanes):
            left, right = through.offset(-section.lane_edge(i)), through.offset(-section.lane_edge(i + 1))
            street.lanes.append(Lane(f"junction_{k}_{i}", LaneType.DRIVING, left, right, junction=True))
    for k in range(4):
        if missing is not None and missing in (k, (k + 1) % 4):
            continue
        add_corner(street, centre, heading + k * np.pi / 2, inner, f"corner_{k}")
    if missing is not None:
        add_closed_side(street, centre, heading + missing * np.pi / 2, inner)


def add_corner(street: Street, centre: np.ndarray, yaw: float, inner: float, name: str) -> None:
    """The corner on the right of the leg coming in along `yaw` and left of the leg next to it."""
    section = street.section
    back, right = -direction(yaw), -direction(yaw + np.pi / 2)

    def place(points: np.ndarray) -> np.ndarray:
        return on_ground(centre + points[:, :1] * back + points[:, 1:] * right)

    def elbow(offset: float) -> np.ndarray:
        u = np.linspace(0.0, 1.0, 7)[:, None]
        a, b, c = np.array([inner, offset]), np.array([offset, offset]), np.array([offset, inner])
        return place(np.concatenate([a + u[:-1] * (b - a), b + u * (c - b)]))

    phi = np.linspace(0.0, np.pi / 2, 13)
    radius = inner - section.kerb
    kerb = place(np.stack([inner - radius * np.sin(phi), inner - radius * np.cos(phi)], axis=-1))
    street.lanes.append(Lane(f"{name}_road", LaneType.SHOULDER, elbow(section.driving), kerb, junction=True))
    street.road_boundaries.append(kerb)
    if section.sidewalk:
        outer = elbow(section.kerb + section.sidewalk)
        street.lanes.append(Lane(f"{name}_sidewalk", LaneType.SIDEWALK, kerb, outer, junction=True))


def add_closed_side(street: Street, centre: np.ndarray, yaw: float, inner: float) -> None:
    """The straight kerb of a T-junction opposite its stem; `yaw` is the heading of the leg that is missing."""
    section = street.section
    way_yaw = yaw - np.pi / 2
    way = straight(centre - inner * direction(way_yaw), way_yaw, 2 * inner)
    edge, kerb = way.offset(-section.driving), way.offset(-section.kerb)
    street.lanes.append(Lane("closed_side", LaneType.SHOULDER, edge, kerb, junction=True))
    street.road_boundaries.append(kerb)
    if section.sidewalk:
        outer = way.offset(-section.kerb - section.sidewalk)
        street.lanes.append(Lane("closed_sidewalk", LaneType.SIDEWALK, kerb, outer, junction=True))
        walk = way.shifted(-section.kerb - section.sidewalk * 0.6)
        street.walks.append(Walk(walk, section.sidewalk * 0.5))


def add_routes(rng: np.random.Generator, street: Street, legs: dict[int, Path], limit: float) -> None:
    """One movement per inbound lane: straight on, or a turn from the lane that allows it."""
    section = street.section
    for k, leg in legs.items():
        for i in range(section.lanes):
            exits = {"straight": (k, i), "left": ((k + 1) % 4, 0), "right": ((k + 3) % 4, section.lanes - 1)}
            allowed = ["straight"] + ["left"] * (i == 0) + ["right"] * (i == section.lanes - 1)
            allowed = [m for m in allowed if (exits[m][0] + 2) % 4 in legs]
            preferred = [6.0 if m == "straight" else 1.0 for m in allowed]
            movement = str(rng.choice(allowed, p=np.array(preferred) / sum(preferred)))
            exit_heading, j = exits[movement]
            out_leg = legs[(exit_heading + 2) % 4].reversed()
            enter = leg.shifted(-section.lane_edge(i + 0.5))
            leave = out_leg.shifted(-section.lane_edge(j + 0.5))
            p, q, yaw = enter.points[-1], leave.points[0], float(enter.headings[-1])
            if movement == "straight":
                middle = straight(p, yaw, float(np.linalg.norm(q - p)))
                add_arrow(street, enter.at(enter.length - STOP_SETBACK - 9.0)[0], yaw)
            else:
                middle = quarter_turn(p, yaw, q, movement == "left")
            if k == 0:
                street.ego_routes.append(len(street.routes))
            stop = enter.length - STOP_SETBACK
            speed = limit if movement == "straight" else min(limit, 6.0)
            route = Route(f"leg{k}_{i}_{movement}", join(enter, middle, leave), speed, stop, signal_group(k))
            street.routes.append(route)
