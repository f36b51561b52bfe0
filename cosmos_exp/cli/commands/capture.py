"""`cosmos-exp capture --sensors FILE -f LOG -o OUT`: what CARLA's Cosmos exporter captures from a running server."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from cosmos_exp.cli.commands.control_set import add_options, read_files, write_videos
from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError, ValidationErrors

if TYPE_CHECKING:
    from cosmos_exp.scene.carla_live.capture import Wanted
    from cosmos_exp.scene.carla_live.folder import Capture
    from cosmos_exp.scene.types import Scene
    from cosmos_exp.sensors.carla_yaml import CarlaSensors

CLIPS = "rds-hq"  # folder of the RDS-HQ clip
TICKS = "sensor_tick"  # an attribute that would leave ticks without an image


def command_line() -> Parser:
    parser = Parser(
        "capture",
        "Capture control videos from a running CARLA server, with the options of CARLA's Cosmos exporter: OUT/rgb.mp4, "
        "depth.mp4, rgb_edges.mp4 and so on, or OUT/camera_0/rgb.mp4 where the sensor file has several cameras.",
    )
    add_options(parser, "--output-dir", all_frames="all of the duration")
    add = parser.add_argument
    add(
        "-f", "--recorder-filename", metavar="LOG", help="recorder log to replay; default: live traffic, for -d seconds"
    )
    add("-s", "--start", type=float, metavar="S", help="seconds into the log; default: where it first has the ego")
    add("-d", "--duration", type=float, default=0.0, metavar="S", help="seconds of the log; default 0: to its end")
    add("--host", default="127.0.0.1", help="address of the server; default 127.0.0.1")
    add("--port", type=int, default=2000, help="default 2000")
    add("--timeout", type=float, default=30.0, metavar="S", help="seconds for every answer and image; default 30")
    add("-c", "--camera", type=int, default=0, metavar="ID", help="actor of the log that carries the sensors")
    add("--ego", metavar="NAME", help="in place of -c, its role or type; default: the role hero, ego_vehicle or ego")
    add("--time-factor", type=float, default=1.0, metavar="X", help="seconds of the log in a second of video")
    add("--ignore-hero", action="store_true", help="the replay does not drive the hero")
    add("--move-spectator", action="store_true", help="the spectator follows the replay")
    add("--spawn-sensors", action="store_true", help="the recorded sensors are replayed too")
    add("--num-post-workers", type=int, metavar="N", help="threads that decode and encode; default: all cores")
    add("--skip-render-hdmap", action="store_true", help="do not draw hdmap.mp4 for a sensor rds_hq")
    add("--keep", type=Path, metavar="FOLDER", help="keep raw pictures, actors and map: scene=carla_live reads them")
    return parser


def main(arguments: Sequence[str]) -> int:
    options = command_line().parse(arguments)
    _check(options)
    sensors, classes = read_files(options)
    for note in (*sensors.notes, *_not_followed(sensors), *classes.notes):
        print(f"note: {note}")
    with TemporaryDirectory(prefix=".capture_", dir=_made(options.output_dir)) as temporary:
        capture = _capture(options, sensors, options.keep or Path(temporary) / "capture")
        for path in _written(options, sensors, capture):
            print(path)
    if options.keep:
        print(f"{options.keep}: the capture, for scene=carla_live scene.folder={options.keep}")
    return 0


def _check(options: Namespace) -> None:
    """Raises ValidationErrors with every value that no capture can have."""
    errors = []
    for name in ("fps", "time_factor", "timeout"):
        value = getattr(options, name)
        if not 0 < value < math.inf:
            errors.append(f"--{name.replace('_', '-')} {value:g}: must be above 0, and finite")
    for name, value in (("start", options.start or 0.0), ("duration", options.duration)):
        if not 0 <= value < math.inf:
            errors.append(f"--{name} {value:g}: must be 0 s or more, and finite")
    if options.frames is not None and options.frames < 2:
        errors.append(f"--frames {options.frames}: at least 2, or leave it out for all of the duration")
    if options.frames is not None and options.duration:
        errors.append("--frames and --duration: give one of them")
    if options.num_post_workers is not None and options.num_post_workers < 1:
        errors.append(f"--num-post-workers {options.num_post_workers}: at least 1")
    if not 1 <= options.port <= 65534:
        errors.append(f"--port {options.port}: must be 1 to 65534")
    if options.camera and options.ego:
        errors.append("--camera and --ego: give one of them")
    if options.recorder_filename is None and not options.duration and not options.frames:
        errors.append("live traffic has no end: give --duration or --frames, or a log with --recorder-filename")
    if options.output_dir.is_file():
        errors.append(f"--output-dir {str(options.output_dir)!r} is a file, not a folder")
    if options.keep and options.keep.exists():
        errors.append(f"--keep {str(options.keep)!r} is there already: name a new folder")
    if errors:
        raise ValidationErrors(errors)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output-dir {str(folder)!r} cannot be made: {error.strerror}") from None
    return folder


def _not_followed(sensors: CarlaSensors) -> list[str]:
    ticks = any(TICKS in given for camera in sensors.photographic.values() for given in camera.values())
    return [f"attribute {TICKS} is not followed: every frame has an image of every sensor"] if ticks else []


def _capture(options: Namespace, sensors: CarlaSensors, folder: Path) -> Capture:
    from cosmos_exp.common.progress import steps
    from cosmos_exp.scene.carla_live.capture import Playing, capture
    from cosmos_exp.scene.carla_live.connection import Server

    playing = Playing(
        log=options.recorder_filename,
        start=options.start,
        time_factor=options.time_factor,
        ignore_hero=options.ignore_hero,
        ignore_spectator=not options.move_spectator,
        replay_sensors=options.spawn_sensors,
    )
    server, wanted = Server(options.host, options.port, options.timeout), _wanted(options, sensors)
    with steps("capture") as tick:
        return capture(server, playing, wanted, folder, threads=options.num_post_workers, tick=tick)


def _wanted(options: Namespace, sensors: CarlaSensors) -> Wanted:
    import numpy as np

    from cosmos_exp.scene.carla_live.cameras import WantedCamera
    from cosmos_exp.scene.carla_live.capture import Wanted
    from cosmos_exp.scene.carla_live.folder import OUTPUTS
    from cosmos_exp.sensors.carla_yaml import carla_rig

    frames = options.frames
    if options.duration:
        frames = math.floor(options.duration * options.fps / options.time_factor + 1e-6) + 1
    cameras = []
    for camera in carla_rig(sensors, np.zeros(3)).cameras:
        attributes = {
            output: {name: value for name, value in given.items() if name != TICKS}
            for output, given in sensors.photographic[camera.name].items()
        }
        outputs = tuple(output for output in OUTPUTS if output in sensors.outputs[camera.name])
        cameras.append(WantedCamera(camera, outputs, attributes))
    ego = options.ego or (str(options.camera) if options.camera else None)
    return Wanted(options.fps, frames, ego, lambda origin: cameras)


def _written(options: Namespace, sensors: CarlaSensors, capture: Capture) -> list[Path]:
    """The control videos, and where the sensor file has an rds_hq, the RDS-HQ clip."""
    from cosmos_exp.scene.carla_live.scene import captured_scene

    scene = captured_scene(capture)
    files = write_videos(
        options,
        scene,
        _without_hdmap(sensors) if options.skip_render_hdmap else sensors,
        options.output_dir,
        fps=capture.fps,
        num_frames=capture.frames,
        threads=options.num_post_workers,
        pictures=capture.array,
    )
    return [*files, *_clip(scene, sensors, options.output_dir / CLIPS)]


def _without_hdmap(sensors: CarlaSensors) -> CarlaSensors:
    outputs = {
        name: tuple(o for o in outputs if o != "hdmap" or "cosmos_visualization" in sensors.sensors[name])
        for name, outputs in sensors.outputs.items()
    }
    return replace(sensors, outputs=outputs)


def _clip(scene: Scene, sensors: CarlaSensors, root: Path) -> list[Path]:
    from cosmos_exp.captions.describe import describe
    from cosmos_exp.scene.actor_frame import actor_origin
    from cosmos_exp.scene.rds_hq.writer import write_clip
    from cosmos_exp.sensors.camera import Rig
    from cosmos_exp.sensors.carla_yaml import carla_rig

    rig = carla_rig(sensors, actor_origin(scene))
    cameras = tuple(camera for camera in rig.cameras if "rds_hq" in sensors.sensors[camera.name])
    if not cameras:
        return []
    clip = write_clip(scene, Rig(rig.name, cameras), root, caption=describe(scene))
    return [root / f"dataset_{clip}.json"]
