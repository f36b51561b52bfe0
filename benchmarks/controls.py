"""Frames per second of each control video at 704x1280, against the OpenCV call that it is made around.

`python -m benchmarks.controls` draws some frames of a procedural street and prints a row per control and number of
threads. The OpenCV call is made frame by frame in one thread; what it leaves out (the logarithm's scaling, the bicubic
part of the blur, three channels) is part of the control.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import cv2
import numpy as np

from benchmarks.render import FRONT, SCENE
from cosmos_exp.controls import make_control
from cosmos_exp.controls.edge import CANNY_THRESHOLDS
from cosmos_exp.controls.vis import BLUR_PRESETS
from cosmos_exp.rendering.palette import PALETTE
from cosmos_exp.rendering.renderer import render_camera
from cosmos_exp.rendering.types import CameraRender
from cosmos_exp.scene.procedural.street import procedural_scene
from cosmos_exp.sensors.rigs import build_rig

WIDTH, HEIGHT = 1280, 704
FRAMES = 8
ROUNDS, SECONDS = 3, 2.0  # at least, of each control
MEDIUM = BLUR_PRESETS["medium"]
COLORS = np.ascontiguousarray(PALETTE[np.arange(256) % len(PALETTE), None])
# control: the OpenCV call, of a frame of that renderer output
PLAIN: dict[str, tuple[str, str, Callable[[np.ndarray], np.ndarray]]] = {
    "edge": ("cv2.Canny", "rgb", lambda frame: cv2.Canny(frame, *CANNY_THRESHOLDS["medium"])),
    "depth": ("cv2.log", "depth", cv2.log),
    "seg": ("cv2.applyColorMap", "semantic", lambda frame: cv2.applyColorMap(frame, COLORS)),
    "vis": (
        "cv2.bilateralFilter",
        "rgb",
        lambda frame: cv2.bilateralFilter(
            frame[:: MEDIUM.downscale, :: MEDIUM.downscale], MEDIUM.diameter, MEDIUM.sigma_color, MEDIUM.sigma_space
        ),
    ),
}


def run() -> list[dict[str, object]]:
    """Rows of {name, value, unit, cpu_ms, ratio, against}; cpu_ms: of one frame."""
    camera = build_rig("front", FRONT, size=(WIDTH, HEIGHT)).cameras[0]
    render = render_camera(procedural_scene(**SCENE), camera, np.arange(FRAMES) / 24)
    before, cores = cv2.getNumThreads(), len(os.sched_getaffinity(0))
    try:
        return [row for name in PLAIN for row in _rows(name, render, cores)]
    finally:
        cv2.setNumThreads(before)


def _rows(name: str, render: CameraRender, cores: int) -> list[dict[str, object]]:
    call, output, draw = PLAIN[name]
    works = {(f"{call} alone", 1): lambda: [draw(frame) for frame in getattr(render, output)]}
    works |= {(f"{name}, threads: {n}", n): lambda: make_control(name, render) for n in sorted({1, cores})}
    spent = _spent(works)
    plain, _ = spent[f"{call} alone"]
    rows: list[dict[str, object]] = []
    for what, (seconds, worked) in spent.items():
        row = {"name": what, "value": FRAMES / seconds, "unit": "frames/s", "cpu_ms": 1000 * worked / FRAMES}
        rows.append(row | {"ratio": plain / seconds, "against": call})
    return rows


def _spent(works: dict[tuple[str, int], Callable[[], object]]) -> dict[str, tuple[float, float]]:
    """{what: least seconds, least CPU seconds} of several rounds. works: {(what, threads): call}; in turns, so that
    what else the machine does slows all of them."""
    least = dict.fromkeys((what for what, _ in works), (float("inf"), float("inf")))
    begun = time.perf_counter()
    rounds = 0
    while rounds < ROUNDS or time.perf_counter() - begun < SECONDS:
        rounds += 1
        for (what, threads), work in works.items():
            cv2.setNumThreads(threads)
            start, worked = time.perf_counter(), time.process_time()
            work()
            now = time.perf_counter() - start, time.process_time() - worked
            least[what] = tuple(map(min, least[what], now))
    return least


def main() -> None:
    print(f"control videos, {WIDTH}x{HEIGHT}, load average {os.getloadavg()[0]:.1f}")
    for row in run():
        print(
            f"{row['value']:8.1f} {row['unit']}  {row['name']:<28} {row['ratio']:5.2f} x {row['against']}"
            f"  {row['cpu_ms']:.2f} ms of CPU a frame"
        )


if __name__ == "__main__":
    main()
