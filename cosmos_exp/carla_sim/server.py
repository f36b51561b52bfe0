"""The embedded server: sockets, the loop that steps the world, and the threads that draw it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmos_exp.carla_sim import methods, traffic_methods  # noqa: F401 (registers its methods)
from cosmos_exp.carla_sim.actors import Actor
from cosmos_exp.carla_sim.blueprints import definitions
from cosmos_exp.carla_sim.cameras import CameraSensor, View, camera_sensor, views
from cosmos_exp.carla_sim.maps import Towns, base_name
from cosmos_exp.carla_sim.messages import MAP_CHANGE, snapshot
from cosmos_exp.carla_sim.msgpack_rpc import RpcConnection
from cosmos_exp.carla_sim.renderers import (
    Appearances,
    ReplayedScene,
    TickPictures,
    TownPieces,
)
from cosmos_exp.carla_sim.replay import Recording, ReplayOptions
from cosmos_exp.carla_sim.spawn_points import spawn_points
from cosmos_exp.carla_sim.streaming import WORLD_STREAM, Streams
from cosmos_exp.carla_sim.transforms import ORIGIN, Transform
from cosmos_exp.carla_sim.versions import DEFAULT, WORLD, version_of
from cosmos_exp.carla_sim.world import Settings, World
from cosmos_exp.common.cores import usable_cores
from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.rendering.warmup import warm_up
from cosmos_exp.rendering.weather import WEATHERS, Weather
from cosmos_exp.scene.carla.recorder import read_log

logger = logging.getLogger(__name__)

HOST, PORT = "127.0.0.1", 2000
ASYNCHRONOUS_STEP = 0.05  # seconds between ticks that no client asks for, where none is set
IDLE = 0.2  # seconds between looks for clients


@dataclass(frozen=True)
class ServerOptions:
    """maps: OpenDRIVE files, the first is loaded; folders: of further ones. recordings: the folder that file names of
    clients are confined to; logs: further files that they may name. port 0: any free pair of ports. threads: that
    draw.
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


class Simulation:
    """World, streams and renderers of a server. Used in the event loop's thread alone."""

    def __init__(self, options: ServerOptions):
        self.options = options
        self.version = version_of(options.version)
        self.towns = Towns(options.maps, options.folders)
        name = options.town or next(iter(self.towns.names), None)
        if name is None:
            raise UserError("the server needs a map: give an OpenDRIVE file or a folder of them")
        self.replay_options = ReplayOptions()
        self.world = World(self.towns.town(name), replay_options=self.replay_options)
        self.streams = Streams(self._greeting)
        self.cameras: dict[int, CameraSensor] = {}
        self.appearances = Appearances()
        self.weather: Weather = WEATHERS["Original"]
        self.pool = ThreadPoolExecutor(options.threads or usable_cores(), thread_name_prefix="render")
        self.builder = ThreadPoolExecutor(1, thread_name_prefix="scene")
        self.pieces: TownPieces | None = None
        self.scene: ReplayedScene | None = None
        self.recordings: dict[tuple, Recording] = {}
        self.definitions: list = definitions()
        self.traffic_managers: dict[int, str] = {}  # host by port
        self._spawn_points: tuple[str, list[Transform]] = ("", [])
        self.clients: set[RpcConnection] = set()
        self._ticking = asyncio.Lock()
        self._woken = asyncio.Event()
        self._last_tick = time.monotonic()

    # What the methods call

    def actor_wire(self, actor: Actor) -> list[Any]:
        token = self.streams.token(actor.id) if actor.type_id.startswith("sensor.") else b""
        return actor.wire(token, box_has_actor=self.version.box_has_actor)

    def spawn_points(self) -> list[Transform]:
        town = self.world.town
        if self._spawn_points[0] != town.name:
            self._spawn_points = (town.name, spawn_points(town.map))
        return self._spawn_points[1]

    def set_weather(self, weather: tuple[float, ...]) -> None:
        self.world.weather = weather

    def place_camera(self, actor: Actor) -> None:
        """The sensor was moved relative to its parent."""
        if actor.id in self.cameras:
            self.cameras[actor.id] = camera_sensor(actor)

    def destroy(self, number: int) -> bool:
        gone = self.world.destroy(number)
        self._forget(gone)
        return bool(gone)

    def _forget(self, actors: Sequence[Actor]) -> None:
        for actor in actors:
            self.streams.close(actor.id)
            self.cameras.pop(actor.id, None)
            self.appearances.forget(actor.id)

    def wake(self) -> None:
        """The settings have changed: the loop of the asynchronous mode looks again."""
        self._woken.set()

    async def load(self, name: str, *, reset_settings: bool) -> None:
        """A new episode, on the current map or another."""
        async with self._ticking:
            town = self.towns.town(name) if name and base_name(name) != base_name(self.world.town.name) else None
            if town is not None:
                await asyncio.get_running_loop().run_in_executor(self.builder, lambda: town.map)
            old = self.world
            self._forget([actor for actor in old.actors.values()])
            settings = Settings() if reset_settings else old.settings
            if town is not None and self.pieces is not None:
                self.pieces.close()
                self.pieces = None
            self.world = World(
                town or old.town, old.episode + 1, old.frame + 1, settings, replay_options=self.replay_options
            )
            self.scene = None
            self._send_snapshot(MAP_CHANGE)
        self.wake()

    # Recordings

    def file_of(self, name: str) -> Path:
        """The file that a client names: below the folder of recordings, or one of the server's logs."""
        for path in self.options.logs:
            if name in (str(path), path.name, path.stem) or Path(name).resolve() == path.resolve():
                return path
        folder = self.options.recordings
        if folder is None:
            known = [path.name for path in self.options.logs]
            raise UserError(unknown_name("recording", name, known) if known else "this server has no recordings")
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise UserError(f"{name!r} lies outside the folder of recordings of this server")
        return path

    def recording(self, name: str) -> Recording:
        path = self.file_of(name)
        try:
            state = path.stat()
        except OSError:
            raise UserError(f"no recording {name!r}") from None
        key = (path, state.st_mtime_ns, state.st_size)
        if key not in self.recordings:
            self.recordings = {key: Recording(read_log(path))}
        return self.recordings[key]

    def recorder_info(self, name: str) -> str:
        log = self.recording(name).log
        date = "" if log.date is None else f"{log.date:%m/%d/%y %H:%M:%S}"
        lines = [f"Version: {log.version}", f"Map: {log.map}", f"Date: {date}", "", f"Frames: {log.frames[-1].id}"]
        return "\n".join([*lines, f"Duration: {log.duration:g} seconds", ""])

    async def replay_file(
        self, name: str, start: float, duration: float, follow: int, *, sensors: bool, offset: Any
    ) -> str:
        loop = asyncio.get_running_loop()
        recording = await loop.run_in_executor(self.builder, self.recording, name)
        if base_name(recording.log.map) != base_name(self.world.town.name):
            await self.load(recording.log.map, reset_settings=False)
        async with self._ticking:
            self._forget_replay()
            placed = ORIGIN if offset is None else Transform.of(offset)
            replay = self.world.start_replay(recording, start, duration, follow, sensors=sensors, offset=placed)
            self.scene = ReplayedScene(replay, self.world.town, self.builder)
            self.world.frame += 1
            self._send_snapshot()
        return f"Replaying File: {name}\nFrom {replay.start:g} s to {replay.end:g} s\n"

    def stop_replay(self, *, keep_actors: bool) -> None:
        self._forget(self.world.stop_replay(keep_actors=keep_actors))
        self.scene = None

    def _forget_replay(self) -> None:
        self.stop_replay(keep_actors=False)

    # Ticks

    async def tick(self, delta: float | None = None) -> int:
        """Step the world, and send what the sensors measure; returns the frame's number."""
        async with self._ticking:
            await self.streams.ready()
            now = time.monotonic()
            fixed = self.world.settings.fixed_delta
            self.world.step(fixed or delta or min(now - self._last_tick, 1.0))
            self._last_tick = now
            self._send_snapshot()
            frame = self.world.frame
            await self._send_images()
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

    def _snapshot(self, state: int = 0) -> bytes:
        world = self.world
        return snapshot(
            self.version.type_number(WORLD), world.moment, ORIGIN, episode=world.episode,
            platform=time.monotonic() - world.began, delta=world.delta, state=state, actors=world.states(),
        )  # fmt: skip

    async def _send_images(self) -> None:
        listened = [sensor for number, sensor in self.cameras.items() if self.streams.listened(number)]
        if not listened or self.world.settings.no_rendering:
            return
        loop = asyncio.get_running_loop()
        moment = self.world.moment
        if self.pieces is None:
            self.pieces = TownPieces(self.world.town)
        pictures = TickPictures(self.world, self.appearances, self.pieces, self.scene)

        def placed(sensor: CameraSensor) -> tuple:
            found = pictures.place(sensor)
            return found.renderer, found.frame, found.camera, self.weather

        drawn: list[View] = await loop.run_in_executor(self.builder, views, listened, placed)
        type_number, new = self.version.type_number, self.streams.buffers.take
        jobs = [loop.run_in_executor(self.pool, view.render, moment, type_number, new) for view in drawn]
        for done in asyncio.as_completed(jobs):
            for stream, data in await done:
                self.streams.send(stream, data)

    async def close(self) -> None:
        await self.streams.close_all()
        for client in list(self.clients):
            client.writer.close()
        if self.pieces is not None:
            self.pieces.close()
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.builder.shutdown(wait=False, cancel_futures=True)


async def serve(options: ServerOptions, ready: Callable[[int], None]) -> None:
    """Run a server until it is cancelled. ready: called with the port once clients can connect.

    Raises UserError where the map cannot be read or a port is taken.
    """
    simulation = Simulation(options)
    await asyncio.get_running_loop().run_in_executor(simulation.builder, warm_up, lambda done, total: None)

    async def rpc(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = RpcConnection(reader, writer, lambda name, params: methods.call(simulation, name, params))
        simulation.clients.add(connection)
        simulation.wake()
        try:
            await connection.serve()
        finally:
            simulation.clients.discard(connection)

    rpc_socket, stream_socket = _listen(options.host, options.port)
    port, simulation.streams.port = (listening.getsockname()[1] for listening in (rpc_socket, stream_socket))
    server = await asyncio.start_server(rpc, sock=rpc_socket)
    streams = asyncio.ensure_future(simulation.streams.serve(stream_socket))
    ready(port)
    try:
        await simulation.run()
    finally:
        server.close()
        streams.cancel()
        stream_socket.close()
        await simulation.close()


TRIES = 50


def _listen(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """Sockets that listen on a port and the one after it; port 0: any two free ones."""
    for _ in range(TRIES if port == 0 else 1):
        first = _bind(host, port)
        try:
            return first, _bind(host, first.getsockname()[1] + 1)
        except UserError:
            first.close()
            if port:
                raise
    raise UserError(f"no two free ports in a row were found on {host}")


def _bind(host: str, port: int) -> socket.socket:
    try:
        found = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OverflowError:
        raise UserError(f"port {port}: 1 to 65534, or 0 for any") from None
    except OSError as error:
        raise UserError(f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}") from None
    found.setblocking(False)
    return found
