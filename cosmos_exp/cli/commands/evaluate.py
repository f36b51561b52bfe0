"""`cosmos-exp evaluate RUN_OR_SWEEP`: metrics of finished runs, computed in place from what they generated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError, repeated


def command_line() -> Parser:
    parser = Parser("evaluate", "Score finished runs in place: metrics.json, and of a sweep the comparison page.")
    parser.add_argument("folder", metavar="RUN_OR_SWEEP", type=Path)
    parser.add_argument("--metrics", metavar="A,B", help="default: those of each run's config; others are added to it")
    return parser


def main(arguments: Sequence[str]) -> int:
    options = command_line().parse(arguments)
    from cosmos_exp.metrics import check_names

    names = [name for name in options.metrics.split(",") if name] if options.metrics else None
    if names is not None:
        check_names(names)
        for problem in repeated("--metrics", names):
            raise UserError(problem)
    from cosmos_exp.common.progress import steps
    from cosmos_exp.pipeline.evaluate import evaluate_run
    from cosmos_exp.runs.run_folder import existing_folder
    from cosmos_exp.runs.sweep_cells import find_runs

    runs, errors = find_runs(existing_folder(options.folder)), []
    if not runs:
        raise UserError(f"no run folders in {options.folder}: give the folder of a run, or of a sweep")
    with steps("evaluate") as tick:
        for number, run in enumerate(runs, 1):
            try:
                done = evaluate_run(run, names)
            except UserError as error:
                errors.append(str(error))
            else:
                values = sum(len(metrics) for metrics in done.metrics.values())
                print(f"{run}: {values} values, {done.computed} metrics computed")
            tick(number, len(runs))
    if len(runs) > len(errors) and options.folder not in runs:
        from cosmos_exp.sweeps.callbacks import write_comparison

        print(f"comparison: {write_comparison(options.folder)}")
    if errors:
        raise UserError("\n".join([f"{len(errors)} of {len(runs)} runs could not be evaluated", *errors]))
    return 0
