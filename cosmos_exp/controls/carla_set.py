"""The videos of CARLA's Cosmos exporter, for every camera of its sensor file, rendered by the built-in renderer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video import Encoding, VideoWriter
from cosmos_exp.controls.previews import preview
from cosmos_exp.rendering.renderer import Renderer, render_camera
from cosmos_exp.rendering.types import CameraRender
from cosmos_exp.scene.actor_frame import actor_origin
from cosmos_exp.scene.types import Scene
from cosmos_exp.sensors.camera import Camera
from cosmos_exp.sensors.carla_yaml import CarlaSensors, carla_rig

FPS = 24.0
FRAMES_AT_ONCE = 16
# file name: preview that it shows, renderer outputs that a camera must provide
FILES = {
    "rgb": ("rgb", {"rgb"}),
    "rgb_masked": ("rgb_masked", {"rgb", "semantic"}),
    "rgb_edges": ("rgb_edges", {"rgb", "semantic"}),
    "depth": ("depth", {"depth"}),
    "semantic_segmentation": ("semantic", {"semantic"}),
    "sky": ("sky", {"semantic"}),
    "instance_segmentation": ("instance_segmentation", {"semantic", "instance"}),
    "shaded_segmentation": ("shaded_segmentation", {"semantic", "instance", "normals"}),
    "normals": ("normals", {"normals"}),
    "hdmap": ("hdmap", {"hdmap"}),
}
WSM = {"wsm": ("wsm", {"wsm"})}  # beyond what CARLA's exporter writes
MAPS = ("hdmap", "wsm")


def write_control_set(
    scene: Scene,
    sensors: CarlaSensors,
    folder: Path | str,
    *,
    fps: float = FPS,
    num_frames: int | None = None,
    edge: Mapping[str, Any] | None = None,
    seg: Mapping[str, Any] | None = None,
    encoding: Encoding = Encoding(),
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    pictures: Callable[[str, str], np.ndarray] | None = None,
    wsm: bool = False,
) -> list[Path]:
    """Write every video of FILES whose renderer outputs are requested for a camera; returns the files.

    They are in `folder`, or with several cameras in a subfolder for each. All videos have the
    frames of `frame_times`. edge, seg: parameters of these controls, such as class_filter and reference_compat.
    progress: called with (frames done, frames in all). Few frames are in memory at a time. The files of a camera
    appear together when all are complete, and not at all when one fails. pictures: from a camera and a renderer output,
    hdmap excepted, to its frames [F,H,W,...], in place of what the renderer would draw. wsm: a World Scenario map
    of cameras with an HD map too.
    """
    folder, times = Path(folder), frame_times(scene, fps, num_frames)
    cameras, draw = carla_rig(sensors, actor_origin(scene)).cameras, _Drawing(scene, threads, pictures)
    files = FILES | WSM
    written: list[Path] = []
    for index, camera in enumerate(cameras):
        _check_size(camera, encoding)
        requested = set(sensors.outputs[camera.name])
        requested |= {"wsm"} if wsm and "hdmap" in requested else set()
        names = [name for name, (_, needed) in files.items() if needed <= requested]
        place = folder / camera.name if len(cameras) > 1 else folder
        with ExitStack() as stack:
            size = {"width": camera.model.width, "height": camera.model.height}
            writers = {
                name: stack.enter_context(VideoWriter(place / f"{name}.mp4", fps=fps, encoding=encoding, **size))
                for name in names
            }
            for first in range(0, len(times), FRAMES_AT_ONCE):
                part = times[first : first + FRAMES_AT_ONCE]
                render = draw(camera, part, first, sorted(requested))
                for name, writer in writers.items():
                    for frame in preview(files[name][0], render, edge=edge, seg=seg):
                        writer.write(frame)
                if progress is not None:
                    progress(index * len(times) + first + len(part), len(cameras) * len(times))
        written += [writer.path for writer in writers.values()]
    return written


class _Drawing:
    """Renders of a scene, with given pictures where there are any."""

    def __init__(self, scene: Scene, threads: int | None, pictures: Callable[[str, str], np.ndarray] | None):
        self.scene = scene
        self.threads = threads
        self.pictures = pictures

    def __call__(self, camera: Camera, times: np.ndarray, first: int, outputs: Sequence[str]) -> CameraRender:
        """times: [F] seconds. first: number of the first of these frames in the pictures."""
        given = [name for name in outputs if self.pictures and name not in MAPS]
        taken = {name: self.pictures(camera.name, name)[first : first + len(times)] for name in given if self.pictures}
        drawn = [name for name in outputs if name not in taken]
        if not drawn:
            return CameraRender(camera.name, times, **taken)
        render = render_camera(self._renderer, camera, times, outputs=drawn, threads=self.threads)
        return CameraRender(camera.name, times, **taken, **{name: render.output(name) for name in drawn})

    @cached_property
    def _renderer(self) -> Renderer:
        return Renderer(self.scene)


def frame_times(scene: Scene, fps: float, num_frames: int | None = None) -> np.ndarray:
    """[F] seconds, 1/fps apart from the scene's start on: `num_frames`, or all up to its end.

    Raises UserError where the scene is too short for them.
    """
    if not 0 < fps < np.inf:
        raise UserError(f"fps={fps:g}: must be above 0")
    most = int(np.floor(scene.duration * fps + 1e-6)) + 1
    if num_frames is not None and not 1 <= num_frames <= most:
        raise UserError(f"{num_frames} frames: {scene.duration:.2f} s at {fps:g} Hz have 1 to {most}")
    return scene.frame_times(num_frames or most, fps)


def _check_size(camera: Camera, encoding: Encoding) -> None:
    width, height = camera.model.width, camera.model.height
    if not encoding.lossless and (width % 2 or height % 2):
        even: Sequence[int] = (width + width % 2, height + height % 2)
        raise UserError(
            f"{camera.name} has {width}x{height} pixels, and such videos need even numbers: {even[0]}x{even[1]}, or "
            "lossless videos"
        )
