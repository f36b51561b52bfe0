"""Signals and objects of an OpenDRIVE network as map elements: lights, signs, poles, crosswalks, stop lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from cosmos_exp.scene.opendrive.bounds import Malformed
from cosmos_exp.scene.opendrive.lane_strips import Strip
from cosmos_exp.scene.opendrive.notes import LEFT_OUT, Notes
from cosmos_exp.scene.opendrive.records import Road, RoadNetwork, RoadObject, Signal
from cosmos_exp.scene.types import Building, LaneLine, LaneType, Pole, SceneMap, TrafficLight, TrafficSign, Tree

LIGHT_SIZE = (0.3, 0.45, 1.15)
NEAR_SIDE_LIGHT = 3.4  # metres: head height of a light at the stop line
FAR_SIDE_LIGHT = 5.2  # of a light across the junction
NEAR_SIDE_REACH = 8.0  # metres beyond the stop line that still count as the near side
SIGN_SIZE = (0.04, 0.7, 0.7)
SIGN_HEIGHT = 2.3
POLE_TO_PLATE = 0.1
SIGN_KINDS = {"205": "yield", "206": "stop", "274": "speed_limit"}
OWN_POST = 0.6  # metres within which a post object already carries a sign
STOP_LINE_REACH = 10.0  # metres within which a painted stop line stands for a junction's entry
OUTLINE_WIDTH = 0.3
# Arrow stencils in unit coordinates (along travel, to the left), as convex pieces.
STRAIGHT_ARROW = (
    np.array([[-0.5, -0.08], [0.1, -0.08], [0.1, 0.08], [-0.5, 0.08]]),
    np.array([[0.1, -0.3], [0.5, 0.0], [0.1, 0.3]]),
)
LEFT_ARROW = (
    np.array([[-0.5, -0.34], [0.3, -0.34], [0.3, -0.18], [-0.5, -0.18]]),
    np.array([[0.14, -0.18], [0.3, -0.18], [0.3, 0.1], [0.14, 0.1]]),
    np.array([[-0.06, 0.1], [0.5, 0.1], [0.22, 0.5]]),
)


@dataclass
class _Collected:
    lane_lines: list[LaneLine] = field(default_factory=list)
    crosswalks: list[np.ndarray] = field(default_factory=list)
    road_markings: list[np.ndarray] = field(default_factory=list)
    wait_lines: list[np.ndarray] = field(default_factory=list)
    poles: list[Pole] = field(default_factory=list)
    signs: list[TrafficSign] = field(default_factory=list)
    lights: list[TrafficLight] = field(default_factory=list)
    buildings: list[Building] = field(default_factory=list)
    trees: list[Tree] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)


def read_furniture(network: RoadNetwork, strips: list[Strip], notes: Notes) -> SceneMap:
    """Signals and objects of the network, as a SceneMap without lanes.

    Traffic lights keep the signal's id and stand at its position; the head faces the lanes it governs. Stop lines come
    from the map's objects; an entry of a signalled junction that has none near gets one across its lane.
    """
    found = _Collected(notes=notes)
    for road in network.roads:
        for item in road.objects:
            with _noted(notes, "objects", road):
                _add_object(found, road, item)
    entries = junction_entries(network, strips)
    for road in network.roads:
        for signal in road.signals:
            with _noted(notes, "signals", road):
                _add_signal(found, network, road, signal, entries.get(signal.id, []))
    _add_missing_wait_lines(found, [e for group in entries.values() for e in group])
    return SceneMap(
        name=network.name,
        lane_lines=tuple(found.lane_lines),
        crosswalks=tuple(found.crosswalks),
        road_markings=tuple(found.road_markings),
        wait_lines=tuple(found.wait_lines),
        poles=tuple(found.poles),
        traffic_signs=tuple(found.signs),
        traffic_lights=tuple(found.lights),
        buildings=tuple(found.buildings),
        trees=tuple(found.trees),
    )


@contextmanager
def _noted(notes: Notes, kind: str, road: Road) -> Iterator[None]:
    """What turns out to be malformed inside is left out."""
    try:
        yield
    except Malformed as error:
        notes.add(LEFT_OUT[kind], f"road {road.id!r}: {error}")


@dataclass(frozen=True)
class Entry:
    """Where a governed lane enters its junction. line: [2,3] across the lane. heading: of the traffic."""

    line: np.ndarray
    heading: float

    @property
    def middle(self) -> np.ndarray:
        return self.line.mean(axis=0)


def junction_entries(network: RoadNetwork, strips: list[Strip]) -> dict[str, list[Entry]]:
    """Entries of the lanes that each signal governs, by the signal's id."""
    lanes: dict[str, list[Strip]] = defaultdict(list)
    for strip in strips:
        if strip.type is LaneType.DRIVING and strip.road.junction is not None:
            lanes[strip.road.id].append(strip)
    entries: dict[str, list[Entry]] = defaultdict(list)
    for road in network.roads:
        for reference in road.signal_references:
            for strip in lanes[road.id]:
                first = road.sections[0 if strip.forward else -1].number
                if strip.section == first and reference.from_lane <= strip.lane <= reference.to_lane:
                    entries[reference.signal].append(_entry(strip))
    return entries


def _entry(strip: Strip) -> Entry:
    left, right = strip.driving_edges()
    heading = strip.road.heading(float(strip.stations[0 if strip.forward else -1]))
    return Entry(np.stack([left[0], right[0]]), heading if strip.forward else heading + np.pi)


def _add_missing_wait_lines(found: _Collected, entries: list[Entry]) -> None:
    painted = [line.mean(axis=0) for line in found.wait_lines]
    added: list[np.ndarray] = []
    for entry in entries:
        near_painted = any(np.linalg.norm(p - entry.middle) < STOP_LINE_REACH for p in painted)
        if near_painted or any(np.linalg.norm(p - entry.middle) < 0.5 for p in added):
            continue
        added.append(entry.middle)
        found.wait_lines.append(entry.line)


def _add_signal(found: _Collected, network: RoadNetwork, road: Road, signal: Signal, entries: list[Entry]) -> None:
    foot = _ground(road, signal.s, signal.t)
    facing = _facing(network, road, signal, entries)
    if signal.dynamic:
        head = _light_height(foot, entries)
        size = (LIGHT_SIZE[0], signal.width or LIGHT_SIZE[1], signal.height or LIGHT_SIZE[2])
        add_light(found.lights, found.poles, signal.id, foot, facing, head, size)
        return
    width, height = signal.width or SIGN_SIZE[1], signal.height or SIGN_SIZE[2]
    kind = _sign_kind(signal.type, signal.name)
    add_sign(found.signs, found.poles, signal.id, foot, facing, kind, (SIGN_SIZE[0], width, height))


def add_light(
    lights: list[TrafficLight],
    poles: list[Pole],
    light_id: str,
    foot: np.ndarray,
    facing: float,
    height: float,
    size: tuple[float, float, float] = LIGHT_SIZE,
) -> None:
    """Adds a pole at `foot` [3] with a head in front of it that looks along `facing`, its centre `height` above."""
    offset = size[0] / 2 + POLE_TO_PLATE
    lights.append(TrafficLight(light_id, _pose(foot, facing, height, offset), size))
    poles.append(Pole(foot, _above(foot, height + size[2] / 2), 0.09))


def _light_height(foot: np.ndarray, entries: list[Entry]) -> float:
    if not entries:
        return NEAR_SIDE_LIGHT
    ahead = [(foot - e.middle)[:2] @ [np.cos(e.heading), np.sin(e.heading)] for e in entries]
    return NEAR_SIDE_LIGHT if min(ahead) < NEAR_SIDE_REACH else FAR_SIDE_LIGHT


def _facing(network: RoadNetwork, road: Road, signal: Signal, entries: list[Entry]) -> float:
    """Direction the plate looks: towards the governed traffic where that is known, else by the signal's own heading.

    RoadRunner (VectorZero) writes the whole heading of the traffic into hOffset; the standard turns it by the
    orientation as well.
    """
    if entries:
        x, y = np.mean([[np.cos(e.heading), np.sin(e.heading)] for e in entries], axis=0)
        return float(np.arctan2(y, x)) + np.pi
    return _traffic_heading(network, road, signal.s, signal.heading, signal.orientation) + np.pi


def _traffic_heading(network: RoadNetwork, road: Road, s: float, offset: float, orientation: str) -> float:
    against = orientation == "-" and network.vendor != "VectorZero"
    return road.heading(s) + offset + (np.pi if against else 0.0)


def add_sign(
    signs: list[TrafficSign],
    poles: list[Pole],
    sign_id: str,
    foot: np.ndarray,
    facing: float,
    kind: str,
    size: tuple[float, float, float] = SIGN_SIZE,
) -> None:
    """Adds a plate above `foot` [3] that looks along `facing`, and its pole where the map has none yet."""
    height = SIGN_HEIGHT + size[2] / 2
    signs.append(TrafficSign(sign_id, _pose(foot, facing, height, POLE_TO_PLATE), size, kind))
    if all(np.linalg.norm((pole.base - foot)[:2]) > OWN_POST for pole in poles):
        poles.append(Pole(foot, _above(foot, height + size[2] / 2), 0.05))


def _sign_kind(type_code: str, name: str) -> str:
    if name.lower().startswith("speed"):
        return "speed_limit"
    return SIGN_KINDS.get(type_code, name.lower() or type_code)


def _add_object(found: _Collected, road: Road, item: RoadObject) -> None:
    name = item.name.lower()
    if item.type == "crosswalk":
        found.crosswalks.append(_outline(road, item))
    elif name.startswith("stopline"):
        found.wait_lines.append(_stroke(road, item))
    elif name.startswith("stencil"):
        found.road_markings.extend(_stencil(road, item))
    elif name.endswith("region"):
        ring = _outline(road, item)
        found.lane_lines.append(LaneLine(np.concatenate([ring, ring[:1]]), "solid", "white", OUTLINE_WIDTH))
    elif name.startswith(("solid", "broken", "dashed")):
        style = "solid" if name.startswith("solid") else "broken"
        found.lane_lines.append(LaneLine(_stroke(road, item), style, "yellow" if "yellow" in name else "white"))
    elif name.startswith("speed_"):
        facing = _speed_sign_facing(road, item)
        add_sign(found.signs, found.poles, item.id, _ground(road, item.s, item.t), facing, "speed_limit")
    else:
        _add_static_object(found, road, item, name)


def _speed_sign_facing(road: Road, item: RoadObject) -> float:
    """CARLA's maps store speed signs as objects whose heading is that of the traffic."""
    return road.heading(item.s) + item.heading + np.pi


def _add_static_object(found: _Collected, road: Road, item: RoadObject, name: str) -> None:
    foot = _above(_ground(road, item.s, item.t), item.z_offset)
    if item.type in ("pole", "streetLamp") or name.startswith("signpost"):
        found.poles.append(Pole(foot, _above(foot, item.height or 3.0), max(item.width, 0.1) / 2))
    elif item.type in ("tree", "vegetation"):
        crown = max(item.width, item.length, 2.0) / 2
        found.trees.append(Tree(foot, item.height or 6.0, crown, seed=len(found.trees)))
    elif item.type == "building":
        footprint = _outline(road, item)
        found.buildings.append(Building(footprint, item.height or 6.0, (0.6, 0.58, 0.55), seed=len(found.buildings)))
    else:
        found.notes.add(f"objects named {item.name or item.type or '(unnamed)'} are not drawn")


def _ground(road: Road, s: float, t: float) -> np.ndarray:
    return road.points(np.array([s]), np.array([t]))[0]


def _above(point: np.ndarray, height: float) -> np.ndarray:
    return point + np.array([0.0, 0.0, height])


def _pose(foot: np.ndarray, facing: float, height: float, forward: float) -> np.ndarray:
    c, s = np.cos(facing), np.sin(facing)
    pose = np.eye(4)
    pose[:2, :2] = [[c, -s], [s, c]]
    pose[:3, 3] = foot + np.array([forward * c, forward * s, height])
    return pose


def _to_world(road: Road, item: RoadObject, local: np.ndarray) -> np.ndarray:
    """Corners (u, v, z) [K,3] of the object's frame in the world."""
    heading = road.heading(item.s) + item.heading
    c, s = np.cos(heading), np.sin(heading)
    turned = np.stack([c * local[:, 0] - s * local[:, 1], s * local[:, 0] + c * local[:, 1], local[:, 2]], axis=-1)
    return turned + _above(_ground(road, item.s, item.t), item.z_offset)


def _stroke(road: Road, item: RoadObject) -> np.ndarray:
    """The object's outline as an open polyline; without one, a line along its longer side."""
    if len(item.outline) < 2:
        along = [1.0, 0.0, 0.0] if item.length >= item.width else [0.0, 1.0, 0.0]
        half = max(item.length, item.width) / 2
        return _to_world(road, item, half * np.array([np.negative(along), along]))
    if item.outline_in_road:
        return road.points(item.outline[:, 0], item.outline[:, 1]) + item.outline[:, 2:] * [0.0, 0.0, 1.0]
    return _to_world(road, item, item.outline)


def _outline(road: Road, item: RoadObject) -> np.ndarray:
    """The object's outline as a polygon [K,3], first corner not repeated; without one, its length x width rectangle."""
    if len(item.outline) < 3:
        u, v = item.length / 2, item.width / 2
        return _to_world(road, item, np.array([[-u, -v, 0.0], [u, -v, 0.0], [u, v, 0.0], [-u, v, 0.0]]))
    ring = _stroke(road, item)
    return ring[:-1] if np.linalg.norm(ring[0] - ring[-1]) < 1e-3 else ring


def _stencil(road: Road, item: RoadObject) -> list[np.ndarray]:
    """Polygons of a stencil: an arrow by its name's last letter, anything else as the bars of its letters."""
    along, across = max(item.length, item.width), min(item.length, item.width)
    name = item.name.lower()
    if "arrow" in name:
        pieces: Sequence[np.ndarray] = STRAIGHT_ARROW if name[-1] not in "lr" else LEFT_ARROW
        side = -1.0 if name.endswith("r") else 1.0
        scale = np.array([along, side * across])
    else:
        letters = max(len(name.rsplit("_", 1)[-1]), 1)
        left = np.linspace(-0.5, 0.5, letters + 1)[:-1]
        pieces = [np.array([[-0.5, v], [0.5, v], [0.5, v + 0.7 / letters], [-0.5, v + 0.7 / letters]]) for v in left]
        scale = np.array([item.length, item.width])
    flat = [np.concatenate([piece * scale, np.zeros((len(piece), 1))], axis=1) for piece in pieces]
    return [_to_world(road, item, corners) for corners in flat]
