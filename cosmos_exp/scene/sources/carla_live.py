from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from cosmos_exp.common.typed_config import NO_EFFECT
from cosmos_exp.scene.source import Pictures, SceneConfig, SceneSource, window_problems
from cosmos_exp.scene.types import Scene

if TYPE_CHECKING:
    from cosmos_exp.scene.carla_live.folder import Capture

SHOWN = 5.0  # seconds of live traffic where no duration is given
FPS = 30.0  # of a recording without pictures


@dataclass
class CarlaLiveConfig(SceneConfig):
    """Captured from a running CARLA server, with its pictures."""

    host: str = field(default="127.0.0.1", metadata=NO_EFFECT)
    """Address of the server."""
    port: int = field(default=2000, metadata=NO_EFFECT)
    """Of its RPC; images come from the next one."""
    timeout: float = field(default=30.0, metadata=NO_EFFECT)
    """Seconds for every answer and image of the server."""
    log: str | None = None
    """Recorder log that the server replays, by its path or as the server knows it; null: live traffic."""
    start: float | None = None
    """Seconds into the log, or from now on; null: where the log first has the ego, or now."""
    duration: float | None = None
    """Seconds; null: as long as the video that is made."""
    time_factor: float = 1.0
    """Seconds of the log that a second of video shows."""
    ego: str | None = None
    """Actor id, role name or type of the ego vehicle; null: the role hero, ego_vehicle, ego, or hero0 to hero9."""
    folder: str | None = None
    """Where the capture is kept; one that is there is used, and needs no server. null: below paths.outputs, by what is
    captured."""
    seed: int = 0
    """Of the scenery (buildings, trees) generated beside the roads, for what the renderer draws."""


WITHOUT_PICTURES = "capture"
"""Folder of a capture of actors and map alone, below the one that is given."""


def load(folder: str | None, seed: int, **options: Any) -> Scene:
    """The scene of a capture; where there is none yet, of one without pictures, which is kept in `capture` below the
    folder, if that is given: a run that needs pictures makes a capture of its own."""
    from cosmos_exp.scene.carla_live.folder import is_finished, open_capture
    from cosmos_exp.scene.carla_live.scene import captured_scene

    for place in (folder, Path(folder) / WITHOUT_PICTURES) if folder else ():
        if is_finished(place):
            return captured_scene(open_capture(place), seed=seed)
    with TemporaryDirectory() as temporary:
        return captured_scene(_record(Path(folder or temporary) / WITHOUT_PICTURES, options), seed=seed)


def _record(folder: Path, options: Mapping[str, Any]) -> Capture:
    """Actors and map alone."""
    from cosmos_exp.common.progress import steps
    from cosmos_exp.scene.carla_live.capture import Wanted, capture

    seconds = options["duration"] or (None if options["log"] else SHOWN)
    frames = None if seconds is None else math.floor(seconds * FPS + 1e-6) + 1
    server, playing = _server(options), _playing(options)
    with steps("capture") as tick:
        return capture(server, playing, Wanted(FPS, frames, options["ego"]), folder, tick=tick)


def take(options: Mapping[str, Any], pictures: Pictures, folder: Path) -> None:
    """Capture the pictures that a run needs into a folder."""
    from cosmos_exp.scene.carla_live.cameras import WantedCamera
    from cosmos_exp.scene.carla_live.capture import Wanted, capture

    frames = pictures.frames
    if options["duration"] is not None:
        frames = math.floor(options["duration"] * pictures.fps + 1e-6) + 1
    wanted = Wanted(
        pictures.fps,
        frames,
        options["ego"],
        lambda origin: [WantedCamera(camera, pictures.outputs) for camera in pictures.cameras(origin)],
    )
    capture(_server(options), _playing(options), wanted, folder, threads=pictures.threads, tick=pictures.tick)


def _server(options: Mapping[str, Any]) -> Any:
    from cosmos_exp.scene.carla_live.connection import Server

    return Server(options["host"], options["port"], options["timeout"])


def _playing(options: Mapping[str, Any]) -> Any:
    from cosmos_exp.scene.carla_live.capture import Playing

    return Playing(options["log"], options["start"], options["time_factor"])


def contents(options: Mapping[str, Any]) -> Iterator[Path]:
    from cosmos_exp.scene.carla_live.folder import ABOUT

    if options["folder"]:
        yield Path(options["folder"]) / ABOUT  # it has the digests of the others


def check(options: Mapping[str, Any]) -> Iterator[str]:
    yield from window_problems(options["start"] or 0.0, options["duration"])
    if not 0 < options["time_factor"] < math.inf:
        yield f"scene.time_factor={options['time_factor']:g}: must be above 0, and finite; 1 is the log's own speed"
    elif options["log"] is None and options["time_factor"] != 1.0:
        yield f"scene.time_factor={options['time_factor']:g} is of a replay: give scene.log, or leave it out"
    if not 0 < options["timeout"] < math.inf:
        yield f"scene.timeout={options['timeout']:g}: must be above 0 s, and finite"
    if not 1 <= options["port"] <= 65534:
        yield f"scene.port={options['port']}: must be 1 to 65534; a CARLA server also uses the next one"
    if options["ego"] is not None and not options["ego"].strip():
        yield "scene.ego is empty: give an actor id, a role name or a type, or null"


SOURCE = SceneSource(CarlaLiveConfig, load, contents=contents, take=take, check=check)
