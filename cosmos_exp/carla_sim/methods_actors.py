"""Remote calls about actors: spawning, moving, controls, lights, and batches of commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cosmos_exp.carla_sim.actors import BOOL, RIGID, SPRING_ARM, SPRING_ARM_GHOST, Actor
from cosmos_exp.carla_sim.methods import METHODS, Refused, actor_of, error_message, method
from cosmos_exp.carla_sim.transforms import Transform
from cosmos_exp.scene.carla.recorder import ActorType

if TYPE_CHECKING:
    from cosmos_exp.carla_sim.simulation import Simulation

ATTACHMENTS = (RIGID, SPRING_ARM, SPRING_ARM_GHOST)


def _vector(value: list) -> np.ndarray:
    vector = np.array(value, np.float64)
    if vector.shape != (3,) or not np.isfinite(vector).all():
        raise Refused(f"{value} is no vector of three finite numbers")
    return vector


def _transform(value: list) -> Transform:
    transform = Transform.of(value)
    if not np.isfinite([*transform.location, *transform.rotation]).all():
        raise Refused("a transform must be finite")
    return transform


# Being


@method()
def get_actor_definitions(sim: Simulation) -> list:
    return sim.definitions


@method()
def get_spectator(sim: Simulation) -> list:
    return sim.actor_wire(sim.world.spectator)


@method()
def get_actors_by_id(sim: Simulation, ids: list) -> list:
    found = (sim.world.actor(number) for number in ids)
    return [sim.actor_wire(actor) for actor in found if actor is not None]


@method()
def spawn_actor(sim: Simulation, description: list, transform: list) -> list:
    return sim.actor_wire(_spawn(sim, description, transform))


@method()
def spawn_actor_with_parent(
    sim: Simulation, description: list, transform: list, parent: int, attachment: int, bone: str = ""
) -> list:
    if attachment not in ATTACHMENTS:
        raise Refused(f"unable to attach actor: unknown attachment type {attachment}")
    return sim.actor_wire(_spawn(sim, description, transform, parent, attachment))


def _spawn(
    sim: Simulation, description: list, transform: list, parent: int | None = None, attachment: int = RIGID
) -> Actor:
    uid, type_id, attributes = description
    if parent is not None and parent not in sim.world.actors:
        raise Refused(f"unable to attach actor: there is no actor {parent}")
    shift = BOOL - sim.version.first_attribute_type
    given = {name: (int(kind) + shift, str(value)) for name, kind, value in attributes}
    return sim.spawn(type_id, _transform(transform), given, description=uid, parent=parent or 0, attachment=attachment)


@method()
def destroy_actor(sim: Simulation, number: int) -> bool:
    return sim.destroy(number)


@method()
def get_actor_bounding_box(sim: Simulation, number: int) -> list:
    # A traffic manager asks after actors that have just been destroyed, and its client dies of an error.
    actor = sim.world.actor(number) or sim.world.gone.get(number) or actor_of(sim, number)
    return actor.box(with_actor=sim.version.box_has_actor)


@method()
def get_sensor_token(sim: Simulation, stream: int) -> list:
    sim.streams.expect(stream)
    return [sim.streams.token(stream)]


# Motion


def _move(sim: Simulation, actor: Actor, transform: Transform) -> None:
    if actor.parent:
        actor.relative = transform
    else:
        actor.transform = transform
    sim.world.place(actor)
    sim.measuring.place(actor)


@method(void=True)
def set_actor_transform(sim: Simulation, number: int, transform: list) -> None:
    _move(sim, actor_of(sim, number), _transform(transform))


@method(void=True)
def set_actor_location(sim: Simulation, number: int, location: list) -> None:
    actor = actor_of(sim, number)
    here = actor.relative if actor.parent and actor.relative else actor.transform
    _move(sim, actor, Transform(_transform([location, [0, 0, 0]]).location, here.rotation))


@method(void=True)
def set_actor_target_velocity(sim: Simulation, number: int, velocity: list) -> None:
    actor_of(sim, number).velocity = _vector(velocity)


@method(void=True)
def set_actor_target_angular_velocity(sim: Simulation, number: int, velocity: list) -> None:
    actor_of(sim, number).angular_velocity = _vector(velocity)


@method(void=True)
def set_actor_enable_gravity(sim: Simulation, number: int, enabled: bool) -> None:
    actor_of(sim, number)


@method(void=True)
def set_actor_collisions(sim: Simulation, number: int, enabled: bool) -> None:
    actor_of(sim, number)


@method(void=True)
def set_actor_autopilot(sim: Simulation, number: int, enabled: bool, port: int = 0) -> None:
    actor_of(sim, number)  # the traffic manager in the client drives it


@method()
def get_vehicle_light_state(sim: Simulation, number: int) -> list:
    return [actor_of(sim, number).lamps]


@method()
def get_vehicle_light_states(sim: Simulation) -> list:
    return [[actor.id, actor.lamps] for actor in sim.world.actors.values() if actor.kind is ActorType.VEHICLE]


@method(void=True)
def set_vehicle_light_state(sim: Simulation, number: int, state: Any) -> None:
    actor_of(sim, number).lamps = int(state[0] if isinstance(state, list) else state)


# Batches. A command is [[index, fields]]; the id 0 in what follows a spawn stands for the new actor.

SPAWN = 0
# The other commands by their index in the client's variant, as the methods that do the same.
COMMANDS = {
    1: "destroy_actor", 2: "apply_control_to_vehicle", 4: "apply_control_to_walker", 6: "set_actor_transform",
    7: "set_walker_state", 8: "set_actor_target_velocity", 9: "set_actor_target_angular_velocity",
    14: "set_actor_simulate_physics", 15: "set_actor_enable_gravity", 16: "set_actor_autopilot",
    18: "set_vehicle_light_state", 19: "set_actor_location", 21: "set_traffic_light_state",
}  # fmt: skip
ACKERMANN = 3
WITHOUT_EFFECT = {
    ACKERMANN: "Ackermann control", 5: "physics control", 10: "impulse", 11: "force", 12: "angular impulse",
    13: "torque", 17: "debug telemetry", 20: "console command",
}  # fmt: skip


@method(bare=True)
async def apply_batch(sim: Simulation, commands: list, do_tick: bool = False) -> list:
    answers = [_command(sim, command) for command in commands]
    if do_tick:
        await sim.tick()
    return answers


def _command(sim: Simulation, command: list) -> list:
    try:
        return [[1, _execute(sim, *command[0])]]
    except Exception as error:
        return [[0, [error_message("apply_batch", error)]]]


def _execute(sim: Simulation, index: int, fields: list) -> int:
    """Do one command; returns the id of its actor."""
    if index == SPAWN:
        description, transform, parent, *attached, after = fields
        # Clients before 0.9.16 send no attachment; that of 0.9.16 leaves it undefined where none is given.
        kind = attached[0] if attached and attached[0] in ATTACHMENTS else RIGID
        actor = _spawn(sim, description, transform, parent[1] if parent[0] else None, kind)
        for (following, values), *_ in after:
            _execute(sim, following, [values[0] or actor.id, *values[1:]] if following != SPAWN else values)
        return actor.id
    if not sim.version.ackermann and index >= ACKERMANN:
        index += 1
    if index not in COMMANDS:
        what = WITHOUT_EFFECT.get(index, f"command {index}")
        raise Refused(f"the embedded server simulates geometry, not physics: it has no {what}")
    result = METHODS[COMMANDS[index]](sim, *fields)
    if result is False:
        raise Refused(f"there is no actor {fields[0]}")
    return int(fields[0])
