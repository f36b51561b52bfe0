"""Vehicles and people of a street: what they are, where they start, and how they move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cosmos_exp.scene.box_overlap import overlaps
from cosmos_exp.scene.procedural.paths import Path, direction
from cosmos_exp.scene.procedural.roads import Street, Walk, facing_pose
from cosmos_exp.scene.procedural.traffic import Vehicle, signal_state, simulate
from cosmos_exp.scene.types import ActorClass, LightState, Track, Trajectory

EGO_SIZE = (4.6, 1.9, 1.5)
MOUTH = 4.7  # metres along the kerb from a driveway's middle to that of the next parked car
PARKED_LENGTH = 5.0  # metres
TRAFFIC_RADIUS = 115.0  # metres around the ego within which traffic and pedestrians are placed

# kind: class, (length, width, height) in metres
VEHICLES = {
    "sedan": (ActorClass.CAR, (4.7, 1.85, 1.45)),
    "hatchback": (ActorClass.CAR, (4.0, 1.75, 1.5)),
    "suv": (ActorClass.CAR, (4.8, 1.95, 1.75)),
    "van": (ActorClass.CAR, (5.3, 2.0, 2.2)),
    "truck": (ActorClass.TRUCK, (8.2, 2.45, 3.3)),
    "lorry": (ActorClass.TRUCK, (12.5, 2.5, 3.8)),
    "bus": (ActorClass.BUS, (11.5, 2.5, 3.1)),
    "motorcycle": (ActorClass.MOTORCYCLE, (2.1, 0.8, 1.15)),
    "bicycle": (ActorClass.BICYCLE, (1.8, 0.6, 1.1)),
}
Mix = Mapping[str, float]
"""{kind of vehicle: its relative frequency}."""
ORDINARY: Mix = {
    "sedan": 5.0,
    "hatchback": 3.0,
    "suv": 4.0,
    "van": 1.5,
    "truck": 1.3,
    "bus": 0.8,
    "motorcycle": 0.8,
    "bicycle": 1.2,
}
NEAR: Mix = {**ORDINARY, "truck": 3.5, "lorry": 2.5, "bus": 3.5, "motorcycle": 2.0, "bicycle": 4.0}
PARKED: Mix = {kind: ORDINARY[kind] for kind in ("sedan", "hatchback", "suv", "van")}
MOTORWAY: Mix = {
    "sedan": 5.0,
    "hatchback": 2.5,
    "suv": 4.0,
    "van": 2.0,
    "truck": 2.0,
    "lorry": 3.0,
    "bus": 0.6,
    "motorcycle": 0.4,
}
RESIDENTIAL: Mix = {**PARKED, "truck": 0.4, "motorcycle": 0.6, "bicycle": 2.5}
MIXES: Mapping[str, Mix] = {"motorway": MOTORWAY, "residential": RESIDENTIAL}
"""{kind of road: its traffic}, where that is no ordinary one."""
PAINTS = (
    ((0.92, 0.92, 0.92), 4.0),
    ((0.05, 0.05, 0.06), 3.5),
    ((0.35, 0.36, 0.38), 3.0),
    ((0.68, 0.69, 0.71), 2.5),
    ((0.65, 0.06, 0.07), 2.0),
    ((0.06, 0.17, 0.52), 2.0),
    ((0.10, 0.32, 0.16), 0.8),
    ((0.85, 0.65, 0.08), 0.8),
    ((0.80, 0.36, 0.08), 0.6),
    ((0.35, 0.22, 0.13), 0.6),
)


@dataclass(frozen=True)
class Motion:
    """Positions [T,2] and headings [T] of one object's centre at the scene's times; valid: [T] bool, a prefix."""

    xy: np.ndarray
    heading: np.ndarray
    valid: np.ndarray


def draw_color(rng: np.random.Generator) -> tuple[float, float, float]:
    """A car paint: a common colour with a little variation."""
    weights = np.array([w for _, w in PAINTS])
    paint = np.array(PAINTS[int(rng.choice(len(PAINTS), p=weights / weights.sum()))][0])
    red, green, blue = np.clip(paint + rng.uniform(-0.04, 0.04, 3), 0.02, 1.0)
    return float(red), float(green), float(blue)


def draw_clothes(rng: np.random.Generator) -> tuple[float, float, float]:
    """Colour of a person's clothes."""
    red, green, blue = rng.uniform(0.05, 0.9, 3)
    return float(red), float(green), float(blue)


def draw_vehicle(rng: np.random.Generator, mix: Mix, route: int, station: float, speed: float) -> Vehicle:
    weights = np.array(list(mix.values()))
    kind = list(mix)[int(rng.choice(len(mix), p=weights / weights.sum()))]
    actor_class, size = VEHICLES[kind]
    scale = rng.uniform(0.95, 1.05)
    length, width, height = (float(s * scale) for s in size)
    if kind == "bicycle":
        speed = min(speed, 5.0)
    return Vehicle(kind, actor_class, (length, width, height), draw_color(rng), route, station, speed, speed)


def draw_ego(rng: np.random.Generator, street: Street) -> Vehicle:
    """The ego on one of its lanes, standing or at a speed up to the street's top speed."""
    route = int(rng.choice(street.ego_routes))
    if street.ego_speeds:
        desired = float(rng.uniform(*street.ego_speeds))
    else:
        desired = 0.0 if rng.random() < 0.06 else float(rng.uniform(2.0, street.top_speed))
    desired = min(desired, street.routes[route].speed_limit * 1.2, street.top_speed)
    station = float(rng.uniform(*street.ego_stations))
    return Vehicle("sedan", ActorClass.CAR, EGO_SIZE, draw_color(rng), route, station, desired, desired)


def path_pose(path: Path, station: float) -> tuple[np.ndarray, float]:
    xy, heading = path.at(station)
    return xy, float(heading)


def stationary(pose: tuple[np.ndarray, float], times: np.ndarray) -> Motion:
    n = len(times)
    return Motion(np.tile(pose[0], (n, 1)), np.full(n, pose[1]), np.ones(n, bool))


def draw_parked(
    rng: np.random.Generator, street: Street, ego_xy: np.ndarray, num_vehicles: int
) -> list[tuple[Vehicle, Path, float]]:
    """Parked cars in the kerbside bays and on the driveways near the ego: `parked_share` of all vehicles."""
    slots = []
    for path in street.parking:
        stations = np.arange(18.0, path.length - 18.0, 6.6)
        xy = path.at(stations)[0]
        near = np.linalg.norm(xy - ego_xy, axis=1) < 0.7 * TRAFFIC_RADIUS
        for mouth in street.driveway_mouths:
            near &= np.linalg.norm(xy - mouth, axis=1) > MOUTH
        slots += [(path, float(station)) for station in stations[near]]
    for path in street.driveways:
        if np.linalg.norm(path.points[0] - ego_xy) < 0.5 * TRAFFIC_RADIUS:
            slots.append((path, path.length - PARKED_LENGTH / 2))
    count = min(round(num_vehicles * rng.uniform(*street.parked_share)), len(slots))
    chosen: list[int] = rng.choice(len(slots), size=count, replace=False).tolist() if count else []
    return [(draw_vehicle(rng, PARKED, -1, slots[i][1], 0.0), *slots[i]) for i in chosen]


def simulate_traffic(
    rng: np.random.Generator,
    street: Street,
    ego: Vehicle,
    parked: list[tuple[Vehicle, Path, float]],
    num_vehicles: int,
    times: np.ndarray,
    near: bool = False,
) -> tuple[list[Vehicle], list[Motion]]:
    """The ego (first) and the moving vehicles with their motions; those that would collide are resampled.

    near: most of them close to the ego, and more large and small ones.
    """
    wanted = 1 + num_vehicles - len(parked)
    accepted = [ego]
    standing = [(stationary(path_pose(p, s), times), v.size) for v, p, s in parked]
    for _ in range(6):
        candidates = list(accepted)
        for _ in range(20 * (wanted - len(accepted))):
            if len(candidates) >= wanted:
                break
            vehicle = draw_traffic(rng, street, candidates, near)
            if vehicle is not None:
                candidates.append(vehicle)
        accepted, motions = without_collisions(street, candidates, standing, times)
        if len(accepted) >= wanted:
            break
    return accepted, motions


def without_collisions(
    street: Street, vehicles: list[Vehicle], standing: list[tuple[Motion, tuple]], times: np.ndarray
) -> tuple[list[Vehicle], list[Motion]]:
    """Simulate, remove vehicles that collide with an earlier one, and repeat until none does."""
    while True:
        stations = simulate(vehicles, street.routes, street.signals, times)
        motions = [route_motion(street.routes[v.route].path, stations[:, i]) for i, v in enumerate(vehicles)]
        keep, obstacles = [0], [*standing, (motions[0], vehicles[0].size)]
        for i in range(1, len(vehicles)):
            if not collides(motions[i], vehicles[i].size, obstacles, margin=0.4):
                keep.append(i)
                obstacles.append((motions[i], vehicles[i].size))
        if len(keep) == len(vehicles):
            return vehicles, motions
        vehicles = [vehicles[i] for i in keep]


def route_motion(path: Path, stations: np.ndarray) -> Motion:
    xy, heading = path.at(stations)
    return Motion(xy, heading, stations <= path.length - 1e-6)


def collides(motion: Motion, size: tuple, obstacles: list[tuple[Motion, tuple]], margin: float) -> bool:
    if not obstacles:
        return False
    others = (
        np.stack([m.xy for m, _ in obstacles]),
        np.stack([m.heading for m, _ in obstacles]),
        np.array([s[:2] for _, s in obstacles]),
    )
    return bool(overlaps(motion.xy, motion.heading, np.array(size[:2]), others, margin).any())


def draw_traffic(rng: np.random.Generator, street: Street, placed: list[Vehicle], near: bool = False) -> Vehicle | None:
    """One vehicle on a random lane near the ego, more often ahead of it; None where there is no room."""
    ego = placed[0]
    ego_xy, ego_heading = street.routes[ego.route].path.at(ego.station)
    index = int(rng.integers(len(street.routes)))
    route = street.routes[index]
    if near:
        station = near_station(rng, route.path, ego_xy, float(ego_heading))
        if not 8.0 < station < route.path.length - 8.0:
            return None
    else:
        station = float(rng.uniform(8.0, route.path.length - 8.0))
    speed = route.speed_limit * float(rng.uniform(0.6, 1.1))
    mix = MIXES.get(street.kind, NEAR if near else ORDINARY)
    vehicle = draw_vehicle(rng, mix, index, station, speed)
    offset = route.path.at(station)[0] - ego_xy
    ahead = float(offset @ direction(float(ego_heading)))
    if np.linalg.norm(offset) > TRAFFIC_RADIUS or (ahead < -5.0 and rng.random() < 0.6):
        return None
    red = signal_state(street.signals, route.signal, 0.0) is not LightState.GREEN
    if red and route.stop is not None and route.stop - vehicle.size[0] / 2 - 0.5 < station < route.stop + 35.0:
        return None
    for other in placed:
        gap = abs(other.station - station) - (other.size[0] + vehicle.size[0]) / 2
        if other.route == index and gap < 4.0:
            return None
    return vehicle


def near_station(rng: np.random.Generator, path: Path, ego_xy: np.ndarray, ego_heading: float) -> float:
    """Where the path passes the ego, or ahead of it: three of four within some 25 m, the others farther off."""
    beside = int(np.argmin(np.linalg.norm(path.points - ego_xy, axis=1)))
    ahead = 1.0 if np.cos(float(path.headings[beside]) - ego_heading) > -0.3 else -1.0
    offset = float(rng.exponential(12.0 if rng.random() < 0.75 else 45.0)) - 6.0
    return float(path.stations[beside]) + ahead * offset


def cuboid_poses(motion: Motion, z: float) -> np.ndarray:
    return np.stack([facing_pose(xy, z, yaw) for xy, yaw in zip(motion.xy, motion.heading)])


def vehicle_track(name: str, vehicle: Vehicle, motion: Motion, times: np.ndarray, role: str = "traffic") -> Track:
    n = max(int(motion.valid.sum()), 1)
    trajectory = Trajectory(times[:n], cuboid_poses(motion, vehicle.size[2] / 2)[:n])
    return Track(name, vehicle.actor_class, vehicle.size, trajectory, vehicle.color, vehicle.kind, role)


def rider_track(rng: np.random.Generator, vehicle: Track) -> Track:
    """The person on a bicycle or motorcycle."""
    size = (0.55, 0.5, float(rng.uniform(1.2, 1.35)))
    poses = vehicle.trajectory.poses.copy()
    poses[:, 2, 3] = 0.45 + size[2] / 2
    color = draw_clothes(rng)
    trajectory = Trajectory(vehicle.trajectory.times, poses)
    return Track(f"{vehicle.id}_rider", ActorClass.RIDER, size, trajectory, color, "rider", vehicle.role)


def draw_pedestrians(
    rng: np.random.Generator,
    street: Street,
    obstacles: list[tuple[Motion, tuple]],
    count: int,
    times: np.ndarray,
    near: bool = False,
) -> list[Track]:
    """Pedestrians on sidewalks around the ego, some standing, and on crosswalks whose road signal stays red.

    near: close to the ego and ahead of it, children and tall people among them, and more of them on crosswalks.
    """
    ego_xy = obstacles[0][0].xy[0]
    reach, crossing = (0.35, 5.0) if near else (0.8, 2.0)
    obstacles = list(obstacles)
    open_walks = [w for w in street.walks if w.signal is None or walkable(street, w.signal, times)]
    close = [w for w in open_walks if np.linalg.norm(w.path.points - ego_xy, axis=1).min() < reach * TRAFFIC_RADIUS]
    if not close:
        return []
    weights = np.array([crossing if w.crossing else 1.0 for w in close])
    tracks: list[Track] = []
    for _ in range(30 * count):
        if len(tracks) == count:
            break
        walk = close[int(rng.choice(len(close), p=weights / weights.sum()))]
        path = walk.path if rng.random() < 0.5 else walk.path.reversed()
        motion = draw_walk(rng, path, walk, times, obstacles[0][0] if near else None)
        size = person_size(rng) if near else (0.45, 0.55, float(rng.uniform(1.5, 1.9)))
        if np.linalg.norm(motion.xy[0] - ego_xy) > 0.7 * TRAFFIC_RADIUS:
            continue
        if collides(motion, size, obstacles, margin=0.8 if walk.crossing else 0.25):
            continue
        obstacles.append((motion, size))
        color = draw_clothes(rng)
        trajectory = Trajectory(times, cuboid_poses(motion, size[2] / 2))
        role = "crossing" if walk.crossing else "walking"
        name = f"pedestrian_{len(tracks)}"
        tracks.append(Track(name, ActorClass.PEDESTRIAN, size, trajectory, color, "pedestrian", role))
    return tracks


def person_size(rng: np.random.Generator) -> tuple[float, float, float]:
    """A child or an adult, slim or broad."""
    height = float(rng.uniform(1.0, 1.45)) if rng.random() < 0.25 else float(np.clip(rng.normal(1.71, 0.1), 1.48, 2.0))
    return 0.26 * height, float(rng.uniform(0.28, 0.38)) * height, height


def walkable(street: Street, signal: str, times: np.ndarray) -> bool:
    groups = [group for group in (signal, f"{signal}_left") if group in street.signals]
    states = {signal_state(street.signals, group, float(t)) for group in groups for t in times}
    return states == {LightState.RED}


def draw_walk(rng: np.random.Generator, path: Path, walk: Walk, times: np.ndarray, ego: Motion | None = None) -> Motion:
    """A walk at constant speed along the path, or standing still on a sidewalk. ego: whom it is to be seen by, from
    anywhere for None."""
    speed = float(rng.uniform(0.8, 1.7))
    if not walk.crossing and rng.random() < 0.2:
        speed = 0.0
    shifted = path.shifted(float(rng.uniform(-0.5, 0.5)) * walk.width)
    room = max(shifted.length - speed * float(times[-1]), 0.0)
    if ego is None or walk.crossing:
        start = float(rng.uniform(0.0, room))
    else:
        ahead = ego.xy[0] + float(rng.uniform(4.0, 30.0)) * direction(float(ego.heading[0]))
        start = float(np.clip(shifted.stations[np.argmin(np.linalg.norm(shifted.points - ahead, axis=1))], 0.0, room))
        start = float(np.clip(start + rng.uniform(-4.0, 4.0), 0.0, room))
    xy, heading = shifted.at(np.minimum(start + speed * times, shifted.length))
    return Motion(xy, heading, np.ones(len(times), bool))
