"""What each metric sees: renders damaged in known ways, at graded strength.

python -m benchmarks.metrics [--scenes 16] [--styles Original Night Snowy] [--workers 2] [--markdown FILE]

Every clip begins as the renderer's own picture in a style, the ceiling of every metric, and is damaged step by step
(`benchmarks.damages`). The table gives, per metric and damage, the rank correlation (Spearman 1904) of the loss with
the strength, mean over the clips, and the size of the effect: the mean loss at full strength as a share of that from
the ceiling to the floor (`cosmos_exp.metrics.references`), or of a metric without a floor, to the worst damage. `SEES`
and `IGNORES` say what a metric is there for; a metric that fails its own row is marked.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing as mp
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.damages import DAMAGES, OF_SEVERAL_VIEWS, Truth, Videos
from cosmos_exp.common.progress import steps
from cosmos_exp.common.views import VIEWS
from cosmos_exp.metrics import evaluate_metric
from cosmos_exp.metrics.info import metric_info
from cosmos_exp.metrics.references import (
    DISPLACED,
    FLOOR_OF_KEY,
    FOREIGN,
    displaced_clip,
    floor_of,
    foreign_clip,
    with_videos,
)
from cosmos_exp.metrics.types import GeneratedClip
from cosmos_exp.train.rendering import HELD_OUT_SEED, single_thread

METRIC_OF = {
    "sharpness_error": "sharpness",
    **{f"style_{region}": "style_regions" for region in ("road", "sky", "vegetation", "building")},
    "cse_keep": "cse",
}
"""{key: the metric that it comes from}, where that has another name."""

FRONT = (
    *("style_score", "style_regions", "style_road", "style_sky", "style_vegetation", "style_building"),
    *("psnr", "blur_ssim", "edge_f1", "depth_edge_auc", "semantic_eta2", "sharpness_error", "artefacts"),
    *("flicker", "tse"),
    *("mask_miou", "depth_si_rmse", "lane_f1", "lane_survival"),
    *("object_recall", "false_objects", "object_survival", "frechet"),
)
SEVERAL = ("cse", "cse_keep")
METRICS = (*FRONT, *SEVERAL)
"""Keys of the front view alone, and of three neighbouring views."""

STRENGTHS = (0.25, 0.5, 0.75, 1.0)
MUST, MUST_NOT = 0.7, 0.2
"""Least rank correlation of what a metric must see, and largest effect of what it must not."""

TRAFFIC = ("no vehicles", "vehicles added", "vehicle moved")
LINES = ("no lane lines", "lane lines moved")
ORDER = ("frozen", "shuffled")
SCENE = (*TRAFFIC, *LINES, *ORDER)

SEES = {
    "style_score": ("wrong style",),
    "style_regions": ("wrong style",),
    "style_road": ("wrong style",),
    "style_sky": ("wrong style",),
    "style_vegetation": ("wrong style",),
    "style_building": ("wrong style",),
    "psnr": ("blur", "noise", "shift", "wrong style", "colours", *SCENE),
    "blur_ssim": ("shift", "wrong style", "colours", *TRAFFIC, *ORDER),
    "edge_f1": ("blur", "noise", "shift", *SCENE),
    "depth_edge_auc": ("blur", "noise", "shift"),
    "semantic_eta2": ("noise", "shift"),
    "sharpness_error": ("blur", "noise"),
    "artefacts": ("noise",),
    "flicker": ("noise", "shuffled"),
    "tse": ("noise", "shift"),
    "mask_miou": ("noise", "shift"),
    "depth_si_rmse": ("noise", "shift"),
    "lane_f1": ("shift", *LINES),
    "lane_survival": ("shift", "lane lines moved"),
    "object_recall": ("shift", "no vehicles"),
    "false_objects": ("shift", "vehicles added"),
    "object_survival": ("shift", "no vehicles", "vehicle moved"),
    "frechet": ("blur", "noise", "wrong style"),
    "cse": ("shift", "views swapped"),
    "cse_keep": ("shift", "noise", "views swapped"),
}
IGNORES = {
    "style_score": ("shift", "blur", *SCENE),
    "style_regions": ("blur", *SCENE),
    "style_road": ("blur", "no lane lines", *ORDER),
    "style_sky": SCENE,
    "style_vegetation": (*TRAFFIC, *LINES),
    "style_building": SCENE,
    "blur_ssim": LINES,
    "depth_edge_auc": ("colours", "lane lines moved"),
    "semantic_eta2": ("colours",),
    "sharpness_error": ("shift", *SCENE),
    "artefacts": ("blur", "no lane lines"),
    "flicker": ("colours", *TRAFFIC, *LINES),
    "tse": ("colours",),
    "mask_miou": LINES,
    "depth_si_rmse": ("colours", "no lane lines"),
    "lane_f1": ("colours", *TRAFFIC),
    "lane_survival": ("colours", *TRAFFIC),
    "object_recall": LINES,
    "false_objects": LINES,
    "object_survival": LINES,
    "cse": ("colours", *ORDER),
    "cse_keep": ("colours", *ORDER),
}


@dataclass(frozen=True)
class Response:
    """correlation: rank correlation of loss and strength, mean over the clips. effect: mean loss at full strength, as a
    share of that from ceiling to floor. clips: their number."""

    correlation: float
    effect: float
    clips: int = 0


@dataclass(frozen=True)
class Clips:
    """One scene in several styles, to be damaged."""

    seed: int
    styles: tuple[str, ...]
    metrics: tuple[str, ...]
    damages: tuple[str, ...]


@dataclass
class Losses:
    """Of one clip, against its ceiling; higher is worse. floor: {metric: loss}, of those that have one. damaged:
    {(metric, damage): losses at STRENGTHS}. Where a metric is undefined for a damaged clip, it is at its floor."""

    floor: dict[str, float] = field(default_factory=dict)
    damaged: dict[tuple[str, str], list[float]] = field(default_factory=dict)


def clips_of(
    count: int,
    styles: Sequence[str],
    metrics: Sequence[str] = METRICS,
    damages: Sequence[str] = tuple(DAMAGES),
    first_seed: int = HELD_OUT_SEED,
) -> list[Clips]:
    """`count` scenes in each style."""
    seeds = range(first_seed, first_seed + count)
    return [Clips(seed, tuple(styles), tuple(metrics), tuple(damages)) for seed in seeds]


def losses_of(clips: Clips) -> list[Losses]:
    """Of each style."""
    return [_losses(clips, style) for style in clips.styles]


def _losses(clips: Clips, style: str) -> Losses:
    losses = Losses()
    front = [name for name in clips.metrics if name not in SEVERAL]
    several = [name for name in clips.metrics if name in SEVERAL]
    if front:
        damages = [damage for damage in clips.damages if damage not in OF_SEVERAL_VIEWS]
        _damage(Truth(clips.seed, style), front, damages, losses)
    if several:
        damages = [damage for damage in clips.damages if damage not in (*TRAFFIC, *LINES)]
        _damage(Truth(clips.seed, style, views=VIEWS[:3], frames=3), several, damages, losses)
    return losses


def _damage(truth: Truth, metrics: Sequence[str], damages: Sequence[str], losses: Losses) -> None:
    ceiling = _values(truth.clip, metrics)
    defined = [name for name in metrics if name in ceiling]
    floors = _floors(truth, defined)
    losses.floor |= {name: ceiling[name] - floors[name] for name in floors}
    for damage in damages:
        made = [_of(truth.clip, DAMAGES[damage](truth, truth.clip.videos, strength)) for strength in STRENGTHS]
        values = [_values(clip, defined) for clip in made]
        for name in defined:
            at_floor = floors.get(name, ceiling[name])
            losses.damaged[name, damage] = [ceiling[name] - found.get(name, at_floor) for found in values]


def _floors(truth: Truth, metrics: Sequence[str]) -> dict[str, float]:
    """{metric: its floor}, of those that have one."""
    kinds = {name: floor_of(METRIC_OF.get(name, name)) for name in metrics}
    clips = {FOREIGN: lambda: foreign_clip(truth.clip, truth.foreign), DISPLACED: lambda: displaced_clip(truth.clip)}
    found = {name: FLOOR_OF_KEY.get(name, kind) for name, kind in kinds.items() if isinstance(kind, float)}
    for kind, make in clips.items():
        names = [name for name in metrics if kinds[name] == kind]
        found |= _values(make(), names) if names else {}
    return found


def _of(clip: GeneratedClip, videos: Videos) -> GeneratedClip:
    made = with_videos(clip, videos)
    made.reference_cache.update(clip.reference_cache)
    return made


def _values(clip: GeneratedClip, names: Sequence[str]) -> dict[str, float]:
    """{key: value} of those that are defined; higher is better."""
    values: dict[str, float] = {}
    for metric in dict.fromkeys(METRIC_OF.get(name, name) for name in names):
        values |= evaluate_metric(clip, metric)
    sign = {name: -1 if metric_info(name).direction == "down" else 1 for name in names}
    return {name: sign[name] * values[name] for name in names if name in values}


def measure(clips: Sequence[Clips], workers: int = 1) -> dict[tuple[str, str], Response]:
    """{(metric, damage): response}, over all clips."""
    found: list[Losses] = []
    with steps("scene") as tick, _mapped(workers) as mapped:
        for done, losses in enumerate(mapped(losses_of, clips), 1):
            found += losses
            tick(done, len(clips))
    return responses(found)


def responses(found: Sequence[Losses]) -> dict[tuple[str, str], Response]:
    """Of all clips together."""
    damaged: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for losses in found:
        for key, of_clip in losses.damaged.items():
            damaged[key].append(of_clip)
    span = {name: _span(name, found, damaged) for name in {name for name, _ in damaged}}
    return {
        (name, damage): Response(
            float(np.mean([rank_correlation((0.0, *loss), (0.0, *STRENGTHS)) for loss in of_clips])),
            float(np.mean([loss[-1] for loss in of_clips]) / max(span[name], 1e-9)),
            len(of_clips),
        )
        for (name, damage), of_clips in damaged.items()
    }


def _span(name: str, found: Sequence[Losses], damaged: dict[tuple[str, str], list[list[float]]]) -> float:
    """Mean loss from the ceiling to the floor, or to the worst damage of a metric without a floor."""
    floors = [losses.floor[name] for losses in found if name in losses.floor]
    if floors:
        return float(np.mean(floors))
    return max(float(np.mean([loss[-1] for loss in rows])) for (other, _), rows in damaged.items() if other == name)


@contextmanager
def _mapped(workers: int) -> Iterator[Callable]:
    """`map`, over so many processes."""
    if workers <= 1:
        yield map
        return
    with mp.get_context("spawn").Pool(workers, initializer=_single_thread) as pool:
        yield pool.imap


def _single_thread() -> None:
    single_thread()
    torch.set_num_threads(1)


def rank_correlation(values: Sequence[float], others: Sequence[float]) -> float:
    """Spearman's, ties with their mean rank; 0 where all values are equal."""
    a, b = _ranks(values), _ranks(others)
    spread = float(np.std(a) * np.std(b))
    return float(np.mean((a - a.mean()) * (b - b.mean())) / spread) if spread else 0.0


def _ranks(values: Sequence[float]) -> np.ndarray:
    rounded = np.round(np.asarray(values, float), 9)
    return (rounded[:, None] > rounded).sum(axis=1) + ((rounded[:, None] == rounded).sum(axis=1) - 1) / 2


def failures(found: dict[tuple[str, str], Response]) -> list[tuple[str, str]]:
    """(metric, damage) where a metric does not see what it must, or sees what it must not."""
    blind = [(m, d) for m, seen in SEES.items() for d in seen if (m, d) in found and found[m, d].correlation < MUST]
    fooled = [
        (m, d)
        for m, unseen in IGNORES.items()
        for d in unseen
        if (m, d) in found and abs(found[m, d].effect) > MUST_NOT
    ]
    return blind + fooled


def rows(found: dict[tuple[str, str], Response]) -> list[list[str]]:
    """The table's cells, the names of the damages first."""
    damages = list(dict.fromkeys(damage for _, damage in found))
    names = sorted({name for name, _ in found}, key=METRICS.index)
    failed, made = set(failures(found)), [["metric", *damages]]
    for name in names:
        made.append([name, *(_cell(found.get((name, damage)), name, damage, failed) for damage in damages)])
    return made


def _cell(response: Response | None, name: str, damage: str, failed: set[tuple[str, str]]) -> str:
    if response is None:
        return ""
    must = "+" if damage in SEES.get(name, ()) else "-" if damage in IGNORES.get(name, ()) else ""
    sign = "!" if (name, damage) in failed else must
    return f"{response.correlation:+.2f} {response.effect:5.2f} {sign}".rstrip()


def table(found: dict[tuple[str, str], Response]) -> Table:
    head, *body = rows(found)
    shown = Table(*head)
    for row in body:
        shown.add_row(*row)
    return shown


def markdown(found: dict[tuple[str, str], Response]) -> str:
    head, *body = rows(found)
    lines = [head, ["---"] * len(head), *([f"`{name}`", *cells] for name, *cells in body)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scenes", type=int, default=16)
    parser.add_argument("--styles", nargs="+", default=["Original", "Night", "Snowy"])
    parser.add_argument("--metrics", nargs="+", default=list(METRICS), choices=METRICS)
    parser.add_argument("--damages", nargs="+", default=list(DAMAGES), choices=list(DAMAGES))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--markdown", type=Path, help="file that the table is written to, too")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    clips = clips_of(options.scenes, options.styles, options.metrics, options.damages)
    found = measure(clips, options.workers)
    console = Console(width=240)
    console.print(
        f"{options.scenes} scenes in {', '.join(options.styles)}; rank correlation with the damage, effect size"
    )
    console.print(table(found))
    console.print("+ must be seen, - must not, ! the metric fails its own row")
    if options.markdown:
        options.markdown.write_text(markdown(found))


if __name__ == "__main__":
    main()
