"""Whether a video model does what its settings promise: guidance, steps, weights and kinds of controls, captions.

python -m benchmarks.behaviour [OVERRIDE ...] [--model nano] [--scenes 16] [--seeds 2] [--only PART ...] [--folder F]

Each part is a sweep of the front view over held-out scenes and noise seeds, in the style Sunny: its cells are cached,
kept in the folder and resumed. A claim compares two settings, paired over scenes (the mean of its seeds for each), and
holds where the 95 % interval of the difference lies on its side. What is wanted:

guidance  0 to 3 raises the style score, and costs at most 0.5 dB and 5 % of the labels shown.
weight    of the HD map alone: every step from 0.05 to 1 raises the agreement of the masks.
controls  each alone is the best single one in its own measure: vis Blur SSIM, edge Edge F1, depth si-RMSE, seg mask
          mIoU; over seeds vis differs least and seg most; all at once are best over these measures.
steps     more are never worse.
captions  that of another style loses 8 dB.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import cosmos_exp as cx
from cosmos_exp.captions.rewrite import rewrite
from cosmos_exp.runs.seed_diversity import KEY as DIVERSITY
from cosmos_exp.runs.seed_diversity import join_seed_diversity
from cosmos_exp.tracking.comparison.statistics import Interval, mean_interval
from cosmos_exp.train.rendering import HELD_OUT_SEED

STYLE, WRONG_STYLE = "Sunny", "Night"
MEASURES = {"vis": ("blur_ssim", 1), "edge": ("edge_f1", 1), "depth": ("depth_si_rmse", -1), "seg": ("mask_miou", 1)}
"""control: its own measure, and 1 where more is better."""
MOST_DECIBELS, MOST_LABELS, LEAST_CAPTION = 0.5, 0.05, 8.0
WEIGHTS = (0.05, 0.25, 0.5, 1)  # a run needs a control with a weight
STEPS = (4, 8, 16, 35)
GUIDANCE = (0, 3)

Rows = list[dict[str, Any]]
Scenes = dict[int, float]  # scene seed -> value
Value = Callable[[dict[str, Any]], float | None]


@dataclass(frozen=True)
class Claim:
    """A difference that should be above `bound`: its mean over scenes, and its interval."""

    text: str
    mean: float
    interval: Interval | None
    bound: float = 0.0
    or_noise: bool = False

    @property
    def verdict(self) -> str:
        """or_noise: it holds unless the difference is surely below the bound."""
        if self.interval is None:
            return "one scene"
        low, high = self.interval.low, self.interval.high
        if low >= self.bound:
            return "holds"
        return "fails" if high < self.bound else "holds, within noise" if self.or_noise else "not told apart"


def of_setting(rows: Rows, axis: str, setting: object, value: Value) -> Scenes:
    """`of_scenes` of the rows with this setting."""
    return of_scenes([row for row in rows if row.get(axis) == setting], value)


def of_scenes(rows: Rows, value: Value) -> Scenes:
    """{scene seed: mean over the rows of the scene that have the value}."""
    found: dict[int, list[float]] = {}
    for row in rows:
        number = value(row)
        if number is not None:
            found.setdefault(row.get("scene.seed", 0), []).append(number)
    return {scene: float(np.mean(values)) for scene, values in found.items()}


def difference(text: str, better: Scenes, worse: Scenes, sign: float = 1, **options: Any) -> Claim:
    """better - worse of the scenes that have both, times the sign."""
    values = [sign * (better[scene] - worse[scene]) for scene in sorted(better.keys() & worse.keys())]
    mean = float(np.mean(values)) if values else float("nan")
    return Claim(text, mean, mean_interval(values) if len(values) > 1 else None, **options)


def metric(name: str) -> Value:
    return lambda row: row.get(name)


def labels_shown(row: dict[str, Any]) -> float | None:
    """Mean of the shares of lane lines and of objects that are shown."""
    found = [row[name] for name in ("lane_survival", "object_survival") if row.get(name) is not None]
    return float(np.mean(found)) if found else None


class Behaviour:
    """Sweeps of one model in one folder.

    overrides: of every cell, after the model and its front view.
    """

    def __init__(self, folder: Path, overrides: Sequence[str], scenes: int, seeds: int):
        self.folder = folder
        first = HELD_OUT_SEED
        self.overrides = [
            *("views=single", "tracking.mode=disabled", f"captions.styles=[{STYLE}]", *overrides),
            f"scene.seed={','.join(str(first + n) for n in range(scenes))}",
            f"sampler.seed={','.join(str(n) for n in range(seeds))}",
        ]

    def rows(self, name: str, *overrides: str) -> Rows:
        sweep = cx.sweep([*self.overrides, *overrides, f"hydra.sweep.dir={self.folder / name}"])
        return [cell.row() for cell in join_seed_diversity(sweep.path, sweep.cells)]

    def guidance(self) -> Iterator[Claim]:
        axis = "sampler.guidance"
        none, most = GUIDANCE
        rows = self.rows("guidance", f"{axis}={none},{most}")
        style, psnr, labels = (
            [of_setting(rows, axis, setting, value) for setting in (none, most)]
            for value in (metric("style_score"), metric("psnr"), labels_shown)
        )
        yield difference(f"guidance {none} to {most}: style score", style[1], style[0])
        yield difference(f"guidance {none} to {most}: PSNR, dB", psnr[1], psnr[0], bound=-MOST_DECIBELS)
        most_lost = MOST_LABELS * float(np.mean(list(labels[0].values())))
        yield difference(f"guidance {none} to {most}: labels shown", labels[1], labels[0], bound=-most_lost)

    def weight(self) -> Iterator[Claim]:
        axis = "controls.hdmap.weight"
        rows = self.rows("weight", "controls=hdmap", f"{axis}={','.join(map(str, WEIGHTS))}", "sampler.guidance=0")
        for low, high in pairwise(WEIGHTS):
            values = [of_setting(rows, axis, weight, metric("mask_miou")) for weight in (low, high)]
            yield difference(f"HD map {low} to {high}: mask mIoU", values[1], values[0])

    def controls(self) -> Iterator[Claim]:
        names = list(MEASURES)
        without = [f"without_{name}" for name in names]
        rows = self.rows("controls", f"controls={','.join([*names, *without, 'uniform'])}", "sampler.guidance=0")
        by_control = {
            (name, key): of_setting(rows, "controls", name, metric(key))
            for name in (*names, *without, "uniform")
            for key in (*(measure for measure, _ in MEASURES.values()), DIVERSITY)
        }
        for name, (key, sign) in MEASURES.items():
            for other in names:
                if other != name:
                    pair = by_control[name, key], by_control[other, key]
                    yield difference(f"{name} alone beside {other}: {key}", *pair, sign)
        for name in names[1:]:
            yield difference(f"vis differs less than {name}", by_control[name, DIVERSITY], by_control["vis", DIVERSITY])
        for name in names[:-1]:
            yield difference(f"seg differs more than {name}", by_control["seg", DIVERSITY], by_control[name, DIVERSITY])
        ranks = mean_ranks(by_control, [*names, *without, "uniform"])
        for name in (*names, *without):
            yield difference(f"uniform beside {name}: mean rank", ranks[name], ranks["uniform"])

    def steps(self) -> Iterator[Claim]:
        axis = "sampler.num_steps"
        rows = self.rows("steps", f"{axis}={','.join(map(str, STEPS))}")
        for key in ("psnr", "mask_miou"):
            for few, many in pairwise(STEPS):
                values = [of_setting(rows, axis, steps, metric(key)) for steps in (few, many)]
                yield difference(f"steps {few} to {many}: {key}", values[1], values[0], or_noise=True)

    def captions(self) -> Iterator[Claim]:
        """A prompt of its own, in place of the caption, names the style only."""
        axis = "captions.prompt"
        right, wrong = (rewrite("A street.", style) for style in (STYLE, WRONG_STYLE))
        rows = self.rows("captions", f'{axis}="{right}","{wrong}"')
        told, untold = (of_setting(rows, axis, prompt, metric("psnr")) for prompt in (right, wrong))
        yield difference(f"{STYLE} beside {WRONG_STYLE} in the caption: PSNR, dB", told, untold, bound=LEAST_CAPTION)


def mean_ranks(
    by_control: dict[tuple[str, str], dict[int, float]], names: Sequence[str]
) -> dict[str, dict[int, float]]:
    """{control: {scene: mean of its ranks in the four measures}}, 0 for the best."""
    found: dict[str, Scenes] = {name: {} for name in names}
    scenes = set.intersection(*(set(values) for (_, key), values in by_control.items() if key != DIVERSITY))
    for scene in scenes:
        ranks = np.zeros(len(names))
        for key, sign in MEASURES.values():
            values = np.array([-sign * by_control[name, key][scene] for name in names])
            ranks += (values[:, None] > values).sum(axis=1) / len(MEASURES)
        for name, rank in zip(names, ranks):
            found[name][scene] = float(rank)
    return found


PARTS = ("guidance", "weight", "controls", "steps", "captions")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="nano", help="an option of the group model")
    parser.add_argument("--scenes", type=int, default=16, help="held-out procedural scenes")
    parser.add_argument("--seeds", type=int, default=2, help="noise seeds of each")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to measure")
    parser.add_argument("--folder", type=Path, help="of the sweeps; outputs/behaviour/MODEL")
    parser.add_argument("overrides", nargs="*", help="of every cell, such as model.num_frames=9")
    options = parser.parse_args()
    folder = options.folder or Path("outputs/behaviour") / options.model
    behaviour = Behaviour(folder, [f"model={options.model}", *options.overrides], options.scenes, options.seeds)
    table = Table("claim", "difference", "95 % interval", "wanted", "")
    for part in options.only:
        for claim in getattr(behaviour, part)():
            found = claim.interval
            interval = "" if found is None else f"{found.low:.3f} to {found.high:.3f}"
            table.add_row(claim.text, f"{claim.mean:.3f}", interval, f"> {claim.bound:.3g}", claim.verdict)
    Console().print(table)


if __name__ == "__main__":
    main()
