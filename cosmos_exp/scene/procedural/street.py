"""Random street scenes generated from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.scene.procedural.elevation import draw_hills, elevated
from cosmos_exp.scene.procedural.junctions import build_junction
from cosmos_exp.scene.procedural.layouts import AREAS, LAYOUTS, CrossSection, Layout
from cosmos_exp.scene.procedural.motorway import TOP_SPEED as MOTORWAY_SPEED
from cosmos_exp.scene.procedural.motorway import build_motorway, motorway_section
from cosmos_exp.scene.procedural.multilane import avenue_section, build_multilane
from cosmos_exp.scene.procedural.placement import (
    EGO_SIZE,
    draw_ego,
    draw_parked,
    draw_pedestrians,
    path_pose,
    rider_track,
    simulate_traffic,
    stationary,
    vehicle_track,
)
from cosmos_exp.scene.procedural.residential import build_residential, residential_section
from cosmos_exp.scene.procedural.roads import TOP_SPEED, Street, build_plain_road
from cosmos_exp.scene.procedural.roundabout import build_roundabout
from cosmos_exp.scene.procedural.traffic import TIME_STEP, Vehicle, signal_state
from cosmos_exp.scene.scenery import add_scenery
from cosmos_exp.scene.types import ActorClass, Scene, Track, Trajectory

SAMPLED_ROADS = ("straight_2lane", "straight_4lane", "curve", "intersection", "t_junction")
ROADS = (*SAMPLED_ROADS, "s_curve", "slope", "residential", "roundabout", "multilane_intersection", "motorway")
TRAFFIC = ("ordinary", "near")
BUILDERS: dict[str, Callable[[np.random.Generator, Street, float], None]] = {
    "intersection": build_junction,
    "t_junction": build_junction,
    "residential": build_residential,
    "roundabout": build_roundabout,
    "multilane_intersection": build_multilane,
    "motorway": build_motorway,
}
EGO_REAR_AXLE = 1.4  # metres behind the cuboid's centre


def procedural_scene(
    *,
    seed: int,
    road: str | None = None,
    traffic: str = "ordinary",
    layout: str = "even",
    num_vehicles: int = 8,
    num_pedestrians: int = 6,
    duration: float = 5.0,
) -> Scene:
    """A street with an ego vehicle, other traffic, pedestrians, buildings and trees.

    road: one of ROADS; None samples one of SAMPLED_ROADS. traffic: one of TRAFFIC; near is close to the ego, with more
    large vehicles, cyclists, crossing people of all sizes, and signs and signals in all states. layout: one of LAYOUTS,
    how cross sections, bends and speed limits are drawn. num_vehicles: moving and parked vehicles besides the ego.
    num_pedestrians: on sidewalks and crosswalks. Where a street has no room for all, there are fewer, on a motorway
    nobody on foot. duration: seconds.
    The same arguments give the same scene. The ego starts near the world's origin.
    Raises UserError on an unknown name, a negative seed or count, or a duration that is not in (0, 60].
    """
    check_arguments(seed, road, traffic, layout, num_vehicles, num_pedestrians, duration)
    rng = np.random.default_rng([seed, 7])
    kind = road or str(rng.choice(SAMPLED_ROADS))
    area = draw_area(rng, kind)
    section = draw_section(rng, LAYOUTS[layout], kind, area)
    near = traffic == "near"
    top_speed = MOTORWAY_SPEED if kind == "motorway" else TOP_SPEED
    street = Street(kind, area, section, top_speed * duration, LAYOUTS[layout], mixed_states=near)
    heading = float(rng.uniform(-np.pi, np.pi))
    BUILDERS.get(kind, build_plain_road)(rng, street, heading)

    times = np.linspace(0.0, duration, int(np.ceil(duration / TIME_STEP - 1e-9)) + 1)
    ego = draw_ego(rng, street)
    parked = draw_parked(rng, street, street.routes[ego.route].path.at(ego.station)[0], num_vehicles)
    vehicles, motions = simulate_traffic(rng, street, ego, parked, num_vehicles, times, near)
    tracks = [vehicle_track(f"vehicle_{i}", v, m, times) for i, (v, m) in enumerate(zip(vehicles, motions))]
    obstacles = [(m, v.size) for v, m in zip(vehicles, motions)]
    obstacles += [(stationary(path_pose(p, s), times), v.size) for v, p, s in parked]
    tracks += [
        vehicle_track(f"parked_{i}", v, stationary(path_pose(p, s), times), times, role="parked")
        for i, (v, p, s) in enumerate(parked)
    ]
    tracks += [rider_track(rng, t) for t in tracks if t.actor_class in (ActorClass.BICYCLE, ActorClass.MOTORCYCLE)]
    tracks += draw_pedestrians(rng, street, obstacles, num_pedestrians, times, near)
    ego_track = tracks.pop(0)
    scene = Scene(
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
    return elevated(scene, draw_hills(rng, heading, street.ego_travel)) if kind == "slope" else scene


def draw_area(rng: np.random.Generator, kind: str) -> str:
    if kind == "motorway":
        return "rural"
    if kind == "residential":
        return "residential"
    if kind == "multilane_intersection":
        return str(rng.choice(["residential", "downtown"], p=[0.35, 0.65]))
    return str(rng.choice(AREAS, p=[0.45, 0.4, 0.15]))


def draw_section(rng: np.random.Generator, layout: Layout, kind: str, area: str) -> CrossSection:
    """That of the layout, where the kind of road does not need another."""
    if kind == "motorway":
        return motorway_section(rng)
    if kind == "residential":
        return residential_section(rng)
    section = layout.section(rng, kind, area)
    if kind == "multilane_intersection":
        return avenue_section(rng, section)
    if kind == "roundabout":
        return replace(section, lanes=1, parking=0.0, centre=section.centre if section.lanes == 1 else "solid")
    return section


def check_arguments(
    seed: int, road: str | None, traffic: str, layout: str, num_vehicles: int, num_pedestrians: int, duration: float
) -> None:
    if road is not None and road not in ROADS:
        raise UserError(f"road: {unknown_name('road', road, ROADS)}")
    if traffic not in TRAFFIC:
        raise UserError(f"traffic: {unknown_name('traffic', traffic, TRAFFIC)}")
    if layout not in LAYOUTS:
        raise UserError(f"layout: {unknown_name('layout', layout, LAYOUTS)}")
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


def rig_trajectory(ego: Trajectory) -> Trajectory:
    """The rig frame: on the ground below the rear axle."""
    below = np.eye(4)
    below[:3, 3] = (-EGO_REAR_AXLE, 0.0, -EGO_SIZE[2] / 2)
    return Trajectory(ego.times, ego.poses @ below)
