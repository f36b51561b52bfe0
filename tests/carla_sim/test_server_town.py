"""Recorder logs of a real CARLA, replayed through the server to the real client, on the town that they come from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.carla_clients import hero, require_carla, synchronous, until

from cosmos_exp.carla_sim.process import server_process
from cosmos_exp.common.counted_warnings import CountedWarnings
from cosmos_exp.scene.carla.recorded_actors import recorded_actors
from cosmos_exp.scene.carla.recorder import read_log

carla = require_carla()
pytest.importorskip("msgpack", reason="msgpack is not installed: pip install 'cosmos-exp[carla]'")
pytestmark = pytest.mark.own_process


@pytest.fixture(scope="module")
def client(shared: Path) -> Iterator:
    folder = shared / "carla"
    options = ["--map", str(folder / "maps/Town01.xodr"), "--recordings", str(folder / "logs"), "--port", "0"]
    with server_process(options) as server:
        client = carla.Client(server.host, server.port)
        client.set_timeout(60)
        yield client


def test_the_first_log(client) -> None:
    info = client.show_recorder_file_info("DistanceBetweenVehicles.log", False)
    assert "Frames: 847\n" in info and "Duration: 24.7237 seconds" in info
    world = client.reload_world()
    synchronous(world, 24)
    client.replay_file("DistanceBetweenVehicles.log", 2.0, 5.0, 174, False)
    ego = hero(world)
    assert ego.id == 174
    extent = ego.bounding_box.extent
    assert (extent.x, extent.y, extent.z) == pytest.approx((2.4508, 1.0642, 0.7554), abs=1e-4)
    assert len(world.get_actors().filter("static.prop.*")) == 115
    assert {actor.id for actor in world.get_actors().filter("vehicle.*")} == {174, 175}  # as recorded
    lights = world.get_actors().filter("traffic.traffic_light*")
    assert len(lights) == 36
    places = []
    for _ in range(5 * 24 + 1):
        world.tick()
        places.append(ego.get_transform().location.x)
    assert np.all(np.diff(places) > -1e-3)
    assert {light.state for light in lights} > {carla.TrafficLightState.Red}
    for _ in range(3):  # the recording is over: its actors stay
        world.tick()
    assert ego.is_alive


def test_the_second_log_moves_its_hero_as_recorded(client, shared: Path) -> None:
    world = client.reload_world()
    synchronous(world, 24)
    client.replay_file("DistanceToLaneCenter.log", 6.0, 4.0, 234, False)
    ego = hero(world)
    places = []
    for _ in range(96):
        world.tick()
        places.append((ego.get_transform().location.x, ego.get_transform().location.y))
    log = read_log(shared / "carla/logs/DistanceToLaneCenter.log")
    recorded = next(actor for actor in recorded_actors(log, CountedWarnings()) if actor.id == 234)
    times = log.times[recorded.frames]
    expected = [np.interp(6.0 + np.arange(96) / 24, times, recorded.location[:, axis]) for axis in (0, 1)]
    assert np.abs(np.array(places) - np.stack(expected, axis=1)).max() < 1e-4
    client.stop_replayer(False)
    world.tick()
    until(lambda: 234 not in [actor.id for actor in world.get_actors()])


def test_the_replay_keeps_its_time(client) -> None:
    """Ticks of any length and time factor show the same drive."""
    world = client.reload_world()
    synchronous(world, 24)
    client.replay_file("DistanceToLaneCenter.log", 6.0, 0.0, 234, False)
    ego = hero(world)
    for _ in range(25):
        world.tick()  # the first is at the start
    after_a_second = ego.get_transform().location.y
    client.stop_replayer(False)
    client.set_replayer_time_factor(2.0)
    client.replay_file("DistanceToLaneCenter.log", 6.0, 0.0, 234, False)
    for _ in range(13):
        world.tick()
    assert hero(world).get_transform().location.y == pytest.approx(after_a_second, abs=1e-4)
    client.set_replayer_time_factor(1.0)
