"""Metrics of a generated clip against its rendered ground truth, one file each, with definition and source in its
docstring; on the CPU but for what an evaluator reads. Imports `common`, `sensors`, `rendering`, `captions` and
`evaluators`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.metrics.artefacts import artefacts
from cosmos_exp.metrics.blur_ssim import blur_ssim
from cosmos_exp.metrics.caption_truth import caption_precision, caption_recall
from cosmos_exp.metrics.depth_edge_auc import depth_edge_auc
from cosmos_exp.metrics.depth_si_rmse import depth_si_rmse
from cosmos_exp.metrics.edge_f1 import edge_f1
from cosmos_exp.metrics.flicker import flicker
from cosmos_exp.metrics.frechet import frechet
from cosmos_exp.metrics.gate import SanityError, require_sane, sanity_gate
from cosmos_exp.metrics.lane_f1 import lane_f1
from cosmos_exp.metrics.lpips import lpips, lpips_problem
from cosmos_exp.metrics.mask_miou import mask_miou
from cosmos_exp.metrics.objects import false_objects, object_recall
from cosmos_exp.metrics.psnr import psnr
from cosmos_exp.metrics.sampson_cross_view import cse
from cosmos_exp.metrics.sampson_temporal import tse
from cosmos_exp.metrics.semantic_eta2 import semantic_eta2
from cosmos_exp.metrics.sharpness import sharpness
from cosmos_exp.metrics.style import style_score
from cosmos_exp.metrics.style_regions import style_regions
from cosmos_exp.metrics.survival import lane_survival, object_survival
from cosmos_exp.metrics.types import GeneratedClip, Metric

__all__ = [
    "METRICS",
    "OPTIONAL",
    "READS_PERCEPTION",
    "READS_PROMPT",
    "READS_TARGETS",
    "SURVIVAL",
    "VERSIONS",
    "GeneratedClip",
    "SanityError",
    "evaluate",
    "evaluate_metric",
    "require_sane",
    "sanity_gate",
]

METRICS: dict[str, Metric] = {
    "blur_ssim": blur_ssim,
    "edge_f1": edge_f1,
    "depth_edge_auc": depth_edge_auc,
    "semantic_eta2": semantic_eta2,
    "flicker": flicker,
    "tse": tse,
    "cse": cse,
    "style_score": style_score,
    "style_regions": style_regions,
    "psnr": psnr,
    "sharpness": sharpness,
    "artefacts": artefacts,
    "mask_miou": mask_miou,
    "depth_si_rmse": depth_si_rmse,
    "lane_f1": lane_f1,
    "lane_survival": lane_survival,
    "object_recall": object_recall,
    "false_objects": false_objects,
    "object_survival": object_survival,
    "frechet": frechet,
}

OPTIONAL: dict[str, Metric] = {
    "caption_precision": caption_precision,
    "caption_recall": caption_recall,
    "lpips": lpips,
}
"""Metrics that are measured where they are named alone: they ask about captions, or need packages or downloads of their
own."""

_PROBLEMS: dict[str, Callable[[], str | None]] = {"lpips": lpips_problem}

SURVIVAL = ("object_survival", "lane_survival")
READS_PERCEPTION = frozenset(
    {"mask_miou", "depth_si_rmse", "lane_f1", "object_recall", "false_objects", "frechet", *SURVIVAL}
)
"""Metrics of what an evaluator sees in the video."""

READS_PROMPT = frozenset({"caption_precision", "caption_recall"})
"""Metrics of the prompt, whatever the video shows."""

READS_TARGETS = frozenset({"blur_ssim", "edge_f1", "psnr", "sharpness", "artefacts", "frechet", "lpips", *SURVIVAL})
"""Metrics of appearance, which compare with the scene rendered in the clip's own style. The others compare with
geometry, which has no weather, or with nothing."""

VERSIONS: dict[str, int] = {
    "blur_ssim": 4,
    "edge_f1": 4,
    "depth_edge_auc": 3,
    "semantic_eta2": 3,
    "flicker": 3,
    "tse": 4,
    "cse": 4,
    "style_score": 4,
    "style_regions": 1,
    "psnr": 3,
    "sharpness": 1,
    "artefacts": 1,
    "mask_miou": 1,
    "depth_si_rmse": 1,
    "lane_f1": 1,
    "lane_survival": 1,
    "object_recall": 1,
    "false_objects": 1,
    "object_survival": 1,
    "frechet": 1,
    "caption_precision": 1,
    "caption_recall": 1,
    "lpips": 1,
}
"""Part of the cache key of a metric's values: to be increased when what the metric computes changes."""


def metric_problems(names: Iterable[str]) -> Iterator[str]:
    """One message per name that is not a metric, or whose metric cannot be computed here."""
    for name in names:
        if name not in METRICS | OPTIONAL:
            yield unknown_name("metric", name, METRICS | OPTIONAL)
        elif name in _PROBLEMS and (problem := _PROBLEMS[name]()):
            yield problem


def check_names(names: Iterable[str]) -> None:
    """UserError with the first of `metric_problems`."""
    for problem in metric_problems(names):
        raise UserError(problem)


def evaluate(clip: GeneratedClip, names: Iterable[str] | None = None) -> dict[str, float]:
    """All values of the named metrics, by default of METRICS: the union of what `evaluate_metric` returns.

    Raises UserError as `check_names` before anything is computed, ValueError as `evaluate_metric`.
    """
    names = list(METRICS) if names is None else list(names)
    check_names(names)
    values: dict[str, float] = {}
    for name in names:
        values |= evaluate_metric(clip, name)
    return values


def evaluate_metric(clip: GeneratedClip, name: str) -> dict[str, float]:
    """The values of one metric, `{key: finite float}`.

    A plain key is the value for the clip, `key/view` that of one view. A metric that is undefined for the clip (no
    match, no edge, no target) has no key rather than NaN. Raises UserError as `check_names`, ValueError where values
    are not finite.
    """
    check_names([name])
    values = (METRICS | OPTIONAL)[name](clip)
    bad = [key for key, value in values.items() if not math.isfinite(value)]
    if bad:
        raise ValueError(f"metrics are not finite: {', '.join(bad)}")
    return values
