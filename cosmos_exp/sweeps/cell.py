"""Prepares and runs the cells of a sweep, as Hydra's launchers do with jobs."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import shortened
from cosmos_exp.config.hydra_internals import Callbacks
from cosmos_exp.runs.run_folder import read_run_yaml
from cosmos_exp.sweeps.composer import composer_of, number_cell, plain_list
from cosmos_exp.sweeps.queue import OVERRIDES, SweepFolder


class CellRunner:
    """context: Hydra's. master: what it composed for the whole multirun. task: the application's main function."""

    def __init__(self, context: HydraContext, master: DictConfig, task: TaskFunction):
        self.context = context
        self.master = master
        self.task = task

    def compose(self, overrides: Sequence[str], number: int) -> DictConfig:
        """The config of one cell, `hydra` included."""
        config = composer_of(self.context.config_loader, self.master).compose(overrides)
        with open_dict(config):
            number_cell(config, number)
            config.hydra.sweep.dir = str(Path(self.master.hydra.sweep.dir).resolve())
        return config

    def grid(self) -> list[list[str]]:
        """The overrides of every cell, in order; empty where a sweeper or a search chooses them as it goes."""
        from cosmos_exp.runs.sweep_cells import SEARCH
        from cosmos_exp.sweeps.callbacks import cell_overrides, is_grid

        is_search = (Path(self.master.hydra.sweep.dir) / SEARCH).exists()
        return cell_overrides(self.context.config_loader, self.master) if is_grid(self.master) and not is_search else []

    def launcher(self, cell: Path, overrides: Sequence[str]) -> dict[str, Any]:
        """The values of hydra/launcher in the cell's config, with these overrides, which may name another launcher."""
        recorded = plain_list(self.master.hydra.overrides.hydra)
        replaced = any(text.startswith("hydra/launcher=") for text in overrides)
        if not replaced and "kind" not in self.master.hydra.launcher:
            overrides, replaced = ["hydra/launcher=local", *overrides], True
        if replaced:
            recorded = [text for text in recorded if not text.startswith(("hydra/launcher=", "hydra.launcher."))]
        master = copy.deepcopy(self.master)
        master.hydra.overrides.hydra = [*recorded, *overrides]
        return launcher_settings(self.context.config_loader.load_sweep_config(master, _recorded_overrides(cell)))

    def prepare(self, overrides: Sequence[str], number: int) -> tuple[Path, str]:
        """(run folder, run id) of a cell, with its overrides recorded in the folder."""
        from cosmos_exp.config.schema import run_id, typed

        config = self.compose(overrides, number)
        sweep = SweepFolder(Path(config.hydra.sweep.dir))
        folder = sweep.path / config.hydra.sweep.subdir
        sweep.add(folder, number)
        record = folder / OVERRIDES
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(OmegaConf.to_yaml(config.hydra.overrides.task))
        return folder, run_id(typed(config))

    def configs(self, folders: Iterable[Path]) -> list[DictConfig]:
        """The configs of prepared cells, without `hydra`."""
        number = SweepFolder(Path(self.master.hydra.sweep.dir)).number
        composed = [self.compose(_recorded_overrides(folder), number(folder)) for folder in folders]
        for config in composed:
            with open_dict(config):
                del config["hydra"]
        return composed

    def run(self, folder: Path) -> Exception | None:
        """Run a prepared cell; returns the exception that it failed with."""
        sweep = SweepFolder(Path(self.master.hydra.sweep.dir))
        try:
            config = self.compose(_recorded_overrides(folder), sweep.number(folder))
        except UserError as error:
            return error
        config.hydra.sweep.subdir = sweep.name(folder)
        done: JobReturn = run_job(
            hydra_context=self.context,
            task_function=self.task,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        return None if done.status == JobStatus.COMPLETED else done._return_value


def launcher_settings(config: DictConfig) -> dict[str, Any]:
    """The values of hydra/launcher in a config with `hydra`, as plain ones."""
    settings = OmegaConf.to_container(config.hydra.launcher, resolve=True)
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def _recorded_overrides(folder: Path) -> list[str]:
    """UserError where the record is missing or damaged."""
    try:
        recorded = read_run_yaml(folder / OVERRIDES)
    except FileNotFoundError:
        raise UserError(f"{folder / OVERRIDES} is missing: nothing says what the cell was") from None
    if not isinstance(recorded, list):
        raise UserError(f"{folder / OVERRIDES} holds {shortened(recorded)}, not a list of overrides")
    return [str(text) for text in recorded]


@contextmanager
def runner_of(sweep: SweepFolder) -> Iterator[CellRunner]:
    """The runner of the cells of a sweep that was launched by another process."""
    from cosmos_exp.sweeps.job import job

    master = sweep.config
    with open_dict(master):
        master.hydra.sweep.dir = str(sweep.path)
        master.hydra.overrides.hydra = [*plain_list(master.hydra.overrides.hydra), *_own_folders(master)]
    setup_globals()
    with initialize_config_module("cosmos_exp.conf", version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        yield CellRunner(HydraContext(config_loader=loader, callbacks=Callbacks(master)), master, job)


def _own_folders(master: DictConfig) -> list[str]:
    """The folders given with --config-dir, as an override."""
    sources = [source for source in master.hydra.runtime.config_sources if source.provider == "command-line"]
    paths = ",".join(f"'{source.schema}://{source.path}'" for source in sources)
    return [f"hydra.searchpath=[{paths}]"] if paths else []
