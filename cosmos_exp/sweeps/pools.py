"""Starts the workers of a sweep, on this machine or on Slurm, and waits for the cells."""

from __future__ import annotations

import logging
import math
import os
import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from multiprocessing.pool import AsyncResult, ThreadPool
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from cosmos_exp.common import progress
from cosmos_exp.common.cores import openmp_threads, usable_cores
from cosmos_exp.runs.states import FAILED, RUNNING
from cosmos_exp.sweeps import slurm
from cosmos_exp.sweeps.queue import GRACE, SweepFolder
from cosmos_exp.sweeps.supervisor import Supervisor
from cosmos_exp.sweeps.walltime import job_minutes
from cosmos_exp.sweeps.watch import Watch

log = logging.getLogger(__name__)

LOGS = ".submitit"
POLL = 1.0
"""Seconds between two looks at the cells."""
PATIENCE = 1.0
"""Seconds after which Ctrl-C is passed on to workers, which a terminal interrupts itself."""

Settings = dict[str, Any]
Show = Callable[[], None]
"""Shows how far the cells are."""


def start(sweep: SweepFolder, settings: Settings, configs: Callable[[], list[DictConfig]]) -> None:
    """Run the queued cells of a sweep; returns when they are over, or at once where `wait` is false.

    settings: the hydra/launcher group. configs: composes those of the queued cells.
    """
    cells = sweep.waiting()
    count = worker_count(settings, cells)
    if "cells_per_job" in settings:
        settings = with_time_limit(settings, min(cells, settings["cells_per_job"]), configs)
    run_workers(sweep, settings, count)


def worker_count(settings: Settings, cells: int) -> int:
    """How many workers the launcher has for so many cells."""
    if settings["kind"] == "joblib":
        from joblib import effective_n_jobs

        return min(int(effective_n_jobs(settings["n_jobs"])), cells)
    return min(settings.get("workers", cells), math.ceil(cells / settings["cells_per_job"]))


def with_time_limit(settings: Settings, cells: int, configs: Callable[[], list[DictConfig]]) -> Settings:
    """The settings with the minutes that a worker needs for so many cells, where they leave them open."""
    if settings["timeout_min"] is not None:
        return settings
    minutes, why = job_minutes(configs(), cells)
    log.info("time limit of a worker: %d min (%s)", minutes, why)
    return settings | {"timeout_min": minutes}


def run_workers(sweep: SweepFolder, settings: Settings, count: int) -> None:
    """Run so many workers and show how far the cells are; returns when they are over, or at once where `wait` is
    false."""
    with Watch(sweep).shown() if settings.get("wait", True) else nullcontext(_show_nothing) as show:
        POOLS[settings["kind"]](sweep, settings, count, show)


def run_in_background(sweep: SweepFolder, settings: Settings, count: int) -> AsyncResult[None]:
    """The same in a thread that does not keep this process from ending, and shows nothing."""
    return ThreadPool(1).apply_async(POOLS[settings["kind"]], (sweep, settings, count, _show_nothing))


def _show_nothing() -> None:
    pass


def run_in_processes(sweep: SweepFolder, settings: Settings, count: int, show: Show) -> None:
    """Returns when no process of this or of another command is at work on the cells any more."""
    log.info("workers on this machine: %d", count)
    watch, environment = Watch(sweep), _share_of_machine(count)
    verbose = settings.get("verbose", False)
    supervisors = [Supervisor(sweep.path, 0, environment, verbose=verbose, say=_say) for _ in range(count)]
    pool, ends = ThreadPool(max(1, count)), []
    try:
        ends += [pool.apply_async(supervisor) for supervisor in supervisors]
        while not all(end.ready() for end in ends) or (count and watch.is_at_work()):
            show()
            wait_for(ends, POLL)
    except KeyboardInterrupt:
        _interrupt(supervisors, ends)
        raise
    for end in ends:
        end.get()


def _say(line: str) -> None:
    progress.console.print(line, highlight=False)


def _interrupt(supervisors: Sequence[Supervisor], ends: Sequence[AsyncResult[None]]) -> None:
    """End the workers and see that their cells say so; at once where the user asks again."""
    for supervisor in supervisors:
        supervisor.interrupted = True
    try:
        wait_for(ends, PATIENCE)  # a terminal has interrupted them, too
        for supervisor in supervisors:
            supervisor.interrupt()
        wait_for(ends, GRACE)
    finally:
        for supervisor in supervisors:
            supervisor.kill()
        wait_for(ends, PATIENCE)


def wait_for(ends: Sequence[AsyncResult[None]], seconds: float) -> None:
    """Until all have ended, or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not all(end.ready() for end in ends):
        time.sleep(0.05)


def run_in_local_jobs(sweep: SweepFolder, settings: Settings, count: int, show: Show) -> None:
    from submitit import LocalExecutor

    environment = _share_of_machine(count) | {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES")}
    executor = LocalExecutor(sweep.path / LOGS / "%j", max_num_timeout=settings["max_num_timeout"])
    settings = settings | {"setup": [*_detached(sweep.path / LOGS / "jobs.log"), *(settings["setup"] or [])]}
    executor.update_parameters(**{key: settings[key] for key in ("timeout_min", "signal_delay_s", "setup")})
    supervisor = Supervisor(sweep.path, settings["cells_per_job"], environment, verbose=settings.get("verbose", False))
    jobs = [executor.submit(supervisor) for _ in range(count)]
    log.info("workers on this machine: %d, logs in %s", count, sweep.path / LOGS)
    _wait(sweep, settings, lambda: any(job.get_info()["jobState"] == "RUNNING" for job in jobs), POLL, show)


def run_on_slurm(sweep: SweepFolder, settings: Settings, count: int, show: Show) -> None:
    supervisor = Supervisor(sweep.path, settings["cells_per_job"], verbose=settings.get("verbose", False))
    gpus = slurm.gpus_of(sweep.config.hardware)
    array = slurm.submit(sweep.path / LOGS / "%j", settings, gpus, [supervisor] * count)
    sweep.add_job(array)
    log.info("Slurm job %s: %d workers for %d cells, logs in %s", array, count, sweep.waiting(), sweep.path / LOGS)
    _wait(sweep, settings, lambda: bool(slurm.alive([array])), slurm.POLL, show)
    if settings["wait"]:
        slurm.cancel_waiting([array])  # of tasks whose cells others have taken


POOLS = {
    "joblib": run_in_processes,
    "submitit_local": run_in_local_jobs,
    "submitit_slurm": run_on_slurm,
}


def _wait(sweep: SweepFolder, settings: Settings, any_job_left: Callable[[], bool], every: float, show: Show) -> None:
    """Wait until every cell is over, or no job is left that could run it; every: seconds between two looks at the jobs.

    A cell that is lost with its node is not over while there are jobs: Slurm may requeue its job on another node.
    """
    if not settings["wait"]:
        return
    asked = time.monotonic()
    try:
        while sweep.unfinished(lost=True) or sweep.is_fed():
            show()
            time.sleep(POLL)
            if time.monotonic() < asked + every:
                continue
            asked = time.monotonic()
            if not any_job_left():
                time.sleep(POLL)  # for the last status of a job that has just ended
                break
    except KeyboardInterrupt:
        log.info("the workers go on; cosmos-exp status %s shows them, cosmos-exp cancel ends them", sweep.path)
        raise
    for path, status in sweep.unfinished(lost=True).items():
        if status.state == RUNNING:
            sweep.end(path, FAILED, f"its job {status.job} on {status.host} is gone")


def _share_of_machine(workers: int) -> dict[str, str | None]:
    """The environment of workers side by side, in which they share the cores and draw no progress bars."""
    if workers <= 1:
        return {"TTY_COMPATIBLE": "0"}
    cores = str(openmp_threads() or max(1, usable_cores() // workers))
    return {"OMP_NUM_THREADS": cores, "TTY_COMPATIBLE": "0"}


def _detached(log_file: Path) -> list[str]:
    """Shell commands that detach a job from its terminal."""
    log_file.parent.mkdir(exist_ok=True)
    return ["trap '' HUP INT", f"exec </dev/null >>{shlex.quote(str(log_file))} 2>&1"]
