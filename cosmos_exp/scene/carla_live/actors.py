"""Snapshots of a CARLA world -> frames of a recorder log: actors, boxes, motion, traffic lights."""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.scene.carla.log_writer import LogWriter, new_and_gone
from cosmos_exp.scene.carla.packets import ActorAdded, Packet, PhysicsControl, list_rows
from cosmos_exp.scene.carla.recorded_actors import RecordedActor
from cosmos_exp.scene.carla.recorder import ActorType, Frame, actor_type, town_name
from cosmos_exp.scene.carla_live.connection import Connection

MOVING = (ActorType.VEHICLE, ActorType.WALKER, ActorType.OTHER)
STATE_OFF = 3


def kind_of(type_id: str) -> ActorType | None:
    """None for sensors, controllers and the spectator, which are no part of a scene."""
    kind = actor_type(type_id)
    other = kind is ActorType.OTHER and not type_id.startswith("static.")
    return None if other or kind is ActorType.SENSOR else kind


class ActorRecorder:
    """Writes scene.log, a frame for each tick. world: a `carla.World`. ego: its vehicle, whose physics is recorded."""

    def __init__(self, path: Path, connection: Connection, world: Any, ego: Any):
        town = connection.ask("the server does not tell its map", lambda: town_name(world.get_map().name))
        self._file = open(path, "wb")  # noqa: SIM115, `close` closes it
        self._writer = LogWriter(self._file, town, datetime.now(timezone.utc))
        self._connection = connection
        self._world = world
        self._ego = ego
        self._frames = 0
        self._actors: dict[int, tuple[Any, ActorType]] = {}
        self._known: dict[int, None] = {}  # ids of the last frame, of actors that are not recorded too

    def record(self, snapshot: Any, seconds: float) -> None:
        """The next frame. snapshot: a `carla.WorldSnapshot`. seconds: its time in the capture."""
        self._connection.ask("the server does not tell its actors", lambda: self._record(snapshot, seconds))

    def _record(self, snapshot: Any, seconds: float) -> None:
        present = {state.id: state for state in snapshot}
        here = dict.fromkeys(present)
        added, gone = new_and_gone(self._known, here)
        self._known = here
        gone = [actor_id for actor_id in gone if self._actors.pop(actor_id, None)]
        new = self._new_actors(added)
        self._frames += 1
        frame = Frame(self._frames, -1.0, seconds, added=[_added(a, k) for a, k in new], deleted=gone)
        self._actors |= {actor.id: (actor, kind) for actor, kind in new}
        frame.parents = [(a.id, a.parent.id) for a, _ in new if a.parent is not None and a.parent.id in self._actors]
        boxes = [(a.id, *_box(a)) for a, kind in new if kind in MOVING]
        if boxes:
            frame.lists[Packet.BOUNDING_BOX] = [list_rows(Packet.BOUNDING_BOX, boxes)]
        if self._frames == 1 and (physics := physics_of(self._ego)):
            frame.physics = [physics]
        moving = [present[actor_id] for actor_id, (_, kind) in self._actors.items() if kind in MOVING]
        frame.lists[Packet.POSITION] = [list_rows(Packet.POSITION, ((s.id, *_pose(s.get_transform())) for s in moving))]
        velocities = ((s.id, _vector(s.get_velocity()), _vector(s.get_angular_velocity())) for s in moving)
        frame.lists[Packet.KINEMATICS] = [list_rows(Packet.KINEMATICS, velocities)]
        lights = [a for a, kind in self._actors.values() if kind is ActorType.TRAFFIC_LIGHT]
        frame.lists[Packet.STATE] = [list_rows(Packet.STATE, map(_light, lights))]
        self._writer.write(frame)

    def _new_actors(self, ids: Collection[int]) -> list[tuple[Any, ActorType]]:
        if not ids:
            return []
        actors = sorted(self._world.get_actors(sorted(ids)), key=lambda actor: actor.id)
        return [(actor, kind) for actor in actors if (kind := kind_of(actor.type_id)) is not None]

    def close(self) -> None:
        self._file.close()


def recorded(actor: Any) -> RecordedActor:
    """A live vehicle as the log will have it in its first frame: for what follows from its box and its wheels."""
    location, rotation = _pose(actor.get_transform())
    origin, extent = _box(actor)
    return RecordedActor(
        _added(actor, ActorType.VEHICLE),
        0,
        0,
        frames=np.array([0]),
        location=np.array([location]),
        rotation=np.array([rotation]),
        box_origin=np.array(origin),
        box_extent=np.array(extent),
        physics=physics_of(actor),
    )


def physics_of(vehicle: Any) -> PhysicsControl | None:
    """Where the wheels are; None where the server does not tell. Numbers that no reader of a scene uses are 0."""
    try:
        control = vehicle.get_physics_control()
    except RuntimeError:
        return None
    if len(control.wheels) < 2:
        return None
    wheels = np.zeros((len(control.wheels), 12), np.float32)
    wheels[:, 9:] = [_vector(wheel.position) for wheel in control.wheels]  # cm, as the log has them
    curves = tuple(np.zeros((0, columns), np.float32) for columns in (2, 3, 2))
    engine = (0.0, 0.0, 0.0, 0.0, 0.0, True, 0.0, 0.0)
    return PhysicsControl(vehicle.id, control.mass, 0.0, (0.0, 0.0, 0.0), wheels, engine, curves)


def _added(actor: Any, kind: ActorType) -> ActorAdded:
    location, rotation = _pose(actor.get_transform())
    return ActorAdded(actor.id, int(kind), actor.type_id, 0, location, rotation, dict(actor.attributes), {})


def _pose(transform: Any) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Metres, and roll, pitch, yaw in degrees."""
    rotation = transform.rotation
    return _vector(transform.location), (rotation.roll, rotation.pitch, rotation.yaw)


def _vector(vector: Any) -> tuple[float, float, float]:
    return (vector.x, vector.y, vector.z)


def _box(actor: Any) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Centre and half extent in metres, in the actor's frame; not finite where the server has none."""
    try:
        box = actor.bounding_box
    except RuntimeError:
        return (math.nan,) * 3, (math.nan,) * 3
    return _vector(box.location), _vector(box.extent)


def _light(actor: Any) -> tuple[int, bool, float, int]:
    state = int(actor.get_state())
    return actor.id, bool(actor.is_frozen()), float(actor.get_elapsed_time()), min(state, STATE_OFF)
