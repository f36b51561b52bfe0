"""Random street scenes generated from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.scene.box_overlap import overlaps
from cosmos_exp.scene.procedural.junctions import build_junction
from cosmos_exp.scene.procedural.paths import Path, direction
from cosmos_exp.scene.procedural.roads import AREAS, Street, Walk, build_plain_road, draw_section, facing_pose
from cosmos_exp.scene.procedural.traffic import TIME_STEP, Vehicle, signal_state, simulate
from cosmos_exp.scene.scenery import add_scenery
from cosmos_exp.scene.types import ActorClass, LightState, Scene, Track, Trajectory

ROADS = ("straight_2lane", "straight_4lane", "curve", "intersection", "t_junction")
EGO_SIZE = (4.6, 1.9, 1.5)
EGO_REAR_AXLE = 1.4  # metres behind the cuboid's centre
TOP_SPEED = 15.0
TRAFFIC_RADIUS = 115.0  # metres around the ego within which traffic and pedestrians are placed

# kind: class, (length, width, height) in metres, relative frequency
VEHICLES = {
    "sedan": (ActorClass.CAR, (4.7, 1.85, 1.45), 5.0),
    "hatchback": (ActorClass.CAR, (4.0, 1.75, 1.5), 3.0),
    "suv": (ActorClass.CAR, (4.8, 1.95, 1.75), 4.0),
    "van": (ActorClass.CAR, (5.3, 2.0, 2.2), 1.5),
    "truck": (ActorClass.TRUCK, (8.2, 2.45, 3.3), 1.3),
    "bus": (ActorClass.BUS, (11.5, 2.5, 3.1), 0.8),
    "motorcycle": (ActorClass.MOTORCYCLE, (2.1, 0.8, 1.15), 0.8),
    "bicycle": (ActorClass.BICYCLE, (1.8, 0.6, 1.1), 1.2),
}
PARKED = ("sedan", "hatchback", "suv", "van")
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


def procedural_scene(
    *,
    seed: int,
    road: str | None = None,
    num_vehicles: int = 8,
    num_pedestrians: int = 6,
    duration: float = 5.0,
) -> Scene:
    """A street with an ego vehicle, other traffic, pedestrians, buildings and trees.

    road: one of ROADS; None samples one. num_vehicles: moving and parked vehicles besides the ego. num_pedestrians: on
    sidewalks and crosswalks. Where a street has no room for all, there are fewer. duration: seconds.
    The same arguments give the same scene. The ego starts near the world's origin.
    Raises UserError on an unknown road, a negative seed or count, or a duration that is not in (0, 60].
    """
    check_arguments(seed, road, num_vehicles, num_pedestrians, duration)
    rng = np.random.default_rng([seed, 7])
    kind = road or str(rng.choice(ROADS))
    area = str(rng.choice(AREAS, p=[0.45, 0.4, 0.15]))
    street = Street(kind, area, draw_section(rng, kind, area), ego_travel=TOP_SPEED * duration)
    build = build_junction if kind in ("intersection", "t_junction") else build_plain_road
    build(rng, street, float(rng.uniform(-np.pi, np.pi)))

    times = np.linspace(0.0, duration, int(np.ceil(duration / TIME_STEP - 1e-9)) + 1)
    ego = draw_ego(rng, street)
    parked = draw_parked(rng, street, street.routes[ego.route].path.at(ego.station)[0], num_vehicles)
    vehicles, motions = simulate_traffic(rng, street, ego, parked, num_vehicles, times)
    tracks = [vehicle_track(f"vehicle_{i}", v, m, times) for i, (v, m) in enumerate(zip(vehicles, motions))]
    obstacles = [(m, v.size) for v, m in zip(vehicles, motions)]
    obstacles += [(stationary(path_pose(p, s), times), v.size) for v, p, s in parked]
    tracks += [
        vehicle_track(f"parked_{i}", v, stationary(path_pose(p, s), times), times, role="parked")
        for i, (v, p, s) in enumerate(parked)
    ]
    tracks += [rider_track(rng, t) for t in tracks if t.actor_class in (ActorClass.BICYCLE, ActorClass.MOTORCYCLE)]
    tracks += draw_pedestrians(rng, street, obstacles, num_pedestrians, times)
    ego_track = tracks.pop(0)
    return Scene(
        clip_id=f"procedural_{kind}_{seed}",
        source="procedural",
        map=add_scenery(street.to_map(kind), seed, area=area),
        ego=Track("ego", ActorClass.CAR, EGO_SIZE, ego_track.trajectory, ego.color, "sedan", "ego"),
        rig_trajectory=rig_trajectory(ego_track.trajectory),
        tracks=tuple(tracks),
        start=0.0,
        end=float(duration),
        seed=seed,
        facts=street_facts(street, ego),
    )


def check_arguments(seed: int, road: str | None, num_vehicles: int, num_pedestrians: int, duration: float) -> None:
    if road is not None and road not in ROADS:
        raise UserError(f"road: {unknown_name('road', road, ROADS)}")
    for name, value in (("seed", seed), ("num_vehicles", num_vehicles), ("num_pedestrians", num_pedestrians)):
        if value < 0:
            raise UserError(f"{name}={value}: must be 0 or more; nearest is 0")
    if not 0.0 < duration <= 60.0:
        nearest = 60.0 if duration > 60.0 else TIME_STEP
        raise UserError(f"duration={duration:g}: must be above 0 and at most 60 (seconds); nearest is {nearest:g}")


def street_facts(street: Street, ego: Vehicle) -> dict[str, str]:
    facts = {"road": street.kind, "area": street.area, "lanes": str(2 * street.section.lanes)}
    signal = street.routes[ego.route].signal
    if signal is not None:
        facts["light"] = signal_state(street.signals, signal, 0.0).value
    return facts


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


def draw_vehicle(rng: np.random.Generator, kinds: tuple[str, ...], route: int, station: float, speed: float) -> Vehicle:
    weights = np.array([VEHICLES[k][2] for k in kinds])
    kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
    actor_class, size, _ = VEHICLES[kind]
    scale = rng.uniform(0.95, 1.05)
    length, width, height = (float(s * scale) for s in size)
    if kind == "bicycle":
        speed = min(speed, 5.0)
    return Vehicle(kind, actor_class, (length, width, height), draw_color(rng), route, station, speed, speed)


def draw_ego(rng: np.random.Generator, street: Street) -> Vehicle:
    """The ego on one of its lanes, at a speed from 0 to TOP_SPEED."""
    route = int(rng.choice(street.ego_routes))
    desired = 0.0 if rng.random() < 0.06 else float(rng.uniform(2.0, TOP_SPEED))
    desired = min(desired, street.routes[route].speed_limit * 1.2, TOP_SPEED)
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
    """Parked cars in the kerbside bays near the ego, at most half of all vehicles."""
    slots = []
    for path in street.parking:
        stations = np.arange(18.0, path.length - 18.0, 6.6)
        near = np.linalg.norm(path.at(stations)[0] - ego_xy, axis=1) < 0.7 * TRAFFIC_RADIUS
        slots += [(path, float(station)) for station in stations[near]]
    count = min(round(num_vehicles * rng.uniform(0.1, 0.5)), len(slots))
    chosen: list[int] = rng.choice(len(slots), size=count, replace=False).tolist() if count else []
    return [(draw_vehicle(rng, PARKED, -1, slots[i][1], 0.0), *slots[i]) for i in chosen]


def simulate_traffic(
    rng: np.random.Generator,
    street: Street,
    ego: Vehicle,
    parked: list[tuple[Vehicle, Path, float]],
    num_vehicles: int,
    times: np.ndarray,
) -> tuple[list[Vehicle], list[Motion]]:
    """The ego (first) and the moving vehicles with their motions; those that would collide are resampled."""
    wanted = 1 + num_vehicles - len(parked)
    accepted = [ego]
    standing = [(stationary(path_pose(p, s), times), v.size) for v, p, s in parked]
    for _ in range(6):
        candidates = list(accepted)
        for _ in range(20 * (wanted - len(accepted))):
            if len(candidates) >= wanted:
                break
            vehicle = draw_traffic(rng, street, candidates)
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


def draw_traffic(rng: np.random.Generator, street: Street, placed: list[Vehicle]) -> Vehicle | None:
    """One vehicle on a random lane near the ego, more often ahead of it; None where there is no room."""
    ego = placed[0]
    ego_xy, ego_heading = street.routes[ego.route].path.at(ego.station)
    index = int(rng.integers(len(street.routes)))
    route = street.routes[index]
    station = float(rng.uniform(8.0, route.path.length - 8.0))
    speed = route.speed_limit * float(rng.uniform(0.6, 1.1))
    vehicle = draw_vehicle(rng, tuple(VEHICLES), index, station, speed)
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


def rig_trajectory(ego: Trajectory) -> Trajectory:
    """The rig frame: on the ground below the rear axle."""
    below = np.eye(4)
    below[:3, 3] = (-EGO_REAR_AXLE, 0.0, -EGO_SIZE[2] / 2)
    return Trajectory(ego.times, ego.poses @ below)


def draw_pedestrians(
    rng: np.random.Generator, street: Street, obstacles: list[tuple[Motion, tuple]], count: int, times: np.ndarray
) -> list[Track]:
    """Pedestrians on sidewalks near the ego, some standing, and on crosswalks whose road signal stays red."""
    ego_xy = obstacles[0][0].xy[0]
    obstacles = list(obstacles)
    open_walks = [w for w in street.walks if w.signal is None or walkable(street, w.signal, times)]
    near = [w for w in open_walks if np.linalg.norm(w.path.points - ego_xy, axis=1).min() < 0.8 * TRAFFIC_RADIUS]
    weights = np.array([2.0 if w.crossing else 1.0 for w in near])
    tracks: list[Track] = []
    for _ in range(30 * count):
        if len(tracks) == count:
            break
        walk = near[int(rng.choice(len(near), p=weights / weights.sum()))]
        motion = draw_walk(rng, walk.path if rng.random() < 0.5 else walk.path.reversed(), walk, times)
        size = (0.45, 0.55, float(rng.uniform(1.5, 1.9)))
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


def walkable(street: Street, signal: str, times: np.ndarray) -> bool:
    states = {signal_state(street.signals, signal, float(t)) for t in times}
    return states == {LightState.RED}


def draw_walk(rng: np.random.Generator, path: Path, walk: Walk, times: np.ndarray) -> Motion:
    """A walk at constant speed along the path, or standing still on a sidewalk."""
    speed = float(rng.uniform(0.8, 1.7))
    if not walk.crossing and rng.random() < 0.2:
        speed = 0.0
    shifted = path.shifted(float(rng.uniform(-0.5, 0.5)) * walk.width)
    room = max(shifted.length - speed * float(times[-1]), 0.0)
    stations = float(rng.uniform(0.0, room)) + speed * times
    xy, heading = shifted.at(np.minimum(stations, shifted.length))
    return Motion(xy, heading, np.ones(len(times), bool))
