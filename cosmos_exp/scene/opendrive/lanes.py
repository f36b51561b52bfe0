"""OpenDRIVE text -> the lane sections of a road."""

from __future__ import annotations

from dataclasses import replace
from xml.etree.ElementTree import Element

from cosmos_exp.scene.opendrive.bounds import Malformed, cubic, number, size, whole_number
from cosmos_exp.scene.opendrive.notes import Notes, kept
from cosmos_exp.scene.opendrive.records import LaneSection, LaneSpec, RoadMark, SpeedLimit
from cosmos_exp.scene.opendrive.road_geometry import profile

SHORTEST_SECTION = 1e-7  # metres
SIDES = ("left", "right")
KMH = {"km/h": 1.0, "m/s": 3.6, "mph": 1.609344}  # units of speeds; without one, m/s
UNLIMITED = ("no limit", "undefined")


def lane_sections(road: Element, length: float, place: str, notes: Notes) -> tuple[LaneSection, ...]:
    """Sections of no length are left out. In a section of `singleSide` the other side's lanes go on."""
    elements = sorted(road.findall("lanes/laneSection"), key=lambda e: number(e, "s"))
    if not elements:
        raise Malformed("it has no laneSection")
    starts = [number(e, "s") for e in elements]
    sections = []
    before: LaneSection | None = None
    for index, (element, start, end) in enumerate(zip(elements, starts, [*starts[1:], length])):
        section = _section(element, index, start, end, place, notes)
        if before is not None and element.get("singleSide") == "true":
            section = _with_other_side(section, before, element)
        before = section
        if end - start > SHORTEST_SECTION:
            sections.append(section)
    return tuple(sections)


def _section(element: Element, index: int, start: float, end: float, place: str, notes: Notes) -> LaneSection:
    centre = element.find("center/lane")
    left, right = ([_lane(e, start, place, notes) for e in element.findall(f"{side}/lane")] for side in SIDES)
    return LaneSection(
        number=index,
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
        id=whole_number(element, "id"),
        type=element.get("type", "none"),
        level=element.get("level") in ("true", "1"),
        width=profile([cubic(e, "sOffset", section_start) for e in widths or borders]),
        is_border=not widths and bool(borders),
        marks=_marks(element, section_start, place, notes),
        speeds=_speeds(element, section_start, place, notes),
    )


def _marks(lane: Element, section_start: float, place: str, notes: Notes) -> tuple[RoadMark, ...]:
    def read(element: Element) -> list[RoadMark]:
        return [
            RoadMark(
                s=section_start + number(element, "sOffset", 0.0),
                type=element.get("type", "none"),
                color=element.get("color", "standard"),
                width=size(element, "width"),
            )
        ]

    marks = kept(lane.findall("roadMark"), read, "road marks", notes, f"{place}lane {lane.get('id')}: ")
    return tuple(sorted(marks, key=lambda mark: mark.s))


def _speeds(lane: Element, section_start: float, place: str, notes: Notes) -> tuple[SpeedLimit, ...]:
    def read(element: Element) -> list[SpeedLimit]:
        return [speed_limit(element, section_start + number(element, "sOffset", 0.0))]

    limits = kept(lane.findall("speed"), read, "speed limits", notes, f"{place}lane {lane.get('id')}: ")
    return tuple(sorted(limits, key=lambda limit: limit.s))


def speed_limit(element: Element, s: float) -> SpeedLimit:
    """A `<speed>` of a lane or a road's type: ASAM OpenDRIVE 1.7, 8.3.1 and 9.5.5."""
    if element.get("max") in UNLIMITED:
        return SpeedLimit(s, None)
    unit = element.get("unit", "m/s")
    if unit not in KMH:
        raise Malformed(f"<{element.tag}> has unit={unit[:40]!r}, one of {', '.join(KMH)} is needed")
    return SpeedLimit(s, max(number(element, "max"), 0.0) * KMH[unit])
