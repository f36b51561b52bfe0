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
def client(server: ServerProcess) -> Iterator:
    """A client on a fresh world of the street."""
    carla = require_carla()
    client = carla.Client(server.host, server.port)
    client.set_timeout(60)
    destroy_sensors(client)
    client.load_world(TOWN)
    yield client
    destroy_sensors(client)


def destroy_sensors(client: Any) -> None:
    """The client's library aborts the process where a world is loaded while sensors listen, as those of a test that has
    failed do."""
    carla = require_carla()
    sensors = client.get_world().get_actors().filter("sensor.*")
    client.apply_batch_sync([carla.command.DestroyActor(sensor) for sensor in sensors])
