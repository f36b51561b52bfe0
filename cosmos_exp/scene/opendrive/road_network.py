"""OpenDRIVE text -> a road network.

A road that cannot be read is left out; so is a mark, a signal or an object, without its road. `Notes` counts them.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from xml.etree.ElementTree import Element

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import XML_BYTES, parse_xml, read_bytes
from cosmos_exp.common.input_files import existing_file
from cosmos_exp.scene.opendrive.bounds import (
    BEYOND_ROAD,
    LARGEST_OFFSET,
    LARGEST_SIZE,
    LONGEST_ROAD,
    Malformed,
    cubic,
    number,
    size,
    station,
    whole_number,
)
from cosmos_exp.scene.opendrive.lanes import lane_sections, speed_limit
from cosmos_exp.scene.opendrive.notes import LEFT_OUT, Notes, kept
from cosmos_exp.scene.opendrive.records import Road, RoadNetwork, RoadObject, Signal, SignalReference, SpeedLimit
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
LONGEST_CONNECTION = 2000.0  # metres of a connecting road; a longer one is drawn as a road between junctions
MOST_LANES = 10_000
MOST_COPIES = 10_000  # of a repeated object
COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)


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
    roads = tuple(kept(elements, lambda e: [_road(e, notes)], "roads", notes))
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


def _profile(road: Element, path: str) -> Profile:
    return profile([cubic(e) for e in road.findall(path)])


def _road(road: Element, notes: Notes) -> Road:
    road_id = road.get("id", "")
    try:
        return _parse_road(road, road_id, notes)
    except Malformed as error:
        raise Malformed(f"road {road_id!r}: {error}") from error


def _parse_road(road: Element, road_id: str, notes: Notes) -> Road:
    length = number(road, "length", most=LONGEST_ROAD)
    left_hand_traffic = road.get("rule") == "LHT"
    place = f"road {road_id!r}: "

    def items(path: str, read: Callable[[Element], Iterable[Item]], kind: str) -> tuple[Item, ...]:
        return tuple(kept(road.findall(path), read, kind, notes, place))

    return Road(
        id=road_id,
        length=length,
        junction=_junction(road, length, notes),
        left_hand_traffic=left_hand_traffic,
        reference=ReferenceLine(_geometries(road, place, notes)),
        elevation=_profile(road, "elevationProfile/elevation"),
        superelevation=_profile(road, "lateralProfile/superelevation"),
        lane_offset=_profile(road, "lanes/laneOffset"),
        sections=lane_sections(road, length, place, notes),
        signals=items("signals/signal", lambda e: [_signal(e, length)], "signals"),
        signal_references=items(
            "signals/signalReference", lambda e: _signal_references(e, left_hand_traffic), "signal references"
        ),
        objects=items("objects/object", lambda e: _objects(e, length, notes), "objects"),
        speeds=tuple(sorted(items("type", _speeds, "speed limits"), key=lambda limit: limit.s)),
    )


def _speeds(kind: Element) -> list[SpeedLimit]:
    """A road's type begins a stretch, with or without a limit."""
    s, speed = number(kind, "s", 0.0), kind.find("speed")
    return [SpeedLimit(s, None) if speed is None else speed_limit(speed, s)]


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
        length = number(element, "length", most=LONGEST_ROAD)
        if length <= 0.0:
            continue
        s, x, y, heading = (number(element, k) for k in ("s", "x", "y", "hdg"))
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
            curvature = number(element, "curvature")
            return Spiral(curvature, curvature, length)
        if element.tag == "spiral":
            return Spiral(number(element, "curvStart"), number(element, "curvEnd"), length)
        if element.tag == "poly3":
            return Cubic((0.0, 1.0, 0.0, 0.0), _cubic_terms(element, ""), end=length)
        if element.tag == "paramPoly3":
            normalized = element.get("pRange", "normalized") == "normalized"
            return Cubic(_cubic_terms(element, "U"), _cubic_terms(element, "V"), end=1.0 if normalized else length)
    shapes = [e.tag for e in geometry] or "nothing"
    raise Malformed(f"a geometry has {shapes}; one of line, arc, spiral, poly3, paramPoly3 is needed")


def _cubic_terms(element: Element, suffix: str) -> tuple[float, float, float, float]:
    a, b, c, d = (number(element, k + suffix) for k in "abcd")
    return a, b, c, d


def _signal(element: Element, length: float) -> Signal:
    return Signal(
        id=element.get("id", ""),
        name=element.get("name", ""),
        type=element.get("type", ""),
        dynamic=element.get("dynamic", "no") == "yes",
        s=station(element, length),
        t=number(element, "t", most=LARGEST_OFFSET),
        heading=number(element, "hOffset", 0.0),
        orientation=element.get("orientation", "none"),
        width=size(element, "width"),
        height=size(element, "height"),
    )


def _signal_references(element: Element, left_hand_traffic: bool) -> Iterator[SignalReference]:
    """One for each of its validities; without any it governs the lanes of its orientation."""
    signal = element.get("id", "")
    validities = element.findall("validity")
    for validity in validities:
        lanes = [whole_number(validity, k) for k in ("fromLane", "toLane")]
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
        if number(repeat, "distance") > 0.0:
            yield from _copies(item, repeat, length)
        else:
            notes.add("objects repeated without a gap (walls, guard rails) are not modelled", item.name or item.type)


def _copies(item: RoadObject, repeat: Element, road_length: float) -> Iterator[RoadObject]:
    start, length = station(repeat, road_length), number(repeat, "length", most=LONGEST_ROAD)
    distance = number(repeat, "distance")
    count = 1 + max(length, 0.0) / distance * (1 + 1e-9)
    if count > MOST_COPIES:
        raise Malformed(f"<repeat> with distance={distance:g} makes {count:g} objects, {MOST_COPIES} are allowed")
    for k in range(int(count)):
        s = min(start + k * distance, road_length + BEYOND_ROAD)
        share = min(k * distance / length, 1.0) if length > 0.0 else 0.0

        def at(name: str, value: float, share: float = share) -> float:
            first = number(repeat, f"{name}Start", value, most=LARGEST_SIZE)
            return first + share * (number(repeat, f"{name}End", first, most=LARGEST_SIZE) - first)

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
    points = [[number(c, k, 0.0, most=LONGEST_ROAD) for k in names] for c in corners if c.tag == wanted]
    diameter = 2 * size(element, "radius")
    return RoadObject(
        id=element.get("id", ""),
        name=element.get("name", ""),
        type=element.get("type", ""),
        s=station(element, length),
        t=number(element, "t", most=LARGEST_OFFSET),
        z_offset=size(element, "zOffset"),
        heading=number(element, "hdg", 0.0),
        length=size(element, "length") or diameter,
        width=size(element, "width") or diameter,
        height=size(element, "height"),
        outline=np.array(points, dtype=np.float64).reshape(-1, 3),
        outline_in_road=in_road,
    )
