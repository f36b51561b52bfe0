"""OpenDRIVE map -> SceneMap: lane surfaces, painted lines, kerbs, crosswalks, wait lines, signs and lights.

Reads the XML text only. docs/opendrive.md lists the elements that are read and how; a log message counts what a map
has that is not.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.opendrive.junction_gaps import fill_junctions
from cosmos_exp.scene.opendrive.lane_strips import MIN_WIDTH, Strip, lane_strips
from cosmos_exp.scene.opendrive.notes import Notes
from cosmos_exp.scene.opendrive.planar import distance_to_polyline, inside_quads
from cosmos_exp.scene.opendrive.records import RoadMark, RoadNetwork
from cosmos_exp.scene.opendrive.road_furniture import read_furniture
from cosmos_exp.scene.opendrive.road_network import read_network
from cosmos_exp.scene.types import Lane, LaneLine, LaneType, SceneMap

logger = logging.getLogger(__name__)

KERB_MARKS = ("curb",)
INVISIBLE_MARKS = ("none", "grass", "custom", *KERB_MARKS)
DOUBLE_MARKS = {"solid broken": ("solid", "broken"), "broken solid": ("broken", "solid")}
LINE_STYLES = {
    "solid": "solid",
    "edge": "solid",
    "broken": "broken",
    "botts dots": "broken",
    "solid solid": "solid_solid",
    "broken broken": "broken",
}
DOTS = {"white": "DOT_DASHED_SINGLE", "yellow": "DOT_SOLID_SINGLE"}  # what ClipGT has for Botts' dots
LINE_COLORS = {"yellow": "yellow", "orange": "yellow"}  # any other colour is drawn white
DEFAULT_LINE_WIDTH = 0.125
KERB_PROBE = 0.25  # metres beyond a junction's kerb at which another lane's surface makes it no kerb
SAME_LINE = 0.1  # metres within which two painted lines of a junction are one
SAME_POINT = 1e-9  # metres
JOINT = 0.1  # metres between the ends of lines that continue each other
STRAIGHT_ON = np.cos(np.radians(20.0))
SHORTEST_BOUNDARY = 0.01  # metres: shorter ones, of sections of no length to speak of, are dropped
SHORTEST_LINE = 0.3  # metres: shorter remainders of a line are dropped


def load_opendrive(path: Path | str) -> SceneMap:
    """Static map of an OpenDRIVE file, in its inertial frame (right-handed, metres): our world frame.

    Lane ids are `road:section:lane`; bare ground inside a junction is covered by shoulders `junction:gap:k`. What
    cannot be read or is not modelled is left out, and logged with its count.
    Raises UserError when the file is missing, truncated or no OpenDRIVE, or has no lane with a surface.
    """
    notes = Notes()
    network = read_network(path, notes)
    sections = lane_strips(network, notes)
    sides = list(chain(*sections))
    strips = [strip for side in sides for strip in side[1:]]
    if not strips:
        why = "; ".join(notes) or f"none is wider than {MIN_WIDTH} m"
        raise UserError(f"OpenDRIVE map {str(path)!r} has no lane with a surface: {why}")
    scene_map = _scene_map(network, sections, strips, notes)
    for note in notes:
        logger.warning("%s: %s", Path(path).name, note)
    return scene_map


def _scene_map(
    network: RoadNetwork, sections: list[tuple[list[Strip], list[Strip]]], strips: list[Strip], notes: Notes
) -> SceneMap:
    lanes = [_lane(strip) for strip in strips]
    junctions: dict[str, list[Lane]] = {}
    for strip, lane in zip(strips, lanes):
        if strip.road.junction is not None:
            junctions.setdefault(strip.road.junction, []).append(lane)
    furniture = read_furniture(network, strips, notes)
    sides = list(chain(*sections))
    return SceneMap(
        name=network.name,
        lanes=tuple(lanes + fill_junctions(junctions, lanes, notes)),
        lane_lines=tuple(_joined(_unique_lines(_painted_lines(sides, notes)))) + furniture.lane_lines,
        road_boundaries=tuple(line for line in _boundaries(sections) if _length(line) >= SHORTEST_BOUNDARY),
        crosswalks=furniture.crosswalks,
        road_markings=furniture.road_markings,
        wait_lines=furniture.wait_lines,
        poles=furniture.poles,
        traffic_signs=furniture.traffic_signs,
        traffic_lights=furniture.traffic_lights,
    )


def _lane(strip: Strip) -> Lane:
    left, right = strip.driving_edges()
    return Lane(strip.id, strip.type or LaneType.OTHER, left, right, junction=strip.road.junction is not None)


def _mark_runs(strip: Strip) -> Iterator[tuple[RoadMark, np.ndarray]]:
    """Each run of equal marks with the indices of the strip's points it covers."""
    marks = strip.marks
    middles = (strip.stations[1:] + strip.stations[:-1]) / 2
    current = np.searchsorted([mark.s for mark in marks], middles, side="right") - 1
    begin = 0
    while begin < len(marks):
        end = begin + 1
        while end < len(marks) and _same_paint(marks[begin], marks[end]):
            end += 1
        for run in _stretches(strip, (begin <= current) & (current < end)):
            yield marks[begin], run
        begin = end


def _stretches(strip: Strip, chosen: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Indices of points, each point once, of every stretch of the outer border that has no step to the side.

    chosen: [N-1] bool, the pieces between two points that count.
    """
    lengths = np.linalg.norm(np.diff(strip.outer, axis=0), axis=1)
    at_step = np.diff(strip.stations) <= 0
    there = ~at_step | (lengths < JOINT)
    for run in _runs(there if chosen is None else there & (chosen | at_step)):
        indices = np.arange(run.start, run.stop)
        apart = np.concatenate([[True], lengths[indices[:-1]] > SAME_POINT])
        if apart.sum() > 1:
            yield indices[apart]


def _same_paint(a: RoadMark, b: RoadMark) -> bool:
    return (a.type, a.color, a.width) == (b.type, b.color, b.width)


def _painted_lines(sides: Iterable[list[Strip]], notes: Notes) -> Iterator[tuple[str | None, LaneLine]]:
    """(junction id or None, line) for every visible mark; the centre line of a section comes once."""
    centres: set[tuple[str, int]] = set()
    for side in sides:
        for strip in side:
            if strip.type is None:
                key = (strip.road.id, strip.section)
                if key in centres:
                    continue
                centres.add(key)
            for mark, run in _mark_runs(strip):
                if mark.type not in INVISIBLE_MARKS:
                    for line in _lines_of_mark(mark, strip.outer[run], notes):
                        yield strip.road.junction, line


def _lines_of_mark(mark: RoadMark, points: np.ndarray, notes: Notes) -> list[LaneLine]:
    color = LINE_COLORS.get(mark.color, "white")
    width = mark.width or DEFAULT_LINE_WIDTH
    if mark.type in DOUBLE_MARKS:
        left, right = DOUBLE_MARKS[mark.type]
        return [
            LaneLine(_shifted(points, width), left, color, width),
            LaneLine(_shifted(points, -width), right, color, width),
        ]
    style = LINE_STYLES.get(mark.type)
    if style is None:
        notes.add("road marks of no listed type are drawn as solid lines", repr(mark.type))
    dots = DOTS[color] if mark.type == "botts dots" else ""
    return [LaneLine(points, style or "solid", color, width, dots)]


def _shifted(points: np.ndarray, left: float) -> np.ndarray:
    """The polyline [N,3] moved sideways in the ground plane."""
    tangent = np.gradient(points[:, :2], axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    moved = points.copy()
    moved[:, :2] += left * np.stack([-tangent[:, 1], tangent[:, 0]], axis=-1)
    return moved


def _unique_lines(lines: Iterable[tuple[str | None, LaneLine]]) -> Iterator[LaneLine]:
    """Lines without the stretches that another connecting road of the same junction has painted already."""
    painted: dict[str, list[tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]]] = {}
    for junction, line in lines:
        if junction is None:
            yield line
            continue
        before = painted.setdefault(junction, [])
        covered = np.zeros(len(line.points), bool)
        low, high = line.points[:, :2].min(axis=0) - SAME_LINE, line.points[:, :2].max(axis=0) + SAME_LINE
        for other, (other_low, other_high) in before:
            if (other_low < high).all() and (other_high > low).all():
                covered |= distance_to_polyline(line.points[:, :2], other[:, :2]) < SAME_LINE
        before.append((line.points, (low, high)))
        for run in _runs(~(covered[:-1] & covered[1:])):
            yield replace(line, points=line.points[run])


def _joined(lines: Iterable[LaneLine]) -> Iterator[LaneLine]:
    """Joins lines of equal paint that continue each other straight on, so that dashes are continuous."""
    groups: dict[tuple[str, str, float, str], list[np.ndarray]] = {}
    for line in lines:
        groups.setdefault((line.style, line.color, line.width, line.marking), []).append(line.points)
    for paint, pieces in groups.items():
        while pieces:
            joined = pieces.pop(0)
            for _ in range(2):
                while (following := _continuation(joined, pieces)) is not None:
                    joined = np.concatenate([joined, following[1:]])
                joined = joined[::-1]
            if _length(joined) >= SHORTEST_LINE:
                yield LaneLine(joined, *paint)


def _length(line: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())


def _continuation(line: np.ndarray, pieces: list[np.ndarray]) -> np.ndarray | None:
    """Removes from the list the piece that continues the line's end, and returns it in the line's direction."""
    ahead = _direction(line[-2], line[-1])
    best, found = STRAIGHT_ON, None
    for i, piece in enumerate(pieces):
        for turned in (piece, piece[::-1]):
            if np.linalg.norm(turned[0] - line[-1]) < JOINT:
                agreement = float(_direction(turned[0], turned[1]) @ ahead)
                if agreement > best:
                    best, found = agreement, (i, turned)
    if found is None:
        return None
    pieces.pop(found[0])
    return found[1]


def _direction(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (b - a) / max(float(np.linalg.norm(b - a)), 1e-9)


def _runs(keep: np.ndarray) -> Iterator[slice]:
    """Slices of points for each run of kept segments; keep: [N-1] bool over segments."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], keep, [False]])))
    for first, last in zip(edges[::2], edges[1::2]):
        yield slice(int(first), int(last) + 1)


def _boundaries(sections: list[tuple[list[Strip], list[Strip]]]) -> Iterator[np.ndarray]:
    """Polylines [N,3] where drivable surface ends: at a kerb mark, at a lane of another kind, at the road's edge.

    Connecting roads overlap inside a junction, so there a border counts only where no other lane continues beyond it,
    and, in a junction that marks its kerbs, an unmarked road edge does not count.
    """
    surfaces = _JunctionSurfaces(strip for side in chain(*sections) for strip in side[1:])
    for left, right in sections:
        for border in _section_borders(left, right):
            junction = border.strip.road.junction
            marked_only = border.is_edge and junction in surfaces.kerbed
            for run in border.kerb_runs() if marked_only else border.boundary_runs():
                if junction is None:
                    yield border.strip.outer[run]
                else:
                    yield from surfaces.clip(junction, border.strip.outer[run], border.across()[run])


@dataclass(frozen=True)
class _Border:
    """The outer border of `strip`. near, far: the lanes on both sides; None is the outside of the road."""

    strip: Strip
    near: Strip | None
    far: Strip | None

    @property
    def is_edge(self) -> bool:
        return self.near is None or self.far is None

    def boundary_runs(self) -> Iterator[np.ndarray]:
        near, far = (lane is not None and lane.drivable for lane in (self.near, self.far))
        if near != far:
            yield from _stretches(self.strip)
        else:
            yield from self.kerb_runs()

    def kerb_runs(self) -> Iterator[np.ndarray]:
        yield from (run for mark, run in _mark_runs(self.strip) if mark.type in KERB_MARKS)

    def across(self) -> np.ndarray:
        """[N,2] unit vectors across the border, away from the drivable side."""
        on_near = self.near is not None and (self.near.drivable or self.far is None)
        lane = (self.near if on_near else self.far) or self.strip
        away = lane.inner - lane.outer
        if lane is self.strip:
            away = -away
        return away[:, :2] / np.maximum(np.linalg.norm(away[:, :2], axis=1, keepdims=True), 1e-9)


def _section_borders(left: list[Strip], right: list[Strip]) -> Iterator[_Border]:
    yield _Border(left[0], *(side[1] if len(side) > 1 else None for side in (left, right)))
    for side in (left, right):
        for strip, following in zip(side[1:], [*side[2:], None]):
            yield _Border(strip, strip, following)


class _JunctionSurfaces:
    """Drivable quads of each junction, to test which borders lie inside the junction's surface.

    kerbed: junctions that mark kerbs or have other lanes beside the roadway, so that bare road edges inside are none.
    """

    def __init__(self, strips: Iterable[Strip]):
        self.quads: dict[str, list[np.ndarray]] = {}
        self.kerbed: set[str] = set()
        for strip in strips:
            junction = strip.road.junction
            if junction is None:
                continue
            if strip.drivable:
                a, b = strip.inner[:, :2], strip.outer[:, :2]
                self.quads.setdefault(junction, []).append(np.stack([a[:-1], a[1:], b[1:], b[:-1]], axis=1))
            if not strip.drivable or any(mark.type in KERB_MARKS for mark in strip.marks):
                self.kerbed.add(junction)

    def clip(self, junction: str, border: np.ndarray, across: np.ndarray) -> Iterator[np.ndarray]:
        """Pieces of a border [N,3] with no drivable surface beyond it; across: [N,2] away from the drivable side."""
        blocked = inside_quads(border[:, :2] + KERB_PROBE * across, self._surface(junction))
        for piece in _runs(~(blocked[:-1] | blocked[1:])):
            yield border[piece]

    def _surface(self, junction: str) -> np.ndarray:
        return np.concatenate(self.quads[junction]) if junction in self.quads else np.zeros((0, 4, 2))
