"""Compiles the renderer's kernels, so that later processes on this machine load them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cosmos_exp.common.progress import Tick
from cosmos_exp.rendering.carla_pixels import draw_pixels
from cosmos_exp.rendering.clips.resample import Yuv420, resize
from cosmos_exp.rendering.renderer import Renderer, render_camera
from cosmos_exp.rendering.wsm import drawing as wsm
from cosmos_exp.scene.procedural.street import procedural_scene
from cosmos_exp.sensors.camera import Camera
from cosmos_exp.sensors.ftheta import FTheta
from cosmos_exp.sensors.pinhole import Pinhole

WIDTH, HEIGHT = 64, 36
FORWARD = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1.0]])  # a camera 1.5 m above the ground
WEATHERS = ("Rainy", "Snowy")  # precipitation has kernels of its own


def warm_up(tick: Tick) -> None:
    """Compile or load all kernels by tiny pictures. tick: told the seconds done and in all, of an idle core."""
    renderer = Renderer(procedural_scene(seed=0, duration=0.5))
    lens = FTheta(WIDTH, HEIGHT, (WIDTH / 2, HEIGHT / 2), (0.0, WIDTH / 2), backward=False)
    cameras = (
        Camera("pinhole", Pinhole(WIDTH, HEIGHT, WIDTH / 2, WIDTH / 2, WIDTH / 2, HEIGHT / 2), FORWARD),
        Camera("ftheta", lens, FORWARD),
    )
    pinhole, ftheta = cameras
    steps: list[tuple[float, Callable[[], object]]] = [
        (2.0, lambda: _draw(renderer, pinhole, "depth", "semantic", "instance", "normals")),
        (8.0, lambda: _draw_weathers(renderer, pinhole)),
        (3.5, lambda: _draw(renderer, pinhole, "hdmap")),
        (2.0, lambda: _draw(renderer, ftheta, "depth", "hdmap")),
        (1.5, lambda: _draw(renderer, pinhole, "lidar")),
        (1.5, _resample),
        (1.5, lambda: _carla_pixels(renderer, pinhole)),
        (9.0, wsm.warm_up),
    ]
    total = round(sum(seconds for seconds, _ in steps))
    done = 0.0
    for seconds, step in steps:
        tick(round(done), total)
        step()
        done += seconds
    tick(total, total)


def _draw(renderer: Renderer, camera: Camera, *outputs: str, weather: str = "Original") -> None:
    render_camera(renderer, camera, [0.0], weather=weather, outputs=outputs, threads=1)


def _draw_weathers(renderer: Renderer, camera: Camera) -> None:
    for weather in WEATHERS:
        _draw(renderer, camera, "rgb", weather=weather)


def _resample() -> None:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    resize(image, WIDTH, 2 * HEIGHT)
    Yuv420(WIDTH, HEIGHT, 2 * HEIGHT)(image)


def _carla_pixels(renderer: Renderer, camera: Camera) -> None:
    pixels = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    for samples in (1, 2):
        gbuffer = renderer.gbuffer(camera, 0.0, samples=samples)
        for output in ("depth", "semantic", "normals"):
            draw_pixels(gbuffer, output, pixels)
