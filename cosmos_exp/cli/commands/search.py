"""`cosmos-exp search KEY=interval(...) ... --objective METRIC`: hyperparameter search with Optuna."""

from __future__ import annotations

import hashlib
import logging
import math
from argparse import Namespace
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from multiprocessing.pool import AsyncResult
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError
from cosmos_exp.config.launchers import SLURM

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from optuna import Study

    from cosmos_exp.sweeps.cell import CellRunner
    from cosmos_exp.sweeps.queue import SweepFolder
    from cosmos_exp.sweeps.search_space import Axis

TRIALS = 20
MOST_SHOWN = 5
SLURM_WORKERS = 4


def command_line() -> Parser:
    parser = Parser("search", "Search for the values with the best metrics, by Optuna; the same command goes on.")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="OVERRIDE",
        help="KEY=interval(0,7), KEY=a,b and so on are searched, others hold for all trials; hydra/launcher=NAME too",
    )
    parser.add_argument(
        "--objective", action="append", metavar="METRIC", help="metric to optimise; several give the Pareto front"
    )
    parser.add_argument("--trials", type=int, default=TRIALS, metavar="N", help=f"in all; default: {TRIALS}")
    parser.add_argument(
        "--parallel",
        type=int,
        metavar="N",
        help=f"trials at the same time; default: as many as the launcher has workers, on Slurm {SLURM_WORKERS}",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the sampler; default: 0")
    parser.add_argument("--config-dir", metavar="DIR", type=Path, help="a folder of your own options")
    return parser


def main(arguments: Sequence[str]) -> int:
    options = command_line().parse(arguments)
    if not options.objective:
        raise UserError("what is to be best? give --objective METRIC, for instance --objective edge_f1")
    if options.trials < 1:
        raise UserError(f"--trials {options.trials}: must be 1 or more")
    if options.parallel is not None and options.parallel < 1:
        raise UserError(f"--parallel {options.parallel}: must be 1 or more")

    from cosmos_exp.common.progress import ConsoleHandler
    from cosmos_exp.config.compose import composing
    from cosmos_exp.sweeps.callbacks import write_comparison
    from cosmos_exp.sweeps.cell import launcher_settings, runner_of
    from cosmos_exp.sweeps.compose_cells import compose_multirun
    from cosmos_exp.sweeps.queue import SweepFolder, commanded
    from cosmos_exp.sweeps.search import check_objectives, record_search, search

    check_objectives(options.objective)
    with composing():
        axes, fixed = _axes(options.overrides)
    if not 0 <= options.seed < 2**31:
        raise UserError(f"--seed {options.seed}: must be 0 to {2**31 - 1}")
    master = compose_multirun([*fixed, *_first(axes)], options.config_dir)
    settings = launcher_settings(master)
    _check_launcher(settings)
    _check(axes, fixed, options, here=settings["kind"] != SLURM)
    folder = _folder(master, options)
    record_search(folder, axes, options.objective)
    _record_multirun(folder, master)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[ConsoleHandler()])
    sweep = SweepFolder(folder)
    with commanded(folder) as only, runner_of(sweep) as runner:
        sweep.end_hanging(orphans=only)

        def prepare(number: int, overrides: list[str]) -> tuple[Path, str]:
            with composing():
                return runner.prepare([*fixed, *overrides], number)

        study = search(
            sweep,
            axes,
            options.objective,
            options.trials,
            prepare=prepare,
            launch=lambda workers, left: _launch(sweep, runner, settings, workers, left),
            parallel=options.parallel or _workers(settings, options.trials),
            seed=options.seed,
        )
    _show(study, options.objective)
    print(f"comparison: {write_comparison(folder)}")
    return 0


def _axes(overrides: Sequence[str]) -> tuple[list[Axis], list[str]]:
    from cosmos_exp.sweeps.search_space import split_overrides

    axes, fixed = split_overrides(overrides)
    if not axes:
        raise UserError("nothing to search: give one key or more as KEY=interval(LOW,HIGH), KEY=range(...) or KEY=A,B")
    return axes, fixed


def _first(axes: Sequence[Axis]) -> list[str]:
    return [f"{axis.key}={axis.corners[0]}" for axis in axes]


def _check_launcher(settings: dict[str, Any]) -> None:
    from cosmos_exp.common.errors import ValidationErrors
    from cosmos_exp.config.launchers import problems

    if errors := list(problems(settings)):
        raise ValidationErrors(errors)
    if "kind" not in settings:
        raise UserError("a search needs a launcher with workers: hydra/launcher=local, joblib, submitit_local or slurm")
    if not settings.get("wait", True):
        raise UserError("hydra.launcher.wait=false: a search chooses its trials as it goes, so its command must wait")


def _check(axes: Sequence[Axis], fixed: Sequence[str], options: Namespace, *, here: bool) -> None:
    """Validate the configs of every choice and of both ends of every interval. here: they run on this machine."""
    from cosmos_exp.common.errors import ValidationErrors
    from cosmos_exp.config.compose import compose
    from cosmos_exp.config.validate import validate

    errors: dict[str, None] = {}
    for values in zip_longest(*(axis.corners for axis in axes)):
        cell = [f"{a.key}={a.corners[0] if value is None else value}" for a, value in zip(axes, values)]
        cfg = compose([*fixed, *cell], config_dir=options.config_dir)
        errors |= dict.fromkeys([*validate(cfg, here=here), *_favoured(axes, options.objective, cfg)])
    if errors:
        raise ValidationErrors(errors)


def _favoured(axes: Sequence[Axis], objectives: Sequence[str], cfg: DictConfig) -> Iterator[str]:
    """Objectives that choose among candidates, in a search for the number of these."""
    from cosmos_exp.filtering.rule import FAVOURED

    for name in objectives if "sampler.best_of" in [axis.key for axis in axes] else ():
        if name in FAVOURED.get(cfg.filter.name, ()):
            yield f"--objective {name}: it chooses among sampler.best_of candidates, so that most of them always win"


def _folder(cfg: DictConfig, options: Namespace) -> Path:
    """The same for the same search, whatever its launcher."""
    from cosmos_exp.config.schema import varied

    overrides = sorted(text for text in options.overrides if not text.startswith("hydra"))
    identity = " ".join([*overrides, *options.objective])
    name = cfg.sweep_name or f"{varied(overrides)}_{hashlib.sha256(identity.encode()).hexdigest()[:8]}"
    return (Path(cfg.paths.outputs) / "sweeps" / f"search_{name}").resolve()


def _record_multirun(folder: Path, master: DictConfig) -> None:
    """Make the folder that of a sweep, of which workers and the other commands compose the trials."""
    from omegaconf import OmegaConf, open_dict

    from cosmos_exp.common.files import write_atomic
    from cosmos_exp.sweeps.queue import RECORD

    with open_dict(master):
        master.hydra.sweep.dir = str(folder)
    write_atomic(folder / RECORD, OmegaConf.to_yaml(master).encode())


def _workers(settings: dict[str, Any], trials: int) -> int:
    """How many workers the launcher has for so many trials."""
    from cosmos_exp.sweeps.pools import worker_count

    most = min(trials, SLURM_WORKERS) if settings["kind"] == SLURM else trials
    return worker_count(settings | {"cells_per_job": 1}, most)


def _launch(
    sweep: SweepFolder, runner: CellRunner, settings: dict[str, Any], workers: int, trials: int
) -> AsyncResult[None]:
    """Start workers that share so many trials."""
    from cosmos_exp.sweeps.pools import run_in_background, with_time_limit

    if "cells_per_job" in settings:
        share = math.ceil(trials / workers)
        settings = with_time_limit(settings, share, lambda: runner.configs(sweep.unfinished()))
        settings = settings | {"cells_per_job": share}
    return run_in_background(sweep, settings, workers)


def _show(study: Study, objectives: Sequence[str]) -> None:
    """The best trials, as overrides; with several objectives, the Pareto front."""
    from optuna.study import StudyDirection
    from rich.table import Table

    from cosmos_exp.common.console import Console

    best = study.best_trials
    if len(objectives) == 1:
        largest_first = study.direction == StudyDirection.MAXIMIZE
        done = [trial for trial in study.trials if trial.values]
        best = sorted(done, key=lambda trial: trial.values[0], reverse=largest_first)[:MOST_SHOWN]
    table = Table("run", *best[0].params, *objectives)
    for trial in best:
        params = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in trial.params.values())
        table.add_row(trial.user_attrs.get("run", ""), *params, *(f"{value:.4g}" for value in trial.values))
    Console(markup=False, emoji=False).print(table)
