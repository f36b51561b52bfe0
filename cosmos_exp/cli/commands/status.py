"""`cosmos-exp status SWEEP_FOLDER`: states of the cells of a sweep."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.files import json_text
from cosmos_exp.runs.run_folder import Status
from cosmos_exp.runs.states import CANCELLED, DONE, FAILED, INTERRUPTED, KILLED, PREEMPTED, QUEUED, RUNNING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cosmos_exp.common.console import Console
    from cosmos_exp.sweeps.queue import SweepFolder

COLOURS = {DONE: "green", RUNNING: "cyan", FAILED: "red", KILLED: "red", PREEMPTED: "yellow", CANCELLED: "yellow"}
ORDER = (DONE, RUNNING, PREEMPTED, QUEUED, INTERRUPTED, CANCELLED, KILLED, FAILED)
WATCHED = (RUNNING, FAILED, KILLED, PREEMPTED, INTERRUPTED, CANCELLED, QUEUED, DONE)
REFRESH = 2.0
FRAME = 10
"""Lines around the rows of the table."""


def command_line() -> Parser:
    parser = Parser("status", "States of the cells of a sweep. On a terminal the table is live until all are over.")
    parser.add_argument("folder", metavar="SWEEP_FOLDER", type=Path)
    parser.add_argument("--once", action="store_true", help="print the table and stop, on a terminal too")
    parser.add_argument("--json", action="store_true", help="print the state of every cell as JSON and stop")
    return parser


def main(arguments: Sequence[str]) -> int:
    from cosmos_exp.common.console import Console
    from cosmos_exp.sweeps import slurm
    from cosmos_exp.sweeps.queue import SweepFolder

    given = command_line().parse(arguments)
    sweep, console = SweepFolder(given.folder), Console(markup=False, emoji=False)
    if given.json:
        rows = [{"cell": path.name, **vars(status)} for path, status in sweep.statuses().items()]
        print(json_text(rows, indent=1))
        return 0
    if given.once or not sys.stdout.isatty():
        console.print(overview(sweep, slurm.alive(sweep.jobs())))
        return 0
    with contextlib.suppress(KeyboardInterrupt):
        _watch(sweep, console)
    return 0


def _watch(sweep: SweepFolder, console: Console) -> None:
    """The table on a terminal, renewed until every cell is over."""
    from rich.live import Live

    from cosmos_exp.sweeps import slurm

    tasks, asked = slurm.alive(sweep.jobs()), time.monotonic()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while sweep.unfinished() or sweep.is_fed():
            if time.monotonic() > asked + slurm.POLL:
                tasks, asked = slurm.alive(sweep.jobs()), time.monotonic()
            live.update(overview(sweep, tasks, most=max(1, console.height - FRAME)), refresh=True)
            time.sleep(REFRESH)
    console.print(overview(sweep, {}))


def overview(sweep: SweepFolder, tasks: dict[str, int], most: int | None = None) -> RenderableType:
    """The table of cells, the counts, Slurm's tasks. most: rows; cells at work and those with a fault come first."""
    from rich.console import Group
    from rich.text import Text

    from cosmos_exp.runs.sweep_cells import sweep_cells

    statuses = sweep.statuses()
    counts = Counter(status.state for status in statuses.values())
    if never := len(sweep_cells(sweep.path)) - len(statuses):
        counts["never begun"] = max(0, never)
    parts = [f"{counts.pop(state)} {state}" for state in ORDER if state in counts]
    parts += [f"{count} {state}" for state, count in counts.items() if count]
    lines = [f"{len(statuses)} cells: {', '.join(parts)}"]
    if tasks:
        lines.append("Slurm: " + ", ".join(f"{count} {state}" for state, count in tasks.items()))
    faults = [f"  {path.name}: {status.state} {status.error}" for path, status in statuses.items() if status.error]
    lines += faults[:most]
    shown = dict(sorted(statuses.items(), key=lambda cell: WATCHED.index(cell[1].state))[:most])
    if len(shown) < len(statuses):
        lines.insert(0, f"and {len(statuses) - len(shown)} more cells")
    return Group(table({path: s for path, s in statuses.items() if path in shown}), Text("\n".join(lines)))


def table(statuses: dict[Path, Status]):
    from rich.box import SIMPLE_HEAD
    from rich.table import Column, Table
    from rich.text import Text

    swept = swept_values(list(statuses))
    axes = list(dict.fromkeys(key for values in swept.values() for key in values))
    headers = [axis.replace(".", ".\n") for axis in axes]
    cell = Column("cell", no_wrap=True)
    shown = Table(cell, *headers, "state", "stage", "time", "where", "attempt", box=SIMPLE_HEAD)
    for path, status in statuses.items():
        values = [str(swept[path].get(axis, "")) for axis in axes]
        stage = " ".join(filter(None, (status.stage, status.step))) if status.state != DONE else ""
        where = " ".join(filter(None, (status.host, status.job)))
        state = Text(status.state, style=COLOURS.get(status.state, ""))
        attempt = str(status.attempts) if status.attempts > 1 else ""
        shown.add_row(path.name, *values, state, stage, _duration(status), where, attempt)
    return shown


def swept_values(cells: list[Path]) -> dict[Path, dict[str, Any]]:
    """{run folder: {key: value}} of the overrides in which these cells differ."""
    from cosmos_exp.runs.sweep_cells import read_overrides

    overrides = {path: read_overrides(path) for path in cells}
    keys = dict.fromkeys(key for values in overrides.values() for key in values)
    axes = [key for key in keys if len({repr(values.get(key)) for values in overrides.values()}) > 1]
    return {path: {axis: values[axis] for axis in axes if axis in values} for path, values in overrides.items()}


def _duration(status: Status) -> str:
    """From the beginning of the last attempt to its end, or to now."""
    if not status.started:
        return ""
    end = datetime.now(timezone.utc) if status.state == RUNNING else datetime.fromisoformat(status.updated)
    seconds = int((end - datetime.fromisoformat(status.started)).total_seconds())
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
