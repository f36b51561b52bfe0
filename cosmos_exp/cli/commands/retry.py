"""`cosmos-exp retry SWEEP_FOLDER`: runs the cells of a sweep that are not done."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError
from cosmos_exp.runs.states import BLOCKED, DONE, FAILED, KILLED, RUNNING, UNREADABLE

if TYPE_CHECKING:
    from cosmos_exp.runs.run_folder import Status
    from cosmos_exp.sweeps.cell import CellRunner
    from cosmos_exp.sweeps.queue import SweepFolder

VERBOSE = "verbose=true", "verbose=false"
LEFT_ALONE = (DONE, RUNNING, BLOCKED)


def command_line() -> Parser:
    parser = Parser("retry", "Run the cells of a sweep that are not done, each as it was asked for.")
    parser.add_argument("folder", metavar="SWEEP_FOLDER", type=Path)
    parser.add_argument("--failed", action="store_true", help="only those that failed or were killed")
    parser.add_argument(
        "--cell", metavar="N", type=int, action="append", help="this cell, done or not; may be repeated"
    )
    parser.add_argument(
        "overrides",
        metavar="OVERRIDE",
        nargs="*",
        help="of the launcher: hydra/launcher=NAME or hydra.launcher.KEY=VALUE; verbose=true shows all lines of cells",
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    from cosmos_exp.common.progress import ConsoleHandler
    from cosmos_exp.config.launchers import problems
    from cosmos_exp.sweeps.callbacks import conclude
    from cosmos_exp.sweeps.cell import runner_of
    from cosmos_exp.sweeps.pools import start
    from cosmos_exp.sweeps.queue import SweepFolder, commanded

    given = command_line().parse(arguments)
    launcher = [text for text in given.overrides if text.lower() not in VERBOSE]
    verbose = VERBOSE[0] in map(str.lower, given.overrides)
    if other := [text for text in launcher if not text.startswith(("hydra/launcher=", "hydra.launcher."))]:
        raise UserError(
            f"{other[0]!r}: cells are run as they were; only hydra/launcher, its keys and verbose=true can be given"
        )
    sweep = SweepFolder(given.folder)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[ConsoleHandler()])
    with commanded(sweep.path) as only, runner_of(sweep) as runner:
        sweep.enter_working_folder()
        sweep.end_hanging(orphans=only)
        chosen = _choose(sweep, runner, given.cell, given.failed)
        if not chosen:
            print(
                "nothing to retry: " + ("no cell failed" if given.failed else "every cell is done, running or blocked")
            )
            return 0
        settings = _launcher(runner, chosen[0][0], launcher) | {"verbose": verbose}
        if errors := list(problems(settings)):
            raise UserError("\n".join(errors))
        print(f"cells to run: {', '.join(sweep.name(path) for path, _ in chosen)}", flush=True)
        sweep.enqueue(chosen)
        start(sweep, settings, lambda: runner.configs(path for path, _ in chosen))
    conclude(sweep.path, wait=settings.get("wait", True))
    return 0


def _launcher(runner: CellRunner, cell: Path, overrides: list[str]) -> dict[str, Any]:
    from cosmos_exp.config.compose import composing

    with composing():
        return runner.launcher(cell, overrides)


def _choose(sweep: SweepFolder, runner: CellRunner, numbers: list[int] | None, failed: bool) -> list[tuple[Path, str]]:
    """(run folder, run id) of the cells to run; those that never began are prepared first."""
    statuses = sweep.statuses()
    if numbers:
        known = {sweep.number(path): path for path in statuses}
        if unknown := [number for number in numbers if number not in known]:
            raise UserError(f"no cell {unknown[0]} in {sweep.path}: it has {', '.join(map(str, sorted(known)))}")
        if busy := [number for number in numbers if statuses[known[number]].state == RUNNING]:
            raise UserError(f"cell {busy[0]} is running: cosmos-exp cancel {sweep.path} ends it")
        return [(known[number], _run_id(runner, known[number], statuses[known[number]])) for number in numbers]
    if failed:
        again = [path for path, status in statuses.items() if status.state in (FAILED, KILLED, UNREADABLE)]
        return [(path, _run_id(runner, path, statuses[path])) for path in again]
    begun = {sweep.number(path) for path in statuses}
    never = [runner.prepare(cell, i) for i, cell in enumerate(runner.grid()) if i not in begun]
    again = [path for path, status in statuses.items() if status.state not in LEFT_ALONE]
    return [*((path, _run_id(runner, path, statuses[path])) for path in again), *never]


def _run_id(runner: CellRunner, cell: Path, status: Status) -> str:
    """As the cell's status has it, or where that cannot be read, as its overrides give it."""
    from cosmos_exp.config.schema import run_id, typed

    if status.state != UNREADABLE:
        return status.run_id
    (config,) = runner.configs([cell])
    return run_id(typed(config))
