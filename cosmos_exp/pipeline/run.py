"""One run of the pipeline: from a config to a run folder, its cost remembered, and W&B told."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import cv2
from omegaconf import DictConfig, OmegaConf

from cosmos_exp.common import torchrun
from cosmos_exp.common.cache import StageCache
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import write_atomic, write_json
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.config.schema import Config, run_id
from cosmos_exp.config.validate import check
from cosmos_exp.models.config import HardwareConfig
from cosmos_exp.pipeline.cached_results import Results
from cosmos_exp.pipeline.config_notices import log_notices
from cosmos_exp.pipeline.context import RunContext
from cosmos_exp.pipeline.guarding import clip_removed_where_blocked
from cosmos_exp.pipeline.out_of_memory import out_of_memory_explained
from cosmos_exp.pipeline.provenance import provenance, result_digests, written_files
from cosmos_exp.pipeline.stages import run_stages
from cosmos_exp.runs import gpu_leases, summary
from cosmos_exp.runs.cost_history import REST, Cost
from cosmos_exp.runs.report import Report, only_run_in
from cosmos_exp.runs.run_folder import RunFolder, Status

log = logging.getLogger(__name__)

UPLOAD_TIMEOUT = 600  # seconds that a finished run waits for W&B


def run(cfg: DictConfig, folder: Path, *, sweep: str | None = None, config: Config | None = None) -> Status:
    """One run of the whole pipeline into `folder`. sweep: name of the sweep that this run is a cell of. config: what
    `check` made of `cfg`; None where it has not been called.

    Raises ValidationErrors before any work where the config cannot run.
    """
    lease_gpus(cfg.hardware)
    config = config or check(cfg)
    if ranks := torchrun.processes():  # so that the folder says what its results follow from
        cfg.hardware.processes = config.hardware.processes = ranks
    with only_run_in(folder):
        cell = f"#{folder.name.partition('_')[0]} " if sweep else ""
        report = Report(RunFolder(folder), run_id(config), prefix=cell, device=config.hardware.device)
        started = time.monotonic()
        with report.until_done():
            write_atomic(report.folder.config, OmegaConf.to_yaml(cfg, resolve=True).encode())
            cache = StageCache(config.paths.cache)
            cache.remove_leftovers()
            spec = RunSpec(config)
            cv2.setNumThreads(spec.threads)
            context = RunContext(spec, Results(spec, cache, report.hits, report.misses, report), report.folder)
            record = provenance(context, report.status.run_id)
            write_json(report.folder.provenance, record)
            report.folder.remove_measurements()
            report.status.weights = {net: dict(weights) for net, weights in spec.model.effective_weights.items()}
            report.status.in_effect = spec.model.in_effect
            log_notices(spec, {style: context.not_measured(style) for style in spec.styles})
            with out_of_memory_explained(config), clip_removed_where_blocked(report.folder):
                run_stages(context)
            record["noise"] = context.noise()
            record["results"] = result_digests(context.state.results())
            record["written"] = written_files(report.folder)
            write_json(report.folder.provenance, record)
            with report.stage("tracking"):
                _track(config.tracking.mode, report.folder)
        _remember_cost(context, report.folder.path, time.monotonic() - started)
    if not sweep:
        summary.show(report.folder)
    return report.status


def lease_gpus(hardware: HardwareConfig) -> None:
    """Lease the GPUs of a run to this process, unless torchrun has given it one."""
    if torchrun.processes() is None:
        gpu_leases.hold(hardware.device, max(1, hardware.processes or 1), max(1, hardware.jobs_per_gpu))


def _remember_cost(context: RunContext, folder: Path, seconds: float) -> None:
    """Of what every run does, whatever is in the cache: reading it, videos, tracking."""
    stored = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    spec, results = context.spec, context.results
    rest = max(0.0, seconds - results.computed)
    results.history.add(Cost(REST, "", len(spec.styles) * spec.megapixels, 1, rest, stored))


def _track(mode: str, folder: RunFolder) -> None:
    """Log the run folder to W&B. What cannot be sent now is no reason to fail a run whose results are on disk."""
    from cosmos_exp.tracking.wandb.folder import log_folder
    from cosmos_exp.tracking.wandb.upload import check_server, upload

    if mode == "disabled":
        return
    offline = log_folder(folder)
    if mode == "online":
        try:
            check_server()
            upload([offline], timeout=UPLOAD_TIMEOUT)
        except UserError as error:
            log.warning("%s; `cosmos-exp sync %s --online` sends the run later", error, folder.path)
