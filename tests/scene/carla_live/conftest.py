"""A real client against the embedded server, which replays a generated log on its street."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.carla_clients import RawClient, require_carla

from cosmos_exp.scene.carla.example import example_log, example_map
from cosmos_exp.scene.carla_live.connection import Server

TIMEOUT = 120.0  # seconds: the first picture of a machine waits for the renderer to be compiled


@pytest.fixture(scope="session")
def drive(tmp_path_factory) -> tuple[Path, Path]:
    """A recorder log of five seconds and the map of its town."""
    folder = tmp_path_factory.mktemp("drive")
    log, town = folder / "drive.log", folder / "ExampleStreet.xodr"
    log.write_bytes(example_log())
    town.write_text(example_map())
    return log, town


@pytest.fixture(scope="session")
def start_server(drive) -> Callable:
    """A function: runs `carla-sim` with the log and the map; yields what captures connect to, and its process."""
    require_carla()
    pytest.importorskip("msgpack")
    from cosmos_exp.carla_sim.process import server_process

    log, town = drive
    return lambda *more: server_process(["--port", "0", "--map", str(town), "--log", str(log), *more])


@pytest.fixture(scope="session")
def server(start_server) -> Iterator[Server]:
    """One for all tests that leave it as it was, in the renderer's usual weather."""
    from cosmos_exp.carla_sim.weather_parameters import parameters_of

    with start_server() as process:
        client = RawClient(process.host, process.port)
        client.call("set_weather_parameters", parameters_of("Original").values)
        client.socket.close()
        yield Server(process.host, process.port, TIMEOUT)
