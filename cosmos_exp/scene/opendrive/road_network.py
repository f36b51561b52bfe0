"""OpenDRIVE text -> roads, lane sections, signals and objects, in road coordinates, not yet sampled.

A road that cannot be read is left out; so is a mark, a signal or an object, without its road. `Notes` counts them.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar
from xml.etree.ElementTree import Element

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import XML_BYTES, parse_xml, read_bytes
from cosmos_exp.common.input_files import existing_file
from cosmos_exp.scene.opendrive.notes import Notes
from cosmos_exp.scene.opendrive.road_geometry import (
    Cubic,
    Curve,
    Geometry,
    Line,
    Profile,
    ReferenceLine,
    Spiral,
    profile,
)

Item = TypeVar("Item")
LARGEST = 1e12  # of any number
FARTHEST = 1e8  # metres of any point from the origin; northings in the world's grids have up to 1e7
LONGEST_ROAD = 1e6  # metres
LONGEST_CONNECTION = 2000.0  # metres of a connecting road; a longer one is drawn as a road between junctions
LARGEST_OFFSET = 1e4  # metres between a signal or object and its reference line
LARGEST_SIZE = 1000.0  # metres: of objects, signals and painted lines
SHORTEST_SECTION = 1e-7  # metres
BEYOND_ROAD = 10.0  # metres that signals and objects may stand before or behind their road
MOST_LANES = 10_000
SIDES = ("left", "right")
MOST_COPIES = 10_000  # of a repeated object
LEFT_OUT = {kind: f"{kind} are left out" for kind in ("roads", "road marks", "signals", "signal references", "objects")}
COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)


class Malformed(ValueError):
    """A record that cannot be read; the message says which and why."""


@dataclass(frozen=True)
class RoadMark:
    """Paint (or a kerb) on a lane's outer border from station s on."""

    s: float
    type: str
    color: str
    width: float


@dataclass(frozen=True)
class LaneSpec:
    """width: lateral extent by station, or with `is_border` the lateral position of the outer border. level: it does
    not bank with the road."""

    id: int
    type: str
    level: bool
    width: Profile
    is_border: bool
    marks: tuple[RoadMark, ...]


@dataclass(frozen=True)
class LaneSection:
    """number: place among the road's sections, from 0. left: lanes 1, 2, ... outwards. right: lanes -1, -2, ...
    outwards. centre: marks of the centre line."""

    number: int
    start: float
    end: float
    left: tuple[LaneSpec, ...]
    right: tuple[LaneSpec, ...]
    centre: tuple[RoadMark, ...]


@dataclass(frozen=True)
class Signal:
    """s, t: road coordinates. orientation: + | - | none, the traffic it is for. width, height: metres; 0: not given."""

    id: str
    name: str
    type: str
    dynamic: bool
    s: float
    t: float
    heading: float
    orientation: str
    width: float
    height: float


@dataclass(frozen=True)
class SignalReference:
    """A signal that governs lanes from_lane..to_lane (both included) of the road that holds the reference."""

    signal: str
    from_lane: int
    to_lane: int


@dataclass(frozen=True)
class RoadObject:
    """outline: [K,3] corners in (u, v, z) of the object's frame, or (s, t, z) when `outline_in_road`; may be empty."""

    id: str
    name: str
    type: str
    s: float
    t: float
    z_offset: float
    heading: float
    length: float
    width: float
    height: float
    outline: np.ndarray
    outline_in_road: bool


@dataclass(frozen=True)
class Road:
    """junction: id of the junction this road connects through, None for a road between junctions."""

    id: str
    length: float
    junction: str | None
    left_hand_traffic: bool
    reference: ReferenceLine
    elevation: Profile
    superelevation: Profile
    lane_offset: Profile
    sections: tuple[LaneSection, ...]
    signals: tuple[Signal, ...] = ()
    signal_references: tuple[SignalReference, ...] = ()
    objects: tuple[RoadObject, ...] = ()

    def points(self, s: np.ndarray, t: np.ndarray) -> np.ndarray:
        """World points [N,3] at stations s and lateral offsets t (left positive) from the reference line.

        Raises Malformed beyond FARTHEST.
        """
        xy, heading = self.reference.at(s)
        bank = self.superelevation(s)
        normal = np.stack([-np.sin(heading), np.cos(heading)], axis=-1)
        flat = xy + (t * np.cos(bank))[:, None] * normal
        points = np.concatenate([flat, (self.elevation(s) + t * np.sin(bank))[:, None]], axis=-1)
        check_bounds(points)
        return points

    def heading(self, s: float) -> float:
        return float(self.reference.at(np.array([s]))[1][0])


@dataclass(frozen=True)
class RoadNetwork:
    """name: the header's, or the file's stem where that is empty. signal_phases: per junction with controllers, in
    their order, the ids of the signals that each switches together."""

    name: str
    vendor: str
    roads: tuple[Road, ...]
    signal_phases: tuple[tuple[tuple[str, ...], ...], ...] = ()


def check_bounds(points: np.ndarray) -> None:
    """Raises Malformed if world points lie beyond FARTHEST or are not finite."""
    if not (np.abs(points) <= FARTHEST).all():
        size = np.abs(points).max()
        reach = f"{size:g} m" if np.isfinite(size) else "no finite place, or one"
        raise Malformed(f"it reaches {reach} from the origin; {FARTHEST:g} m are allowed")


def read_network(path: Path | str, notes: Notes) -> RoadNetwork:
    """Parses an OpenDRIVE file. Adds to `notes` what is left out or not modelled.

    Raises UserError when the file is missing, truncated, no OpenDRIVE, or has no road that can be read.
    """
    path = existing_file("OpenDRIVE map", path)
    root = _root(path)
    notes.add_not_modelled(root)
    header = root.find("header")
    attributes = header.attrib if header is not None else {}
    elements = root.findall("road")
    if not elements:
        raise UserError(f"OpenDRIVE map {str(path)!r} has no road")
    roads = tuple(_kept(elements, lambda e: [_road(e, notes)], "roads", notes))
    if not roads:
        raise UserError(f"OpenDRIVE map {str(path)!r}: {notes.first(LEFT_OUT['roads'])}")
    return RoadNetwork(attributes.get("name") or path.stem, attributes.get("vendor", ""), roads, _signal_phases(root))


def _signal_phases(root: Element) -> tuple[tuple[tuple[str, ...], ...], ...]:
    controlled = {
        element.get("id", ""): tuple(dict.fromkeys(each.get("signalId", "") for each in element.findall("control")))
        for element in root.findall("controller")
    }
    junctions = []
    for junction in root.findall("junction"):
        ordered = sorted(junction.findall("controller"), key=lambda element: _whole(element.get("sequence")))
        phases = tuple(controlled[key] for key in (e.get("id", "") for e in ordered) if controlled.get(key))
        if phases:
            junctions.append(phases)
    return tuple(junctions)


def _whole(text: str | None) -> int:
    return int(text) if text is not None and re.fullmatch(r"\d{1,9}", text) else 0


def _root(path: Path) -> Element:
    """The root element, tags without namespaces. Comments may stand before the XML declaration, as in CARLA's maps."""
    place = f"OpenDRIVE map {str(path)!r}"
    text = read_bytes("OpenDRIVE map", path, XML_BYTES)
    before, declaration, _ = text.partition(b"<?xml")
    if declaration and not COMMENT.sub(b"", before.removeprefix(codecs.BOM_UTF8)).strip():
        text = text[len(before) :]
    root = parse_xml(text, place)
    for element in root.iter():
        element.tag = str(element.tag).rsplit("}", 1)[-1]
    if root.tag != "OpenDRIVE":
        raise UserError(f"{str(path)!r} is not an OpenDRIVE map: its root element is {root.tag!r}, not 'OpenDRIVE'")
    return root


def _kept(
    elements: Iterable[Element], read: Callable[[Element], Iterable[Item]], kind: str, notes: Notes, place: str = ""
) -> Iterator[Item]:
    """What `read` makes of the elements, without those it cannot read, which are noted."""
    for element in elements:
        try:
            yield from read(element)
        except Malformed as error:
            notes.add(LEFT_OUT[kind], place + str(error))


def _number(element: Element, name: str, default: float | None = None, *, most: float = LARGEST) -> float:
    """A finite number of size `most` at the most."""
    text = element.get(name)
    if text is None or text == "":
        if default is not None:
            return default
        raise Malformed(f"<{element.tag}> lacks the attribute {name!r}")
    try:
        value = float(text)
    except ValueError as error:
        raise Malformed(f"<{element.tag}> has {name}={text[:40]!r}, a number is needed") from error
    if not np.isfinite(value):
        raise Malformed(f"<{element.tag}> has {name}={text[:40]!r}, a finite number is needed")
    if abs(value) > most:
        raise Malformed(f"<{element.tag}> has {name}={text[:40]!r}, the largest allowed is {most:g}")
    return value


def _size(element: Element, name: str, default: float | None = 0.0) -> float:
    return _number(element, name, default, most=LARGEST_SIZE)


def _lane_id(element: Element, name: str) -> int:
    value = _number(element, name)
    if value != int(value):
        raise Malformed(f"<{element.tag}> has {name}={element.get(name)!r}, a whole number is needed")
    return int(value)


def _cubic(element: Element, start: str = "s", offset: float = 0.0) -> tuple[float, float, float, float, float]:
    a, b, c, d = (_number(element, k, 0.0) for k in "abcd")
    return _number(element, start) + offset, a, b, c, d


def _profile(road: Element, path: str) -> Profile:
    return profile([_cubic(e) for e in road.findall(path)])


def _road(road: Element, notes: Notes) -> Road:
    road_id = road.get("id", "")
    try:
        return _parse_road(road, road_id, notes)
    except Malformed as error:
        raise Malformed(f"road {road_id!r}: {error}") from error


def _parse_road(road: Element, road_id: str, notes: Notes) -> Road:
    length = _number(road, "length", most=LONGEST_ROAD)
    left_hand_traffic = road.get("rule") == "LHT"
    place = f"road {road_id!r}: "

    def kept(path: str, read: Callable[[Element], Iterable[Item]], kind: str) -> tuple[Item, ...]:
        return tuple(_kept(road.findall(path), read, kind, notes, place))

    return Road(
        id=road_id,
        length=length,
        junction=_junction(road, length, notes),
        left_hand_traffic=left_hand_traffic,
        reference=ReferenceLine(_geometries(road, place, notes)),
        elevation=_profile(road, "elevationProfile/elevation"),
        superelevation=_profile(road, "lateralProfile/superelevation"),
        lane_offset=_profile(road, "lanes/laneOffset"),
        sections=_sections(road, length, place, notes),
        signals=kept("signals/signal", lambda e: [_signal(e, length)], "signals"),
        signal_references=kept(
            "signals/signalReference", lambda e: _signal_references(e, left_hand_traffic), "signal references"
        ),
        objects=kept("objects/object", lambda e: _objects(e, length, notes), "objects"),
    )


def _junction(road: Element, length: float, notes: Notes) -> str | None:
    junction = road.get("junction", "-1")
    if junction in ("-1", ""):
        return None
    if length > LONGEST_CONNECTION:
        notes.add(
            f"connecting roads longer than {LONGEST_CONNECTION:g} m are drawn as roads between junctions",
            f"road {road.get('id', '')!r} of {length:g} m",
        )
        return None
    return junction


def _geometries(road: Element, place: str, notes: Notes) -> tuple[Geometry, ...]:
    geometries = []
    for element in road.findall("planView/geometry"):
        length = _number(element, "length", most=LONGEST_ROAD)
        if length <= 0.0:
            continue
        s, x, y, heading = (_number(element, k) for k in ("s", "x", "y", "hdg"))
        curve = _curve(element, length)
        if isinstance(curve, Cubic) and abs(curve.arc_length - length) > max(0.1, 0.01 * length):
            notes.add(
                "cubic geometries are not as long as they say (the station is their arc length)",
                f"{place}at s={s:g} {curve.arc_length:g} m long, not {length:g} m",
            )
        geometries.append(Geometry(s, x, y, heading, length, curve))
    if not geometries:
        raise Malformed("it has no planView geometry")
    return tuple(sorted(geometries, key=lambda g: g.s))


def _curve(geometry: Element, length: float) -> Curve:
    for element in geometry:
        if element.tag == "line":
            return Line()
        if element.tag == "arc":
            curvature = _number(element, "curvature")
            return Spiral(curvature, curvature, length)
        if element.tag == "spiral":
            return Spiral(_number(element, "curvStart"), _number(element, "curvEnd"), length)
        if element.tag == "poly3":
            return Cubic((0.0, 1.0, 0.0, 0.0), _cubic_terms(element, ""), end=length)
        if element.tag == "paramPoly3":
            normalized = element.get("pRange", "normalized") == "normalized"
            return Cubic(_cubic_terms(element, "U"), _cubic_terms(element, "V"), end=1.0 if normalized else length)
    shapes = [e.tag for e in geometry] or "nothing"
    raise Malformed(f"a geometry has {shapes}; one of line, arc, spiral, poly3, paramPoly3 is needed")


def _cubic_terms(element: Element, suffix: str) -> tuple[float, float, float, float]:
    a, b, c, d = (_number(element, k + suffix) for k in "abcd")
    return a, b, c, d


def _sections(road: Element, length: float, place: str, notes: Notes) -> tuple[LaneSection, ...]:
    """Sections of no length are left out. In a section of `singleSide` the other side's lanes go on."""
    elements = sorted(road.findall("lanes/laneSection"), key=lambda e: _number(e, "s"))
    if not elements:
        raise Malformed("it has no laneSection")
    starts = [_number(e, "s") for e in elements]
    sections = []
    before: LaneSection | None = None
    for number, (element, start, end) in enumerate(zip(elements, starts, [*starts[1:], length])):
        section = _section(element, number, start, end, place, notes)
        if before is not None and element.get("singleSide") == "true":
            section = _with_other_side(section, before, element)
        before = section
        if end - start > SHORTEST_SECTION:
            sections.append(section)
    return tuple(sections)


def _section(element: Element, number: int, start: float, end: float, place: str, notes: Notes) -> LaneSection:
    centre = element.find("center/lane")
    left, right = ([_lane(e, start, place, notes) for e in element.findall(f"{side}/lane")] for side in SIDES)
    return LaneSection(
        number=number,
        start=start,
        end=end,
        left=tuple(sorted(left, key=lambda lane: lane.id)),
        right=tuple(sorted(right, key=lambda lane: -lane.id)),
        centre=_marks(centre, start, place, notes) if centre is not None else (),
    )


def _with_other_side(section: LaneSection, before: LaneSection, element: Element) -> LaneSection:
    left, right, centre = (element.find(side) is not None for side in (*SIDES, "center"))
    return replace(
        section,
        left=section.left if left else before.left,
        right=section.right if right else before.right,
        centre=section.centre if centre else before.centre,
    )


def _lane(element: Element, section_start: float, place: str, notes: Notes) -> LaneSpec:
    """Its width records count, and borders only where it has none: ASAM OpenDRIVE 1.7, 9.5.2."""
    widths, borders = element.findall("width"), element.findall("border")
    if not widths and not borders:
        notes.add("lanes lack <width>, so they have no surface", f"{place}lane {element.get('id')}")
    return LaneSpec(
        id=_lane_id(element, "id"),
        type=element.get("type", "none"),
        level=element.get("level") in ("true", "1"),
        width=profile([_cubic(e, "sOffset", section_start) for e in widths or borders]),
        is_border=not widths and bool(borders),
        marks=_marks(element, section_start, place, notes),
    )


def _marks(lane: Element, section_start: float, place: str, notes: Notes) -> tuple[RoadMark, ...]:
    def read(element: Element) -> list[RoadMark]:
        return [
            RoadMark(
                s=section_start + _number(element, "sOffset", 0.0),
                type=element.get("type", "none"),
                color=element.get("color", "standard"),
                width=_size(element, "width"),
            )
        ]

    marks = _kept(lane.findall("roadMark"), read, "road marks", notes, f"{place}lane {lane.get('id')}: ")
    return tuple(sorted(marks, key=lambda mark: mark.s))


def _station(element: Element, length: float) -> float:
    """Its s, which may lie a little beyond the road's ends."""
    s = _number(element, "s")
    if not -BEYOND_ROAD <= s <= length + BEYOND_ROAD:
        raise Malformed(f"<{element.tag}> has s={element.get('s')!r}, but the road is {length:g} m long")
    return s


def _signal(element: Element, length: float) -> Signal:
    return Signal(
        id=element.get("id", ""),
        name=element.get("name", ""),
        type=element.get("type", ""),
        dynamic=element.get("dynamic", "no") == "yes",
        s=_station(element, length),
        t=_number(element, "t", most=LARGEST_OFFSET),
        heading=_number(element, "hOffset", 0.0),
        orientation=element.get("orientation", "none"),
        width=_size(element, "width"),
        height=_size(element, "height"),
    )


def _signal_references(element: Element, left_hand_traffic: bool) -> Iterator[SignalReference]:
    """One for each of its validities; without any it governs the lanes of its orientation."""
    signal = element.get("id", "")
    validities = element.findall("validity")
    for validity in validities:
        lanes = [_lane_id(validity, k) for k in ("fromLane", "toLane")]
        yield SignalReference(signal, min(lanes), max(lanes))
    if not validities:
        orientation = element.get("orientation")
        with_stations, against = (1, -1) if left_hand_traffic else (-1, 1)
        first, last = {"+": (with_stations,) * 2, "-": (against,) * 2}.get(orientation or "", (-1, 1))
        yield SignalReference(signal, min(first * MOST_LANES, first), max(last * MOST_LANES, last))


def _objects(element: Element, length: float, notes: Notes) -> Iterator[RoadObject]:
    """The object, or the copies of it that its repeats stand for."""
    item = _object(element, length)
    repeats = element.findall("repeat")
    if not repeats:
        yield item
    for repeat in repeats:
        if _number(repeat, "distance") > 0.0:
            yield from _copies(item, repeat, length)
        else:
            notes.add("objects repeated without a gap (walls, guard rails) are not modelled", item.name or item.type)


def _copies(item: RoadObject, repeat: Element, road_length: float) -> Iterator[RoadObject]:
    start, length = _station(repeat, road_length), _number(repeat, "length", most=LONGEST_ROAD)
    distance = _number(repeat, "distance")
    count = 1 + max(length, 0.0) / distance * (1 + 1e-9)
    if count > MOST_COPIES:
        raise Malformed(f"<repeat> with distance={distance:g} makes {count:g} objects, {MOST_COPIES} are allowed")
    for k in range(int(count)):
        s = min(start + k * distance, road_length + BEYOND_ROAD)
        share = min(k * distance / length, 1.0) if length > 0.0 else 0.0

        def at(name: str, value: float, share: float = share) -> float:
            first = _number(repeat, f"{name}Start", value, most=LARGEST_SIZE)
            return first + share * (_number(repeat, f"{name}End", first, most=LARGEST_SIZE) - first)

        t = at("t", item.t)
        moved = [s - item.s, t - item.t, 0.0] if item.outline_in_road else [0.0, 0.0, 0.0]
        yield replace(
            item,
            s=s,
            t=t,
            z_offset=at("zOffset", item.z_offset),
            length=at("length", item.length),
            width=at("width", item.width),
            height=at("height", item.height),
            outline=item.outline + np.array(moved),
        )


def _object(element: Element, length: float) -> RoadObject:
    outline = element.find("outline")
    if outline is None:
        outline = element.find("outlines/outline")
    corners = [] if outline is None else list(outline)
    in_road = bool(corners) and corners[0].tag == "cornerRoad"
    names = ("s", "t", "dz") if in_road else ("u", "v", "z")
    wanted = "cornerRoad" if in_road else "cornerLocal"
    points = [[_number(c, k, 0.0, most=LONGEST_ROAD) for k in names] for c in corners if c.tag == wanted]
    diameter = 2 * _size(element, "radius")
    return RoadObject(
        id=element.get("id", ""),
        name=element.get("name", ""),
        type=element.get("type", ""),
        s=_station(element, length),
        t=_number(element, "t", most=LARGEST_OFFSET),
        z_offset=_size(element, "zOffset"),
        heading=_number(element, "hdg", 0.0),
        length=_size(element, "length") or diameter,
        width=_size(element, "width") or diameter,
        height=_size(element, "height"),
        outline=np.array(points, dtype=np.float64).reshape(-1, 3),
        outline_in_road=in_road,
    )
