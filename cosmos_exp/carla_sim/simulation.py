"""A running simulation: the world, the streams of its sensors, and the threads that draw them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.carla_sim.actors import Actor, Attributes
from cosmos_exp.carla_sim.blueprints import blueprint, definitions
from cosmos_exp.carla_sim.cameras import CameraSensor, View, camera_sensor, is_camera, views
from cosmos_exp.carla_sim.maps import Towns, base_name
from cosmos_exp.carla_sim.messages import MAP_CHANGE, snapshot
from cosmos_exp.carla_sim.msgpack_rpc import RpcConnection
from cosmos_exp.carla_sim.rays import MOST_HITS, hits
from cosmos_exp.carla_sim.recorder import WorldRecorder
from cosmos_exp.carla_sim.recording import blocked_actors, collisions, file_info
from cosmos_exp.carla_sim.renderers import (
    Appearances,
    ReplayedScene,
    TickPictures,
    TownPieces,
    heading,
)
from cosmos_exp.carla_sim.replay import Recording, ReplayOptions
from cosmos_exp.carla_sim.sensor_data import GeoReference
from cosmos_exp.carla_sim.sensors import INSTRUMENTS, SILENT, Instrument, Reading
from cosmos_exp.carla_sim.streaming import PATIENCE, WORLD_STREAM, Streams
from cosmos_exp.carla_sim.transforms import ORIGIN, Transform
from cosmos_exp.carla_sim.versions import DEFAULT, WORLD, version_of
from cosmos_exp.carla_sim.weather_parameters import WeatherParameters, weather_of
from cosmos_exp.carla_sim.world import Settings, World
from cosmos_exp.common.cores import usable_cores
from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.input_files import existing_file
from cosmos_exp.common.single_entry_cache import SingleEntryCache
from cosmos_exp.rendering.weather import Weather
from cosmos_exp.scene.carla.recorder import RecorderLog, read_log

logger = logging.getLogger(__name__)

HOST, PORT = "127.0.0.1", 2000
ASYNCHRONOUS_STEP = 0.05  # seconds between ticks that no client asks for, where none is set
IDLE = 0.2  # seconds between looks for clients


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
    """World, streams and renderers of a server. Used in the event loop's thread alone."""

    def __init__(self, options: ServerOptions):
        self.options = options
        self.version = version_of(options.version)
        self.towns = Towns(options.maps, options.folders)
        for log in options.logs:
            existing_file("recorder log", log)
        if options.recordings is not None and not options.recordings.is_dir():
            raise UserError(f"no folder of recordings {str(options.recordings)!r}: make it first")
        name = options.town or next(iter(self.towns.names), None)
        if name is None:
            raise UserError("the server needs a map: give an OpenDRIVE file or a folder of them")
        self.replay_options = ReplayOptions()
        self.world = World(self.towns.town(name), replay_options=self.replay_options)
        self.streams = Streams(self._greeting, options.patience)
        self.cameras: dict[int, CameraSensor] = {}
        self.instruments: dict[int, Instrument] = {}
        self.appearances = Appearances()
        self.pool = ThreadPoolExecutor(options.threads or usable_cores(), thread_name_prefix="render")
        self.builder = ThreadPoolExecutor(1, thread_name_prefix="scene")
        self.pieces: TownPieces | None = None
        self.scene: ReplayedScene | None = None
        self._recordings = SingleEntryCache()
        self.definitions: list = definitions(self.version.first_attribute_type)
        self.clients: set[RpcConnection] = set()
        self.recorder: WorldRecorder | None = None
        self.traffic_managers: dict[int, str] = {}  # host by port
        self._ticking = asyncio.Lock()
        self._woken = asyncio.Event()
        self._last_tick = time.monotonic()

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
        self._check_sensor(Actor(0, type_id, transform, given))
        actor = self.world.spawn(type_id, transform, given, **options)
        actor.box_center, actor.box_extent = np.array(kind.box_center), extent
        if is_camera(actor):
            self.cameras[actor.id] = camera_sensor(actor)
        elif actor.type_id in INSTRUMENTS:
            self.instruments[actor.id] = Instrument(actor, self._geo_reference())
        return actor

    def _check_sensor(self, actor: Actor) -> None:
        """Raises UserError where a sensor's attributes make none."""
        if is_camera(actor):
            camera_sensor(actor)
        elif actor.type_id in INSTRUMENTS:
            Instrument(actor, self._geo_reference())
        elif actor.is_sensor and actor.type_id not in SILENT:
            raise UserError(f"the embedded server has no {actor.type_id}")

    def _geo_reference(self) -> GeoReference:
        return self.world.town.geo_reference

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
            self.instruments.pop(actor.id, None)
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
            self.stop_recorder()
            old = self.world
            self._forget([actor for actor in old.actors.values()])
            settings = Settings() if reset_settings else old.settings
            if town is not None and self.pieces is not None:
                self.pieces.close()
                self.pieces = None
            self.world = World(
                town or old.town, old.episode + 1, old.frame + 1, settings, replay_options=self.replay_options
            )
            self.world.remember((*old.gone.values(), *old.actors.values()))
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
        path = self._below_recordings(name)
        return path if path.exists() or path.suffix else path.with_name(f"{path.name}.log")

    def recording(self, name: str) -> Recording:
        path = self.file_of(name)
        try:
            state = path.stat()
        except OSError:
            raise UserError(f"no recording {name!r}") from None
        key = (path, state.st_mtime_ns, state.st_size)
        return self._recordings.get(key, lambda: Recording(read_log(path)))

    def _told(self, name: str, tell: Callable[[RecorderLog], str]) -> Awaitable[str]:
        """What is to be told of a recording, found in another thread."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self.builder, lambda: tell(self.recording(name).log))

    def recorder_info(self, name: str, *, show_all: bool) -> Awaitable[str]:
        return self._told(name, lambda log: file_info(log, show_all=show_all))

    def recorder_collisions(self, name: str, kind1: str, kind2: str) -> Awaitable[str]:
        return self._told(name, lambda log: collisions(log, kind1, kind2))

    def recorder_blocked(self, name: str, min_time: float, min_distance: float) -> Awaitable[str]:
        return self._told(name, lambda log: blocked_actors(log, min_time, min_distance))

    def start_recorder(self, name: str, *, additional: bool) -> str:
        """Record from now on, to a file below the folder of recordings; returns its path."""
        self.stop_recorder()
        if self.options.recordings is None:
            raise UserError("this server has no folder of recordings: start it with --recordings DIR")
        path = self._below_recordings(name if Path(name).suffix else f"{name}.log")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.recorder = WorldRecorder(path, self.world, additional=additional)
        return str(path)

    def stop_recorder(self) -> None:
        if self.recorder is not None:
            self.recorder.close()
        self.recorder = None

    def _below_recordings(self, name: str) -> Path:
        folder = self.options.recordings
        assert folder is not None
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()) or path == folder.resolve():
            raise UserError(f"{name!r} lies outside the folder of recordings of this server")
        return path

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
            if self.recorder is not None:
                self.recorder.record(self.world)
            self._send_snapshot()
            frame = self.world.frame
            await self._measure()
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
            platform=world.platform_time, delta=world.delta, state=state, actors=world.states(),
        )  # fmt: skip

    async def _measure(self) -> None:
        """Draw and send what is listened to and due."""
        world, moment = self.world, self.world.moment
        due = [
            world.actors[number]
            for number in (*self.cameras, *self.instruments)
            if self.streams.listened(number) and world.actors[number].is_due(world.elapsed)
        ]
        if not due or world.settings.no_rendering:
            return
        pictures = self._pictures()
        readings = {actor.id: self._reading(actor) for actor in due if actor.id in self.instruments}
        cameras = [self.cameras[actor.id] for actor in due if actor.id in self.cameras]
        for actor in due:
            actor.measured = world.elapsed
        loop, weather = asyncio.get_running_loop(), world.weather
        type_number, new = self.version.type_number, self.streams.buffers.take
        weathers: dict[int, Weather] = {}

        def placed(sensor: CameraSensor) -> tuple:
            found = pictures.place(sensor.actor, sensor.camera.camera_to_rig)
            camera = replace(sensor.camera, camera_to_rig=found.to_rig)
            if id(found.renderer) not in weathers:
                weathers[id(found.renderer)] = weather_of(weather, heading=heading(found.renderer))
            return found.renderer, found.frame, camera, weathers[id(found.renderer)]

        def looking(number: int) -> Reading:
            actor = self.instruments[number].actor
            found = pictures.place(actor, (actor.relative or actor.transform).pose)
            return replace(readings[number], look=found.look, sensor_to_rig=found.to_rig)

        def measured(number: int) -> list[tuple[int, bytes]]:
            instrument = self.instruments[number]
            return [(number, instrument.message(type_number(instrument.actor.type_id), readings[number]))]

        def place_all() -> list[View]:
            readings.update({number: looking(number) for number in readings if self.instruments[number].looks})
            return views(cameras, placed)

        drawn = await loop.run_in_executor(self.builder, place_all)
        jobs: list[Awaitable[list]] = [
            loop.run_in_executor(self.pool, view.render, moment, type_number, new) for view in drawn
        ]
        jobs += [loop.run_in_executor(self.pool, measured, number) for number in readings]
        for done in asyncio.as_completed(jobs):
            for stream, data in await done:
                self.streams.send(stream, data)

    def _pictures(self) -> TickPictures:
        if self.pieces is None:
            self.pieces = TownPieces(self.world.town)
        return TickPictures(self.world, self.appearances, self.pieces, self.scene)

    def cast_ray(self, start: np.ndarray, end: np.ndarray, most: int = MOST_HITS) -> Awaitable[list[list]]:
        """What lies between two points [3] of CARLA's frame now, as `rays.hits` tells it."""
        if not np.isfinite([start, end]).all():
            raise UserError("the ends of a ray must be finite")
        return asyncio.get_running_loop().run_in_executor(self.builder, hits, self._pictures(), start, end, most)

    def _reading(self, actor: Actor) -> Reading:
        world = self.world
        carrier = world.root(actor)
        since = world.delta if actor.measured is None else world.elapsed - actor.measured
        return Reading(world.moment, since, actor.transform, carrier.acceleration, carrier.angular_velocity)

    async def close(self) -> None:
        self.stop_recorder()
        await self.streams.close_all()
        for client in list(self.clients):
            client.writer.close()
        if self.pieces is not None:
            self.pieces.close()
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.builder.shutdown(wait=False, cancel_futures=True)
