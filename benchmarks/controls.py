"""Frames per second of each control video at 704x1280, against the OpenCV call that it is made around.

`python -m benchmarks.controls` draws some frames of a procedural street and prints a row per control and number of
threads. The OpenCV call is made frame by frame in one thread; what it leaves out (the logarithm's scaling, the bicubic
part of the blur, three channels) is part of the control.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import cv2
import numpy as np

from benchmarks.render import FRONT, SCENE, best
from cosmos_exp.controls import make_control
from cosmos_exp.controls.edge import CANNY_THRESHOLDS
from cosmos_exp.controls.vis import BLUR_PRESETS
from cosmos_exp.render.palette import PALETTE
from cosmos_exp.render.renderer import render_camera
from cosmos_exp.render.types import CameraRender
from cosmos_exp.scene.procedural import procedural_scene
from cosmos_exp.sensors.rigs import build_rig

WIDTH, HEIGHT = 1280, 704
FRAMES, REPEATS = 16, 2
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
    """Rows of {name, value, unit, ratio, against}."""
    camera = build_rig("front", FRONT, size=(WIDTH, HEIGHT)).cameras[0]
    render = render_camera(procedural_scene(**SCENE), camera, np.arange(FRAMES) / 24)
    before, cores = cv2.getNumThreads(), len(os.sched_getaffinity(0))
    try:
        return [row for name in PLAIN for row in _rows(name, render, cores)]
    finally:
        cv2.setNumThreads(before)


def _rows(name: str, render: CameraRender, cores: int) -> list[dict[str, object]]:
    call, output, draw = PLAIN[name]
    cv2.setNumThreads(1)
    plain = best(lambda: [draw(frame) for frame in getattr(render, output)], FRAMES, REPEATS)
    rows: list[dict[str, object]] = [{"name": f"{call} alone", "value": plain, "unit": "frames/s", "ratio": None}]
    for threads in sorted({1, cores}):
        cv2.setNumThreads(threads)
        rate = best(lambda: make_control(name, render), FRAMES, REPEATS)
        row = {"name": f"{name}, threads: {threads}", "value": rate, "unit": "frames/s", "ratio": rate / plain}
        rows.append(row | {"against": call})
    return rows


def main() -> None:
    print(f"control videos, {WIDTH}x{HEIGHT}, load average {os.getloadavg()[0]:.1f}")
    for row in run():
        ratio = f"  {row['ratio']:.2f} x {row['against']}" if row["ratio"] else ""
        print(f"{row['value']:8.1f} {row['unit']}  {row['name']}{ratio}")


if __name__ == "__main__":
    main()
