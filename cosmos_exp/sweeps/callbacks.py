"""Around a run and a multirun: all is checked before a folder is made, and one page compares the cells at the end."""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict

from cosmos_exp.common.errors import UserError, ValidationErrors
from cosmos_exp.config.hydra_internals import EXPLAINED, HydraBypassError, count_values, split_into_cells
from cosmos_exp.config.launchers import SLURM, problems
from cosmos_exp.sweeps.composer import composer_of, number_cell, plain_list

if TYPE_CHECKING:
    from cosmos_exp.config.schema import Config

OWN_SUBDIR = "${hydra.job.num}_${run_id:}"
"""hydra.sweep.subdir as conf/config.yaml has it."""
GRIDS = ("GridSweeper", "BasicSweeper")
"""Sweepers, ours and Hydra's, that run every combination of the swept values."""

MOST_CELLS = 10_000
"""Of one sweep."""

_sweep_at_work: Path | None = None
_claims = ExitStack()
_checked: Config | None = None


class SweepReport(Callback):
    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        with past_hydra():
            check_run(config)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        global _sweep_at_work
        with past_hydra():
            check_cells(config)
            sweep = Path(config.hydra.sweep.dir)
            _claim(sweep)
        _sweep_at_work = sweep

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        global _sweep_at_work
        _sweep_at_work = None  # what it came to is said here
        release()
        with past_hydra():
            conclude(Path(config.hydra.sweep.dir), wait=config.hydra.launcher.get("wait", True))


@contextmanager
def past_hydra() -> Iterator[None]:
    """Carries what a user can cause past Hydra, which turns the exception of a callback into a warning."""
    try:
        yield
    except EXPLAINED as error:
        raise HydraBypassError(error) from error


def check_run(config: DictConfig) -> None:
    """UserError for a single run that is refused, before Hydra makes or changes its folder."""
    global _checked
    from cosmos_exp.config.schema import run_id
    from cosmos_exp.config.validate import check
    from cosmos_exp.pipeline.run import lease_gpus
    from cosmos_exp.runs.report import same_run
    from cosmos_exp.runs.run_folder import RunFolder

    cfg = copy.deepcopy(config)
    with open_dict(cfg):
        del cfg["hydra"]
    lease_gpus(cfg.hardware)
    _checked = check(cfg)
    same_run(RunFolder(config.hydra.run.dir), run_id(_checked))


def checked_config() -> Config | None:
    """What `check_run` has found the single run's config to be; None where it was not called."""
    return _checked


def _claim(sweep: Path) -> None:
    """Be the one command at work on a sweep until `release`. UserError where another is, or cells are running."""
    from cosmos_exp.sweeps.queue import RECORD, SweepFolder, commanded

    sweep.mkdir(parents=True, exist_ok=True)
    _claims.enter_context(commanded(sweep, alone=True))
    if (sweep / RECORD).exists():
        SweepFolder(sweep).require_idle()


def release() -> None:
    """End the claim to a sweep, if there is one."""
    _claims.close()


def is_grid(config: DictConfig) -> bool:
    """Whether the cells of a multirun are known before it starts."""
    return config.hydra.sweeper._target_.rpartition(".")[2] in GRIDS


def cell_overrides(loader: ConfigLoader, config: DictConfig) -> list[list[str]]:
    """The overrides of each cell of a multirun, as Hydra's own sweeper expands them. loader: Hydra's.

    UserError where there are none, or more than `MOST_CELLS`.
    """
    swept = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    given = [*swept, *plain_list(config.hydra.overrides.task)]
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(given)
    total = 1
    for override in overrides:
        if override.is_sweep_override():
            if not (count := count_values(override)):
                raise UserError(f"{override.input_line}: holds no value, so the sweep would have no cell")
            total *= count
    if total > MOST_CELLS:
        wide = max((o for o in overrides if o.is_sweep_override()), key=count_values).input_line
        raise UserError(f"the sweep would have {total:,} cells, {MOST_CELLS:,} at most are allowed: see {wide}")
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
    loader = GlobalHydra.instance().config_loader()
    composer = composer_of(loader, config)
    cells = [composer.compose(overrides) for overrides in cell_overrides(loader, config)]
    check_folders(cells)
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


def check_folders(cells: Sequence[DictConfig]) -> None:
    """UserError where hydra.sweep.subdir is not a folder of its own, below that of the sweep, for every cell.

    cells: their configs with `hydra`.
    """
    taken: dict[str, int] = {}
    for number, cell in enumerate(cells):
        raw = OmegaConf.to_container(cell.hydra.sweep, resolve=False)
        assert isinstance(raw, dict)
        if raw["subdir"] == OWN_SUBDIR:
            return
        with open_dict(cell):
            number_cell(cell, number)
        subdir = os.path.normpath(str(cell.hydra.sweep.subdir))
        if subdir.startswith("..") or subdir == "." or os.path.isabs(subdir):
            raise UserError(f"hydra.sweep.subdir={subdir!r} of cell {number}: must be a folder below that of the sweep")
        for other, first in taken.items():
            if f"{subdir}/".startswith(f"{other}/") or f"{other}/".startswith(f"{subdir}/"):
                raise UserError(
                    f"hydra.sweep.subdir gives cell {first} the folder {other!r} and cell {number} {subdir!r}: each "
                    f"needs one of its own, as {OWN_SUBDIR} gives"
                )
        taken[subdir] = number


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
    from cosmos_exp.runs.states import DONE, RUNNING
    from cosmos_exp.sweeps.queue import SweepFolder

    if not wait:
        print(f"launched; cosmos-exp status {sweep} shows how it goes")
        return
    states = Counter(status.state for status in SweepFolder(sweep).statuses().values())
    if set(states) - {DONE, RUNNING}:
        raise UserError(sweep_report(sweep))
    if states[DONE]:
        print(f"comparison: {write_comparison(sweep)}")
    if states[RUNNING]:
        print(f"another command is running {states[RUNNING]} more cells: see cosmos-exp status {sweep}")


def report_failed_sweep() -> str | None:
    """After a multirun that ended with an error: compare the cells that are done, and say what became of the others."""
    from cosmos_exp.sweeps.queue import RECORD, SweepFolder

    if _sweep_at_work is None or not (_sweep_at_work / RECORD).exists():
        return None
    return sweep_report(_sweep_at_work) if SweepFolder(_sweep_at_work).cells() else None


def sweep_report(sweep: Path) -> str:
    """What became of the cells that are not done, and where the comparison is."""
    from cosmos_exp.runs.states import BLOCKED, DONE
    from cosmos_exp.sweeps.queue import SweepFolder

    folder = SweepFolder(sweep)
    statuses = folder.statuses()
    counts = Counter(status.state for status in statuses.values())
    lines = [f"{len(statuses)} cells: {', '.join(f'{count} {state}' for state, count in counts.items())}"]
    lines += [f"  {folder.name(path)}: {s.state} {s.error}".rstrip() for path, s in statuses.items() if s.state != DONE]
    if counts[DONE]:
        lines.append(f"comparison: {write_comparison(sweep)}")
    if set(counts) - {DONE, BLOCKED}:
        lines.append(f"to run the rest: cosmos-exp retry {sweep}")
    return "\n".join(lines)
