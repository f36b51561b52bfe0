"""Around a multirun: every cell is checked before the first one starts, and one page compares them at the end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict

from cosmos_exp.common.errors import UserError, ValidationErrors
from cosmos_exp.config.hydra_internals import HydraBypassError, split_into_cells
from cosmos_exp.config.launchers import SLURM, problems
from cosmos_exp.sweeps.composer import composer_of

GRIDS = ("GridSweeper", "BasicSweeper")
"""Sweepers, ours and Hydra's, that run every combination of the swept values."""

_sweep_at_work: Path | None = None


class SweepReport(Callback):
    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        global _sweep_at_work
        try:
            check_cells(config)
        except ValidationErrors as error:  # Hydra turns an exception of a callback into a warning
            raise HydraBypassError(error) from error
        _sweep_at_work = Path(config.hydra.sweep.dir)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        global _sweep_at_work
        _sweep_at_work = None  # what it came to is said here
        try:
            conclude(Path(config.hydra.sweep.dir), wait=config.hydra.launcher.get("wait", True))
        except UserError as error:
            raise HydraBypassError(error) from error


def is_grid(config: DictConfig) -> bool:
    """Whether the cells of a multirun are known before it starts."""
    return config.hydra.sweeper._target_.rpartition(".")[2] in GRIDS


def cell_overrides(config: DictConfig) -> list[list[str]]:
    """The overrides of each cell of a multirun, as Hydra's own sweeper expands them."""
    swept = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    overrides = OverridesParser.create().parse_overrides([*swept, *config.hydra.overrides.task])
    return split_into_cells(overrides)


def check_cells(config: DictConfig) -> None:
    """Raise ValidationErrors naming every problem of the launcher, and of every cell where they form a grid."""
    if errors := list(problems(config.hydra.launcher)):
        raise ValidationErrors(errors)
    if is_grid(config):
        checked_cells(config, here=config.hydra.launcher.get("kind") != SLURM)


def checked_cells(config: DictConfig, *, here: bool) -> list[DictConfig]:
    """The config of each cell of a grid. Raises ValidationErrors naming every problem of every cell.

    here: whether they run on this machine, so that it must have their devices.
    """
    from cosmos_exp.config.validate import validate

    cells_with: dict[str, list[int]] = {}
    composer = composer_of(GlobalHydra.instance().config_loader(), config)
    cells = [composer.compose(overrides) for overrides in cell_overrides(config)]
    for number, cell in enumerate(cells):
        with open_dict(cell):
            del cell["hydra"]
        for error in validate(cell, here=here):
            cells_with.setdefault(error, []).append(number)
    if cells_with:
        raise ValidationErrors(
            error if len(numbers) == len(cells) else f"cell {', '.join(map(str, numbers))}: {error}"
            for error, numbers in cells_with.items()
        )
    return cells


def write_comparison(sweep: Path) -> Path:
    """Print the summary of the cells, and write the page and the picture that compare them; returns the page's path."""
    from cosmos_exp.runs.seed_diversity import join_seed_diversity
    from cosmos_exp.runs.sweep_cells import read_cells
    from cosmos_exp.tracking.comparison.compare import write_grid_image, write_page
    from cosmos_exp.tracking.comparison.summary import print_summary

    cells = join_seed_diversity(sweep, read_cells(sweep))
    print_summary(cells)
    write_grid_image(sweep, cells)
    return write_page(sweep, cells)


def conclude(sweep: Path, *, wait: bool) -> None:
    """Compare the cells of a sweep, or where nobody waited, say where to look. UserError where some are not done."""
    from cosmos_exp.runs.states import DONE
    from cosmos_exp.sweeps.queue import SweepFolder

    if not wait:
        print(f"launched; cosmos-exp status {sweep} shows how it goes")
    elif all(status.state == DONE for status in SweepFolder(sweep).statuses().values()):
        print(f"comparison: {write_comparison(sweep)}")
    else:
        raise UserError(sweep_report(sweep))


def report_failed_sweep() -> str | None:
    """After a multirun that ended with an error: compare the cells that are done, and say what became of the others."""
    from cosmos_exp.sweeps.queue import RECORD, SweepFolder

    if _sweep_at_work is None or not (_sweep_at_work / RECORD).exists():
        return None
    return sweep_report(_sweep_at_work) if SweepFolder(_sweep_at_work).cells() else None


def sweep_report(sweep: Path) -> str:
    """What became of the cells that are not done, and where the comparison is."""
    from cosmos_exp.runs.states import DONE
    from cosmos_exp.sweeps.queue import SweepFolder

    statuses = SweepFolder(sweep).statuses()
    counts = Counter(status.state for status in statuses.values())
    lines = [f"{len(statuses)} cells: {', '.join(f'{count} {state}' for state, count in counts.items())}"]
    lines += [f"  {path.name}: {s.state} {s.error}".rstrip() for path, s in statuses.items() if s.state != DONE]
    if counts[DONE]:
        lines.append(f"comparison: {write_comparison(sweep)}")
    lines.append(f"to run the rest: cosmos-exp retry {sweep}")
    return "\n".join(lines)
