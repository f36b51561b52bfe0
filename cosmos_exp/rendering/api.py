"""Renders of a scene through a whole rig."""

from __future__ import annotations

from collections.abc import Iterable

from cosmos_exp.rendering.renderer import Renderer, render_camera
from cosmos_exp.rendering.types import OUTPUTS, CameraRender
from cosmos_exp.scene.types import Scene
from cosmos_exp.sensors.camera import Rig


def render(
    scene: Scene,
    rig: Rig,
    *,
    num_frames: int,
    fps: float,
    weather: str = "Original",
    outputs: Iterable[str] = OUTPUTS,
    threads: int | None = None,
) -> dict[str, CameraRender]:
    """{camera: its renders} from the start of the scene on, every 1/fps seconds.

    weather, outputs, threads: as of `render_camera`, which also tells what is raised.
    """
    renderer, times, wanted = Renderer(scene), scene.frame_times(num_frames, fps), tuple(outputs)
    return {
        camera.name: render_camera(renderer, camera, times, weather=weather, outputs=wanted, threads=threads)
        for camera in rig.cameras
    }
