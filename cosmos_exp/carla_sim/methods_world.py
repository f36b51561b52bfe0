"""Remote calls about the episode: settings, ticks, map, weather, traffic manager, recorder and replayer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cosmos_exp.carla_sim.methods import Refused, method
from cosmos_exp.carla_sim.streaming import WORLD_STREAM
from cosmos_exp.carla_sim.world import Settings

if TYPE_CHECKING:
    from cosmos_exp.carla_sim.simulation import Simulation


@method()
def version(sim: Simulation) -> str:
    return sim.version.name


@method()
def get_episode_info(sim: Simulation) -> list:
    return [sim.world.episode, [sim.streams.token(WORLD_STREAM)]]


@method()
def get_episode_settings(sim: Simulation) -> list:
    return sim.world.settings.wire


@method()
def set_episode_settings(sim: Simulation, settings: list) -> int:
    sim.world.settings = Settings.of(settings)
    sim.wake()
    return sim.world.frame


@method()
async def tick_cue(sim: Simulation) -> int:
    return await sim.tick()


@method(void=True)
async def load_new_episode(sim: Simulation, name: str, reset_settings: bool = True, layers: int = 0xFFFF) -> None:
    """The client follows the world by another connection from now on: see `Simulation.load_for_client`."""
    await sim.load_for_client(name, reset_settings=bool(reset_settings))


@method(void=True)
def copy_opendrive_to_file(sim: Simulation, opendrive: str, parameters: list) -> None:
    sim.towns.add_text(opendrive)


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
    """Files that the client keeps: the map's navigation mesh."""
    town = sim.world.town
    return [town.navigation_file] if folder in ("", "Nav") and town.navigation_mesh else []


@method()
def request_file(sim: Simulation, name: str) -> bytes:
    if name != sim.world.town.navigation_file:
        raise Refused(f"the embedded server has no file {name!r}")
    return sim.world.town.navigation_mesh


@method()
def get_navigation_mesh(sim: Simulation) -> bytes:
    return sim.world.town.navigation_mesh


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
def get_weather_parameters(sim: Simulation) -> list:
    return list(sim.world.weather.values)


@method(void=True)
def set_weather_parameters(sim: Simulation, weather: list) -> None:
    sim.set_weather(weather)


# Rays


@method()
def cast_ray(sim: Simulation, start: list, end: list) -> Any:
    return sim.measuring.cast_ray(sim.world, np.array(start, np.float64), np.array(end, np.float64))


@method()
async def project_point(sim: Simulation, start: list, direction: list, distance: float) -> list:
    begin, way = np.array(start, np.float64), np.array(direction, np.float64)
    length = float(np.linalg.norm(way))
    if not 0 < length < np.inf:
        raise Refused(f"the direction {direction} is none")
    found = await sim.measuring.cast_ray(sim.world, begin, begin + way / length * float(distance), most=1)
    return [True, found[0]] if found else [False, [[0.0, 0.0, 0.0], 0]]


# Recorder and replayer


@method()
def show_recorder_file_info(sim: Simulation, name: str, show_all: bool) -> Any:
    return sim.recorder_info(name, show_all=bool(show_all))


@method()
def show_recorder_collisions(sim: Simulation, name: str, kind1: int, kind2: int) -> Any:
    return sim.recorder_collisions(name, chr(kind1), chr(kind2))


@method()
def show_recorder_actors_blocked(sim: Simulation, name: str, min_time: float, min_distance: float) -> Any:
    return sim.recorder_blocked(name, float(min_time), float(min_distance))


@method()
def start_recorder(sim: Simulation, name: str, additional: bool = False) -> str:
    return sim.start_recorder(name, additional=bool(additional))


@method(void=True)
def stop_recorder(sim: Simulation) -> None:
    sim.stop_recorder()


@method()
async def replay_file(
    sim: Simulation, name: str, start: float, duration: float, follow: int, sensors: bool = False, offset: Any = None
) -> str:
    return await sim.replay_file(name, float(start), float(duration), int(follow), sensors=bool(sensors), offset=offset)


@method(void=True)
def set_replayer_time_factor(sim: Simulation, factor: float) -> None:
    if not 0.0 <= float(factor) < 1e6:
        raise Refused(f"time factor {factor}: a number from 0 on")
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
