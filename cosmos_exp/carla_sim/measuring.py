"""What the sensors measure in a tick: cameras of one place share a picture, and all are drawn in parallel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from cosmos_exp.carla_sim.actors import Actor
from cosmos_exp.carla_sim.cameras import CameraSensor, View, camera_sensor, is_camera, views
from cosmos_exp.carla_sim.rays import MOST_HITS, hits
from cosmos_exp.carla_sim.renderers import Appearances, ReplayedScene, TickPictures, TownPieces, heading
from cosmos_exp.carla_sim.replay import Replay
from cosmos_exp.carla_sim.sensors import INSTRUMENTS, SILENT, Instrument, Reading
from cosmos_exp.carla_sim.streaming import Streams
from cosmos_exp.carla_sim.weather_parameters import weather_of
from cosmos_exp.carla_sim.world import World
from cosmos_exp.common.errors import UserError
from cosmos_exp.rendering.weather import Weather


class Measuring:
    """The sensors of a world, and the threads that draw for them. Used in the event loop's thread alone.

    type_number: of a sensor's type in the client's version. builder: one thread, for what is done once per tick or
    longer than a tick may take.
    """

    def __init__(self, streams: Streams, type_number: Callable[[str], int], threads: int):
        self.streams, self.type_number = streams, type_number
        self.cameras: dict[int, CameraSensor] = {}
        self.instruments: dict[int, Instrument] = {}
        self.appearances = Appearances()
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="render")
        self.builder = ThreadPoolExecutor(1, thread_name_prefix="scene")
        self._pieces: TownPieces | None = None
        self._scene: ReplayedScene | None = None

    def add(self, actor: Actor, world: World) -> None:
        """Take over a new actor, if it is a sensor."""
        if is_camera(actor):
            self.cameras[actor.id] = camera_sensor(actor)
        elif actor.type_id in INSTRUMENTS:
            self.instruments[actor.id] = Instrument(actor, world.town.geo_reference)

    @staticmethod
    def check(actor: Actor, world: World) -> None:
        """Raises UserError where a sensor's attributes make none."""
        if is_camera(actor):
            camera_sensor(actor)
        elif actor.type_id in INSTRUMENTS:
            Instrument(actor, world.town.geo_reference)
        elif actor.is_sensor and actor.type_id not in SILENT:
            raise UserError(f"the embedded server has no {actor.type_id}")

    def place(self, actor: Actor) -> None:
        """The sensor was moved relative to its parent."""
        if actor.id in self.cameras:
            self.cameras[actor.id] = camera_sensor(actor)

    def forget(self, actors: Sequence[Actor]) -> None:
        """These actors are gone."""
        for actor in actors:
            if actor.is_sensor:  # the spectator's number is that of the world's stream
                self.streams.forget(actor.id)
            self.cameras.pop(actor.id, None)
            self.instruments.pop(actor.id, None)
            self.appearances.forget(actor.id)

    def change_town(self) -> None:
        if self._pieces is not None:
            self._pieces.close()
        self._pieces = None

    def show(self, replay: Replay | None, world: World) -> None:
        """From now on, draw the scene of that replay around its ego; None: the town everywhere."""
        self._scene = None if replay is None else ReplayedScene(replay, world.town, self.builder)

    def pictures(self, world: World) -> TickPictures:
        if self._pieces is None:
            self._pieces = TownPieces(world.town)
        return TickPictures(world, self.appearances, self._pieces, self._scene)

    def cast_ray(self, world: World, start: np.ndarray, end: np.ndarray, most: int = MOST_HITS) -> Awaitable[list]:
        """What lies between two points [3] of CARLA's frame now, as `rays.hits` tells it."""
        if not np.isfinite([start, end]).all():
            raise UserError("the ends of a ray must be finite")
        return asyncio.get_running_loop().run_in_executor(self.builder, hits, self.pictures(world), start, end, most)

    async def measure(self, world: World) -> None:
        """Draw and send what is listened to and due."""
        due = [
            world.actors[number]
            for number in (*self.cameras, *self.instruments)
            if self.streams.listened(number) and world.actors[number].is_due(world.elapsed)
        ]
        if not due or world.settings.no_rendering:
            return
        pictures = self.pictures(world)
        readings = {actor.id: _reading(world, actor) for actor in due if actor.id in self.instruments}
        cameras = [self.cameras[actor.id] for actor in due if actor.id in self.cameras]
        for actor in due:
            actor.measured = world.elapsed
        loop, moment, weather = asyncio.get_running_loop(), world.moment, _Weathers(world)

        def look(number: int) -> Reading:
            actor = self.instruments[number].actor
            found = pictures.place(actor, (actor.relative or actor.transform).pose)
            return replace(readings[number], look=found.look, sensor_to_rig=found.to_rig)

        def placed(sensor: CameraSensor) -> tuple:
            found = pictures.place(sensor.actor, sensor.camera.camera_to_rig)
            camera = replace(sensor.camera, camera_to_rig=found.to_rig)
            return found.renderer, found.frame, camera, weather.of(found.renderer)

        def place_all() -> list[View]:
            readings.update({number: look(number) for number in readings if self.instruments[number].looks})
            return views(cameras, placed)

        def measured(number: int) -> list[tuple[int, bytes]]:
            instrument = self.instruments[number]
            return [(number, instrument.message(self.type_number(instrument.actor.type_id), readings[number]))]

        drawn = await loop.run_in_executor(self.builder, place_all)
        new = self.streams.buffers.take
        jobs: list[Awaitable[list]] = [
            loop.run_in_executor(self.pool, view.render, moment, self.type_number, new) for view in drawn
        ]
        jobs += [loop.run_in_executor(self.pool, measured, number) for number in readings]
        for done in asyncio.as_completed(jobs):
            for stream, data in await done:
                self.streams.send(stream, data)

    def close(self) -> None:
        self.change_town()
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.builder.shutdown(wait=False, cancel_futures=True)


class _Weathers:
    """The world's weather as each renderer counts the sun's azimuth."""

    def __init__(self, world: World):
        self._parameters = world.weather
        self._found: dict[int, Weather] = {}

    def of(self, renderer: Any) -> Weather:
        key = id(renderer)
        if key not in self._found:
            self._found[key] = weather_of(self._parameters, heading=heading(renderer))
        return self._found[key]


def _reading(world: World, actor: Actor) -> Reading:
    carrier = world.root(actor)
    since = world.delta if actor.measured is None else world.elapsed - actor.measured
    return Reading(world.moment, since, actor.transform, carrier.acceleration, carrier.angular_velocity)
