"""A CARLA recorder log and its town's OpenDRIVE map -> Scene."""

from __future__ import annotations

import logging
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from cosmos_exp.common.counted_warnings import CountedWarnings
from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.carla.axes import flu_heading, flu_points
from cosmos_exp.scene.carla.ego import ego_lives, ego_pieces, ego_window, window_note
from cosmos_exp.scene.carla.packets import Packet
from cosmos_exp.scene.carla.recorded_actors import FARTHEST, RecordedActor, recorded_actors
from cosmos_exp.scene.carla.recorder import ActorType, RecorderLog, read_log
from cosmos_exp.scene.carla.tracks import (
    BELOW_GROUND,
    actor_box,
    actor_class,
    around,
    is_drawable_prop,
    is_traffic,
    left_out,
    rear_axle,
    tracks_of,
    trajectory,
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
LIGHT_STATES = (LightState.RED, LightState.YELLOW, LightState.GREEN, LightState.OFF, LightState.OFF)


def load_carla_scene(
    log: Path | str,
    map: Path | str,
    *,
    ego: int | None = None,
    start: float | None = None,
    duration: float | None = None,
    seed: int = 0,
) -> Scene:
    """The recorded drive on its town's map, with scenery generated beside the roads.

    Frame times stay the log's (irregular); between them poses are interpolated, rotations along the shortest arc.
    Vehicles, walkers and props with a usable bounding box become tracks, at their cuboid's centre; an actor that is
    deleted, parked below the map or teleported gets a new track when it returns.

    ego: actor id; None takes the vehicle whose role_name is the first of `ego.EGO_ROLES` that there is. start,
    duration: seconds on the log's clock; the default window is the longest piece of the log that holds the ego without
    gaps and jumps, and start 0 begins with the first. The scene's notes say which, unless that is nearly all of the
    log. seed: of the scenery.
    Raises UserError: a file is missing or broken, the log is of another town, there is no such ego, it has no finite
    pose, or the window does not lie within the ego's time.
    """
    recording = read_log(log)
    scene_map = load_opendrive(map)
    _check_town(recording, Path(map), scene_map)
    return recorded_scene(recording, scene_map, ego=ego, start=start, duration=duration, seed=seed)


def recorded_scene(
    recording: RecorderLog,
    scene_map: SceneMap,
    *,
    ego: int | None = None,
    start: float | None = None,
    duration: float | None = None,
    seed: int = 0,
) -> Scene:
    """What `load_carla_scene` returns, of a log and its town's map that are already read."""
    warnings = CountedWarnings()
    actors, times = recorded_actors(recording, warnings), recording.times
    floor = min((float(lane.left[:, 2].min()) for lane in scene_map.lanes), default=0.0) - BELOW_GROUND
    pieces = ego_pieces(ego_lives(actors, ego), times, floor)
    piece, begin, end = ego_window(pieces, start, duration)
    note = window_note(pieces, piece, recording.duration, chosen=start is not None)
    hero = piece.actor
    for type_id, count in left_out(actors).items():
        logger.info("%d actors %s are not part of the scene", count, type_id)

    box = actor_box(hero, warnings)
    path = trajectory(hero, piece.samples, box, times)
    window = around(path.times, begin, end)
    assert window is not None, "the window lies in the piece"
    path = Trajectory(path.times[window], path.poses[window])
    to_rig = np.eye(4)
    axle = rear_axle(hero, box)
    to_rig[:3, 3] = axle - box.centre
    model, role = hero.added.type_id, hero.added.role
    ego_track = Track(str(hero.id), actor_class(hero), box.size, path, vehicle_color(hero, warnings), model, role)
    others = [a for a in actors if a is not hero and (is_traffic(a) or is_drawable_prop(a))]
    tracks = [track for a in others for track in tracks_of(a, times, floor, warnings, start=begin, end=end)]
    scene_map = _with_recorded_signals(scene_map, recording, actors, warnings)
    scene_map = crop_map(scene_map, path.poses[:, :3, 3], MAP_RADIUS)
    for text in (*recording.warnings, *warnings):
        logger.warning("%s: %s", recording.path.name, text)
    facts = scene_facts(scene_map, path)
    return Scene(
        clip_id=clip_id(recording.path, begin, end),
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
        notes=(note,) if note else (),
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


def _with_recorded_signals(
    scene_map: SceneMap, recording: RecorderLog, actors: list[RecordedActor], warnings: CountedWarnings
) -> SceneMap:
    """The map whose lights have the log's states; recorded lights and signs that the map lacks are added to it."""
    lights, poles, signs = list(scene_map.traffic_lights), list(scene_map.poles), list(scene_map.traffic_signs)
    states = _light_states(recording)
    for actor in actors:
        if actor.added.type not in (ActorType.TRAFFIC_LIGHT, ActorType.TRAFFIC_SIGN):
            continue
        name = f"{actor.added.type_id} {actor.id}"
        foot = flu_points(np.array(actor.added.location))
        if not (np.abs(foot) <= FARTHEST).all() or not np.isfinite(actor.added.rotation[2]):
            warnings.add("signal without a finite place left out", name)
            continue
        facing = flu_heading(actor.added.rotation[2] + 90.0)  # their models look along the actor's right
        is_light = actor.added.type == ActorType.TRAFFIC_LIGHT
        placed = lights if is_light else signs
        index = _nearest([item.pose[:3, 3] for item in placed], foot)
        if index is None:
            warnings.add("signal of the log that the map does not have, added", name)
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


def _light_states(recording: RecorderLog) -> dict[int, list[tuple[float, LightState]]]:
    """(time, state) at every change, by light id; times ascend."""
    changes: dict[int, list[tuple[float, LightState]]] = {}
    timed = [frame for frame in recording.frames if math.isfinite(frame.elapsed)]
    for frame in sorted(timed, key=lambda frame: frame.elapsed):
        rows = frame[Packet.STATE]
        for light_id, value in zip(rows["id"].tolist(), rows["state"].tolist()):
            state = LIGHT_STATES[min(value, len(LIGHT_STATES) - 1)]
            history = changes.setdefault(light_id, [])
            if not history or history[-1][1] is not state:
                history.append((frame.elapsed, state))
    return changes


def _with_states(light: TrafficLight, changes: list[tuple[float, LightState]] | None) -> TrafficLight:
    if not changes:
        return light
    return replace(
        light, state_times=np.array([time for time, _ in changes]), states=tuple(state for _, state in changes)
    )
