"""Does the best of N look better in what did not choose it?

python -m benchmarks.best_of SWEEP [--best-of 2 4]

SWEEP: folder of a sweep over `sampler.seed`, and over scenes, with all metrics. Its seeds stand for candidates: every
group of N of them is a choice, so that one sweep has many. Printed is, for each metric, the mean of what is kept minus
the mean of all seeds, over scenes and styles, with its 95 % interval over scenes.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from cosmos_exp.filtering.rule import FAVOURED, measured
from cosmos_exp.metrics.info import METRIC_INFO, metric_info
from cosmos_exp.runs.sweep_cells import Cell, read_cells
from cosmos_exp.tracking.comparison.statistics import student_interval

Clips = Sequence[Mapping[str, float]]
"""Metrics of the seeds of one scene in one style."""


def gain(clips: Clips, metric: str, best_of: int) -> float:
    """Mean of a metric over the kept clip of every group of so many, minus its mean over all clips."""
    scores = [measured(clip) for clip in clips]
    assert all(score is not None for score in scores)
    kept = [max(group, key=lambda i: (scores[i], -i)) for group in combinations(range(len(clips)), best_of)]
    return float(np.mean([clips[i][metric] for i in kept]) - np.mean([clip[metric] for clip in clips]))


def by_scene(cells: Sequence[Cell]) -> dict[str, list[Clips]]:
    """{scene: the seeds of each style}."""
    alike: dict[tuple[str, str], list[Mapping[str, float]]] = defaultdict(list)
    for cell in cells:
        scene = ", ".join(f"{k}={v}" for k, v in cell.axes.items() if k.startswith("scene."))
        alike[scene, cell.style].append(cell.metrics)
    scenes: dict[str, list[Clips]] = defaultdict(list)
    for (scene, _), clips in alike.items():
        scenes[scene].append(clips)
    return scenes


def gains(scenes: Mapping[str, Sequence[Clips]], metric: str, best_of: int) -> list[float]:
    """One per scene, the mean over its styles; of those in which every clip has the metric."""
    found = []
    for styles in scenes.values():
        known = [gain(clips, metric, best_of) for clips in styles if all(metric in clip for clip in clips)]
        found += [float(np.mean(known))] if known else []
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("sweep", type=Path)
    parser.add_argument("--best-of", nargs="+", type=int, default=[2, 4])
    options = parser.parse_args()
    scenes = by_scene([cell for cell in read_cells(options.sweep) if cell.metrics])
    counts = sorted({len(clips) for styles in scenes.values() for clips in styles})
    print(f"{len(scenes)} scenes, {' or '.join(map(str, counts))} seeds of each style")
    print("| metric | better | chose | mean | " + " | ".join(f"best of {n}" for n in options.best_of) + " |")
    print("| --- | --- | --- | --- |" + " --- |" * len(options.best_of))
    for metric in METRIC_INFO:
        if not metric_info(metric).direction or len(gains(scenes, metric, options.best_of[0])) < 2:
            continue
        chose = "yes" if metric in FAVOURED["measures"] else "no"
        values = [c[metric] for styles in scenes.values() for clips in styles for c in clips if metric in c]
        row = [f"`{metric}`", metric_info(metric).direction, chose, f"{np.mean(values):.3f}"]
        for best_of in options.best_of:
            found = gains(scenes, metric, best_of)
            ends = student_interval(found)
            row.append(f"{np.mean(found):+.3f} ({ends.low:+.3f} to {ends.high:+.3f})")
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
