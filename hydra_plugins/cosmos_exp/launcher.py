"""The launcher of this package's `hydra/launcher` options: queues the cells in the sweep's folder and starts workers.

Hydra takes launchers from the package hydra_plugins only. It imports this file at each start, so nothing heavy is
imported here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class CellLauncher(Launcher):
    """settings: the values of the group."""

    def __init__(self, **settings: Any):
        self.settings = {k: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for k, v in settings.items()}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context = hydra_context
        self.task = task_function
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Every job returns as completed: what became of its cell stands in the cell's status.json."""
        from hydra.core.utils import setup_globals

        from cosmos_exp.sweeps.cell import CellRunner
        from cosmos_exp.sweeps.pools import start
        from cosmos_exp.sweeps.queue import SweepFolder

        setup_globals()
        sweep = SweepFolder(Path(self.config.hydra.sweep.dir))
        runner = CellRunner(self.context, self.config, self.task)
        cells = [runner.prepare(overrides, initial_job_idx + i) for i, overrides in enumerate(job_overrides)]
        sweep.begin(cells)
        start(sweep, self.settings, lambda: runner.configs(folder for folder, _ in cells))
        return [JobReturn(overrides=list(job), status=JobStatus.COMPLETED) for job in job_overrides]


if "cosmos_exp" in sys.modules:  # imported before Hydra starts: its configs may be composed by a path, too
    from cosmos_exp.config import schema

    schema.register_types()
