"""Remote calls about actors: spawning, moving, controls, lights, and batches of commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmos_exp.carla_sim.actors import RIGID, SPRING_ARM, SPRING_ARM_GHOST, Actor, VehicleControl
from cosmos_exp.carla_sim.methods import Refused, error_message, existing, method
from cosmos_exp.carla_sim.transforms import Transform
from cosmos_exp.scene.carla.recorder import ActorType

if TYPE_CHECKING:
    from cosmos_exp.carla_sim.server import Simulation

ATTACHMENTS = (RIGID, SPRING_ARM, SPRING_ARM_GHOST)
DOORS = range(7)
# A wheel of VehiclePhysicsControl: friction, damping, largest angle (degrees), radius (cm), torques of brakes,
# stiffnesses; values of CARLA's cars.
WHEEL = (3.5, 0.25, 70.0, 35.0, 1500.0, 3000.0, 3.0, 20.0, 3000.0)


def _of_kind(sim: Simulation, number: int, kind: ActorType, what: str) -> Actor:
    actor = existing(sim, number)
    if actor.kind is not kind:
        raise Refused(f"actor {number} ({actor.type_id}) is no {what}")
    return actor


def _vehicle(sim: Simulation, number: int) -> Actor:
    return _of_kind(sim, number, ActorType.VEHICLE, "vehicle")


def _light(sim: Simulation, number: int) -> Actor:
    return _of_kind(sim, number, ActorType.TRAFFIC_LIGHT, "traffic light")


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
    given = {name: (int(kind), str(value)) for name, kind, value in attributes}
    return sim.spawn(type_id, _transform(transform), given, description=uid, parent=parent or 0, attachment=attachment)


@method()
def destroy_actor(sim: Simulation, number: int) -> bool:
    return sim.destroy(number)


@method()
def get_actor_bounding_box(sim: Simulation, number: int) -> list:
    return existing(sim, number).box(with_actor=sim.version.box_has_actor)


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
    sim.place_camera(actor)


@method(void=True)
def set_actor_transform(sim: Simulation, number: int, transform: list) -> None:
    _move(sim, existing(sim, number), _transform(transform))


@method(void=True)
def set_actor_location(sim: Simulation, number: int, location: list) -> None:
    actor = existing(sim, number)
    here = actor.relative if actor.parent and actor.relative else actor.transform
    _move(sim, actor, Transform(_transform([location, [0, 0, 0]]).location, here.rotation))


@method(void=True)
def set_actor_target_velocity(sim: Simulation, number: int, velocity: list) -> None:
    existing(sim, number).velocity = _vector(velocity)


@method(void=True)
def set_actor_target_angular_velocity(sim: Simulation, number: int, velocity: list) -> None:
    existing(sim, number).angular_velocity = _vector(velocity)


@method(void=True)
def enable_actor_constant_velocity(sim: Simulation, number: int, velocity: list) -> None:
    existing(sim, number).constant_velocity = _vector(velocity)


@method(void=True)
def disable_actor_constant_velocity(sim: Simulation, number: int) -> None:
    existing(sim, number).constant_velocity = None


@method(void=True)
def set_actor_simulate_physics(sim: Simulation, number: int, enabled: bool) -> None:
    existing(sim, number).physics = bool(enabled)


@method(void=True)
def set_actor_enable_gravity(sim: Simulation, number: int, enabled: bool) -> None:
    existing(sim, number)


@method(void=True)
def set_actor_collisions(sim: Simulation, number: int, enabled: bool) -> None:
    existing(sim, number)


@method(void=True)
def set_actor_autopilot(sim: Simulation, number: int, enabled: bool) -> None:
    _vehicle(sim, number)  # the traffic manager in the client drives it


# Vehicles and walkers


@method(void=True)
def apply_control_to_vehicle(sim: Simulation, number: int, control: list) -> None:
    _vehicle(sim, number).control = VehicleControl(*control)


@method(void=True)
def apply_control_to_walker(sim: Simulation, number: int, control: list) -> None:
    walker = _of_kind(sim, number, ActorType.WALKER, "walker")
    direction, speed, _ = control
    walker.walker_direction, walker.walker_speed = _vector(direction), float(speed)


@method()
def get_physics_control(sim: Simulation, number: int) -> list:
    vehicle = _vehicle(sim, number)
    length, width, _ = vehicle.box_extent.tolist()
    wheels = []
    for x, y in ((0.6, -0.8), (0.6, 0.8), (-0.6, -0.8), (-0.6, 0.8)):
        place = vehicle.transform @ Transform(np.array([x * length, y * width, 0.35]))
        values = list(WHEEL)
        values[2] = WHEEL[2] if x > 0 else 0.0
        wheels.append([*values, (100 * place.location).tolist()])
    gears: list = []
    return [
        [[0.0, 500.0], [5000.0, 500.0]], 5000.0, 1.0, 0.15, 2.0, 0.35, True, 0.5, 10.0, 4.0, gears, 1800.0, 0.3,
        [0.0, 0.0, 0.0], [[0.0, 1.0], [10.0, 0.5]], wheels, False,
    ]  # fmt: skip


@method()
def get_vehicle_light_state(sim: Simulation, number: int) -> list:
    return [_vehicle(sim, number).lamps]


@method()
def get_vehicle_light_states(sim: Simulation) -> list:
    return [[actor.id, actor.lamps] for actor in sim.world.actors.values() if actor.kind is ActorType.VEHICLE]


@method(void=True)
def set_vehicle_light_state(sim: Simulation, number: int, state: Any) -> None:
    _vehicle(sim, number).lamps = int(state[0] if isinstance(state, list) else state)


# Traffic lights


@method(void=True)
def set_traffic_light_state(sim: Simulation, number: int, state: int) -> None:
    sim.world.set_light(_light(sim, number), state=int(state))


@method(void=True)
def set_traffic_light_green_time(sim: Simulation, number: int, seconds: float) -> None:
    sim.world.set_light(_light(sim, number), green=float(seconds))


@method(void=True)
def set_traffic_light_yellow_time(sim: Simulation, number: int, seconds: float) -> None:
    sim.world.set_light(_light(sim, number), yellow=float(seconds))


@method(void=True)
def set_traffic_light_red_time(sim: Simulation, number: int, seconds: float) -> None:
    sim.world.set_light(_light(sim, number), red=float(seconds))


@method(void=True)
def freeze_traffic_light(sim: Simulation, number: int, frozen: bool) -> None:
    sim.world.set_light(_light(sim, number), frozen=bool(frozen))


@method(void=True)
def freeze_all_traffic_lights(sim: Simulation, frozen: bool) -> None:
    for light in sim.world.of_kind(ActorType.TRAFFIC_LIGHT):
        sim.world.set_light(light, frozen=bool(frozen))


@method(void=True)
def reset_traffic_light_group(sim: Simulation, number: int) -> None:
    sim.world.reset_lights(sim.world.light_group(_light(sim, number)))


@method(void=True)
def reset_all_traffic_lights(sim: Simulation) -> None:
    sim.world.reset_lights(sim.world.of_kind(ActorType.TRAFFIC_LIGHT))


@method()
def get_group_traffic_lights(sim: Simulation, number: int) -> list:
    return [light.id for light in sim.world.light_group(_light(sim, number))]


# Batches. A command is [[index, fields]]; the id 0 in what follows a spawn stands for the new actor.

SPAWN = 0


def _walker_state(sim: Simulation, number: int, transform: list, speed: float) -> None:
    set_actor_transform(sim, number, transform)
    existing(sim, number).walker_speed = float(speed)


COMMANDS: dict[int, Callable[..., Any]] = {
    1: destroy_actor,
    2: apply_control_to_vehicle,
    4: apply_control_to_walker,
    6: set_actor_transform,
    7: _walker_state,
    8: set_actor_target_velocity,
    9: set_actor_target_angular_velocity,
    14: set_actor_simulate_physics,
    15: set_actor_enable_gravity,
    16: set_actor_autopilot,
    18: set_vehicle_light_state,
    19: set_actor_location,
    21: set_traffic_light_state,
}
WITHOUT_EFFECT = {
    3: "Ackermann control", 5: "physics control", 10: "impulse", 11: "force", 12: "angular impulse", 13: "torque",
    17: "debug telemetry", 20: "console command",
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
        description, transform, parent, attachment, _, after = fields
        # The client leaves the attachment of a plain SpawnActor undefined.
        kind = attachment if attachment in ATTACHMENTS else RIGID
        actor = _spawn(sim, description, transform, parent[1] if parent[0] else None, kind)
        for (following, values), *_ in after:
            _execute(sim, following, [values[0] or actor.id, *values[1:]] if following != SPAWN else values)
        return actor.id
    if index not in COMMANDS:
        what = WITHOUT_EFFECT.get(index, f"command {index}")
        raise Refused(f"the embedded server simulates geometry, not physics: it has no {what}")
    result = COMMANDS[index](sim, *fields)
    if result is False:
        raise Refused(f"there is no actor {fields[0]}")
    return int(fields[0])
