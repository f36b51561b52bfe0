"""The cells that a run or sweep with some overrides has, without running it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cosmos_exp.common.errors import UserError
from cosmos_exp.config.compose import config_loader

if TYPE_CHECKING:
    from omegaconf import DictConfig


def compose_cells(
    overrides: Sequence[str], config_dir: Path | None, *, multirun: bool = False
) -> tuple[list[list[str]], list[DictConfig]]:
    """The overrides and the config of every cell that a run or sweep with these overrides has, all checked but for the
    devices of this machine.

    Raises UserError for every mistake in the overrides, and where a sweeper chooses the cells as it goes.
    """
    from hydra.types import RunMode

    from cosmos_exp.sweeps.callbacks import cell_overrides, checked_cells, is_grid
    from cosmos_exp.sweeps.expand import sweep_over_all

    expanded = sweep_over_all(list(overrides))
    with config_loader(config_dir, overrides) as (loader, own):
        given = [text for text in expanded if text != "--multirun"] + own
        master = loader.load_configuration("config", given, run_mode=RunMode.MULTIRUN, from_shell=False)
        if not (multirun or len(expanded) > len(overrides) or master.hydra.mode == RunMode.MULTIRUN):
            loader.load_configuration("config", given, run_mode=RunMode.RUN)  # refuses comma-separated values
        if not is_grid(master):
            raise UserError(f"{master.hydra.sweeper._target_} chooses cells as it goes: there is no plan of them")
        return cell_overrides(loader, master), checked_cells(master, here=False)


def compose_multirun(overrides: Sequence[str], config_dir: Path | None) -> DictConfig:
    """The main config with `hydra`, as Hydra composes it for a whole multirun."""
    from hydra.types import RunMode

    with config_loader(config_dir, overrides) as (loader, own):
        given = [*overrides, *own, "hydra.mode=MULTIRUN"]
        return loader.load_configuration("config", given, run_mode=RunMode.MULTIRUN, from_shell=False)
