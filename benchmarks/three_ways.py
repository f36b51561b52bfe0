"""The same drive three ways: read from its log, captured from a server that replays it, and read from its RDS-HQ clip.

python -m benchmarks.three_ways --log drive.log --map Town01.xodr --ego 174 --start 2
python -m benchmarks.three_ways --size 1280 704     # the small street of `cosmos-exp example`

Six cameras with rgb, depth, semantic, instance and normals. The log is compared with the capture at every frame, and
with the clip where it has samples of the objects (10 Hz) and at the frames in between.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.carla_sim import Drive, add_drive_options, drive_of
from cosmos_exp.carla_sim.process import server_process
from cosmos_exp.carla_sim.weather_parameters import parameters_of
from cosmos_exp.rendering.renderer import Renderer, render_camera
from cosmos_exp.scene.carla.log import load_carla_scene
from cosmos_exp.scene.carla_live.cameras import WantedCamera
from cosmos_exp.scene.carla_live.capture import Playing, Wanted, capture
from cosmos_exp.scene.carla_live.connection import Server
from cosmos_exp.scene.carla_live.folder import Capture
from cosmos_exp.scene.rds_hq.scene import load_rds_hq_scene
from cosmos_exp.scene.rds_hq.writer import write_clip
from cosmos_exp.scene.types import Scene
from cosmos_exp.sensors.camera import Camera, Rig
from cosmos_exp.sensors.carla_image import FAR_PLANE, LARGEST
from cosmos_exp.sensors.rigs import build_rig

OUTPUTS = ("rgb", "depth", "semantic", "instance", "normals")
TOLERANCES = {"rgb": 1, "depth": 0.01}  # levels; metres
FPS = 24
FRAMES = 121
YAWS = (0, -60, 60, 180, 120, -120)
PLACE = (0.5, 0.0, 1.75)  # metres from the ego actor's origin; CARLA's floats have them exactly
CHUNK = 8  # frames in memory
SAMPLES = 10  # per second, of the objects of a clip
TIMEOUT = 120.0  # seconds


@dataclass
class Difference:
    """Of two arrays of pixels, over all frames. differing: how many, of `pixels`; beyond: by more than `tolerance`."""

    tolerance: float = 0.0
    differing: int = 0
    beyond: int = 0
    pixels: int = 0

    def add(self, a: np.ndarray, b: np.ndarray) -> None:
        """Compare [F,H,W] or [F,H,W,C]. Infinite depths are equal to one another."""
        with np.errstate(invalid="ignore"):
            apart = np.where(a == b, 0.0, np.abs(a.astype(np.float64) - b))
        apart = apart.max(axis=-1) if apart.ndim == 4 else apart
        self.differing += int((apart > 0).sum())
        self.beyond += int((apart > self.tolerance).sum())
        self.pixels += apart.size

    def __str__(self) -> str:
        if not self.differing:
            return "equal"
        differing, beyond = (100 * count / self.pixels for count in (self.differing, self.beyond))
        more = f", {beyond:.2g} % by more than {self.tolerance:g}" if self.tolerance else ""
        return f"{differing:.2g} % of the pixels differ{more}"


Differences = Mapping[str, Difference]  # by output


def no_differences() -> dict[str, Difference]:
    return {output: Difference(TOLERANCES.get(output, 0.0)) for output in OUTPUTS}


def stored_by_carla(depth: np.ndarray) -> np.ndarray:
    """Depth as CARLA's 24 bits have it: float32 metres in steps of 1000 / (2^24 - 1), the far plane infinite."""
    steps = np.floor(np.minimum(depth.astype(np.float64) * (LARGEST / FAR_PLANE), LARGEST) + 0.5)
    return np.where(steps >= LARGEST, np.inf, steps * (FAR_PLANE / LARGEST)).astype(np.float32)


def six_cameras(size: tuple[int, int], yaws: Sequence[int] = YAWS) -> Rig:
    """A rig of pinholes around the ego actor's origin."""
    cameras = {f"yaw_{yaw % 360}": {"hfov": 90, "position": list(PLACE), "rotation": [0, 0, yaw]} for yaw in yaws}
    return build_rig("around", cameras, size=size)


def log_scene(drive: Drive, frames: int = FRAMES) -> Scene:
    return load_carla_scene(drive.log, drive.map, ego=drive.ego, start=drive.start, duration=frames / FPS)


@contextmanager
def replaying(drive: Drive) -> Iterator[Server]:
    """A server in the renderer's usual weather."""
    import carla

    with server_process(["--map", str(drive.map), "--log", str(drive.log), "--port", "0"]) as process:
        client = carla.Client(process.host, process.port)
        client.set_timeout(TIMEOUT)
        client.get_world().set_weather(carla.WeatherParameters(*parameters_of("Original").values))
        yield Server(process.host, process.port, TIMEOUT)


def captured(server: Server, drive: Drive, rig: Rig, folder: Path, frames: int = FRAMES) -> Capture:
    """The drive as CARLA's client has it from the server."""
    cameras = [WantedCamera(camera, OUTPUTS) for camera in rig.cameras]
    wanted = Wanted(FPS, frames, str(drive.ego), lambda origin: cameras)
    return capture(server, Playing(str(drive.log), drive.start), wanted, folder)


def on_rig(camera: Camera, scene: Scene) -> Camera:
    """The camera relative to the rig frame, of one that is relative to the ego actor."""
    assert scene.ego_origin is not None
    pose = camera.camera_to_rig.copy()
    pose[:3, 3] += scene.ego_origin
    return replace(camera, camera_to_rig=pose)


def log_and_capture(ours: Renderer, taken: Capture, rig: Rig, every: int = 1) -> Differences:
    """The log's scene as its renderer draws it beside the capture, in every `every`-th frame."""
    found = no_differences()
    frames = np.arange(0, taken.frames, every)
    for camera in rig.cameras:
        for part in _chunks(frames):
            times = ours.scene.start + part / FPS
            drawn = render_camera(ours, on_rig(camera, ours.scene), times, outputs=OUTPUTS)
            for output in OUTPUTS:
                expected = drawn.output(output)
                expected = stored_by_carla(expected) if output == "depth" else expected
                found[output].add(expected, taken.array(camera.name, output)[part])
    return found


def log_and_clip(ours: Renderer, theirs: Renderer, rig: Rig, times: np.ndarray) -> Differences:
    """The log's scene beside that of its RDS-HQ clip. times: seconds after the start of both."""
    found = no_differences()
    for camera in (on_rig(camera, ours.scene) for camera in rig.cameras):
        for part in _chunks(times):
            drawn = render_camera(ours, camera, ours.scene.start + part, outputs=OUTPUTS)
            again = render_camera(theirs, camera, theirs.scene.start + part, outputs=OUTPUTS)
            for output in OUTPUTS:
                found[output].add(drawn.output(output), again.output(output))
    return found


def _chunks(values: np.ndarray) -> list[np.ndarray]:
    return np.array_split(values, -(-len(values) // CHUNK))


def through_a_clip(scene: Scene, rig: Rig) -> Scene:
    """The scene as an exported clip has it."""
    with tempfile.TemporaryDirectory() as folder:
        return load_rds_hq_scene(folder, write_clip(scene, rig, folder))


def sample_times(frames: int) -> np.ndarray:
    """Seconds at which a clip has samples of the objects."""
    return np.arange(int((frames - 1) / FPS * SAMPLES) + 1) / SAMPLES


def report(name: str, differences: Differences) -> str:
    return "\n".join(f"{name:34} {output:9} {difference}" for output, difference in differences.items())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.three_ways", description=(__doc__ or "").split("\n")[0])
    add_drive_options(parser)
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--size", type=int, nargs=2, default=(640, 352), metavar=("W", "H"))
    given = parser.parse_args(arguments)
    rig = six_cameras(tuple(given.size))
    with drive_of(given) as drive, tempfile.TemporaryDirectory() as name:
        scene = log_scene(drive, given.frames)
        with replaying(drive) as server:
            began = time.perf_counter()
            taken = captured(server, drive, rig, Path(name, "capture"), given.frames)
            taking = time.perf_counter() - began
        steps = np.diff(taken.about["frames"])
        print(f"{taken.frames} frames of {len(rig.cameras)} cameras captured in {taking:.0f} s, "
              f"frame numbers {'without a gap' if (steps == 1).all() else 'WITH GAPS'}", flush=True)  # fmt: skip
        ours, theirs = Renderer(scene), Renderer(through_a_clip(scene, rig))
        print(report("log and capture, 24 fps", log_and_capture(ours, taken, rig)), flush=True)
        samples = log_and_clip(ours, theirs, rig, sample_times(given.frames))
        print(report("log and RDS-HQ, at its samples", samples), flush=True)
        between = log_and_clip(ours, theirs, rig, np.arange(given.frames) / FPS)
        print(report("log and RDS-HQ, 24 fps", between), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
