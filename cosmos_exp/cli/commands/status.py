"""`cosmos-exp status FOLDER`: states of the cells of a sweep or a search, or of single runs."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import json_text
from cosmos_exp.runs.run_folder import RunFolder, Status, existing_folder
from cosmos_exp.runs.states import (
    BLOCKED,
    CANCELLED,
    DONE,
    FAILED,
    INTERRUPTED,
    KILLED,
    PREEMPTED,
    QUEUED,
    RUNNING,
    UNREADABLE,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cosmos_exp.common.console import Console

COLOURS = {DONE: "green", RUNNING: "cyan", PREEMPTED: "yellow", CANCELLED: "yellow", BLOCKED: "magenta"}
COLOURS |= dict.fromkeys((FAILED, KILLED, UNREADABLE), "red")
ORDER = (DONE, RUNNING, PREEMPTED, QUEUED, INTERRUPTED, CANCELLED, BLOCKED, KILLED, FAILED, UNREADABLE)
WATCHED = (RUNNING, FAILED, KILLED, UNREADABLE, BLOCKED, PREEMPTED, INTERRUPTED, CANCELLED, QUEUED, DONE)
REFRESH = 2.0
FRAME = 10
"""Lines around the rows of the table."""
GAP = 3
"""Characters between two columns."""
LEFT_OUT = ("attempt", "where", "time", "stage")
"""Columns that a narrow terminal goes without, the least important first; then the swept values, the last first."""


@dataclass(frozen=True)
class Shown:
    """What a folder holds. noun: what its rows are. statuses: reads {run folder: its status}. jobs: ids at Slurm.
    objectives: metrics of a search. asked: how many cells a sweep asked for, 0 where that is not known.
    is_fed: whether cells are still being added."""

    folder: Path
    noun: str
    statuses: Callable[[], dict[Path, Status]]
    jobs: Sequence[str] = ()
    objectives: Sequence[str] = ()
    asked: int = 0
    is_fed: Callable[[], bool] = lambda: False

    def name(self, run: Path) -> str:
        return run.name if run == self.folder else run.relative_to(self.folder).as_posix()


def command_line() -> Parser:
    parser = Parser("status", "States of the cells of a sweep, the trials of a search, or runs; live on a terminal.")
    parser.add_argument(
        "folder", metavar="FOLDER", type=Path, help="of a sweep, a search or a run, or one that holds runs"
    )
    parser.add_argument("--once", action="store_true", help="print the table and stop, on a terminal too")
    parser.add_argument("--json", action="store_true", help="print the state of every cell as JSON and stop")
    return parser


def main(arguments: Sequence[str]) -> int:
    from cosmos_exp.common.console import Console
    from cosmos_exp.sweeps import slurm

    given = command_line().parse(arguments)
    shown, console = find(given.folder), Console(markup=False, emoji=False, highlight=False)
    if given.json:
        rows = [{"cell": shown.name(path), **vars(status)} for path, status in shown.statuses().items()]
        print(json_text(rows, indent=1))
    elif given.once or not sys.stdout.isatty():
        console.print(overview(shown, slurm.alive(shown.jobs), console), soft_wrap=not console.is_terminal)
    else:
        with contextlib.suppress(KeyboardInterrupt):
            _watch(shown, console)
    return 0


def find(folder: Path) -> Shown:
    """What there is to show in a folder. UserError where it is neither a sweep's nor a run's, nor holds runs."""
    from cosmos_exp.runs.sweep_cells import find_runs, search_objectives, sweep_cells
    from cosmos_exp.sweeps.queue import RECORD, SweepFolder, readable

    folder = existing_folder(folder).resolve()
    if (folder / RECORD).is_file():
        sweep, objectives = SweepFolder(folder), search_objectives(folder)
        asked = 0 if objectives else len(sweep_cells(folder))
        noun = "trials" if objectives else "cells"
        return Shown(folder, noun, sweep.statuses, sweep.jobs(), objectives, asked, sweep.is_fed)
    runs = [folder] if (folder / "status.json").is_file() else find_runs(folder)
    if not runs:
        raise UserError(f"{folder} is of no sweep and of no run: it holds no {RECORD} and no status.json")
    found = [RunFolder(run) for run in runs]
    return Shown(folder, "runs", lambda: {run.path: status for run in found if (status := readable(run.living_status))})


def _watch(shown: Shown, console: Console) -> None:
    """The table on a terminal, renewed until every cell is over."""
    from rich.live import Live

    from cosmos_exp.sweeps import slurm
    from cosmos_exp.sweeps.watch import OPEN

    tasks, asked = slurm.alive(shown.jobs), time.monotonic()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while any(status.state in OPEN for status in shown.statuses().values()) or shown.is_fed():
            if time.monotonic() > asked + slurm.POLL:
                tasks, asked = slurm.alive(shown.jobs), time.monotonic()
            live.update(overview(shown, tasks, console, most=max(1, console.height - FRAME)), refresh=True)
            time.sleep(REFRESH)
    console.print(overview(shown, {}, console))


def overview(shown: Shown, tasks: dict[str, int], console: Console, most: int | None = None) -> RenderableType:
    """The table of cells, the counts, the time left, Slurm's tasks. most: rows; cells at work and those with a fault
    come first."""
    from rich.console import Group
    from rich.text import Text

    statuses = shown.statuses()
    kept = dict(sorted(statuses.items(), key=lambda cell: WATCHED.index(cell[1].state))[:most])
    rows = {path: status for path, status in statuses.items() if path in kept}
    lines = _summary(shown, statuses)
    if len(rows) < len(statuses):
        lines.insert(0, f"and {len(statuses) - len(rows)} more {shown.noun}")
    if tasks:
        lines.append("Slurm: " + ", ".join(f"{count} {state}" for state, count in tasks.items()))
    faults = {shown.name(path): status for path, status in statuses.items() if status.error}
    lines += [f"  {name}: {status.state} {status.error}" for name, status in list(faults.items())[:most]]
    width = console.width if console.is_terminal else None
    return Group(table(shown, rows, width), Text("\n".join(lines)))


def _summary(shown: Shown, statuses: Mapping[Path, Status]) -> list[str]:
    from cosmos_exp.sweeps.watch import left_text

    counts = Counter(status.state for status in statuses.values())
    counts["never begun"] = max(0, shown.asked - len(statuses))
    parts = [f"{counts.pop(state)} {state}" for state in ORDER if state in counts]
    parts += [f"{count} {state}" for state, count in counts.items() if count]
    noun = shown.noun if len(statuses) != 1 else shown.noun.removesuffix("s")
    lines = [f"{len(statuses)} {noun}: {', '.join(parts)}"]
    if left := left_text(statuses):
        lines.append(left)
    if best := _best(shown, statuses):
        lines.append(best)
    return lines


def _best(shown: Shown, statuses: Mapping[Path, Status]) -> str:
    """Of the trials of a search for one objective."""
    from cosmos_exp.metrics.info import metric_info

    values = {path: _measured(path, shown.objectives) for path, status in statuses.items() if status.state == DONE}
    known = {path: found[0] for path, found in values.items() if found}
    if len(shown.objectives) != 1 or not known:
        return ""
    better = max if metric_info(shown.objectives[0]).direction == "up" else min
    best = better(known, key=lambda path: known[path])
    return f"best so far: {shown.name(best)}, {shown.objectives[0]} {known[best]:.4g}"


def _measured(run: Path, objectives: Sequence[str]) -> list[float]:
    """The objectives of a run, each the mean over its styles; empty where it lacks one."""
    from cosmos_exp.sweeps.search import objective_values

    with contextlib.suppress(UserError):
        return objective_values(run, objectives)
    return []


def table(shown: Shown, statuses: Mapping[Path, Status], width: int | None) -> RenderableType:
    """One row per cell. width: of the terminal, which gets the columns that fit; None: all, without a break."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Column, Table
    from rich.text import Text

    columns = _fitting(_columns(shown, statuses), width)
    made = Table(*(Column(name, no_wrap=True, overflow="ellipsis") for name in columns), box=SIMPLE_HEAD)
    made.width = None if width is not None else _needed(columns) + 1
    for row in zip(*columns.values()):
        made.add_row(*(text if isinstance(text, Text) else Text(text) for text in row))
    return made


def _columns(shown: Shown, statuses: Mapping[Path, Status]) -> dict[str, list[Any]]:
    """{header: texts of the cells}."""
    from rich.text import Text

    from cosmos_exp.sweeps.watch import seconds_at_work
    from cosmos_exp.tracking.comparison.answer import axis_labels

    swept = swept_values(list(statuses))
    axes = axis_labels(dict.fromkeys(key for values in swept.values() for key in values))
    columns: dict[str, list[Any]] = {shown.noun.removesuffix("s"): [shown.name(path) for path in statuses]}
    for axis, label in axes.items():
        columns[label] = [str(swept[path].get(axis, "")) for path in statuses]
    columns["state"] = [Text(status.state, style=COLOURS.get(status.state, "")) for status in statuses.values()]
    columns["stage"] = [_stage(status) for status in statuses.values()]
    columns["time"] = [_clock(seconds_at_work(status)) if status.started else "" for status in statuses.values()]
    columns["where"] = [" ".join(filter(None, (status.host, status.job))) for status in statuses.values()]
    columns["attempt"] = [str(status.attempts) if status.attempts > 1 else "" for status in statuses.values()]
    for number, name in enumerate(shown.objectives):
        found = [_measured(path, shown.objectives) if s.state == DONE else [] for path, s in statuses.items()]
        columns[name] = [f"{values[number]:.4g}" if values else "" for values in found]
    return {name: texts for name, texts in columns.items() if name != "attempt" or any(texts)}


def _fitting(columns: dict[str, list[Any]], width: int | None) -> dict[str, list[Any]]:
    """Those that fit: the first column and the states stay."""
    first = next(iter(columns))
    swept = [name for name in columns if name not in (first, "state", *LEFT_OUT)]
    for name in (*LEFT_OUT[:3], *reversed(swept), *LEFT_OUT[3:]):
        if width is None or _needed(columns) < width:
            break
        columns = {kept: texts for kept, texts in columns.items() if kept != name}
    return columns


def _needed(columns: Mapping[str, Sequence[Any]]) -> int:
    """Characters of a line."""
    from rich.cells import cell_len

    return sum(max(cell_len(str(text)) for text in (name, *texts)) + GAP for name, texts in columns.items())


def _stage(status: Status) -> str:
    return " ".join(filter(None, (status.stage, status.step))) if status.state != DONE else ""


def swept_values(cells: list[Path]) -> dict[Path, dict[str, Any]]:
    """{run folder: {key: value}} of the overrides in which these cells differ."""
    from cosmos_exp.runs.sweep_cells import read_overrides

    overrides = {}
    for path in cells:
        try:
            overrides[path] = read_overrides(path)
        except UserError:  # `status` goes on: what runs reads its own, and tells
            overrides[path] = {}
    keys = dict.fromkeys(key for values in overrides.values() for key in values)
    axes = [key for key in keys if len({repr(values.get(key)) for values in overrides.values()}) > 1]
    return {path: {axis: values[axis] for axis in axes if axis in values} for path, values in overrides.items()}


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
