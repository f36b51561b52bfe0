"""Progress of a run: bars with stage, step and time left on a terminal, log lines elsewhere."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from cosmos_exp.common.console import Console

log = logging.getLogger(__name__)

console = Console(stderr=True, soft_wrap=True, markup=False, emoji=False)

Tick = Callable[[int, int], None]  # progress callback: (steps done, total steps)

SECONDS_BETWEEN_LINES = 15.0


def tick_of_part(tick: Tick, index: int, count: int) -> Tick:
    """The progress of one of several equal parts, as progress of the whole."""
    return lambda done, total: tick(index * total + done, count * total)


quiet = False
"""Whether the console gets warnings alone, each once."""
_told: set[str] = set()


class ConsoleHandler(logging.Handler):
    """Prints log records above the progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        if quiet:
            said = self.format(record)
            if record.levelno < logging.WARNING or said in _told:
                return
            _told.add(said)
        style = "red" if record.levelno >= logging.ERROR else "yellow" if record.levelno >= logging.WARNING else None
        console.print(self.format(record), style=style, highlight=False)


class RunLogHandler(logging.FileHandler):
    """run.log; on a full disk the run itself reports the problem, so lines that cannot be written are dropped."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


@contextlib.contextmanager
def steps(stage: str) -> Iterator[Tick]:
    """Show the progress of one stage; the stage calls the yielded function after each step."""
    with _bar(stage) if console.is_terminal else _lines(stage) as tick:
        yield tick


class RateColumn(ProgressColumn):
    """Steps per second; frames, where a step is one."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


@contextlib.contextmanager
def _bar(stage: str) -> Iterator[Tick]:
    columns = (
        TextColumn("{task.description:<12}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(stage, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextlib.contextmanager
def _lines(stage: str) -> Iterator[Tick]:
    started = last = time.monotonic()

    def tick(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done and done < total and now - last >= SECONDS_BETWEEN_LINES:
            last = now
            left = (now - started) * (total - done) / done
            rate = done / (now - started)
            log.info("%s: step %d of %d, %.2g per second, about %.0f s left", stage, done, total, rate, left)

    yield tick
