"""The client's remote calls, by name, and what they do to the world."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmos_exp.carla_sim.actors import RIGID, SPRING_ARM, SPRING_ARM_GHOST, Actor
from cosmos_exp.carla_sim.blueprints import blueprint
from cosmos_exp.carla_sim.cameras import camera_sensor, is_camera
from cosmos_exp.carla_sim.transforms import Transform
from cosmos_exp.carla_sim.world import Settings
from cosmos_exp.common.errors import UserError

if TYPE_CHECKING:
    from cosmos_exp.carla_sim.server import Simulation

logger = logging.getLogger(__name__)

ATTACHMENTS = (RIGID, SPRING_ARM, SPRING_ARM_GHOST)
METHODS: dict[str, Callable[..., Any]] = {}
VOID: set[str] = set()  # methods without a result
BARE: set[str] = set()  # methods whose result is not wrapped
SPAWN_ACTOR, DESTROY_ACTOR = 0, 1
# The other commands of a batch by their index in the client's variant, as the methods that do the same.
COMMANDS = {
    2: "apply_control_to_vehicle", 4: "apply_control_to_walker", 6: "set_actor_transform", 7: "set_walker_state",
    8: "set_actor_target_velocity", 9: "set_actor_target_angular_velocity", 14: "set_actor_simulate_physics",
    15: "set_actor_enable_gravity", 16: "set_actor_autopilot", 18: "set_vehicle_light_state", 19: "set_actor_location",
    21: "set_traffic_light_state",
}  # fmt: skip
COMMAND_FIELDS = {16: 2}  # fields that are the method's arguments, where there are more


class Refused(Exception):
    """A call that cannot be done; the client raises RuntimeError with the message."""


def method(*, void: bool = False, bare: bool = False) -> Callable[[Callable], Callable]:
    """Register a function (simulation, *arguments) under its name."""

    def register(function: Callable) -> Callable:
        METHODS[function.__name__] = function
        if void:
            VOID.add(function.__name__)
        if bare:
            BARE.add(function.__name__)
        return function

    return register


def success(name: str, value: Any) -> Any:
    if name in BARE:
        return value
    return [[False]] if name in VOID else [[1, value]]


def failure(name: str, message: str) -> Any:
    return [[True, [message]]] if name in VOID else [[0, [message]]]


def call(simulation: Simulation, name: str, params: list) -> Any:
    """The response to a call: a value, or an awaitable of one. params: [[async]], then the arguments."""
    function = METHODS.get(name)
    if function is None:
        return failure(name, f"the embedded server has no {name}()")
    arguments = params[1:] if params and isinstance(params[0], list) else params
    parameters = list(inspect.signature(function).parameters.values())[1:]
    needed = sum(p.default is p.empty for p in parameters)
    if not needed <= len(arguments) <= len(parameters):
        return failure(name, f"{name}() takes {len(parameters)} arguments, not {len(arguments)}")
    try:
        value = function(simulation, *arguments)
    except Exception as error:
        return failure(name, _message(name, error))
    if isinstance(value, Awaitable):
        return _awaited(name, value)
    return success(name, value)


async def _awaited(name: str, value: Awaitable) -> Any:
    try:
        return success(name, await value)
    except Exception as error:
        return failure(name, _message(name, error))


def _message(name: str, error: Exception) -> str:
    if isinstance(error, (Refused, UserError)):
        return str(error)
    if isinstance(error, (TypeError, ValueError, IndexError, KeyError)):
        return f"{name}(): arguments of another form than those of CARLA ({type(error).__name__}: {error})"
    logger.error("%s() failed", name, exc_info=error)
    return f"{name}() failed in the embedded server: {type(error).__name__}: {error}"


# Versions, episode, map


@method()
def version(sim: Simulation) -> str:
    return sim.version.name


@method()
def get_episode_info(sim: Simulation) -> list:
    return [sim.world.episode, [sim.streams.token(1)]]


@method()
def get_episode_settings(sim: Simulation) -> list:
    return sim.world.settings.wire


@method()
def set_episode_settings(sim: Simulation, settings: list) -> int:
    sim.world.settings = Settings.of(settings)
    sim.wake()
    return sim.world.frame


@method()
def get_map_info(sim: Simulation) -> list:
    return [sim.world.town.asset, [spot.wire for spot in sim.spawn_points()]]


@method()
def get_map_data(sim: Simulation) -> str:
    return sim.world.town.text


@method()
def get_available_maps(sim: Simulation) -> list:
    return [f"/Game/Carla/Maps/{name}" for name in sim.towns.names]


@method()
def get_required_files(sim: Simulation, folder: str) -> list:
    return []


@method()
def get_navigation_mesh(sim: Simulation) -> bytes:
    return b""


@method(void=True)
async def load_new_episode(sim: Simulation, name: str, reset_settings: bool = True, layers: int = 0xFFFF) -> None:
    await sim.load(name, reset_settings=bool(reset_settings))


@method()
def query_lights_state(sim: Simulation, client: str) -> list:
    return []


@method()
def get_all_level_BBs(sim: Simulation, tag: int) -> list:
    return []


@method()
def get_environment_objects(sim: Simulation, tag: int) -> list:
    return []


@method()
async def tick_cue(sim: Simulation) -> int:
    return await sim.tick()


@method()
def get_weather_parameters(sim: Simulation) -> list:
    return list(sim.world.weather)


@method(void=True)
def set_weather_parameters(sim: Simulation, weather: list) -> None:
    sim.set_weather(tuple(float(v) for v in weather))


# Actors


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
    return sim.actor_wire(_attach(sim, description, transform, parent, attachment))


def _attach(sim: Simulation, description: list, transform: list, parent: int, attachment: int) -> Actor:
    if parent not in sim.world.actors:
        raise Refused(f"unable to attach actor: there is no actor {parent}")
    if attachment not in ATTACHMENTS:
        raise Refused(f"unable to attach actor: unknown attachment type {attachment}")
    return _spawn(sim, description, transform, parent=parent, attachment=attachment)


def _spawn(sim: Simulation, description: list, transform: list, *, parent: int = 0, attachment: int = RIGID) -> Actor:
    uid, type_id, attributes = description
    kind, place = blueprint(type_id), Transform.of(transform)
    given = kind.defaults | {name: (int(kind), str(value)) for name, kind, value in attributes}
    center, extent = np.array(kind.box_center), np.array(kind.box or (0.0, 0.0, 0.0))
    if not parent and kind.is_solid and not sim.world.traffic.is_free(place, extent, sim.world.actors.values()):
        raise Refused("Spawn failed because of collision at spawn position")
    actor = sim.world.spawn(type_id, place, given, description=uid, parent=parent, attachment=attachment)
    actor.box_center, actor.box_extent = center, extent
    if is_camera(actor):
        try:
            sim.cameras[actor.id] = camera_sensor(actor)
        except UserError:
            sim.world.destroy(actor.id)
            raise
    return actor


@method()
def destroy_actor(sim: Simulation, number: int) -> bool:
    return sim.destroy(number)


@method()
def get_actor_bounding_box(sim: Simulation, number: int) -> list:
    return actor_of(sim, number).box(with_actor=sim.version.box_has_actor)


@method()
def get_sensor_token(sim: Simulation, stream: int) -> list:
    sim.streams.expect(stream)
    return [sim.streams.token(stream)]


def actor_of(sim: Simulation, number: int) -> Actor:
    actor = sim.world.actor(number)
    if actor is None:
        raise Refused(f"there is no actor {number}: it was destroyed, or never spawned")
    return actor


def _move(sim: Simulation, number: int, transform: Transform) -> None:
    actor = actor_of(sim, number)
    if actor.parent:
        actor.relative = transform
        sim.place_camera(actor)
    else:
        actor.transform = transform
        if is_camera(actor):
            sim.place_camera(actor)
    sim.world.place_attached()


@method(void=True)
def set_actor_transform(sim: Simulation, number: int, transform: list) -> None:
    _move(sim, number, Transform.of(transform))


@method(void=True)
def set_actor_location(sim: Simulation, number: int, location: list) -> None:
    actor = actor_of(sim, number)
    here = actor.relative if actor.parent and actor.relative else actor.transform
    _move(sim, number, Transform(Transform.of([location, [0, 0, 0]]).location, here.rotation))


@method(void=True)
def set_actor_target_velocity(sim: Simulation, number: int, velocity: list) -> None:
    actor_of(sim, number).velocity = np.array(velocity, np.float64)


@method(void=True)
def set_actor_target_angular_velocity(sim: Simulation, number: int, velocity: list) -> None:
    actor_of(sim, number).angular_velocity = np.array(velocity, np.float64)


@method(void=True)
def set_actor_enable_gravity(sim: Simulation, number: int, enabled: bool) -> None:
    actor_of(sim, number)


@method(void=True)
def set_actor_collisions(sim: Simulation, number: int, enabled: bool) -> None:
    actor_of(sim, number)


@method(void=True)
def set_actor_autopilot(sim: Simulation, number: int, enabled: bool) -> None:
    actor_of(sim, number)


@method()
def get_vehicle_light_state(sim: Simulation, number: int) -> list:
    return [actor_of(sim, number).lamps]


@method()
def get_vehicle_light_states(sim: Simulation) -> list:
    return [[actor.id, actor.lamps] for actor in sim.world.actors.values() if actor.type_id.startswith("vehicle.")]


@method(void=True)
def set_vehicle_light_state(sim: Simulation, number: int, state: list) -> None:
    actor_of(sim, number).lamps = int(state[0])


@method(bare=True)
async def apply_batch(sim: Simulation, commands: list, do_tick: bool = False) -> list:
    answers = [_command(sim, *command[0]) for command in commands]
    if do_tick:
        await sim.tick()
    return answers


def _command(sim: Simulation, index: int, fields: list) -> list:
    try:
        if index == SPAWN_ACTOR:
            return [[1, _spawn_command(sim, *fields)]]
        if index == DESTROY_ACTOR:
            if not destroy_actor(sim, *fields):
                raise Refused(f"there is no actor {fields[0]}")
        elif index in COMMANDS:
            METHODS[COMMANDS[index]](sim, *fields[: COMMAND_FIELDS.get(index)])
        else:
            raise Refused(f"the embedded server has no command {index}")
        return [[1, fields[0]]]
    except Exception as error:
        return [[0, [_message("apply_batch", error)]]]


def _spawn_command(sim: Simulation, description: list, transform: list, parent: list, *rest: Any) -> int:
    """Spawn, then the commands that are to follow, which take the new actor's id."""
    if parent and parent[0]:
        actor = _attach(sim, description, transform, parent[1], RIGID)
    else:
        actor = _spawn(sim, description, transform)
    for after in rest[-1] if rest and isinstance(rest[-1], list) else []:
        index, fields = after[0]
        _command(sim, index, [actor.id, *fields[1:]])
    return actor.id


# Recorder and replayer


@method()
def show_recorder_file_info(sim: Simulation, name: str, show_all: bool) -> str:
    return sim.recorder_info(name)


@method()
async def replay_file(
    sim: Simulation, name: str, start: float, duration: float, follow: int, sensors: bool = False, offset: Any = None
) -> str:
    return await sim.replay_file(name, float(start), float(duration), int(follow), sensors=bool(sensors), offset=offset)


@method(void=True)
def set_replayer_time_factor(sim: Simulation, factor: float) -> None:
    sim.replay_options.factor = float(factor)


@method(void=True)
def set_replayer_ignore_hero(sim: Simulation, ignore: bool) -> None:
    sim.replay_options.ignore_hero = bool(ignore)


@method(void=True)
def set_replayer_ignore_spectator(sim: Simulation, ignore: bool) -> None:
    sim.replay_options.ignore_spectator = bool(ignore)


@method(void=True)
def stop_replayer(sim: Simulation, keep_actors: bool) -> None:
    sim.stop_replay(keep_actors=bool(keep_actors))
