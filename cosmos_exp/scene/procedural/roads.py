"""Random street layouts: lanes, markings, kerbs, signals, and the routes of traffic."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cosmos_exp.scene.procedural.paths import Path, bend, direction, on_ground, straight
from cosmos_exp.scene.types import Lane, LaneLine, LaneType, LightState, Pole, SceneMap, TrafficLight, TrafficSign

AREAS = ("residential", "downtown", "rural")
REACH = 140.0  # metres of road behind the ego's start and beyond its end
CROSSWALK_WIDTH = 3.2
KERB_GAP = 0.6  # metres between the kerb and the poles


@dataclass(frozen=True)
class CrossSection:
    """Widths in metres, the same on both sides of the centre line; `lanes` driving lanes per direction."""

    lanes: int
    lane_width: float
    parking: float
    shoulder: float
    sidewalk: float
    centre: str
    centre_color: str

    @property
    def driving(self) -> float:
        return self.lanes * self.lane_width

    @property
    def kerb(self) -> float:
        return self.driving + self.parking + self.shoulder


@dataclass(frozen=True)
class Route:
    """A lane's centre line to drive along. stop: station of the stop line, obeyed while `signal` is not green."""

    lane: str
    path: Path
    speed_limit: float
    stop: float | None = None
    signal: str | None = None


@dataclass(frozen=True)
class Walk:
    """A pedestrian path. signal: the crossing road's signal group, None on a sidewalk."""

    path: Path
    width: float
    crossing: bool = False
    signal: str | None = None


Signals = dict[str, tuple[np.ndarray, tuple[LightState, ...]]]


@dataclass
class Street:
    """A layout under construction."""

    kind: str
    area: str
    section: CrossSection
    ego_travel: float
    signals: Signals = field(default_factory=dict)
    lanes: list[Lane] = field(default_factory=list)
    lane_lines: list[LaneLine] = field(default_factory=list)
    road_boundaries: list[np.ndarray] = field(default_factory=list)
    crosswalks: list[np.ndarray] = field(default_factory=list)
    road_markings: list[np.ndarray] = field(default_factory=list)
    wait_lines: list[np.ndarray] = field(default_factory=list)
    poles: list[Pole] = field(default_factory=list)
    traffic_signs: list[TrafficSign] = field(default_factory=list)
    traffic_lights: list[TrafficLight] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    walks: list[Walk] = field(default_factory=list)
    parking: list[Path] = field(default_factory=list)
    ego_routes: list[int] = field(default_factory=list)
    ego_stations: tuple[float, float] = (0.0, 0.0)

    def to_map(self, name: str) -> SceneMap:
        return SceneMap(
            name=name,
            lanes=tuple(self.lanes),
            lane_lines=tuple(self.lane_lines),
            road_boundaries=tuple(self.road_boundaries),
            crosswalks=tuple(self.crosswalks),
            road_markings=tuple(self.road_markings),
            wait_lines=tuple(self.wait_lines),
            poles=tuple(self.poles),
            traffic_signs=tuple(self.traffic_signs),
            traffic_lights=tuple(self.traffic_lights),
        )


def draw_section(rng: np.random.Generator, kind: str, area: str) -> CrossSection:
    """A cross section that suits the road kind and area."""
    lanes = 2 if kind == "straight_4lane" or (kind != "straight_2lane" and rng.random() < 0.35) else 1
    lane_width = float(rng.uniform(3.0, 3.8))
    has_parking = {"residential": 0.7, "downtown": 0.5, "rural": 0.0}[area] > rng.random()
    shoulder = float(rng.uniform(0.8, 2.0)) if area == "rural" else float(rng.uniform(0.3, 0.6))
    sidewalk = {"residential": (1.8, 3.0), "downtown": (2.5, 4.5), "rural": (0.0, 0.0)}[area]
    color = "yellow" if rng.random() < 0.7 else "white"
    return CrossSection(
        lanes=lanes,
        lane_width=lane_width,
        parking=float(rng.uniform(2.1, 2.5)) if has_parking else 0.0,
        shoulder=shoulder,
        sidewalk=float(rng.uniform(*sidewalk)),
        centre="solid_solid" if lanes == 2 else str(rng.choice(["broken", "solid", "solid_solid"])),
        centre_color=color,
    )


def add_road(street: Street, path: Path, name: str) -> None:
    """Lanes, markings, kerbs and sidewalks along `path`, the road's centre line; traffic keeps to the right."""
    section = street.section
    edges = [("driving", section.lane_width)] * section.lanes
    edges += [("parking", section.parking), ("shoulder", section.shoulder), ("sidewalk", section.sidewalk)]
    for side, way in (("right", path), ("left", path.reversed())):
        inner = 0.0
        for i, (lane_type, width) in enumerate(edges):
            if width == 0.0:
                continue
            left, right = way.offset(-inner), way.offset(-inner - width)
            street.lanes.append(Lane(f"{name}_{side}_{i}", LaneType(lane_type), left, right))
            inner += width
        for i in range(1, section.lanes):
            street.lane_lines.append(LaneLine(way.offset(-i * section.lane_width), "broken", "white"))
        street.lane_lines.append(LaneLine(way.offset(-section.driving + 0.1), "solid", "white"))
        street.road_boundaries.append(way.offset(-section.kerb))
        if section.parking:
            street.parking.append(way.shifted(-section.driving - section.parking / 2))
        add_sidewalk_walk(street, way)
    width = 0.15 if section.centre != "solid_solid" else 0.12
    street.lane_lines.append(LaneLine(path.offset(0.0), section.centre, section.centre_color, width))


def add_sidewalk_walk(street: Street, way: Path) -> None:
    section = street.section
    if section.sidewalk:
        offset = section.kerb + section.sidewalk * 0.6
        street.walks.append(Walk(way.shifted(-offset), section.sidewalk * 0.5))
    else:
        street.walks.append(Walk(way.shifted(-section.kerb - 0.8), 0.6))


def add_crosswalk(street: Street, path: Path, station: float, signal: str | None) -> None:
    """A crosswalk across the full road width, centred at `station` of its centre line."""
    xy, heading = path.at(station)
    ahead, left = direction(float(heading)), direction(float(heading) + np.pi / 2)
    half, reach = CROSSWALK_WIDTH / 2, street.section.kerb
    corners = [xy + a * half * ahead + b * reach * left for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    street.crosswalks.append(on_ground(np.stack(corners)))
    reach += 1.0
    crossing = straight(xy - reach * left, float(heading) + np.pi / 2, 2 * reach)
    street.walks.append(Walk(crossing, CROSSWALK_WIDTH * 0.7, crossing=True, signal=signal))


def add_wait_line(street: Street, path: Path, station: float, side: int = -1) -> None:
    """A stop line across the lanes on one side of the centre line (-1: those driving along the path)."""
    xy, heading = path.at(station)
    left = direction(float(heading) + np.pi / 2)
    ends = [xy + side * 0.2 * left, xy + side * street.section.driving * left]
    street.wait_lines.append(on_ground(np.stack(ends)))


def add_arrow(street: Street, xy: np.ndarray, heading: float) -> None:
    """A straight-ahead arrow on the road, as two convex polygons; `xy` is its tail."""
    ahead, left = direction(heading), direction(heading + np.pi / 2)
    shaft = [(0.0, -0.12), (2.4, -0.12), (2.4, 0.12), (0.0, 0.12)]
    head = [(2.4, -0.45), (4.0, 0.0), (2.4, 0.45)]
    for shape in (shaft, head):
        street.road_markings.append(on_ground(np.stack([xy + a * ahead + b * left for a, b in shape])))


def add_hatch(street: Street, path: Path, start: float, end: float, offset: float, width: float) -> None:
    """Diagonal bars between two stations, `offset` metres left of the path."""
    for station in np.arange(start, end, 2.0):
        bar = [(station, -1), (station + 0.5, -1), (station + 1.1, 1), (station + 0.6, 1)]
        points = []
        for s, side in bar:
            xy, heading = path.at(s)
            points.append(xy + (offset + side * width / 2) * direction(float(heading) + np.pi / 2))
        street.road_markings.append(on_ground(np.stack(points)))


def facing_pose(xy: np.ndarray, z: float, heading: float) -> np.ndarray:
    """[4,4] pose at (xy, z), x axis along the heading."""
    c, s = np.cos(heading), np.sin(heading)
    return np.array([[c, -s, 0.0, xy[0]], [s, c, 0.0, xy[1]], [0.0, 0.0, 1.0, z], [0.0, 0.0, 0.0, 1.0]])


def add_sign(street: Street, path: Path, station: float, kind: str) -> None:
    """A plate on a pole at the right kerb, facing the traffic that drives along the path."""
    xy, angle = path.at(station)
    heading = float(angle)
    foot = xy - (street.section.kerb + KERB_GAP) * direction(heading + np.pi / 2)
    add_pole(street, foot, 2.9, 0.05)
    plate = foot - 0.08 * direction(heading)
    name = f"sign_{len(street.traffic_signs)}"
    pose = facing_pose(plate, 2.5, heading + np.pi)
    street.traffic_signs.append(TrafficSign(name, pose, (0.04, 0.75, 0.75), kind))


def add_pole(street: Street, foot: np.ndarray, height: float, radius: float) -> None:
    x, y = foot
    street.poles.append(Pole(np.array([x, y, 0.0]), np.array([x, y, height]), radius))


def add_light(street: Street, foot: np.ndarray, heading: float, signal: str, height: float = 5.2) -> None:
    """A signal head on a pole, shown to traffic driving along `heading`."""
    times, states = street.signals[signal]
    add_pole(street, foot, height - 0.6, 0.09)
    name = f"light_{len(street.traffic_lights)}"
    pose = facing_pose(foot, height, heading + np.pi)
    street.traffic_lights.append(TrafficLight(name, pose, (0.35, 0.45, 1.15), times, states))


def speed_limit(rng: np.random.Generator, area: str) -> float:
    low, high = {"residential": (6.0, 11.0), "downtown": (8.0, 14.0), "rural": (11.0, 15.0)}[area]
    return float(rng.uniform(low, high))


def add_plain_routes(street: Street, path: Path, limit: float) -> None:
    """One route per lane of a road without junctions; the ego may take those along the path."""
    section = street.section
    for side, way in (("right", path), ("left", path.reversed())):
        for i in range(section.lanes):
            if side == "right":
                street.ego_routes.append(len(street.routes))
            centre = way.shifted(-(i + 0.5) * section.lane_width)
            street.routes.append(Route(f"{side}_{i}", centre, limit))


def build_plain_road(rng: np.random.Generator, street: Street, heading: float) -> None:
    """A straight road or a bend, with signs and sometimes arrows, hatching and a crosswalk half-way."""
    length = 2 * REACH + street.ego_travel
    origin = -REACH * direction(heading)
    if street.kind == "curve":
        angle = float(rng.uniform(0.5, 1.7) * rng.choice([-1.0, 1.0]))
        radius = float(rng.uniform(35.0, 90.0))
        before = REACH + float(rng.uniform(-10.0, 30.0))
        after = max(length - before - abs(angle) * radius, 60.0)
        path = bend(origin, heading, before=before, angle=angle, radius=radius, after=after)
    else:
        path = straight(origin, heading, length)
    add_road(street, path, "road")
    add_plain_routes(street, path, speed_limit(rng, street.area))
    street.ego_stations = (REACH - 5.0, REACH + 5.0)
    ahead = REACH + float(rng.uniform(15.0, 45.0))
    if street.area != "rural" and rng.random() < 0.4:
        add_crosswalk(street, path, ahead, None)
        add_wait_line(street, path, ahead - 3.0)
        add_wait_line(street, path, ahead + 3.0, side=1)
        add_sign(street, path, ahead - 2.5, "crosswalk")
        add_sign(street, path.reversed(), path.length - ahead - 2.5, "crosswalk")
    if street.section.lanes == 2 and rng.random() < 0.7:
        for station in np.arange(REACH - 30.0, length - REACH + 60.0, 35.0):
            for i in range(2):
                xy, yaw = path.at(station)
                left = direction(float(yaw) + np.pi / 2)
                add_arrow(street, xy - (i + 0.5) * street.section.lane_width * left, float(yaw))
    if street.section.shoulder > 1.2 and rng.random() < 0.6:
        offset = -street.section.kerb + street.section.shoulder / 2
        add_hatch(street, path, ahead, ahead + 24.0, offset, street.section.shoulder - 0.3)
    for station in rng.uniform(REACH - 20.0, REACH + street.ego_travel + 60.0, size=3):
        kind = str(rng.choice(["speed_limit", "warning", "no_parking", "direction"]))
        way, at = (path, station) if rng.random() < 0.6 else (path.reversed(), path.length - station)
        add_sign(street, way, float(at), kind)
