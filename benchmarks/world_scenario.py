"""World Scenario maps of a clip: frames a second of all cameras, drawn and not encoded, by two threads.

python -m benchmarks.world_scenario [CLIP]   a ClipGT clip or an RDS-HQ folder; by default
                                             $COSMOS_EXP_SHARED/rds_hq/example. Seven views are made of its cameras.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

from cosmos_exp.rendering.wsm.sources import find_clips, open_source
from cosmos_exp.rendering.wsm.videos import WsmRenderer

VIEWS, FRAMES, THREADS = 7, 12, 2


def main() -> None:
    shared = Path(os.environ.get("COSMOS_EXP_SHARED", "../shared"))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("clip", nargs="?", type=Path, default=shared / "rds_hq" / "example")
    root = parser.parse_args().clip
    clip_id, folder = next(iter(find_clips(root).items()))
    print(f"{clip_id}: {VIEWS} views of 1280x720, {THREADS} threads")
    print(f"{'mode':20} {'prepare s':>10} {'frames/s':>10} {'CPU ms/frame':>13} {'frames per CPU-second x 2':>26}")
    for name, compat in (("default", False), ("--reference-compat", True)):
        renderer = WsmRenderer(open_source(folder, clip_id, reference_compat=compat))
        started = time.perf_counter()
        _ = renderer.scenario
        prepared = time.perf_counter() - started
        views = list(islice(cycle(renderer.source.cameras), VIEWS))
        _draw(renderer, views, [0])  # kernels are compiled, canvases are there
        wall, cpu = time.perf_counter(), time.process_time()
        count = len(frames := range(0, 10 * FRAMES, 10)) * VIEWS
        _draw(renderer, views, list(frames))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(f"{name:20} {prepared:10.2f} {count / wall:10.1f} {1e3 * cpu / count:13.1f} {2 * count / cpu:26.1f}")


def _draw(renderer: WsmRenderer, views: list[str], frames: list[int]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda view: sum(1 for _ in renderer.images(view, frames)), views))


if __name__ == "__main__":
    main()
