"""Random street layouts: lanes, markings, kerbs, signals, and the routes of traffic."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cosmos_exp.scene.procedural.layouts import CrossSection, Layout
from cosmos_exp.scene.procedural.paths import Path, bend, direction, join, on_ground, straight
from cosmos_exp.scene.types import (
    Barrier,
    Lane,
    LaneLine,
    LaneType,
    LightState,
    Pole,
    SceneMap,
    TrafficLight,
    TrafficSign,
    Tree,
)

REACH = 140.0  # metres of road behind the ego's start and beyond its end
CROSSWALK_WIDTH = 3.2
KERB_GAP = 0.6  # metres between the kerb and the poles
SEAM = 0.03  # metres that lanes overlap in the middle where no line covers their joint
TOP_SPEED = 15.0  # of the ego in streets
SIGN_KINDS = ("speed_limit", "warning", "no_parking", "direction")
ALL_SIGN_KINDS = (*SIGN_KINDS, "stop", "yield", "crosswalk")


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
    """A layout under construction.

    mixed_states: signs of all kinds and signals in all states. top_speed: of the ego, m/s. ego_speeds: range of its
    wanted speed, None for any. parked_share: range of the share of vehicles that are parked. driveways: places of one
    parked car each, outside the bays. driveway_mouths: [2] where no car is parked at the kerb.
    """

    kind: str
    area: str
    section: CrossSection
    ego_travel: float
    layout: Layout
    mixed_states: bool = False
    top_speed: float = TOP_SPEED
    ego_speeds: tuple[float, float] | None = None
    parked_share: tuple[float, float] = (0.1, 0.5)
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
    driveways: list[Path] = field(default_factory=list)
    driveway_mouths: list[np.ndarray] = field(default_factory=list)
    trees: list[Tree] = field(default_factory=list)
    barriers: list[Barrier] = field(default_factory=list)
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
            trees=tuple(self.trees),
            barriers=tuple(self.barriers),
        )

    def sign_kind(self, rng: np.random.Generator, kinds: tuple[str, ...] = SIGN_KINDS) -> str:
        return str(rng.choice(ALL_SIGN_KINDS if self.mixed_states else kinds))


def add_road(street: Street, path: Path, name: str, *, median: bool = True) -> None:
    """Lanes, markings, kerbs and sidewalks along `path`, the road's centre line; traffic keeps to the right.

    median: whether to fill that of the cross section.
    """
    section = street.section
    edges = [("driving", section.lane_width)] * section.lanes
    edges += [("parking", section.parking), ("shoulder", section.shoulder), ("sidewalk", section.sidewalk)]
    for side, way in (("right", path), ("left", path.reversed())):
        inner = section.lane_edge(0) if section.centre or section.median else -SEAM
        for i, (lane_type, width) in enumerate(edges):
            if width == 0.0:
                continue
            left, right = way.offset(-inner), way.offset(-max(inner, 0.0) - width)
            street.lanes.append(Lane(f"{name}_{side}_{i}", LaneType(lane_type), left, right))
            inner = max(inner, 0.0) + width
        for i in range(1, section.lanes):
            street.lane_lines.append(LaneLine(way.offset(-section.lane_edge(i)), "broken", "white"))
        street.lane_lines.append(LaneLine(way.offset(-section.driving + 0.1), "solid", "white"))
        street.road_boundaries.append(way.offset(-section.kerb))
        if section.parking:
            street.parking.append(way.shifted(-section.driving - section.parking / 2))
        add_sidewalk_walk(street, way)
    if section.median and median:
        add_median(street, path, f"{name}_median", section.median / 2, -section.median / 2)
    elif section.centre and not section.median:
        width = 0.15 if section.centre != "solid_solid" else 0.12
        street.lane_lines.append(LaneLine(path.offset(0.0), section.centre, section.centre_color, width))


def add_median(street: Street, path: Path, name: str, left: float | np.ndarray, right: float | np.ndarray) -> None:
    """A raised median between two offsets to the left of the path, with its kerbs and the lines beside it."""
    street.lanes.append(Lane(name, LaneType.MEDIAN, path.offset(left), path.offset(right)))
    color = street.section.centre_color
    for edge, aside in ((left, 0.15), (right, -0.15)):
        street.road_boundaries.append(path.offset(edge))
        street.lane_lines.append(LaneLine(path.offset(np.asarray(edge) + aside), "solid", color))


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


def add_wait_line(street: Street, path: Path, station: float, side: int = -1, inner: float | None = None) -> None:
    """A stop line across the lanes on one side of the centre line (-1: those driving along the path), from `inner`
    metres beside it on."""
    xy, heading = path.at(station)
    left = direction(float(heading) + np.pi / 2)
    inner = street.section.lane_edge(0) + 0.2 if inner is None else inner
    ends = [xy + side * inner * left, xy + side * street.section.driving * left]
    street.wait_lines.append(on_ground(np.stack(ends)))


def add_arrow(street: Street, xy: np.ndarray, heading: float) -> None:
    """A straight-ahead arrow on the road, as two convex polygons; `xy` is its tail."""
    ahead, left = direction(heading), direction(heading + np.pi / 2)
    shaft = [(0.0, -0.12), (2.4, -0.12), (2.4, 0.12), (0.0, 0.12)]
    head = [(2.4, -0.45), (4.0, 0.0), (2.4, 0.45)]
    for shape in (shaft, head):
        street.road_markings.append(on_ground(np.stack([xy + a * ahead + b * left for a, b in shape])))


def add_left_arrow(street: Street, xy: np.ndarray, heading: float) -> None:
    """An arrow to the left on the road, as two convex polygons; `xy` is its tail."""
    ahead, left = direction(heading), direction(heading + np.pi / 2)
    shaft = [(0.0, -0.12), (2.5, -0.12), (2.5, 0.12), (0.0, 0.12)]
    head = [(1.6, 0.12), (3.4, 0.12), (2.5, 1.2)]
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


def add_plain_routes(street: Street, path: Path, limit: float) -> None:
    """One route per lane of a road without junctions; the ego may take those along the path."""
    section = street.section
    for side, way in (("right", path), ("left", path.reversed())):
        for i in range(section.lanes):
            if side == "right":
                street.ego_routes.append(len(street.routes))
            centre = way.shifted(-section.lane_edge(i + 0.5))
            street.routes.append(Route(f"{side}_{i}", centre, limit))


def build_plain_road(rng: np.random.Generator, street: Street, heading: float) -> None:
    """A road without junctions, with signs and sometimes arrows, hatching and a crosswalk half-way."""
    path = draw_path(rng, street, heading)
    length = path.length if street.kind == "s_curve" else 2 * REACH + street.ego_travel
    add_road(street, path, "road")
    in_bends = np.sqrt(street.layout.cornering / max(path.curvature, 1e-6))
    add_plain_routes(street, path, min(street.layout.speed_limit(rng, street.area), float(in_bends)))
    street.ego_stations = (REACH - 5.0, REACH + 5.0)
    ahead = REACH + float(rng.uniform(15.0, 45.0))
    if street.area != "rural" and rng.random() < (0.8 if street.mixed_states else 0.4):
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
                add_arrow(street, xy - street.section.lane_edge(i + 0.5) * left, float(yaw))
    if street.section.shoulder > 1.2 and rng.random() < 0.6:
        offset = -street.section.kerb + street.section.shoulder / 2
        add_hatch(street, path, ahead, ahead + 24.0, offset, street.section.shoulder - 0.3)
    for station in rng.uniform(REACH - 20.0, REACH + street.ego_travel + 60.0, size=3):
        kind = street.sign_kind(rng)
        way, at = (path, station) if rng.random() < 0.6 else (path.reversed(), path.length - station)
        add_sign(street, way, float(at), kind)


def draw_path(rng: np.random.Generator, street: Street, heading: float) -> Path:
    """The centre line: straight, one bend, or two in opposite directions."""
    length = 2 * REACH + street.ego_travel
    origin = -REACH * direction(heading)
    if street.kind == "curve":
        angle = float(rng.uniform(0.5, 1.7) * rng.choice([-1.0, 1.0]))
        radius = street.layout.bend_radius(rng)
        before = REACH + float(rng.uniform(-10.0, 30.0))
        after = max(length - before - abs(angle) * radius, 60.0)
        return bend(origin, heading, before=before, angle=angle, radius=radius, after=after)
    if street.kind == "s_curve":
        return s_curve(rng, street, origin, heading)
    if street.kind == "slope" and rng.random() < 0.5:
        angle = float(rng.uniform(0.1, 0.35) * rng.choice([-1.0, 1.0]))
        return bend(origin, heading, before=REACH, angle=angle, radius=250.0, after=length - REACH, transition=30.0)
    return straight(origin, heading, length)


def s_curve(rng: np.random.Generator, street: Street, origin: np.ndarray, heading: float) -> Path:
    """Two bends in opposite directions with a short straight between them, the first just ahead of the ego."""
    side = float(rng.choice([-1.0, 1.0]))
    first, second = rng.uniform(0.35, 0.95, 2)
    radii = [max(street.layout.bend_radius(rng), 30.0) for _ in range(2)]
    before, between = REACH + float(rng.uniform(-25.0, 15.0)), float(rng.uniform(2.0, 25.0))
    start = bend(origin, heading, before=before, angle=side * first, radius=radii[0], after=between)
    after = max(REACH + street.ego_travel - start.length + before, 80.0)
    end = float(start.headings[-1])
    return join(start, bend(start.points[-1], end, before=1.0, angle=-side * second, radius=radii[1], after=after))
