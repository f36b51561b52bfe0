"""Captures a drive from a running CARLA server into a folder, frame by frame.

The server ticks only when it is told to, 1/fps apart. What is played is a recorder log, or what the server does
anyway. Before the first frame a replay stands still (its time factor is 0), so that cameras can be mounted and come to
life; frame i then shows the log at start + i * time_factor / fps.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.common.cores import usable_cores
from cosmos_exp.common.counted_warnings import CountedWarnings
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import write_atomic
from cosmos_exp.common.progress import Tick
from cosmos_exp.scene.carla.recorder import town_name
from cosmos_exp.scene.carla.tracks import actor_box, rear_axle
from cosmos_exp.scene.carla_live.actors import ActorRecorder, recorded
from cosmos_exp.scene.carla_live.cameras import LiveOutput, WantedCamera, mount
from cosmos_exp.scene.carla_live.connection import CaptureError, Connection, Server, Undoing, connect, restoring
from cosmos_exp.scene.carla_live.ego import Vehicle, find_ego, live_vehicles
from cosmos_exp.scene.carla_live.folder import (
    LOG,
    REPLAYED,
    Capture,
    CapturedCamera,
    CaptureWriter,
    lens_text,
    open_capture,
)
from cosmos_exp.scene.carla_live.recording import (
    RecordedVehicle,
    Recording,
    check_window,
    last_frame,
    recording_info,
    replayed_ego,
)

WARM_UP = 3  # ticks before the first frame, in which cameras come to life
LOADING = 120.0  # seconds that a server is given to load a map
SAME_TIME, SAME_ELAPSED = 1e-5, 1e-3  # seconds: CARLA's step of a tick is a float32, and it sums steps


@dataclass(frozen=True)
class Playing:
    """What the server plays. log: a recorder log, by its path or as the server knows it; None: what it does anyway.

    start: seconds into the log, or from now on without one; None: where the log first has the ego, or now. time_factor:
    seconds of the log that a second of the capture shows. The others are CARLA's options of a replay.
    """

    log: str | None = None
    start: float | None = None
    time_factor: float = 1.0
    ignore_hero: bool = False
    ignore_spectator: bool = True
    replay_sensors: bool = False


@dataclass(frozen=True)
class Wanted:
    """What is captured.

    ego: actor id, role name or type; None: the vehicle of the first of EGO_ROLES. cameras: from the ego actor's origin
    [3] in the rig frame (FLU metres, origin on the ground below the rear axle) to the cameras, whose poses are relative
    to the ego actor. frames: their number, None for all that the log has from the start on.
    """

    fps: float
    frames: int | None
    ego: str | None = None
    cameras: Callable[[np.ndarray], Sequence[WantedCamera]] = lambda origin: ()


@dataclass(frozen=True)
class _Stage:
    """The world when the first frame is due. vehicle: a `carla.Vehicle`. replay: what is replayed."""

    world: Any
    vehicle: Any
    ego: Vehicle
    frames: int
    replay: _Replay | None = None


@dataclass(frozen=True)
class _Replay:
    """recorded: the ego in the log; None where the server does not list its vehicles. start: seconds of the log at
    frame 0. duration: seconds of the log, one step more than is captured, so that the replay goes on until then."""

    recording: Recording
    recorded: RecordedVehicle | None
    start: float
    duration: float

    @property
    def follow(self) -> int:
        """Id in the log."""
        return self.recorded.vehicle.id if self.recorded else 0


def capture(
    server: Server,
    playing: Playing,
    wanted: Wanted,
    folder: Path,
    *,
    threads: int | None = None,
    tick: Tick = lambda done, total: None,
) -> Capture:
    """Capture into `folder`; a capture that is there is replaced. tick: called with (frames done, frames in all).

    threads: that decode and store images; all cores by default. At most two ticks' images are in memory.
    Raises UserError where there is no such server, ego, log or window; CaptureError where the server stops answering,
    an image is missing or late, or another client interferes. Settings are put back and nothing remains of the folder.
    """
    with contextlib.closing(connect(server)) as connection:
        writer, about = _captured_into(folder, connection, playing, wanted, threads or usable_cores(), tick)
    writer.finish(about)
    return open_capture(folder)


def _captured_into(
    folder: Path, connection: Connection, playing: Playing, wanted: Wanted, threads: int, tick: Tick
) -> tuple[CaptureWriter, dict[str, Any]]:
    """All files but capture.json, and what that is to hold."""
    world = connection.ask(f"the server at {connection.server} has no world", connection.client.get_world)
    with restoring(connection, world) as undoing:
        stage = _set_up(connection, world, playing, wanted, undoing)
        origin = ego_origin(connection, stage.vehicle)
        cameras = tuple(wanted.cameras(origin))
        outputs = mount(connection, stage.world, stage.vehicle, cameras, undoing)
        writer = CaptureWriter(folder, tuple(map(_captured, cameras)), stage.frames)
        try:
            numbers = _Drive(stage, connection, wanted.fps, outputs, writer, threads).run(playing, tick)
            about = _about(connection, stage, playing, wanted, origin, numbers)
            about["map"] = _write_map(connection, stage.world, writer.partial)
            if stage.replay and Path(stage.replay.recording.name).is_file():
                shutil.copyfile(stage.replay.recording.name, writer.partial / REPLAYED)
        except BaseException:
            writer.discard()
            raise
    return writer, about


def ego_origin(connection: Connection, vehicle: Any) -> np.ndarray:
    """[3] of a live vehicle's origin in its rig frame, as `load_carla_scene` will have it."""
    actor = connection.ask("the server does not tell the ego's bounding box", lambda: recorded(vehicle))
    return -rear_axle(actor, actor_box(actor, CountedWarnings()))


def _captured(wanted: WantedCamera) -> CapturedCamera:
    camera = wanted.camera
    model = camera.model
    return CapturedCamera(
        camera.name, model.width, model.height, lens_text(model), camera.camera_to_rig, wanted.outputs
    )


def _set_up(connection: Connection, world: Any, playing: Playing, wanted: Wanted, undoing: Undoing) -> _Stage:
    if playing.log is None:
        return _live(connection, world, playing, wanted)
    recording = recording_info(connection, playing.log)
    hero = recording.ego(wanted.ego) if recording.vehicles else None
    first = math.ceil(hero.seconds * 1e3) / 1e3 if hero else 0.0
    start = first if playing.start is None else playing.start
    step = playing.time_factor / wanted.fps
    frames = wanted.frames or last_frame(recording, start, step) + 1
    check_window(recording, start, step, frames)
    replay = _Replay(recording, hero, start, frames * step)
    world = _clear_world(connection, world, recording)
    _go_synchronous(connection, world, wanted.fps)
    _stand_still(connection, world, playing, replay, undoing)
    what = f"the server does not tell what it replays of {recording.name!r}"
    vehicles = connection.ask(what, lambda: live_vehicles(world))
    ego = replayed_ego(hero, vehicles) if hero else find_ego(vehicles, wanted.ego)
    return _Stage(world, connection.ask(what, lambda: world.get_actor(ego.id)), ego, frames, replay)


def _live(connection: Connection, world: Any, playing: Playing, wanted: Wanted) -> _Stage:
    if wanted.frames is None:
        raise UserError("live traffic has no end: give the number of frames, or a duration")
    _go_synchronous(connection, world, wanted.fps)
    for _ in range(1 + round((playing.start or 0.0) * wanted.fps)):
        connection.ask("the server does not tick", lambda: world.tick(connection.server.timeout))
    what = "the server does not tell its vehicles"
    ego = find_ego(connection.ask(what, lambda: live_vehicles(world)), wanted.ego)
    return _Stage(world, connection.ask(what, lambda: world.get_actor(ego.id)), ego, wanted.frames)


def _clear_world(connection: Connection, world: Any, recording: Recording) -> Any:
    """A world of the log's town without the vehicles and walkers of others: this one, or else loaded anew."""
    client, timeout = connection.client, connection.server.timeout

    def clear() -> Any:
        same = town_of(world) == recording.town
        if same and not any(kind in a.type_id for a in world.get_actors() for kind in ("vehicle.", "walker.")):
            return world
        settings = world.get_settings()
        if settings.synchronous_mode:  # of a client that is gone: a server loads a map while it ticks
            settings.synchronous_mode = False
            world.apply_settings(settings)
        client.set_timeout(max(timeout, LOADING))
        loaded = client.reload_world(False) if same else client.load_world(recording.town, False)
        client.set_timeout(timeout)
        return loaded

    return connection.ask(f"the server cannot load {recording.town}, the town of {recording.name!r}", clear)


def _go_synchronous(connection: Connection, world: Any, fps: float) -> None:
    def go() -> None:
        settings = world.get_settings()
        settings.synchronous_mode = True
        settings.fixed_delta_seconds = 1.0 / fps
        settings.no_rendering_mode = False
        world.apply_settings(settings, connection.server.timeout)

    connection.ask("the server does not take synchronous mode", go)


def _stand_still(connection: Connection, world: Any, playing: Playing, replay: _Replay, undoing: Undoing) -> None:
    """Let the log be replayed and stand still at its start."""
    client, name = connection.client, replay.recording.name

    def stand_still() -> None:
        client.set_replayer_time_factor(0.0)
        client.set_replayer_ignore_hero(playing.ignore_hero)
        client.set_replayer_ignore_spectator(playing.ignore_spectator)
        told = client.replay_file(name, replay.start, replay.duration, replay.follow, playing.replay_sensors)
        if "not found" in told:
            raise CaptureError(f"the server cannot replay {name!r}: {' '.join(told.split())}")
        undoing.add("the replay cannot be stopped", lambda: client.stop_replayer(False))
        undoing.add("the replay's time factor cannot be put back", lambda: client.set_replayer_time_factor(1.0))
        world.tick(connection.server.timeout)

    connection.ask(f"the server cannot replay {name!r}", stand_still)


class _Drive:
    """The ticks of a capture."""

    def __init__(
        self,
        stage: _Stage,
        connection: Connection,
        fps: float,
        outputs: Sequence[LiveOutput],
        writer: CaptureWriter,
        threads: int,
    ):
        self.stage = stage
        self.connection = connection
        self.fps = fps
        self.outputs = outputs
        self.writer = writer
        self.threads = threads
        self._before: Any = None  # timestamp of the last tick

    def run(self, playing: Playing, tick: Tick) -> list[int]:
        """All frames; a replay goes on after the first one. Returns CARLA's numbers of the frames."""
        for _ in range(WARM_UP if self.stage.replay else 0):  # live traffic has no time to lose
            self._tick()
        numbers: list[int] = []
        log = ActorRecorder(self.writer.partial / LOG, self.connection, self.stage.world, self.stage.vehicle)
        with contextlib.closing(log), ThreadPoolExecutor(self.threads) as pool:
            storing: list[Future] = []
            for i in range(self.stage.frames):
                snapshot = self._tick()
                log.record(snapshot, i / self.fps)
                images = self._images(snapshot.frame)
                _wait(storing)
                storing = [pool.submit(self._store, output, image) for output, image in zip(self.outputs, images)]
                del images
                numbers.append(snapshot.frame)
                tick(i + 1, self.stage.frames)
                if i == 0 and playing.log is not None:
                    faster = partial(self.connection.client.set_replayer_time_factor, playing.time_factor)
                    self.connection.ask("the replay does not start", faster)
            _wait(storing)
        return numbers

    def _tick(self) -> Any:
        """The snapshot of a tick. Raises CaptureError where anything but this tick has moved the world."""
        world, server = self.stage.world, self.connection.server
        what = f"the server at {server} does not tick"
        frame, now = self.connection.ask(what, lambda: (world.tick(server.timeout), world.get_snapshot()))
        before, self._before = self._before, now.timestamp
        if now.frame == frame and (before is None or self._follows(before, now.timestamp)):
            return now
        settings = self.connection.ask(what, world.get_settings)
        raise CaptureError(
            f"another client moves the world of {server}: tick {frame} is followed by frame {now.frame}, "
            f"{now.timestamp.delta_seconds:.6g} s long"
            + (f", {now.frame - before.frame} frames after the last" if before else "")
            + f"; its settings are now synchronous_mode={settings.synchronous_mode}, "
            f"fixed_delta_seconds={settings.fixed_delta_seconds}, and were True, {1 / self.fps:.6g}: let one client "
            "tick at a time"
        )

    def _follows(self, before: Any, now: Any) -> bool:
        step = 1.0 / self.fps
        even = abs(now.delta_seconds - step) < SAME_TIME
        on_time = abs(now.elapsed_seconds - before.elapsed_seconds - step) < SAME_ELAPSED
        return even and on_time and now.frame == before.frame + 1

    def _images(self, frame: int) -> list[list[Any]]:
        deadline = time.monotonic() + self.connection.server.timeout
        return [output.take(frame, deadline, self.connection) for output in self.outputs]

    def _store(self, output: LiveOutput, images: Sequence[Any]) -> None:
        self.writer.append(output.camera, output.output, output.picture(images))


def _wait(futures: Sequence[Future]) -> None:
    for future in futures:
        future.result()


def town_of(world: Any) -> str:
    return town_name(world.get_map().name)


def _write_map(connection: Connection, world: Any, folder: Path) -> str:
    """The OpenDRIVE map, in a file of the town's name."""
    what = "the server does not give its map"
    text, town = connection.ask(what, lambda: (world.get_map().to_opendrive(), town_of(world)))
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in town) or "map"
    write_atomic(folder / f"{safe}.xodr", text.encode())
    return f"{safe}.xodr"


def _about(
    connection: Connection,
    stage: _Stage,
    playing: Playing,
    wanted: Wanted,
    origin: np.ndarray,
    numbers: Sequence[int],
) -> dict[str, Any]:
    client, world = connection.client, stage.world
    what = f"the server at {connection.server} does not tell what it is"
    version, town, weather = connection.ask(
        what, lambda: (client.get_server_version(), town_of(world), world.get_weather())
    )
    return {
        "captured": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "server": version,
        "client": client.get_client_version(),
        "town": town,
        "weather": weather_values(weather),
        "ego": {**dataclasses.asdict(stage.ego), "origin": origin.tolist()},
        "playing": dataclasses.asdict(playing),
        "replay": _replay_values(stage.replay),
        "fps": wanted.fps,
        "frames": list(numbers),
    }


def _replay_values(replay: _Replay | None) -> dict[str, Any] | None:
    """Of capture.json: the log's name, the ego's id in it (0 where it is not known), start and duration."""
    if replay is None:
        return None
    values = {"log": replay.recording.name, "ego": replay.follow}
    return {**values, "start": replay.start, "duration": replay.duration}


def weather_values(weather: Any) -> Mapping[str, float]:
    """The numbers of a `carla.WeatherParameters` by name."""
    names = (name for name in dir(weather) if name.islower() and not name.startswith("_"))
    return {name: value for name in names if isinstance(value := getattr(weather, name), float)}
