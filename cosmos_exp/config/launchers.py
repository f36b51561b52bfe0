"""Types of the `hydra/launcher` group: who runs the cells of a sweep."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

SLURM = "submitit_slurm"


@dataclass
class LauncherConfig:
    _target_: str = "hydra_plugins.cosmos_exp.launcher.CellLauncher"
    kind: str = MISSING


@dataclass
class JoblibConfig(LauncherConfig):
    """Workers on this machine, each in a process of its own."""

    n_jobs: int = -1
    """How many workers; -1 takes the number of cores."""


@dataclass
class SubmititConfig(LauncherConfig):
    """Workers that submitit starts, and that outlive the launching process."""

    cells_per_job: int = 1
    """How many cells are meant for one worker: there are as many workers as that gives. Each takes what is left."""
    wait: bool = True
    """Wait for the cells and compare them; false leaves the workers to themselves."""
    timeout_min: int | None = None
    """Minutes after which a worker is asked to stop, to be begun again at its cell; null: from measured times."""
    signal_delay_s: int = 120
    """Seconds between that request and the end."""
    max_num_timeout: int = 20
    """How often a worker is begun again after its time was over."""
    cpus_per_task: int | None = None
    gpus_per_node: int | None = None
    """null: as many as a cell uses."""
    mem_gb: int | None = None
    name: str = "cosmos-exp"
    """Of the job."""
    setup: list[str] | None = None
    """Shell commands before a worker starts."""


@dataclass
class SubmititLocalConfig(SubmititConfig):
    workers: int = 1
    """How many at most."""


@dataclass
class SubmititSlurmConfig(SubmititConfig):
    """The options of sbatch that submitit knows, under its names."""

    array_parallelism: int = 256
    """How many workers run at the same time at most."""
    partition: str | None = None
    qos: str | None = None
    account: str | None = None
    comment: str | None = None
    constraint: str | None = None
    exclude: str | None = None
    gres: str | None = None
    cpus_per_gpu: int | None = None
    gpus_per_task: int | None = None
    mem_per_gpu: str | None = None
    mem_per_cpu: str | None = None
    srun_args: list[str] | None = None
    additional_parameters: dict[str, Any] = field(default_factory=dict)
    """Further options of sbatch, by their long names."""


LEAST = {
    "cells_per_job": 1,
    "workers": 1,
    "array_parallelism": 1,
    "timeout_min": 1,
    "signal_delay_s": 1,
    "max_num_timeout": 0,
}


def problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the values of hydra/launcher, Hydra's own launcher included."""
    for key, least in LEAST.items():
        if (given := settings.get(key)) is not None and given < least:
            yield f"hydra.launcher.{key}={given}: must be {least} or more"
    if (given := settings.get("n_jobs")) is not None and given < 1 and given != -1:
        yield f"hydra.launcher.n_jobs={given}: must be 1 or more, or -1 for as many as there are cores"
    if settings.get("kind") == SLURM and (shutil.which("sbatch") is None or shutil.which("srun") is None):
        yield (
            "hydra/launcher=slurm submits with sbatch, which is not on this machine: launch on a login node, or choose "
            "hydra/launcher=joblib"
        )


LAUNCHERS = {
    "joblib": JoblibConfig,
    "submitit_local": SubmititLocalConfig,
    SLURM: SubmititSlurmConfig,
}
