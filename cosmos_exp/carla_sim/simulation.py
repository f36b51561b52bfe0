"""A running simulation: the world and its ticks, recordings and replays, and the streams to the clients."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.carla_sim.actors import Actor, Attributes
from cosmos_exp.carla_sim.blueprints import blueprint, definitions
from cosmos_exp.carla_sim.log_files import LogFiles
from cosmos_exp.carla_sim.maps import Towns, base_name
from cosmos_exp.carla_sim.measuring import Measuring
from cosmos_exp.carla_sim.messages import MAP_CHANGE, snapshot
from cosmos_exp.carla_sim.msgpack_rpc import RpcConnection
from cosmos_exp.carla_sim.recorder import WorldRecorder
from cosmos_exp.carla_sim.recording import blocked_actors, collisions, file_info
from cosmos_exp.carla_sim.replay import ReplayOptions
from cosmos_exp.carla_sim.streaming import PATIENCE, WORLD_STREAM, Streams
from cosmos_exp.carla_sim.transforms import ORIGIN, Transform
from cosmos_exp.carla_sim.versions import DEFAULT, WORLD, version_of
from cosmos_exp.carla_sim.weather_parameters import WeatherParameters
from cosmos_exp.carla_sim.world import Settings, World
from cosmos_exp.common.cores import usable_cores
from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.carla.recorder import RecorderLog

logger = logging.getLogger(__name__)

HOST, PORT = "127.0.0.1", 2000
ASYNCHRONOUS_STEP = 0.05  # seconds between ticks that no client asks for, where none is set
IDLE = 0.2  # seconds between looks for clients
QUIET = 0.1  # seconds without a snapshot before a client is told that a world is loaded
FOLLOWING = 0.5  # seconds that the client has to give its connection to the old world up, until the next snapshot


@dataclass(frozen=True)
class ServerOptions:
    """maps: OpenDRIVE files, the first is loaded; folders: of further ones. recordings: the folder that file names of
    clients are confined to; logs: further files that they may name. port 0: any free pair of ports. threads: that
    draw. patience: seconds that a client may leave its data unread before its connection is closed.
    """

    maps: Sequence[Path] = ()
    folders: Sequence[Path] = ()
    town: str = ""
    host: str = HOST
    port: int = PORT
    recordings: Path | None = None
    logs: Sequence[Path] = ()
    version: str = DEFAULT
    threads: int | None = None
    patience: float = PATIENCE


class Simulation:
    """World, streams and sensors of a server. Used in the event loop's thread alone."""

    def __init__(self, options: ServerOptions):
        self.options = options
        self.version = version_of(options.version)
        self.towns = Towns(options.maps, options.folders)
        self.logs = LogFiles(options.recordings, options.logs)
        name = options.town or next(iter(self.towns.names), None)
        if name is None:
            raise UserError("the server needs a map: give an OpenDRIVE file or a folder of them")
        self.replay_options = ReplayOptions()
        self.world = World(self.towns.town(name), replay_options=self.replay_options)
        self.streams = Streams(self._greeting, options.patience)
        self.measuring = Measuring(self.streams, self.version.type_number, options.threads or usable_cores())
        self.definitions: list = definitions(self.version.first_attribute_type)
        self.clients: set[RpcConnection] = set()
        self.recorder: WorldRecorder | None = None
        self.traffic_managers: dict[int, str] = {}  # host by port
        self._ticking = asyncio.Lock()
        self._woken = asyncio.Event()
        self._last_tick = self._last_snapshot = time.monotonic()
        self._following: asyncio.Future | None = None

    # What the methods call

    def actor_wire(self, actor: Actor) -> list[Any]:
        token = self.streams.token(actor.id) if actor.type_id.startswith("sensor.") else b""
        return actor.wire(token, self.version)

    def spawn_points(self) -> list[Transform]:
        return self.world.town.spawn_points

    def set_weather(self, weather: Sequence[float]) -> None:
        missing = len(WeatherParameters().values) - len(weather)  # 0.9.13 has no dust storm
        self.world.weather = WeatherParameters.of([*weather, *[0.0] * missing])

    def spawn(self, type_id: str, transform: Transform, attributes: Attributes, **options: Any) -> Actor:
        """A new actor. Raises UserError where there is no such blueprint, where its attributes make no camera, or where
        its place is not free.
        """
        kind = blueprint(type_id)
        given = kind.defaults | dict(attributes)
        extent = np.array(kind.box or (0.0, 0.0, 0.0))
        alone = kind.is_solid and not options.get("parent")
        if alone and not self.world.traffic.is_free(transform, extent, self.world.actors.values()):
            raise UserError("Spawn failed because of collision at spawn position")  # as CARLA says it
        self.measuring.check(Actor(0, type_id, transform, given), self.world)
        actor = self.world.spawn(type_id, transform, given, **options)
        actor.box_center, actor.box_extent = np.array(kind.box_center), extent
        self.measuring.add(actor, self.world)
        return actor

    def destroy(self, number: int) -> bool:
        gone = self.world.destroy(number)
        self.measuring.forget(gone)
        return bool(gone)

    def wake(self) -> None:
        """The settings have changed: the loop of the asynchronous mode looks again."""
        self._woken.set()

    async def load(self, name: str, *, reset_settings: bool) -> None:
        """A new episode, on the current map or another."""
        async with self._ticking:
            await self._change_world(name, reset_settings=reset_settings)
            self._send_snapshot(MAP_CHANGE)
        self.wake()

    async def load_for_client(self, name: str, *, reset_settings: bool) -> None:
        """The same for a client, which replaces its connection to the world's stream as soon as it has the answer.
        CARLA's client ends its process (a use after free) where it still reads a snapshot then: so none is sent shortly
        before, and the next one when the client has left the stream."""
        await self._ticking.acquire()
        try:
            await asyncio.sleep(self._last_snapshot + QUIET - time.monotonic())
            await self._change_world(name, reset_settings=reset_settings)
        except BaseException:
            self._ticking.release()
            raise
        self._following = asyncio.ensure_future(self._show_loaded())

    async def _show_loaded(self) -> None:
        try:
            await self.streams.until_left(WORLD_STREAM, FOLLOWING)
            self._send_snapshot(MAP_CHANGE)
        finally:
            self._ticking.release()
        self.wake()

    async def _change_world(self, name: str, *, reset_settings: bool) -> None:
        town = self.towns.town(name) if name and base_name(name) != base_name(self.world.town.name) else None
        if town is not None:
            await asyncio.get_running_loop().run_in_executor(self.measuring.builder, lambda: town.map)
        self.stop_recorder()
        old = self.world
        self.measuring.forget(list(old.actors.values()))
        settings = Settings() if reset_settings else old.settings
        if town is not None:
            self.measuring.change_town()
        self.world = World(
            town or old.town, old.episode + 1, old.frame + 1, settings, replay_options=self.replay_options
        )
        self.world.remember((*old.gone.values(), *old.actors.values()))
        self.measuring.show(None, self.world)

    # Recordings

    def _told(self, name: str, tell: Callable[[RecorderLog], str]) -> Awaitable[str]:
        """What is to be told of a recording, found in another thread."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self.measuring.builder, lambda: tell(self.logs.recording(name).log))

    def recorder_info(self, name: str, *, show_all: bool) -> Awaitable[str]:
        return self._told(name, lambda log: file_info(log, show_all=show_all))

    def recorder_collisions(self, name: str, kind1: str, kind2: str) -> Awaitable[str]:
        return self._told(name, lambda log: collisions(log, kind1, kind2))

    def recorder_blocked(self, name: str, min_time: float, min_distance: float) -> Awaitable[str]:
        return self._told(name, lambda log: blocked_actors(log, min_time, min_distance))

    def start_recorder(self, name: str, *, additional: bool) -> str:
        """Record from now on, to a file below the folder of recordings; returns its path."""
        self.stop_recorder()
        path = self.logs.new(name)
        self.recorder = WorldRecorder(path, self.world, additional=additional)
        return str(path)

    def stop_recorder(self) -> None:
        if self.recorder is not None:
            self.recorder.close()
        self.recorder = None

    async def replay_file(
        self, name: str, start: float, duration: float, follow: int, *, sensors: bool, offset: Any
    ) -> str:
        loop = asyncio.get_running_loop()
        recording = await loop.run_in_executor(self.measuring.builder, self.logs.recording, name)
        if base_name(recording.log.map) != base_name(self.world.town.name):
            await self.load(recording.log.map, reset_settings=False)
        async with self._ticking:
            self.stop_replay(keep_actors=False)
            placed = ORIGIN if offset is None else Transform.of(offset)
            replay = self.world.start_replay(recording, start, duration, follow, sensors=sensors, offset=placed)
            self.measuring.show(replay, self.world)
            self.world.frame += 1
            self._send_snapshot()
        return f"Replaying File: {name}\nFrom {replay.start:g} s to {replay.end:g} s\n"

    def stop_replay(self, *, keep_actors: bool) -> None:
        self.measuring.forget(self.world.stop_replay(keep_actors=keep_actors))
        self.measuring.show(None, self.world)

    # Ticks

    async def tick(self, delta: float | None = None) -> int:
        """Step the world, and send what the sensors measure; returns the frame's number."""
        async with self._ticking:
            await self.streams.ready()
            now = time.monotonic()
            fixed = self.world.settings.fixed_delta
            self.world.step(fixed or delta or min(now - self._last_tick, 1.0))
            self._last_tick = now
            if self.recorder is not None:
                self.recorder.record(self.world)
            self._send_snapshot()
            frame = self.world.frame
            await self.measuring.measure(self.world)
            return frame

    async def run(self) -> None:
        """Tick by itself while the mode is asynchronous and a client is there."""
        while True:
            self._woken.clear()
            if self.world.settings.synchronous or not self.clients:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), None if self.world.settings.synchronous else IDLE)
                continue
            began = time.monotonic()
            await self.tick()
            step = self.world.settings.fixed_delta or ASYNCHRONOUS_STEP
            await asyncio.sleep(max(step - (time.monotonic() - began), 0.0))

    def _greeting(self, stream: int) -> bytes | None:
        return self._snapshot() if stream == WORLD_STREAM else None

    def _send_snapshot(self, state: int = 0) -> None:
        self.streams.send(WORLD_STREAM, self._snapshot(state))
        self._last_snapshot = time.monotonic()

    def _snapshot(self, state: int = 0) -> bytes:
        world = self.world
        return snapshot(
            self.version.type_number(WORLD), world.moment, ORIGIN, episode=world.episode,
            platform=world.platform_time, delta=world.delta, state=state, actors=world.states(),
        )  # fmt: skip

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
        self.stop_recorder()
        await self.streams.close_all()
        for client in list(self.clients):
            client.writer.close()
        self.measuring.close()
