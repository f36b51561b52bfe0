"""Lanes of a road network as strips of sampled points, with their road, section and stations.

Between the starts of two records everything is smooth. So each such interval is sampled by itself, with its own
records up to both of its ends, and a step between two intervals is two points at one station.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.opendrive.bounds import Malformed, check_bounds
from cosmos_exp.scene.opendrive.notes import LEFT_OUT, Notes
from cosmos_exp.scene.opendrive.records import LaneSection, LaneSpec, Road, RoadMark, RoadNetwork
from cosmos_exp.scene.opendrive.road_geometry import Profile
from cosmos_exp.scene.types import LaneType

POSITION_ERROR = 0.01  # metres between a border and its polyline
WIDTH_ERROR = 0.004  # metres between a lane's width and that of its strip
LONGEST_STEP = 5.0
LONGEST_BANKED_STEP = 1.0  # where superelevation changes, or a connecting road's height
SHORTEST_STEP = 0.1
CURVATURE_PROBES = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
SHORTEST_INTERVAL = 1e-6  # metres: a record that holds for less is skipped
SMALLEST_STEP = 1e-3  # metres: smaller steps of a border between two records are smoothed out
MIN_WIDTH = 0.005  # metres: a lane that never exceeds it is dropped, and the next one is that much wider
MOST_POINTS = 2_000_000  # of all lanes
WIDEST = 1e4  # metres of any border from its reference line

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
    by increasing station; the strips of a section have the same stations, twice where any of them has a step.
    type None: the centre line, whose borders coincide."""

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

    @cached_property
    def own_points(self) -> np.ndarray:
        """[N] bool: which points are not the ones before once more, at a step of another lane."""
        moved = np.maximum(_distances(self.inner), _distances(self.outer))
        return np.concatenate([[True], (np.diff(self.stations) > 0) | (moved > SMALLEST_STEP)])

    def driving_edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Left and right edges [N,3] in driving direction."""
        order = slice(None) if self.forward else slice(None, None, -1)
        inner_is_left = not self.road.left_hand_traffic
        left, right = (self.inner, self.outer) if inner_is_left else (self.outer, self.inner)
        return left[self.own_points][order], right[self.own_points][order]


def _distances(points: np.ndarray) -> np.ndarray:
    """[N-1] from each point [N,3] to the next."""
    return np.linalg.norm(np.diff(points, axis=0), axis=1)


def lane_strips(network: RoadNetwork, notes: Notes) -> list[tuple[list[Strip], list[Strip]]]:
    """Per lane section its left and its right side; each is the centre line followed by the lanes outwards.

    Lanes without surface (never wider than MIN_WIDTH) are left out. Lanes of no listed type are OTHER between
    junctions; inside one they are part of its pavement. A road that leaves the bounds FARTHEST and WIDEST is left out
    and noted. Raises UserError where the lanes need more than MOST_POINTS.
    """
    intervals = {id(road): [_Intervals.of(road, section) for section in road.sections] for road in network.roads}
    _check_points(network, intervals)
    sections: list[tuple[list[Strip], list[Strip]]] = []
    for road in network.roads:
        try:
            sections += [_section(road, *pair) for pair in zip(road.sections, intervals[id(road)])]
        except Malformed as error:
            notes.add(LEFT_OUT["roads"], f"road {road.id!r}: {error}")
    return sections


def _check_points(network: RoadNetwork, intervals: dict[int, list[_Intervals]]) -> None:
    def points(road: Road) -> int:
        lanes = [len(section.left) + len(section.right) + 1 for section in road.sections]
        return sum(n * int(x.counts.sum()) for n, x in zip(lanes, intervals[id(road)]))

    needed = [points(road) for road in network.roads]
    if sum(needed) > MOST_POINTS:
        most, road = max(zip(needed, network.roads), key=lambda pair: pair[0])
        raise UserError(
            f"OpenDRIVE map {network.name!r} is too large: its lanes need {sum(needed):,} points, {MOST_POINTS:,} are "
            f"allowed; {most:,} of them are those of road {road.id!r}, {road.length:g} m long"
        )


def _section(road: Road, section: LaneSection, intervals: _Intervals) -> tuple[list[Strip], list[Strip]]:
    s, within = intervals.stations()
    frame = _Frame.at(road, s, within)
    lateral = {1.0: frame.laterals(section.left, 1.0), -1.0: frame.laterals(section.right, -1.0)}
    borders = {sign: [frame.points(*one) for one in each] for sign, each in lateral.items()}
    points = np.stack([point for each in borders.values() for point in each])
    _check_extent(points)
    steps = np.linalg.norm(np.diff(points, axis=1), axis=-1).max(axis=0)
    kept = np.concatenate([(np.diff(s) > 0) | (steps > SMALLEST_STEP), [True]])
    left, right = (
        _side(road, section, lanes, s[kept], [border[kept] for border in borders[sign]])
        for lanes, sign in ((section.left, 1.0), (section.right, -1.0))
    )
    return left, right


@dataclass(frozen=True)
class _Frame:
    """A road's reference line at N stations. xy: [N,2]. normal: [N,2] unit vectors to the left. height, bank, offset:
    [N] elevation, superelevation and lane offset."""

    s: np.ndarray
    within: np.ndarray
    xy: np.ndarray
    normal: np.ndarray
    height: np.ndarray
    bank: np.ndarray
    offset: np.ndarray

    @classmethod
    def at(cls, road: Road, s: np.ndarray, within: np.ndarray) -> _Frame:
        xy, heading = road.reference.at(s, within)
        normal = np.stack([-np.sin(heading), np.cos(heading)], axis=-1)
        profiles = (road.elevation, road.superelevation, road.lane_offset)
        return cls(s, within, xy, normal, *(p(s, within) for p in profiles))

    def laterals(self, lanes: tuple[LaneSpec, ...], sign: float) -> list[tuple[np.ndarray, np.ndarray]]:
        """(metres to the left, metres up) [N] of the centre line and of each lane's outer border.

        A level lane keeps the height of its inner border, the others follow the superelevation.
        """
        t = self.offset
        aside, up = t * np.cos(self.bank), t * np.sin(self.bank)
        borders = [(aside, up)]
        for lane in lanes:
            record = lane.width(self.s, self.within)
            width = self.offset + record - t if lane.is_border else sign * np.maximum(record, 0.0)
            bank = np.zeros_like(self.bank) if lane.level else self.bank
            t, aside, up = t + width, aside + width * np.cos(bank), up + width * np.sin(bank)
            borders.append((aside, up))
        return borders

    def points(self, aside: np.ndarray, up: np.ndarray) -> np.ndarray:
        """[N,3] world points."""
        return np.concatenate([self.xy + aside[:, None] * self.normal, (self.height + up)[:, None]], axis=-1)


def _check_extent(points: np.ndarray) -> None:
    """points: [borders, N, 3], the first of them a centre line."""
    check_bounds(points)
    beside = np.abs(points - points[0]).max()
    if beside > WIDEST:
        raise Malformed(f"its lanes reach {beside:g} m from its centre line, {WIDEST:g} m are allowed")


def _side(
    road: Road, section: LaneSection, lanes: tuple[LaneSpec, ...], s: np.ndarray, borders: list[np.ndarray]
) -> list[Strip]:
    strips = [Strip(road, section.number, 0, None, s, borders[0], borders[0], section.centre)]
    inner = borders[0]
    for lane, outer in zip(lanes, borders[1:]):
        if np.linalg.norm(outer - inner, axis=1).max() <= MIN_WIDTH:
            continue
        untyped = LaneType.OTHER if road.junction is None else LaneType.SHOULDER
        lane_type = LANE_TYPES.get(lane.type, untyped)
        strips.append(Strip(road, section.number, lane.id, lane_type, s, inner, outer, lane.marks))
        inner = outer
    return strips


@dataclass(frozen=True)
class _Intervals:
    """The K intervals of a section between two records. start, end: [K] stations. counts: [K] points in each."""

    start: np.ndarray
    end: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, road: Road, section: LaneSection) -> _Intervals:
        breaks = _breaks(road, section)
        start, end = breaks[:-1], breaks[1:]
        counts = np.ceil((end - start) / _steps(road, section, start, end) - 1e-9).astype(int) + 1
        return cls(start, end, counts)

    def stations(self) -> tuple[np.ndarray, np.ndarray]:
        """Stations [N] and, for each, the middle [N] of its interval."""
        stations = [np.linspace(a, b, n) for a, b, n in zip(self.start, self.end, self.counts)]
        return np.concatenate(stations), np.repeat((self.start + self.end) / 2, self.counts)


def _breaks(road: Road, section: LaneSection) -> np.ndarray:
    """The section's start, every station inside it where a record starts, and its end."""
    lanes = section.left + section.right
    profiles = [lane.width for lane in lanes] + [road.lane_offset, road.elevation, road.superelevation]
    marks = [mark.s for lane in lanes for mark in lane.marks] + [mark.s for mark in section.centre]
    records = np.concatenate([[g.s for g in road.reference.geometries], marks, *(p.starts for p in profiles)])
    inside = records[(records > section.start + SHORTEST_INTERVAL) & (records < section.end - SHORTEST_INTERVAL)]
    breaks = np.unique(np.concatenate([[section.start], inside, [section.end]]))
    apart = np.diff(breaks) > SHORTEST_INTERVAL
    apart[-1:] = True
    return breaks[np.concatenate([[True], apart])]


def _steps(road: Road, section: LaneSection, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """[K] metres between stations that keep POSITION_ERROR and WIDTH_ERROR in each interval [start, end].

    A chord over h of a curve r(s) is off by h²/8 |r''|. Across the road that is, at an offset t(s) from a reference
    line of curvature k, at most k (1 + k |t|) + |t''|.
    """
    middle = (start + end) / 2
    s = start[:, None] + (end - start)[:, None] * CURVATURE_PROBES
    shape, s, within = s.shape, s.ravel(), np.repeat(middle, len(CURVATURE_PROBES))

    def largest(values: np.ndarray) -> np.ndarray:
        return np.abs(values).reshape(shape).max(axis=1)

    def bend(profile: Profile) -> np.ndarray:
        return largest(profile.bend(s, within))

    nothing = np.zeros(len(start))
    sides = (section.left, section.right)
    widths = [[largest(lane.width(s, within)) for lane in side] for side in sides]
    widening = [[bend(lane.width) for lane in side] for side in sides]
    reach = largest(road.lane_offset(s, within)) + np.max([sum(side, nothing) for side in widths], axis=0)
    across = bend(road.lane_offset) + np.max([sum(side, nothing) for side in widening], axis=0)
    curvature = largest(road.reference.curvature(s, within))
    banked = bend(road.superelevation) * reach
    position = np.maximum(curvature * (1 + curvature * reach) + across, bend(road.elevation) + banked)
    width = np.max([nothing, *widening[0], *widening[1]], axis=0)
    needed = np.maximum(position / POSITION_ERROR, width / WIDTH_ERROR)
    on_slope = not road.superelevation.is_constant or (road.junction is not None and not road.elevation.is_constant)
    longest = LONGEST_BANKED_STEP if on_slope else LONGEST_STEP
    return np.clip(np.sqrt(8 / np.maximum(needed, 1e-12)), SHORTEST_STEP, longest)
