"""Recording the world: a recorder log of CARLA's format, a frame per tick."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from cosmos_exp.carla_sim.actors import Actor
from cosmos_exp.carla_sim.world import World
from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.carla.log_writer import LogWriter, new_and_gone
from cosmos_exp.scene.carla.packets import Packet, list_rows
from cosmos_exp.scene.carla.recorder import ActorType, Frame

MOVING = (ActorType.VEHICLE, ActorType.WALKER)
TO_BE_CONTINUED = -1.0  # duration of the last frame


class WorldRecorder:
    """Writes a world to a file, from `record` to `record`; readable at any time.

    additional: also velocities, boxes and times of lights, as `start_recorder(name, True)` asks for.
    Raises UserError where the file cannot be written.
    """

    def __init__(self, path: Path, world: World, *, additional: bool):
        self.additional = additional
        self._known: dict[int, Actor] = {}
        self._frames = 0
        self._start = world.elapsed
        self._platform = world.platform_time
        try:
            self._file = path.open("w+b")
        except OSError as error:
            raise UserError(f"cannot record to {path.name!r}: {error.strerror}") from None
        self._writer = LogWriter(self._file, world.town.name, datetime.now(timezone.utc))
        self.record(world)

    def record(self, world: World) -> None:
        """Append the world as it is."""
        self._frames += 1
        here = {n: actor for n, actor in world.actors.items() if np.isfinite(actor.transform.location).all()}
        new, gone = new_and_gone(self._known, here)
        actors, added = list(here.values()), [here[n] for n in new]
        self._known = here
        frame = Frame(
            self._frames,
            TO_BE_CONTINUED,
            world.elapsed - self._start,
            added=[actor.added for actor in added],
            deleted=gone,
            parents=[(actor.id, actor.parent) for actor in added if actor.parent],
            lists=dict(self._lists(actors, added)),
            numbers={Packet.PLATFORM_TIME: world.platform_time - self._platform} if self.additional else {},
        )
        self._writer.write(frame)

    def close(self) -> None:
        self._file.close()

    def _lists(self, actors: list[Actor], added: list[Actor]) -> Iterable[tuple[Packet, list[np.ndarray]]]:
        placed = [a for a in actors if a.kind in (*MOVING, ActorType.OTHER)]
        vehicles = [a for a in actors if a.kind is ActorType.VEHICLE]
        walkers = [a for a in actors if a.kind is ActorType.WALKER]
        lights = [a for a in actors if a.kind is ActorType.TRAFFIC_LIGHT]
        yield _rows(Packet.POSITION, [(a.id, a.transform.location, a.transform.rotation) for a in placed])
        yield _rows(Packet.STATE, [(a.id, a.light.frozen, a.light.elapsed, a.light.state) for a in lights])
        yield _rows(
            Packet.ANIM_VEHICLE,
            [
                (a.id, a.control.steer, a.control.throttle, a.control.brake, a.control.hand_brake,
                 -1 if a.control.reverse else a.control.gear)
                for a in vehicles
            ],
        )  # fmt: skip
        yield _rows(Packet.ANIM_WALKER, [(a.id, float(np.linalg.norm(a.velocity))) for a in walkers])
        yield _rows(Packet.VEHICLE_LIGHT, [(a.id, a.lamps) for a in vehicles])
        if self.additional:
            yield _rows(Packet.KINEMATICS, [(a.id, a.velocity, a.angular_velocity) for a in [*vehicles, *walkers]])
            boxed = [a for a in added if a.kind not in (ActorType.SENSOR, ActorType.TRAFFIC_LIGHT)]
            yield _rows(Packet.BOUNDING_BOX, [(a.id, a.box_center, a.box_extent) for a in boxed])
            new = [a for a in added if a.kind is ActorType.TRAFFIC_LIGHT]
            yield _rows(Packet.TRAFFIC_LIGHT_TIME, [(a.id, a.light.green, a.light.yellow, a.light.red) for a in new])


def _rows(packet: Packet, rows: Iterable[tuple]) -> tuple[Packet, list[np.ndarray]]:
    return packet, [list_rows(packet, rows)]
