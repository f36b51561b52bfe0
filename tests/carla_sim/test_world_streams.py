"""Connections to streams while worlds are loaded and sensors go.

CARLA's client ends its process where the server closes a connection, which the client opens anew then, in the moment in
which the client itself gives it up.
"""

from __future__ import annotations

import select
import socket
import struct

import pytest
from helpers.carla_clients import RawClient, camera, require_carla, synchronous, until

from cosmos_exp.carla_sim.messages import EPISODE, HEADER, MAP_CHANGE, SIZE
from cosmos_exp.carla_sim.process import ServerProcess
from cosmos_exp.carla_sim.streaming import WORLD_STREAM

carla = require_carla()
pytest.importorskip("msgpack", reason="msgpack is not installed: pip install 'cosmos-exp[carla]'")
pytestmark = pytest.mark.own_process


class Follower:
    """A connection to the world's stream."""

    def __init__(self, server: ServerProcess):
        self.socket = socket.create_connection((server.host, server.port + 1), timeout=20)
        self.socket.sendall(struct.pack("<I", WORLD_STREAM))

    def snapshot(self) -> tuple[int, int]:
        """Episode and simulation state of the next one."""
        (size,) = SIZE.unpack(self._read(SIZE.size))
        episode, *_, state = EPISODE.unpack_from(self._read(size), HEADER.size)
        return episode, state

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            assert part, "the server has closed the connection"
            data += part
        return data


def test_who_follows_the_world_goes_on_when_it_is_loaded(client, server: ServerProcess) -> None:
    synchronous(client.get_world())
    stays, leaves = Follower(server), Follower(server)
    (before, _), _ = stays.snapshot(), leaves.snapshot()
    assert RawClient(server.host, server.port).call("load_new_episode", "", True, 0xFFFF) == [[False]]
    leaves.socket.close()
    while (seen := stays.snapshot())[0] == before:
        pass
    assert seen == (before + 1, MAP_CHANGE)


def test_worlds_are_loaded_again_and_again_after_sensors_have_listened(server: ServerProcess) -> None:
    for _ in range(8):
        client = carla.Client(server.host, server.port)
        client.set_timeout(60)
        before = client.get_world()
        synchronous(before)
        _, images = camera(before, "depth", size=(32, 24), z=2.0)
        before.tick()
        images.get(timeout=60)
        world = client.reload_world()  # while the sensor listens
        assert world.id != before.id and not list(world.get_actors().filter("sensor.*"))
        assert not world.get_settings().synchronous_mode


def test_the_stream_of_a_destroyed_sensor_is_its_clients_to_close(client, server: ServerProcess) -> None:
    world = client.get_world()
    synchronous(world)
    sensor, _ = camera(world, "depth", size=(32, 24), z=2.0)
    sensor.stop()
    with socket.create_connection((server.host, server.port + 1), timeout=20) as other:
        other.sendall(struct.pack("<I", sensor.id))
        until(lambda: world.tick() and select.select([other], [], [], 0.1)[0])
        assert sensor.destroy()
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            while other.recv(1 << 16):
                pass
