"""A CARLA recorder log and its town's OpenDRIVE map -> Scene."""

from __future__ import annotations

import logging
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.carla.axes import flu_heading, flu_points
from cosmos_exp.scene.carla.packets import Packet
from cosmos_exp.scene.carla.recorded_actors import RecordedActor, recorded_actors
from cosmos_exp.scene.carla.recorder import ActorType, RecorderLog, read_log
from cosmos_exp.scene.carla.tracks import (
    BELOW_GROUND,
    actor_box,
    actor_class,
    clip_trajectory,
    is_drawable_prop,
    is_traffic,
    left_out,
    rear_axle,
    tracks_of,
    trajectories,
    vehicle_color,
)
from cosmos_exp.scene.crop import crop_map
from cosmos_exp.scene.facts import scene_facts
from cosmos_exp.scene.opendrive.reader import load_opendrive
from cosmos_exp.scene.opendrive.road_furniture import NEAR_SIDE_LIGHT, add_light, add_sign
from cosmos_exp.scene.scenery import add_scenery
from cosmos_exp.scene.types import LightState, Scene, SceneMap, Track, TrafficLight, Trajectory

logger = logging.getLogger(__name__)

MAP_RADIUS = 150.0  # metres of map kept around the ego's path
SAME_PLACE = 2.0  # metres within which a recorded light or sign is the map's
EGO_ROLES = ("hero", "ego_vehicle", "ego")
LIGHT_STATES = (LightState.RED, LightState.YELLOW, LightState.GREEN, LightState.OFF, LightState.OFF)


def load_carla_scene(
    log: Path | str,
    map: Path | str,
    *,
    ego: int | None = None,
    start: float = 0.0,
    duration: float | None = None,
    seed: int = 0,
) -> Scene:
    """The recorded drive on its town's map, with scenery generated beside the roads.

    Frame times stay the log's (irregular); between them poses are interpolated, rotations along the shortest arc.
    Vehicles, walkers and props with a usable bounding box become tracks, at their cuboid's centre; an actor that is
    deleted, parked below the map or teleported gets a new track when it returns.

    ego: actor id; None takes the vehicle whose role_name is hero. start, duration: seconds on the log's clock; the
    default window runs from the ego's first frame to its last. seed: of the scenery.
    Raises UserError: a file is missing or broken, the log is of another town, there is no such ego, or the window does
    not lie within the ego's time.
    """
    recording = read_log(log)
    scene_map = load_opendrive(map)
    _check_town(recording, Path(map), scene_map)
    actors = recorded_actors(recording)
    times = np.array([frame.elapsed for frame in recording.frames])
    floor = min(float(lane.left[:, 2].min()) for lane in scene_map.lanes) - BELOW_GROUND
    hero = choose_ego(actors, ego)
    path, begin, end = _ego_window(hero, times, floor, start, duration)
    for type_id, count in left_out(actors).items():
        logger.info("%d actors %s are not part of the scene", count, type_id)

    box = actor_box(hero)
    to_rig = np.eye(4)
    axle = rear_axle(hero, box)
    to_rig[:3, 3] = axle - box.centre
    model, role = hero.added.type_id, hero.added.role
    ego_track = Track(str(hero.id), actor_class(hero), box.size, path, vehicle_color(hero), model, role)
    others = [a for a in actors if a is not hero and (is_traffic(a) or is_drawable_prop(a))]
    tracks = [track for a in others for track in tracks_of(a, times, floor, start=begin, end=end)]
    scene_map = crop_map(_with_recorded_signals(scene_map, recording, actors, times), path.poses[:, :3, 3], MAP_RADIUS)
    facts = scene_facts(scene_map, path)
    return Scene(
        clip_id=clip_id(Path(log), begin, end),
        source="carla_log",
        map=add_scenery(scene_map, seed, area=facts["area"]),
        ego=ego_track,
        rig_trajectory=Trajectory(path.times, path.poses @ to_rig),
        tracks=tuple(tracks),
        start=begin,
        end=end,
        seed=seed,
        facts=facts,
        ego_origin=-axle,
    )


def clip_id(log: Path, start: float, end: float) -> str:
    """`<log stem>_<start microseconds>_<end microseconds>`, letters, digits, - and _ only."""
    stem = re.sub(r"[^A-Za-z0-9_-]", "_", log.stem)
    return f"{stem}_{round(start * 1e6)}_{round(end * 1e6)}"


def _town(name: str) -> str:
    return re.sub(r"_opt$", "", name.strip().lower())


def _check_town(recording: RecorderLog, map_path: Path, scene_map: SceneMap) -> None:
    """The map's file stem or header name must be the log's town, in any case and with or without `_Opt`."""
    names = {_town(map_path.stem), _town(scene_map.name)}
    if _town(recording.map_name) not in names:
        shown = repr(map_path.stem)
        if _town(scene_map.name) != _town(map_path.stem):
            shown += f" (header name {scene_map.name!r})"
        hint = _map_of_town(map_path.parent, recording.map_name)
        suggestion = f": did you mean {str(hint)!r}?" if hint else ""
        raise UserError(
            f"log {str(recording.path)!r} was recorded in {recording.map_name!r}, but the map {str(map_path)!r} is "
            f"{shown}{suggestion}"
        )


def _map_of_town(folder: Path, town: str) -> Path | None:
    return next((p for p in sorted(folder.glob("*.xodr")) if _town(p.stem) == _town(town)), None)


def choose_ego(actors: list[RecordedActor], ego: int | None) -> RecordedActor:
    """The vehicle with the given id, or with None the first whose role_name is hero.

    Raises UserError listing the log's vehicles (id, model, role) when there is none.
    """
    vehicles = [a for a in actors if a.added.type == ActorType.VEHICLE]
    listed = "; ".join(f"{a.id} {a.added.type_id} (role {a.added.role or 'none'})" for a in vehicles)
    allowed = f"the vehicles are: {listed}" if vehicles else "it has no vehicle at all"
    if ego is not None:
        chosen = [a for a in vehicles if a.id == ego]
        if not chosen:
            raise UserError(f"the log has no vehicle with id {ego}; {allowed}")
        return max(chosen, key=lambda a: len(a.frames))
    for role in EGO_ROLES:
        heroes = [a for a in vehicles if a.added.role == role]
        if heroes:
            if len(heroes) > 1:
                logger.warning("the log has %d vehicles of role %s: %d is the ego", len(heroes), role, heroes[0].id)
            return heroes[0]
    raise UserError(f"the log has no vehicle of role 'hero', so give the ego's id; {allowed}")


def _ego_window(
    hero: RecordedActor, times: np.ndarray, floor: float, start: float, duration: float | None
) -> tuple[Trajectory, float, float]:
    """The ego's samples around the window, and its start and end in seconds."""
    pieces = [p for p in trajectories(hero, actor_box(hero), times, floor) if len(p.times) > 1]
    if not pieces:
        raise UserError(f"the ego {hero.id} ({hero.added.type_id}) is nowhere on the map for two frames in a row")
    valid = " or ".join(f"{p.times[0]:.3f} to {p.times[-1]:.3f} s" for p in pieces)
    allowed = f"the ego {hero.id} is on the map from {valid}"
    if not math.isfinite(start) or (duration is not None and not math.isfinite(duration)):
        raise UserError(f"start {start} s and duration {duration} s must be finite; {allowed}")
    if duration is not None and duration <= 0:
        raise UserError(f"duration {duration} s is not a time window: it must be above 0; {allowed}")
    begin = pieces[0].times[0] if start == 0.0 else start
    piece = next((p for p in pieces if p.times[0] - 1e-6 <= begin < p.times[-1] - 1e-6), None)
    if piece is None:
        raise UserError(f"start {start} s lies outside the log's usable time: {allowed}")
    end = piece.times[-1] if duration is None else begin + duration
    if end > piece.times[-1] + 1e-6:
        longest = math.floor((piece.times[-1] - begin) * 1000 + 1e-6) / 1000
        raise UserError(
            f"the window of {duration} s from {begin:.3f} s ends at {end:.3f} s, after the last frame; {allowed}: "
            f"the longest duration is {longest} s"
        )
    path = clip_trajectory(piece, begin, end)
    assert path is not None
    return path, float(begin), float(min(end, piece.times[-1]))


def _with_recorded_signals(
    scene_map: SceneMap, recording: RecorderLog, actors: list[RecordedActor], times: np.ndarray
) -> SceneMap:
    """The map whose lights have the log's states; recorded lights and signs that the map lacks are added to it."""
    lights, poles, signs = list(scene_map.traffic_lights), list(scene_map.poles), list(scene_map.traffic_signs)
    states = _light_states(recording, times)
    for actor in actors:
        if actor.added.type not in (ActorType.TRAFFIC_LIGHT, ActorType.TRAFFIC_SIGN):
            continue
        foot = flu_points(np.array(actor.added.location))
        facing = flu_heading(actor.added.rotation[2] + 90.0)  # their models look along the actor's right
        is_light = actor.added.type == ActorType.TRAFFIC_LIGHT
        placed = lights if is_light else signs
        index = _nearest([item.pose[:3, 3] for item in placed], foot)
        if index is None:
            logger.warning("the map has no signal where the log has %s %d: added", actor.added.type_id, actor.id)
            index = len(placed)
            if is_light:
                add_light(lights, poles, f"actor_{actor.id}", foot, facing, NEAR_SIDE_LIGHT)
            else:
                add_sign(signs, poles, f"actor_{actor.id}", foot, facing, _sign_kind(actor.added.type_id))
        if is_light:
            lights[index] = _with_states(lights[index], states.get(actor.id))
    return replace(scene_map, traffic_lights=tuple(lights), poles=tuple(poles), traffic_signs=tuple(signs))


def _nearest(places: list[np.ndarray], foot: np.ndarray) -> int | None:
    if not places:
        return None
    distance = np.linalg.norm(np.array(places)[:, :2] - foot[:2], axis=1)
    index = int(distance.argmin())
    return index if distance[index] < SAME_PLACE else None


def _sign_kind(type_id: str) -> str:
    """`traffic.speed_limit.30` -> `speed_limit`, `traffic.stop` -> `stop`."""
    return type_id.split(".")[1] if "." in type_id else type_id


def _light_states(recording: RecorderLog, times: np.ndarray) -> dict[int, list[tuple[float, LightState]]]:
    """(time, state) at every change, by light id."""
    changes: dict[int, list[tuple[float, LightState]]] = {}
    for time, frame in zip(times, recording.frames):
        rows = frame[Packet.STATE]
        for light_id, value in zip(rows["id"].tolist(), rows["state"].tolist()):
            state = LIGHT_STATES[min(value, len(LIGHT_STATES) - 1)]
            history = changes.setdefault(light_id, [])
            if not history or history[-1][1] is not state:
                history.append((float(time), state))
    return changes


def _with_states(light: TrafficLight, changes: list[tuple[float, LightState]] | None) -> TrafficLight:
    if not changes:
        return light
    return replace(
        light, state_times=np.array([time for time, _ in changes]), states=tuple(state for _, state in changes)
    )
