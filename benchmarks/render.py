"""Frames per second of the embedded renderer, against a painter's-algorithm drawing of the same triangles with OpenCV.

`python -m benchmarks.render` prints one row per output and size. Threads: NUMBA_NUM_THREADS for the renderer; the
painter (projection in numpy, sorting by depth, cv2.fillConvexPoly for a flat rgb and a triangle id) uses one.
"""

from __future__ import annotations

import os
import time

import cv2
import numpy as np

from cosmos_exp.common.cores import usable_cores
from cosmos_exp.rendering.renderer import Renderer, render_camera
from cosmos_exp.rendering.weather import WEATHERS
from cosmos_exp.scene.procedural.street import procedural_scene
from cosmos_exp.sensors.rigs import build_rig

SIZES = ((1280, 704), (256, 144))
FIVE = ("rgb", "depth", "semantic", "instance", "normals")
OUTPUTS = {
    "rgb+depth+semantic+instance+normals": FIVE,
    "depth+semantic+instance+normals": FIVE[1:],
    "rgb": ("rgb",),
    "hdmap": ("hdmap",),
}
FRONT = {"front_wide_120fov": {"hfov": 120, "position": [1.75, 0, 1.45], "rotation": [0, 2, 0]}}
FRAMES = 48
REPEATS = 3
SCENE = {"seed": 25, "road": "straight_4lane", "num_vehicles": 8, "num_pedestrians": 6, "duration": 5.0}


def run() -> list[dict[str, object]]:
    """Rows of {name, value, unit, ratio, against}."""
    scene = procedural_scene(**SCENE)
    renderer = Renderer(scene)
    times = np.arange(FRAMES) / 24
    rows: list[dict[str, object]] = []
    for width, height in SIZES:
        camera = build_rig("front", FRONT, size=(width, height)).cameras[0]
        painter = _best(lambda camera=camera: [paint(renderer, camera, t) for t in times[:8]], 8)
        triangles = in_view(renderer, camera, 0.0)
        rows.append(_row(f"painter cv2 flat rgb + id, {width}x{height}, {triangles} triangles in view", painter))
        for name, outputs in OUTPUTS.items():

            def draw(outputs=outputs, camera=camera) -> None:
                renderer.clear_frame_cache()
                render_camera(renderer, camera, times, outputs=outputs)

            rate = _best(draw, FRAMES)
            ratio = None if name == "hdmap" else rate / painter
            rows.append(_row(f"{name}, {width}x{height}", rate, ratio, "painter cv2"))
        samples = 2 if height <= 360 else 1
        gbuffer = renderer.gbuffer(camera, 0.0, samples=samples)
        for style in ("Original", "Sunny", "Night", "Rainy"):
            shaded = _best(lambda g=gbuffer, s=style: renderer.shade(g, WEATHERS[s]), 1, repeats=10)
            rows.append(_row(f"one more style of a drawn frame, {style}, 1 thread, {width}x{height}", shaded))
    return rows


def _row(name: str, rate: float, ratio: float | None = None, against: str = "") -> dict[str, object]:
    return {"name": name, "value": rate, "unit": "frames/s", "ratio": ratio, "against": against if ratio else ""}


def _best(work, frames: int, repeats: int = REPEATS) -> float:
    """Frames per second of the fastest repeat, after one for compiling and filling caches."""
    work()
    fastest = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        fastest = min(fastest, time.perf_counter() - start)
    return frames / fastest


def projected(renderer: Renderer, camera, t: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels [N,3,2], depths [N] and colours [N,3] of the triangles in the image and wholly in front of the camera."""
    gbuffer = renderer.gbuffer(camera, t)
    corners = np.concatenate([gbuffer.static.triangles, gbuffer.moving.triangles])
    colors = np.concatenate([gbuffer.static.attributes, gbuffer.moving.attributes])[:, 3:6]
    pose = gbuffer.camera_to_world
    local = (corners - pose[:3, 3].astype(np.float32)) @ pose[:3, :3].astype(np.float32)
    front = (local[..., 2] > 0.1).all(axis=1)
    local, colors = local[front], colors[front]
    model = camera.model
    pixels = local[..., :2] / local[..., 2:] * np.float32(model.fx) + np.array([model.cx, model.cy], np.float32)
    seen = (pixels.max(axis=1) >= 0).all(axis=1) & (pixels.min(axis=1) < (model.width, model.height)).all(axis=1)
    return pixels[seen], local[seen, :, 2].mean(axis=1), colors[seen]


def in_view(renderer: Renderer, camera, t: float) -> int:
    return len(projected(renderer, camera, t)[0])


def paint(renderer: Renderer, camera, t: float) -> tuple[np.ndarray, np.ndarray]:
    """Far to near, one flat colour and one id per triangle; no z test."""
    pixels, depth, colors = projected(renderer, camera, t)
    model = camera.model
    rgb = np.zeros((model.height, model.width, 3), np.uint8)
    ids = np.zeros((model.height, model.width), np.int32)
    order = np.argsort(-depth)
    corners = np.clip(np.rint(pixels), -30_000, 30_000).astype(np.int32)
    shades = (255 * colors).tolist()
    for i in order.tolist():
        cv2.fillConvexPoly(rgb, corners[i], shades[i])
        cv2.fillConvexPoly(ids, corners[i], i + 1)
    return rgb, ids


def main() -> None:
    load = os.getloadavg()[0]
    print(f"{usable_cores()} threads, {os.cpu_count()} cores, load average {load:.1f}")
    for row in run():
        ratio = f"  {row['ratio']:.1f} x {row['against']}" if row["ratio"] else ""
        print(f"{row['value']:8.1f} {row['unit']}  {row['name']}{ratio}")


if __name__ == "__main__":
    main()
