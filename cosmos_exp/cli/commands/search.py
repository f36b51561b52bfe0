"""`cosmos-exp search KEY=interval(...) ... --objective METRIC`: look for the best values instead of trying all."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from optuna import Study

    from cosmos_exp.sweeps.search import Axis

TRIALS = 20
MOST_SHOWN = 5


def command_line() -> Parser:
    parser = Parser("search", "Look for the values that give the best metrics; run again to go on.")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="OVERRIDE",
        help="KEY=interval(0,7), KEY=a,b and so on are searched, others stand",
    )
    parser.add_argument(
        "--objective", action="append", metavar="METRIC", help="what is to be best; several give the best compromises"
    )
    parser.add_argument("--trials", type=int, default=TRIALS, metavar="N", help=f"in all; default: {TRIALS}")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the search itself; default: 0")
    parser.add_argument("--config-dir", metavar="DIR", type=Path, help="a folder of your own options")
    return parser


def main(arguments: Sequence[str]) -> int:
    options = command_line().parse(arguments)
    if not options.objective:
        raise UserError("what is to be best? give --objective METRIC, for instance --objective edge_f1")
    if options.trials < 1:
        raise UserError(f"--trials {options.trials}: must be 1 or more")

    from cosmos_exp.cli.commands.compose import compose_config, composing
    from cosmos_exp.common.progress import ConsoleHandler
    from cosmos_exp.sweeps.search import check_objectives, search

    check_objectives(options.objective)
    with composing():
        axes, fixed = _axes(options.overrides)
    _check(axes, fixed, options)
    cfg = compose_config([*fixed, *_first(axes)], options.config_dir)
    folder = _folder(cfg, options)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[ConsoleHandler()])

    def run_trial(number: int, overrides: list[str]) -> Path:
        return _run(folder, number, [*fixed, *overrides], options.config_dir)

    study = search(folder, axes, options.objective, options.trials, run_trial, seed=options.seed)
    _show(study, options.objective)
    from cosmos_exp.sweeps.callbacks import write_comparison

    print(f"comparison: {write_comparison(folder)}")
    return 0


def _axes(overrides: Sequence[str]) -> tuple[list[Axis], list[str]]:
    from cosmos_exp.sweeps.search import split_overrides

    axes, fixed = split_overrides(overrides)
    if not axes:
        raise UserError("nothing to search: give one key or more as KEY=interval(LOW,HIGH), KEY=range(...) or KEY=A,B")
    return axes, fixed


def _first(axes: Sequence[Axis]) -> list[str]:
    return [f"{axis.key}={axis.corners[0]}" for axis in axes]


def _check(axes: Sequence[Axis], fixed: Sequence[str], options) -> None:
    """Every choice, and both ends of every interval, must be a config that can run and measures the objectives."""
    from cosmos_exp.cli.commands.compose import compose_config
    from cosmos_exp.common.errors import ValidationErrors
    from cosmos_exp.config.validate import validate

    errors: dict[str, None] = {}
    for values in zip_longest(*(axis.corners for axis in axes)):
        cell = [f"{a.key}={a.corners[0] if value is None else value}" for a, value in zip(axes, values)]
        cfg = compose_config([*fixed, *cell], options.config_dir)
        errors |= dict.fromkeys(validate(cfg))
    if errors:
        raise ValidationErrors(errors)


def _folder(cfg: DictConfig, options) -> Path:
    identity = " ".join([*sorted(options.overrides), *options.objective])
    name = cfg.sweep_name or hashlib.sha256(identity.encode()).hexdigest()[:8]
    return Path(cfg.paths.outputs) / "sweeps" / f"search_{name}"


def _run(folder: Path, number: int, overrides: list[str], config_dir: Path | None) -> Path:
    """One trial, in a run folder like a sweep's cell."""
    from omegaconf import OmegaConf

    from cosmos_exp.cli.commands.compose import compose_config
    from cosmos_exp.common.files import write_atomic
    from cosmos_exp.config.schema import run_id
    from cosmos_exp.pipeline.run import run

    cfg = compose_config(overrides, config_dir)
    cell = folder / f"{number}_{run_id(cfg)}"
    recorded = cell / ".hydra" / "overrides.yaml"
    recorded.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(recorded, OmegaConf.to_yaml(overrides).encode())
    run(cfg, cell, sweep=folder.name)
    return cell


def _show(study: Study, objectives: Sequence[str]) -> None:
    """The best trials, as overrides; with several objectives, those that no other beats in all of them."""
    from optuna.study import StudyDirection
    from rich.console import Console
    from rich.table import Table

    best = study.best_trials
    if len(objectives) == 1:
        better_first = study.direction == StudyDirection.MAXIMIZE
        done = [trial for trial in study.trials if trial.values]
        best = sorted(done, key=lambda trial: trial.value, reverse=better_first)[:MOST_SHOWN]
    table = Table("run", *best[0].params, *objectives)
    for trial in best:
        shown = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in trial.params.values())
        table.add_row(trial.user_attrs.get("run", ""), *shown, *(f"{value:.4g}" for value in trial.values))
    Console().print(table)
