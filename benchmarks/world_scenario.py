"""World Scenario maps of a clip: frames a second of all cameras, drawn and not encoded, by two threads.

python -m benchmarks.world_scenario [CLIP]   a ClipGT clip or an RDS-HQ folder; by default
                                             $COSMOS_EXP_SHARED/rds_hq/example. Seven views are made of its cameras.
python -m benchmarks.world_scenario --gl     beside the same pictures drawn by OpenGL, which needs moderngl and EGL
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gl_maps import GlMaps
from cosmos_exp.common.errors import UserError
from cosmos_exp.rendering.wsm.sources import find_clips, open_source
from cosmos_exp.rendering.wsm.videos import WsmRenderer

VIEWS, FRAMES, THREADS, APART = 7, 12, 2, 10


def run(root: Path, frames: int, threads: int, gl: bool) -> list[dict[str, Any]]:
    """One row per way of drawing."""
    clip_id, folder = next(iter(find_clips(root).items()))
    print(f"{clip_id}: {VIEWS} views of 1280x720, {threads} threads")
    print(f"{'mode':20} {'prepare s':>10} {'frames/s':>10} {'CPU ms/frame':>13} {'frames per CPU-second x 2':>26}")
    chosen, rows = list(range(0, APART * frames, APART)), []
    for name, compat in (("default", False), ("--reference-compat", True)):
        renderer = WsmRenderer(open_source(folder, clip_id, reference_compat=compat))
        started = time.perf_counter()
        _ = renderer.scenario
        prepared = time.perf_counter() - started
        views = list(islice(cycle(renderer.source.cameras), VIEWS))
        _draw(renderer, views, [0], threads)  # kernels are compiled, canvases are there
        wall, cpu = time.perf_counter(), time.process_time()
        _draw(renderer, views, chosen, threads)
        rows.append(_row(name, prepared, len(chosen) * VIEWS, wall, cpu))
    if gl:
        rows.append(_by_gl(renderer, views, chosen))
    return rows


def _by_gl(renderer: WsmRenderer, views: list[str], frames: list[int]) -> dict[str, Any]:
    """renderer: with `reference_compat`, whose pictures are compared."""
    started = time.perf_counter()
    try:
        maps = GlMaps(renderer)
    except UserError as error:
        print(f"left out: {error}")
        return {"mode": "OpenGL", "error": str(error)}
    prepared = time.perf_counter() - started
    jobs = [(view, frame) for frame in frames for view in views]
    worst = min(_psnr(image, next(renderer.images(*_one(job)))[1]) for job, image in zip(jobs, maps.images(jobs)))
    wall, cpu = time.perf_counter(), time.process_time()
    count = sum(1 for _ in maps.images(jobs))
    row = _row("OpenGL", prepared, count, wall, cpu)
    print(f"OpenGL is {maps.device}; its pictures against --reference-compat: at least {worst:.1f} dB")
    return {**row, "device": maps.device, "psnr": worst}


def _one(job: tuple[str, int]) -> tuple[str, list[int]]:
    return job[0], [job[1]]


def _row(name: str, prepared: float, count: int, wall: float, cpu: float) -> dict[str, Any]:
    """wall, cpu: clocks at the start."""
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name:20} {prepared:10.2f} {count / wall:10.1f} {1e3 * cpu / count:13.1f} {2 * count / cpu:26.1f}")
    return {"mode": name, "prepare_seconds": prepared, "frames": count, "seconds": wall, "cpu_seconds": cpu}


def _psnr(image: np.ndarray, other: np.ndarray) -> float:
    error = np.square(image.astype(np.float32) - other).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def _draw(renderer: WsmRenderer, views: list[str], frames: list[int], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda view: sum(1 for _ in renderer.images(view, frames)), views))


def main() -> None:
    shared = Path(os.environ.get("COSMOS_EXP_SHARED", "../shared"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="?", type=Path, default=shared / "rds_hq" / "example")
    parser.add_argument("--gl", action="store_true", help="also by OpenGL")
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"of each view, {APART} apart")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--json", type=Path, help="write the rows here")
    asked = parser.parse_args()
    rows = run(asked.clip, asked.frames, asked.threads, asked.gl)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
