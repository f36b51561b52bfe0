"""OpenDRIVE text -> roads, lane sections, signals and objects, in road coordinates, not yet sampled."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.input_files import existing_file
from cosmos_exp.scene.opendrive.road_geometry import (
    Curve,
    Geometry,
    Line,
    ParamPoly3,
    Poly3,
    Profile,
    ReferenceLine,
    Spiral,
    profile,
)


@dataclass(frozen=True)
class RoadMark:
    """Paint (or a kerb) on a lane's outer border from `offset` metres into the lane section on."""

    offset: float
    type: str
    color: str
    width: float


@dataclass(frozen=True)
class LaneSpec:
    """width: lateral extent by station, or with `is_border` the lateral position of the outer border."""

    id: int
    type: str
    width: Profile
    is_border: bool
    marks: tuple[RoadMark, ...]


@dataclass(frozen=True)
class LaneSection:
    """left: lanes 1, 2, ... outwards. right: lanes -1, -2, ... outwards. centre: marks of the centre line."""

    start: float
    end: float
    left: tuple[LaneSpec, ...]
    right: tuple[LaneSpec, ...]
    centre: tuple[RoadMark, ...]


@dataclass(frozen=True)
class Signal:
    """s, t: road coordinates. orientation: + | - | none, the traffic it is for. lengths in metres."""

    id: str
    name: str
    type: str
    value: float
    dynamic: bool
    s: float
    t: float
    z_offset: float
    heading: float
    orientation: str
    width: float
    height: float


@dataclass(frozen=True)
class SignalReference:
    """A signal that governs lanes from_lane..to_lane (both included) of the road that holds the reference."""

    signal: str
    s: float
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
    orientation: str
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
        """World points [N,3] at stations s and lateral offsets t (left positive) from the reference line."""
        xy, heading = self.reference.at(s)
        bank = self.superelevation(s)
        normal = np.stack([-np.sin(heading), np.cos(heading)], axis=-1)
        flat = xy + (t * np.cos(bank))[:, None] * normal
        return np.concatenate([flat, (self.elevation(s) + t * np.sin(bank))[:, None]], axis=-1)

    def heading(self, s: float) -> float:
        return float(self.reference.at(np.array([s]))[1][0])


@dataclass(frozen=True)
class RoadNetwork:
    """name: the header's, or the file's stem where that is empty. notes: parts of the file that are not read."""

    name: str
    vendor: str
    roads: tuple[Road, ...]
    notes: tuple[str, ...] = field(default=())


def read_network(path: Path | str) -> RoadNetwork:
    """Parses an OpenDRIVE file. Raises UserError when it is missing, truncated, no OpenDRIVE, or has no road."""
    path = existing_file("OpenDRIVE map", path)
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except ElementTree.ParseError as error:
        raise UserError(f"OpenDRIVE map {str(path)!r} is truncated or not valid XML: {error}") from error
    if _tag(root) != "OpenDRIVE":
        raise UserError(f"{str(path)!r} is not an OpenDRIVE map: its root element is {_tag(root)!r}, not 'OpenDRIVE'")
    for element in root.iter():
        element.tag = _tag(element)
    header = root.find("header")
    try:
        roads = tuple(_road(e) for e in root.findall("road"))
    except _Malformed as error:
        raise UserError(f"OpenDRIVE map {str(path)!r}: {error}") from error
    if not roads:
        raise UserError(f"OpenDRIVE map {str(path)!r} has no road")
    attributes = header.attrib if header is not None else {}
    return RoadNetwork(
        name=attributes.get("name") or path.stem,
        vendor=attributes.get("vendor", ""),
        roads=roads,
        notes=_notes(root),
    )


class _Malformed(ValueError):
    pass


def _tag(element: Element) -> str:
    return str(element.tag).rsplit("}", 1)[-1]


def _notes(root: Element) -> tuple[str, ...]:
    counts = {
        "repeated objects (the first of each is kept)": "repeat",
        "crossfall records": "crossfall",
        "lateral shape records": "shape",
        "lane height records": "height",
    }
    found = [(what, sum(1 for _ in root.iter(tag))) for what, tag in counts.items()]
    return tuple(f"{count} {what} are not modelled" for what, count in found if count)


def _number(element: Element, name: str, default: float | None = None) -> float:
    text = element.get(name)
    if text is None or text == "":
        if default is not None:
            return default
        raise _Malformed(f"<{element.tag}> lacks the attribute {name!r}")
    try:
        value = float(text)
    except ValueError as error:
        raise _Malformed(f"<{element.tag}> has {name}={text!r}, a number is needed") from error
    if not np.isfinite(value):
        raise _Malformed(f"<{element.tag}> has {name}={text!r}, a finite number is needed")
    return value


def _cubic(element: Element, start: str = "s", offset: float = 0.0) -> tuple[float, float, float, float, float]:
    a, b, c, d = (_number(element, k, 0.0) for k in "abcd")
    return _number(element, start) + offset, a, b, c, d


def _profile(road: Element, path: str) -> Profile:
    return profile([_cubic(e) for e in road.findall(path)])


def _road(road: Element) -> Road:
    road_id = road.get("id", "")
    try:
        return _parse_road(road, road_id)
    except _Malformed as error:
        raise _Malformed(f"road {road_id!r}: {error}") from error


def _parse_road(road: Element, road_id: str) -> Road:
    length = _number(road, "length")
    junction = road.get("junction", "-1")
    return Road(
        id=road_id,
        length=length,
        junction=None if junction in ("-1", "") else junction,
        left_hand_traffic=road.get("rule") == "LHT",
        reference=ReferenceLine(_geometries(road)),
        elevation=_profile(road, "elevationProfile/elevation"),
        superelevation=_profile(road, "lateralProfile/superelevation"),
        lane_offset=_profile(road, "lanes/laneOffset"),
        sections=_sections(road, length),
        signals=tuple(_signal(e) for e in road.findall("signals/signal")),
        signal_references=tuple(_signal_reference(e) for e in road.findall("signals/signalReference")),
        objects=tuple(_object(e) for e in road.findall("objects/object")),
    )


def _geometries(road: Element) -> tuple[Geometry, ...]:
    geometries = []
    for element in road.findall("planView/geometry"):
        length = _number(element, "length")
        if length <= 0.0:
            continue
        s, x, y, heading = (_number(element, k) for k in ("s", "x", "y", "hdg"))
        geometries.append(Geometry(s, x, y, heading, length, _curve(element, length)))
    if not geometries:
        raise _Malformed("it has no planView geometry")
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
            return Poly3(_cubic_terms(element, ""), length)
        if element.tag == "paramPoly3":
            normalized = element.get("pRange", "normalized") == "normalized"
            return ParamPoly3(_cubic_terms(element, "U"), _cubic_terms(element, "V"), length, normalized)
    shapes = [e.tag for e in geometry] or "nothing"
    raise _Malformed(f"a geometry has {shapes}; one of line, arc, spiral, poly3, paramPoly3 is needed")


def _cubic_terms(element: Element, suffix: str) -> tuple[float, float, float, float]:
    a, b, c, d = (_number(element, k + suffix) for k in "abcd")
    return a, b, c, d


def _sections(road: Element, length: float) -> tuple[LaneSection, ...]:
    elements = sorted(road.findall("lanes/laneSection"), key=lambda e: _number(e, "s"))
    if not elements:
        raise _Malformed("it has no laneSection")
    starts = [_number(e, "s") for e in elements]
    sections = []
    for element, start, end in zip(elements, starts, [*starts[1:], length]):
        if end - start <= 1e-6:
            continue
        centre = element.find("center/lane")
        left = [_lane(e, start) for e in element.findall("left/lane")]
        right = [_lane(e, start) for e in element.findall("right/lane")]
        sections.append(
            LaneSection(
                start=start,
                end=end,
                left=tuple(sorted(left, key=lambda lane: lane.id)),
                right=tuple(sorted(right, key=lambda lane: -lane.id)),
                centre=_marks(centre) if centre is not None else (),
            )
        )
    return tuple(sections)


def _lane(element: Element, section_start: float) -> LaneSpec:
    borders = element.findall("border")
    records = borders or element.findall("width")
    return LaneSpec(
        id=int(_number(element, "id")),
        type=element.get("type", "none"),
        width=profile([_cubic(e, "sOffset", section_start) for e in records]),
        is_border=bool(borders),
        marks=_marks(element),
    )


def _marks(lane: Element) -> tuple[RoadMark, ...]:
    marks = [
        RoadMark(
            offset=_number(e, "sOffset"),
            type=e.get("type", "none"),
            color=e.get("color", "standard"),
            width=_number(e, "width", 0.0),
        )
        for e in lane.findall("roadMark")
    ]
    return tuple(sorted(marks, key=lambda mark: mark.offset))


def _signal(element: Element) -> Signal:
    return Signal(
        id=element.get("id", ""),
        name=element.get("name", ""),
        type=element.get("type", ""),
        value=_number(element, "value", -1.0),
        dynamic=element.get("dynamic", "no") == "yes",
        s=_number(element, "s"),
        t=_number(element, "t"),
        z_offset=_number(element, "zOffset", 0.0),
        heading=_number(element, "hOffset", 0.0),
        orientation=element.get("orientation", "none"),
        width=_number(element, "width", 0.0),
        height=_number(element, "height", 0.0),
    )


def _signal_reference(element: Element) -> SignalReference:
    validity = element.find("validity")
    lanes = [0, 0] if validity is None else [int(_number(validity, k)) for k in ("fromLane", "toLane")]
    return SignalReference(element.get("id", ""), _number(element, "s"), min(lanes), max(lanes))


def _object(element: Element) -> RoadObject:
    outline = element.find("outline")
    if outline is None:
        outline = element.find("outlines/outline")
    corners = [] if outline is None else list(outline)
    in_road = bool(corners) and corners[0].tag == "cornerRoad"
    names = ("s", "t", "dz") if in_road else ("u", "v", "z")
    wanted = "cornerRoad" if in_road else "cornerLocal"
    points = [[_number(c, k, 0.0) for k in names] for c in corners if c.tag == wanted]
    return RoadObject(
        id=element.get("id", ""),
        name=element.get("name", ""),
        type=element.get("type", ""),
        s=_number(element, "s"),
        t=_number(element, "t"),
        z_offset=_number(element, "zOffset", 0.0),
        heading=_number(element, "hdg", 0.0),
        orientation=element.get("orientation", "none"),
        length=_number(element, "length", 0.0),
        width=_number(element, "width", 0.0),
        height=_number(element, "height", 0.0),
        outline=np.array(points, dtype=np.float64).reshape(-1, 3),
        outline_in_road=in_road,
    )
