"""What the evaluator that ships with the package reads off the pictures of scenes that it was not trained on.

python -m benchmarks.evaluator [--scenes 24] [--markdown]

Every scene is seen by six cameras at two instants in all eight styles: the ceiling of the metrics of perception.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.damages import SIZE
from cosmos_exp.common.progress import steps
from cosmos_exp.common.styles import STYLES
from cosmos_exp.config.rigs import load_rig
from cosmos_exp.evaluators.config import EvaluatorConfig
from cosmos_exp.evaluators.nano import NanoEvaluator
from cosmos_exp.metrics import evaluate_metric
from cosmos_exp.metrics.types import GeneratedClip
from cosmos_exp.rendering.renderer import Renderer, render_camera
from cosmos_exp.train.rendering import HELD_OUT_SEED, training_scene

METRICS = ("mask_miou", "depth_si_rmse", "lane_f1", "object_recall", "false_objects")
ROWS = (
    *("mask_miou", "depth_si_rmse", "lane_f1", "lane_f1/solid_white", "lane_f1/broken_white", "lane_f1/yellow"),
    *("object_recall", "object_recall/car", "object_recall/large_vehicle", "object_recall/two_wheeler"),
    *("object_recall/pedestrian", "object_recall/traffic_light", "object_recall/traffic_sign"),
    *("object_recall/small", "object_recall/medium", "object_recall/large", "false_objects"),
)
TIMES = (0.5, 3.0)


def figures(seeds: range) -> dict[str, dict[str, float]]:
    """{style: {key: mean over the scenes that have it}}."""
    rig, evaluator = load_rig("six_views", size=SIZE), NanoEvaluator(EvaluatorConfig(every=1))
    cameras = {camera.name: camera for camera in rig.cameras}
    found: dict[str, dict[str, list[float]]] = {style: defaultdict(list) for style in STYLES}
    times = np.array(TIMES)
    with steps("evaluator") as tick:
        for done, seed in enumerate(seeds, 1):
            scene = training_scene(seed, duration=TIMES[-1] + 0.5)
            renderer = Renderer(scene)
            truth = {
                name: render_camera(renderer, camera, times, outputs=("depth", "semantic", "instance"))
                for name, camera in cameras.items()
            }
            for style in STYLES:
                videos = {
                    name: render_camera(renderer, camera, times, weather=style, outputs=("rgb",)).output("rgb")
                    for name, camera in cameras.items()
                }
                front, poses = next(iter(videos.values())), scene.rig_trajectory.sample(times)
                clip = GeneratedClip(
                    style, "", videos, front, truth, cameras, poses, videos, scene=scene, evaluator=evaluator
                )
                for metric in METRICS:
                    for key, value in evaluate_metric(clip, metric).items():
                        found[style][key].append(value)
            tick(done, len(seeds))
    return {style: {key: float(np.mean(values)) for key, values in of.items()} for style, of in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scenes", type=int, default=24)
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    options = parser.parse_args()
    found = figures(range(HELD_OUT_SEED, HELD_OUT_SEED + options.scenes))
    rows = [[key, *(f"{found[style].get(key, float('nan')):.2f}" for style in STYLES)] for key in ROWS]
    if options.markdown:
        head = ["metric", *STYLES]
        print("\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]))
        return
    table = Table("metric", *STYLES)
    for row in rows:
        table.add_row(*row)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
