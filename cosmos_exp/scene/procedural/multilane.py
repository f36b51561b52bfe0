"""A junction of two avenues: medians, a pocket for left turns on every leg, and signals of their own for them."""

from __future__ import annotations

import numpy as np

from cosmos_exp.scene.procedural.junctions import STOP_SETBACK, add_junction_surface
from cosmos_exp.scene.procedural.layouts import CrossSection
from cosmos_exp.scene.procedural.paths import Path, direction, join, quarter_turn, straight, through
from cosmos_exp.scene.procedural.roads import (
    CROSSWALK_WIDTH,
    KERB_GAP,
    REACH,
    Route,
    Signals,
    Street,
    add_arrow,
    add_crosswalk,
    add_left_arrow,
    add_light,
    add_median,
    add_road,
    add_sign,
    add_wait_line,
)
from cosmos_exp.scene.types import Lane, LaneLine, LaneType, LightState

POCKET_WIDTH = 3.0
POCKET, TAPER = 50.0, 18.0  # metres of full width, and those in which the median narrows
LANE_CHANGE = 28.0  # metres in which traffic moves into the pocket
TURN_SPEED = 6.0  # m/s


def avenue_section(rng: np.random.Generator, section: CrossSection) -> CrossSection:
    """Two or three lanes each way and a median that holds the pocket; the rest as drawn."""
    return CrossSection(
        lanes=int(rng.choice([2, 3], p=[0.65, 0.35])),
        lane_width=min(section.lane_width, 3.6),
        parking=0.0,
        shoulder=section.shoulder,
        sidewalk=section.sidewalk,
        centre="",
        centre_color=section.centre_color,
        median=POCKET_WIDTH + float(rng.uniform(0.7, 2.5)),
    )


def avenue_signals(rng: np.random.Generator) -> Signals:
    """Timelines of "main" and "cross", straight on and right, and of their left turns, in any state of a cycle.

    At most one group is green or yellow at a time; in some scenes all are off.
    """
    R, Y, G, off = LightState.RED, LightState.YELLOW, LightState.GREEN, LightState.OFF
    groups = ("main", "main_left", "cross", "cross_left")
    if rng.random() < 0.08:
        return {group: (np.array([0.0]), (off,)) for group in groups}
    change = float(rng.uniform(0.5, 6.0))  # seconds until the group that is open turns yellow
    first = int(rng.choice(4, p=[0.4, 0.2, 0.25, 0.15]))
    yellow_now = rng.random() < 0.2
    opens = change + 3.0 + 1.0  # three seconds of yellow, one of all red
    signals: Signals = {}
    for i, group in enumerate(groups):
        if i == first and yellow_now:
            signals[group] = np.array([0.0, min(change, 3.0)]), (Y, R)
        elif i == first:
            signals[group] = np.array([0.0, change, change + 3.0]), (G, Y, R)
        elif i == (first + 1) % 4:
            signals[group] = np.array([0.0, opens]), (R, G)
        else:
            signals[group] = np.array([0.0]), (R,)
    return signals


def build_multilane(rng: np.random.Generator, street: Street, heading: float) -> None:
    """The ego comes along `heading`; leg k comes in along heading + k * 90 degrees."""
    section = street.section
    inner = section.kerb + max(section.sidewalk, 1.0) + float(rng.uniform(3.0, 6.0))
    distance = inner + STOP_SETBACK + float(rng.uniform(4.0, 28.0))
    centre = distance * direction(heading)
    street.signals = avenue_signals(rng)
    legs = {}
    for k in range(4):
        yaw = heading + k * np.pi / 2
        reach = REACH + (street.ego_travel if k == 2 else distance if k == 0 else 0.0)
        legs[k] = straight(centre - (inner + reach) * direction(yaw), yaw, reach, step=2.0)
    for k, leg in legs.items():
        add_road(street, leg, f"leg{k}", median=False)
        add_pocket(street, leg, f"leg{k}")
        add_furniture(rng, street, leg, k, inner)
    add_junction_surface(street, centre, heading, inner, None)
    for k in range(2):
        yaw = heading + k * np.pi / 2
        way = straight(centre - inner * direction(yaw), yaw, 2 * inner)
        edges = way.offset(section.median / 2), way.offset(-section.median / 2)
        street.lanes.append(Lane(f"junction_middle_{k}", LaneType.DRIVING, *edges, junction=True))
    add_movements(rng, street, legs, street.layout.speed_limit(rng, street.area))
    start = legs[0].length + inner - distance
    street.ego_stations = (start - 6.0, start + 4.0)


def add_pocket(street: Street, leg: Path, name: str) -> None:
    """The median, which gives way to a lane for left turns before the junction and ends at the crosswalk."""
    half = street.section.median / 2
    stop = leg.length - STOP_SETBACK
    widen = np.clip((leg.stations - (stop - POCKET - TAPER)) / TAPER, 0.0, 1.0)
    right = -half + POCKET_WIDTH * widen
    kept = leg.stations <= stop + 0.5
    path = leg.part(0.0, float(leg.stations[kept][-1]))
    add_median(street, path, f"{name}_median", half, right[kept])
    pocket = widen > 0.0
    pocket[:-1] |= pocket[1:]
    left, edge = leg.offset(right)[pocket], leg.offset(-half)[pocket]
    street.lanes.append(Lane(f"{name}_pocket", LaneType.DRIVING, left, edge))
    beyond = ~kept
    beyond[:-1] |= beyond[1:]
    edges = leg.offset(half)[beyond], leg.offset(right)[beyond]
    street.lanes.append(Lane(f"{name}_end", LaneType.DRIVING, *edges, junction=True))
    line = leg.part(stop - POCKET, stop)
    street.lane_lines.append(LaneLine(line.offset(-half), "solid", "white"))


def add_furniture(rng: np.random.Generator, street: Street, leg: Path, k: int, inner: float) -> None:
    """Crosswalk, stop line, signals for straight on near and far, one for left turns on the far median, and signs."""
    section, signal = street.section, "main" if k % 2 == 0 else "cross"
    add_crosswalk(street, leg, leg.length - 0.6 - CROSSWALK_WIDTH / 2, signal)
    stop = leg.length - STOP_SETBACK
    add_wait_line(street, leg, stop, inner=section.median / 2 - POCKET_WIDTH + 0.2)
    yaw = float(leg.headings[-1])
    ahead, left = direction(yaw), direction(yaw + np.pi / 2)
    edge, beside = leg.points[-1], section.kerb + KERB_GAP
    add_light(street, edge - STOP_SETBACK * ahead - beside * left, yaw, signal, 3.6)
    add_light(street, edge + (2 * inner + 1.0) * ahead - beside * left, yaw, signal, 5.6)
    far_median = edge + (2 * inner + STOP_SETBACK + 2.8) * ahead - POCKET_WIDTH / 2 * left
    add_light(street, far_median, yaw, f"{signal}_left", 4.6)
    add_sign(street, leg, stop - 24.0, street.sign_kind(rng, ("direction", "speed_limit", "warning")))


def add_movements(rng: np.random.Generator, street: Street, legs: dict[int, Path], limit: float) -> None:
    """Straight on from every lane, or right from the outermost; left from the pocket."""
    section = street.section
    pocket = section.median / 2 - POCKET_WIDTH / 2
    for k, leg in legs.items():
        group = "main" if k % 2 == 0 else "cross"
        stop = leg.length - STOP_SETBACK
        for i in range(-1, section.lanes):
            turns_right = i == section.lanes - 1 and rng.random() < 0.35
            heading_of_exit = (k + 1) % 4 if i < 0 else (k + 3) % 4 if turns_right else k
            out = legs[(heading_of_exit + 2) % 4].reversed().shifted(-section.lane_edge(max(i, 0) + 0.5))
            enter = leg.shifted(-section.lane_edge(max(i, 0) + 0.5))
            if i < 0:
                moved = np.clip((leg.stations - (stop - POCKET)) / LANE_CHANGE, 0.0, 1.0)
                moved = moved * moved * (3.0 - 2.0 * moved)
                enter = through(leg.offset(-section.lane_edge(0.5) + moved * (section.lane_edge(0.5) - pocket))[:, :2])
            start, yaw = enter.points[-1], float(enter.headings[-1])
            if heading_of_exit == k:
                middle = straight(start, yaw, float(np.linalg.norm(out.points[0] - start)))
                add_arrow(street, enter.at(enter.length - STOP_SETBACK - 9.0)[0], yaw)
            else:
                middle = quarter_turn(start, yaw, out.points[0], left=i < 0)
            if i < 0:
                add_left_arrow(street, enter.at(enter.length - STOP_SETBACK - 9.0)[0], yaw)
            if k == 0:
                street.ego_routes.append(len(street.routes))
            speed = limit if heading_of_exit == k else min(limit, TURN_SPEED)
            signal = f"{group}_left" if i < 0 else group
            path = join(enter, middle, out)
            street.routes.append(Route(f"leg{k}_{i}", path, speed, enter.length - STOP_SETBACK, signal))
