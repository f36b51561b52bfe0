"""Lanes of a road network as strips of sampled points, with their road, section and stations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosmos_exp.scene.opendrive.road_network import LaneSection, LaneSpec, Road, RoadMark, RoadNetwork
from cosmos_exp.scene.types import LaneType

CHORD_ERROR = 0.02  # metres between a curve and its polyline
STRAIGHT_STEP = 5.0
CURVED_STEP = 1.0  # where widths, offsets or heights follow a cubic
MIN_STEP = 0.2
OUTERMOST = 6.0  # metres: a typical lane border's distance from the reference line, where arcs are longer
MIN_WIDTH = 0.02  # lanes that never exceed this width are dropped
END_OF_SECTION = 1e-6  # stations stay this far inside their section, where its own records hold

LANE_TYPES = {
    "driving": LaneType.DRIVING,
    "entry": LaneType.DRIVING,
    "exit": LaneType.DRIVING,
    "offRamp": LaneType.DRIVING,
    "onRamp": LaneType.DRIVING,
    "connectingRamp": LaneType.DRIVING,
    "slipLane": LaneType.DRIVING,
    "bidirectional": LaneType.DRIVING,
    "bus": LaneType.DRIVING,
    "taxi": LaneType.DRIVING,
    "HOV": LaneType.DRIVING,
    "biking": LaneType.BIKING,
    "parking": LaneType.PARKING,
    "shoulder": LaneType.SHOULDER,
    "stop": LaneType.SHOULDER,
    "border": LaneType.SHOULDER,
    "sidewalk": LaneType.SIDEWALK,
    "walking": LaneType.SIDEWALK,
    "median": LaneType.MEDIAN,
}
DRIVABLE = (LaneType.DRIVING, LaneType.BIKING, LaneType.PARKING, LaneType.SHOULDER)


@dataclass(frozen=True)
class Strip:
    """One lane of one section. stations: [N]. inner, outer: [N,3] borders towards and away from the road's centre,
    by increasing station. type None: the centre line, whose borders coincide."""

    road: Road
    section: int
    lane: int
    type: LaneType | None
    stations: np.ndarray
    inner: np.ndarray
    outer: np.ndarray
    marks: tuple[RoadMark, ...]

    @property
    def id(self) -> str:
        return f"{self.road.id}:{self.section}:{self.lane}"

    @property
    def drivable(self) -> bool:
        return self.type in DRIVABLE

    @property
    def forward(self) -> bool:
        """Does its traffic run with the stations?"""
        return (self.lane < 0) != self.road.left_hand_traffic

    def driving_edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Left and right edges [N,3] in driving direction."""
        order = slice(None) if self.forward else slice(None, None, -1)
        inner_is_left = not self.road.left_hand_traffic
        left, right = (self.inner, self.outer) if inner_is_left else (self.outer, self.inner)
        return left[order], right[order]


def lane_strips(network: RoadNetwork) -> list[tuple[list[Strip], list[Strip]]]:
    """Per lane section its left and its right side; each is the centre line followed by the lanes outwards.

    Lanes without surface (never wider than MIN_WIDTH) are left out. Lanes of no listed type are OTHER between
    junctions; inside one they are part of its pavement.
    """
    return [_section(road, index, section) for road in network.roads for index, section in enumerate(road.sections)]


def _section(road: Road, index: int, section: LaneSection) -> tuple[list[Strip], list[Strip]]:
    stations = _stations(road, section)
    inside = np.minimum(stations, section.end - END_OF_SECTION)
    offset = road.lane_offset(inside)
    left = _side(road, index, section, section.left, 1.0, inside, offset)
    right = _side(road, index, section, section.right, -1.0, inside, offset)
    return left, right


def _side(
    road: Road,
    index: int,
    section: LaneSection,
    lanes: tuple[LaneSpec, ...],
    sign: float,
    s: np.ndarray,
    offset: np.ndarray,
) -> list[Strip]:
    border = road.points(s, offset)
    strips = [Strip(road, index, 0, None, s, border, border, section.centre)]
    t = offset
    for lane in lanes:
        record = lane.width(s)
        outer_t = offset + record if lane.is_border else t + sign * np.maximum(record, 0.0)
        if np.abs(outer_t - t).max() <= MIN_WIDTH:
            continue
        outer, t = road.points(s, outer_t), outer_t
        untyped = LaneType.OTHER if road.junction is None else LaneType.SHOULDER
        lane_type = LANE_TYPES.get(lane.type, untyped)
        strips.append(Strip(road, index, lane.id, lane_type, s, border, outer, lane.marks))
        border = outer
    return strips


def _stations(road: Road, section: LaneSection) -> np.ndarray:
    """Every station where a record starts, and enough between them to resolve curves."""
    lanes = section.left + section.right
    profiles = [lane.width for lane in lanes] + [road.lane_offset, road.elevation, road.superelevation]
    marks = [m.offset + section.start for lane in lanes for m in lane.marks]
    marks += [m.offset + section.start for m in section.centre]
    records = [g.s for g in road.reference.geometries] + marks + [float(s) for p in profiles for s in p.starts]
    inner = [s for s in records if section.start + 1e-3 < s < section.end - 1e-3]
    breaks = np.unique(np.round([section.start, *inner, section.end], 6))
    breaks = breaks[np.concatenate([[True], np.diff(breaks) > 1e-3])]
    longest = CURVED_STEP if any(p.is_curved for p in profiles) else STRAIGHT_STEP
    probes = breaks[:-1, None] + np.diff(breaks)[:, None] * np.array([0.02, 0.5, 0.98])
    curvature = road.reference.curvature(probes.ravel()).reshape(-1, 3).max(1)
    radius = 1 / np.maximum(curvature, 1e-6)
    step = np.clip(radius * np.sqrt(8 * CHORD_ERROR / (radius + OUTERMOST)), MIN_STEP, longest)
    pieces = [np.linspace(a, b, int(np.ceil((b - a) / h)) + 1)[:-1] for a, b, h in zip(breaks[:-1], breaks[1:], step)]
    return np.concatenate([*pieces, breaks[-1:]])
