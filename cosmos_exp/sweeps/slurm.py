"""Jobs on Slurm: what is asked of sbatch, submission by submitit, squeue, scancel."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_exp.common.errors import UserError

if TYPE_CHECKING:
    from cosmos_exp.models.config import HardwareConfig

OWN = ("kind", "verbose", "cells_per_job", "wait", "max_num_timeout")
POLL = 20.0
"""Seconds between two calls of squeue, to spare Slurm's controller."""
NAMES = {"timeout_min": "time", "name": "job_name"}
"""Settings that submitit's Slurm executor has under another name."""

SETUP = (
    "export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}",
    "export SRUN_CPUS_PER_TASK=$OMP_NUM_THREADS  # which srun does not take from sbatch since Slurm 22.05",
)


def sbatch_options(settings: dict[str, Any], gpus: int) -> dict[str, Any]:
    """The settings of hydra/launcher=submitit_slurm as submitit's Slurm executor takes them.

    gpus: how many a worker needs, requested where the settings request none in any way.
    """
    given = {key: value for key, value in settings.items() if value is not None and key not in (*OWN, "_target_")}
    memory = {"mem": f"{given.pop('mem_gb')}GB"} if "mem_gb" in given else {}
    if gpus and not any(key in given for key in ("gpus_per_node", "gpus_per_task", "gres")):
        given["gpus_per_node"] = gpus
    setup = [*SETUP, *given.pop("setup", [])]
    return {NAMES.get(key, key): value for key, value in given.items()} | memory | {"setup": setup}


def gpus_of(hardware: HardwareConfig) -> int:
    """How many GPUs a model uses."""
    return (hardware.processes or 1) if hardware.device.startswith("cuda") else 0


def submit(folder: Path, settings: dict[str, Any], gpus: int, tasks: Sequence[Callable[[], None]]) -> str:
    """Submit one job, an array where there are several tasks; returns its id.

    folder: of the logs, where %j stands for the id. settings: of hydra/launcher, with `timeout_min`. gpus: of a task.
    A task with a method `checkpoint` is requeued on a preemption and after its time. UserError where sbatch refuses.
    """
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError

    executor = SlurmExecutor(folder, max_num_timeout=settings["max_num_timeout"])
    executor.update_parameters(**sbatch_options(settings, gpus))
    try:
        jobs = executor.submit_array(tasks)
    except FailedJobError as error:
        raise UserError(f"sbatch refuses the job: {' '.join(str(error).split())}") from error
    return str(jobs[0].job_id).partition("_")[0]


def alive(jobs: Sequence[str]) -> dict[str, int]:
    """{state: how many array tasks} of the pending and running tasks of these jobs; empty where there are none.

    A controller that does not answer counts as one task.
    """
    if not jobs:
        return {}
    command = ["squeue", "--noheader", "--array", "--jobs", ",".join(jobs), "--format", "%T %r"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return {"no squeue on this machine": 1}
    if done.returncode and "Invalid job id" not in done.stderr:
        return {"no answer": 1}
    states = sorted((line.split(maxsplit=1) for line in done.stdout.splitlines() if line.strip()), reverse=True)
    return dict(Counter(f"{state} ({why})" if state == "PENDING" else state for state, why in states))


def cancel_waiting(jobs: Sequence[str]) -> None:
    """Cancel the array tasks that are still pending."""
    if jobs and shutil.which("scancel"):
        subprocess.run(["scancel", "--state=PENDING", *jobs], capture_output=True)
