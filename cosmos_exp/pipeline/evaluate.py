"""Metrics of finished runs, computed again or anew from what they generated, in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cosmos_exp.common.cache import StageCache
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import write_json
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.config.schema import typed
from cosmos_exp.metrics import METRICS, OPTIONAL, check_names
from cosmos_exp.pipeline.cached_results import Results
from cosmos_exp.pipeline.context import RunContext
from cosmos_exp.pipeline.dry_run import dry_run
from cosmos_exp.pipeline.provenance import result_digests, written_files
from cosmos_exp.pipeline.reproduce import typed_config
from cosmos_exp.pipeline.stages import run_stages
from cosmos_exp.runs.report import only_run_in
from cosmos_exp.runs.run_folder import RunFolder


@dataclass(frozen=True)
class Evaluated:
    """metrics: {style: {key: value}} as the run folder has them now. computed: metrics that were not in the cache."""

    folder: Path
    metrics: dict[str, dict[str, float]]
    computed: int


def evaluate_run(path: Path, names: Sequence[str] | None = None) -> Evaluated:
    """Score a finished run with these metrics, by default those of its config, and write them to its `metrics.json`.

    Values of other metrics that are there already stay. Only what the run itself generated is scored: the arrays of its
    results in the stage cache, whose digests must be those of its provenance; renders are made again where they are
    gone. Raises UserError for a run that is not done, and where what it generated is no longer in the cache.
    """
    folder = RunFolder(path.resolve())
    folder.require_done("evaluated")
    with folder.in_working_folder():
        return Evaluated(path, *_evaluate(folder, names))


def _evaluate(folder: RunFolder, names: Sequence[str] | None) -> tuple[dict[str, dict[str, float]], int]:
    """(metrics in the folder now, how many were computed)."""
    config = typed(typed_config(folder))
    if names is not None:
        check_names(names)
        config.metrics.names = list(names)
    spec = RunSpec(config)
    with only_run_in(folder.path):
        seeds = _chosen_seeds(spec, folder)
        _require_generated(spec, folder, seeds)
        results = Results(spec, StageCache(config.paths.cache))
        context = RunContext(spec, results, seeds=seeds)
        run_stages(context, without=("videos", "metrics"))
        _require_same(context, folder)
        metrics = folder.read_metrics() if folder.metrics.exists() else {}
        limits, frames, absent = folder.read_references(), folder.read_frames(), folder.read_not_measured()
        for style in spec.styles:
            measured = context.measured(style)
            scores = context.scores(measured, lambda done, total: None)
            before = {k: v for k, v in metrics.get(style, {}).items() if k.partition("/")[0] not in spec.metrics}
            absent[style] = absent.get(style, {}) | context.not_measured(style)
            metrics[style] = dict(sorted((before | scores.values()).items(), key=_place))
            limits[style] = limits.get(style, {}) | scores.references()
            measured.write_labels(folder)
            frames[style] = frames.get(style, {}) | measured.frame_series(context.metrics(style))
        computed = results.misses["metrics"]
        write_json(folder.metrics, metrics)
        write_json(folder.frames, frames)
        folder.write_not_measured(absent)
        if spec.references:
            write_json(folder.references, limits)
        _record_written(folder)
    return metrics, computed


def _place(item: tuple[str, float]) -> tuple[int, str]:
    """Of a metric's key, in the order of METRICS and OPTIONAL."""
    order, name = [*METRICS, *OPTIONAL], item[0].partition("/")[0]
    return (order.index(name) if name in order else len(order)), item[0]


def _record_written(folder: RunFolder) -> None:
    """What was measured now counts as the run's; all else stays as it was recorded."""
    record, now = folder.read_provenance(), written_files(folder)
    measured = {path: digest for path, digest in now.items() if folder.is_measurement(path)}
    write_json(folder.provenance, record | {"written": record.get("written", {}) | measured})


def _chosen_seeds(spec: RunSpec, folder: RunFolder) -> dict[str, int]:
    """{style: seed of the candidate that the run kept}; empty where it had no choice."""
    if not spec.chooses:
        return {}
    seeds = {style: choice.winner.seed for style, choice in folder.read_filter().items() if style in spec.styles}
    if len(seeds) < len(spec.styles):
        raise UserError(f"{folder.filter} does not say which candidate the run kept of every style: run it again")
    return seeds


def _require_generated(spec: RunSpec, folder: RunFolder, seeds: Mapping[str, int]) -> None:
    dry = dry_run(spec, seeds)
    needed = [dry.wanted[entry.key] for entry in dry.generated if entry.key in dry.wanted]
    missing = sorted({wanted.stage for wanted in needed if not wanted.cached and wanted.stage in spec.model.stages})
    if missing:
        cache = Path(spec.config.paths.cache).resolve()
        raise UserError(
            f"{folder.path}: what it generated is no longer in the cache {cache} ({', '.join(missing)}): run the same "
            "command again. Its videos are no substitute: H.264 changes what metrics see"
        )


def _require_same(context: RunContext, folder: RunFolder) -> None:
    """UserError where the cached results are not those that the folder's run made."""
    recorded = folder.read_provenance().get("results", {})
    now = result_digests(context.state.results())
    other = [
        what
        for what in recorded
        if what.startswith(("single_view/", "multi_view/")) and now.get(what) != recorded[what]
    ]
    if other:
        raise UserError(f"{folder.path}: the cache holds other results than this run made: {', '.join(other)}")
