"""Recording of a CARLA world: the actors of every tick become the frames of a recorder log."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO

from cosmos_exp.scene.carla.log_writer import LogWriter
from cosmos_exp.scene.carla.packets import ActorAdded, Packet, list_rows
from cosmos_exp.scene.carla.recorder import ActorType, Frame

Vec3 = tuple[float, float, float]
POSED = (ActorType.OTHER, ActorType.VEHICLE, ActorType.WALKER)  # types whose poses CARLA records
MOVING = (ActorType.VEHICLE, ActorType.WALKER)


@dataclass(frozen=True)
class VehicleControl:
    """gear: negative in reverse."""

    steer: float = 0.0
    throttle: float = 0.0
    brake: float = 0.0
    hand_brake: bool = False
    gear: int = 1


@dataclass(frozen=True)
class SignalState:
    """state: 0 red, 1 yellow, 2 green, 3 off, 4 unknown. elapsed, green, yellow, red: seconds."""

    state: int
    elapsed: float = 0.0
    frozen: bool = False
    green: float = 10.0
    yellow: float = 3.0
    red: float = 2.0


@dataclass(frozen=True)
class ActorState:
    """An actor at a tick. Metres in CARLA's frame, degrees (roll, pitch, yaw), m/s and degrees/s.

    attached: location and rotation relative to the parent. box: origin in the actor's frame, half extent.
    lights: bits of carla.VehicleLightState. speed: of a walker's animation.
    """

    id: int
    type: ActorType
    type_id: str
    location: Vec3
    rotation: Vec3 = (0.0, 0.0, 0.0)
    attributes: Mapping[str, str] = field(default_factory=dict)
    attribute_types: Mapping[str, int] = field(default_factory=dict)
    parent: int | None = None
    attached: tuple[Vec3, Vec3] | None = None
    box: tuple[Vec3, Vec3] | None = None
    velocity: Vec3 = (0.0, 0.0, 0.0)
    angular_velocity: Vec3 = (0.0, 0.0, 0.0)
    control: VehicleControl = VehicleControl()
    lights: int = 0
    speed: float = 0.0
    signal: SignalState | None = None


class LogRecording:
    """Turns ticks into frames: who is new, who is gone, where everyone is.

    Times count from the first tick. As in CARLA's logs, poses are those of vehicles, walkers and others, not of
    sensors, signs and lights; a box is in the frame in which its actor is added.
    """

    def __init__(self, file: BinaryIO, map: str, date: datetime, *, additional_data: bool = True):
        """file, map, date: see LogWriter. additional_data: boxes, velocities, light times, wall time as well."""
        self._writer = LogWriter(file, map, date)
        self._additional = additional_data
        self._known: dict[int, str] = {}
        self._frames = 0
        self._start = self._platform_start = 0.0

    def tick(
        self,
        elapsed: float,
        actors: Iterable[ActorState],
        *,
        collisions: Iterable[tuple[int, int, int, bool, bool]] = (),
        platform_time: float = 0.0,
    ) -> None:
        """Writes a frame. elapsed, platform_time: seconds. actors: all that there are.

        collisions: number, the two ids, whether each is the hero. An id that another actor has now than at the last
        tick is deleted in this frame and added in the next, as a frame cannot hold both.
        """
        if self._frames == 0:
            self._start, self._platform_start = elapsed, platform_time
        self._frames += 1
        present = {actor.id: actor for actor in actors if self._known.get(actor.id, actor.type_id) == actor.type_id}
        new = [actor for actor in present.values() if actor.id not in self._known]
        frame = Frame(
            self._frames,
            -1.0,
            elapsed - self._start,
            added=[_added(actor) for actor in new],
            deleted=[known for known in self._known if known not in present],
            parents=[(actor.id, actor.parent) for actor in new if actor.parent is not None],
        )
        rows: dict[Packet, Iterable[tuple]] = {Packet.COLLISION: collisions, **_rows(present.values())}
        if self._additional:
            rows |= _additional_rows(present.values(), new)
            frame.numbers[Packet.PLATFORM_TIME] = platform_time - self._platform_start
        frame.lists = {packet: [list_rows(packet, values)] for packet, values in rows.items()}
        self._writer.write(frame)
        self._known = {actor.id: actor.type_id for actor in present.values()}


def _added(actor: ActorState) -> ActorAdded:
    location, rotation = actor.attached or (actor.location, actor.rotation)
    attributes, types = dict(actor.attributes), dict(actor.attribute_types)
    return ActorAdded(actor.id, actor.type, actor.type_id, 0, location, rotation, attributes, types)


def _rows(actors: Collection[ActorState]) -> dict[Packet, list[tuple]]:
    vehicles = [(actor, actor.control) for actor in actors if actor.type == ActorType.VEHICLE]
    signals = [(actor.id, actor.signal) for actor in actors if actor.signal is not None]
    return {
        Packet.POSITION: [(actor.id, actor.location, actor.rotation) for actor in actors if actor.type in POSED],
        Packet.STATE: [(light, signal.frozen, signal.elapsed, signal.state) for light, signal in signals],
        Packet.ANIM_VEHICLE: [
            (actor.id, control.steer, control.throttle, control.brake, control.hand_brake, control.gear)
            for actor, control in vehicles
        ],
        Packet.ANIM_WALKER: [(actor.id, actor.speed) for actor in actors if actor.type == ActorType.WALKER],
        Packet.VEHICLE_LIGHT: [(actor.id, actor.lights) for actor, _ in vehicles],
    }


def _additional_rows(actors: Collection[ActorState], new: list[ActorState]) -> dict[Packet, list[tuple]]:
    """Rows of the packets that additional data has; velocities and light times only where there are any."""
    moving = [(a.id, a.velocity, a.angular_velocity) for a in actors if a.type in MOVING]
    signals = [(actor.id, actor.signal) for actor in new if actor.signal is not None]
    times = [(light, signal.green, signal.yellow, signal.red) for light, signal in signals]
    boxes = [(actor.id, *actor.box) for actor in new if actor.box is not None]
    rows: dict[Packet, list[tuple]] = {Packet.KINEMATICS: moving, Packet.TRAFFIC_LIGHT_TIME: times}
    there: dict[Packet, list[tuple]] = {packet: values for packet, values in rows.items() if values}
    return there | {Packet.BOUNDING_BOX: list(boxes)}
