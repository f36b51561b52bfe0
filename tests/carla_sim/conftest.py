"""A running server on a street of our own, and clients of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.carla_clients import require_carla

from cosmos_exp.carla_sim.process import ServerProcess, server_process
from cosmos_exp.scene.carla.example import TOWN, example_log, example_map


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the street's map and a drive along it, drive.log."""
    folder = tmp_path_factory.mktemp("carla")
    (folder / f"{TOWN}.xodr").write_text(example_map())
    (folder / "Other.xodr").write_text(example_map().replace(TOWN, "Other"))
    (folder / "drive.log").write_bytes(example_log())
    return folder


@pytest.fixture(scope="session")
def server(recordings: Path) -> Iterator[ServerProcess]:
    options = ["--map", TOWN, "--maps", str(recordings), "--recordings", str(recordings), "--port", "0"]
    with server_process(options) as server:
        yield server


@pytest.fixture()
def client(server: ServerProcess, request: pytest.FixtureRequest) -> Iterator:
    """A client on the street, which has nothing on it."""
    assert "own_process" in request.keywords
    carla = require_carla()
    client = carla.Client(server.host, server.port)
    client.set_timeout(60)
    clear(client)
    yield client
    clear(client)


def clear(client: Any) -> None:
    """Empties the world, which takes less time than to load it."""
    carla = require_carla()
    client.stop_recorder()
    client.stop_replayer(False)
    world = client.get_world()
    if not world.get_map().name.endswith(TOWN):
        world = client.load_world(TOWN)
    world.apply_settings(carla.WorldSettings())
    world.set_weather(carla.WeatherParameters.ClearNoon)
    world.reset_all_traffic_lights()
    actors = world.get_actors()
    spawned = [a for kind in ("sensor", "controller", "walker", "vehicle") for a in actors.filter(f"{kind}.*")]
    client.apply_batch_sync([carla.command.DestroyActor(actor) for actor in spawned])
