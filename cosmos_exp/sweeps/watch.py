"""How far a sweep is: one bar for all its cells, or lines where there is no terminal, and the time that is left."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cosmos_exp.common import progress
from cosmos_exp.common.units import age_text
from cosmos_exp.runs.run_folder import Status
from cosmos_exp.runs.states import DONE, PREEMPTED, QUEUED, RUNNING
from cosmos_exp.sweeps.queue import SweepFolder

log = logging.getLogger(__name__)

OPEN = (QUEUED, PREEMPTED, RUNNING)
BAR, REST = 16, 44
"""Characters of the bar, and of its line without the time left and what the cells at work do."""


def seconds_at_work(status: Status) -> float:
    """From the beginning of the last attempt to its end, or to now; 0 where there was none."""
    if not status.started:
        return 0.0
    end = datetime.now(timezone.utc) if status.state == RUNNING else datetime.fromisoformat(status.updated)
    return (end - datetime.fromisoformat(status.started)).total_seconds()


def seconds_left(statuses: Mapping[Path, Status]) -> float | None:
    """Until the cells are over, by the mean of those that are done and as many workers as are at work now.

    While none is done: of a single run the rest of its stage; None for several.
    """
    done = [seconds_at_work(status) for status in statuses.values() if status.state == DONE]
    at_work = [seconds_at_work(status) for status in statuses.values() if status.state == RUNNING]
    waiting = sum(status.state in (QUEUED, PREEMPTED) for status in statuses.values())
    if not waiting and not at_work:
        return 0.0
    if not done:
        return _of_stage(next(iter(statuses.values()))) if len(statuses) == 1 else None
    mean = sum(done) / len(done)
    work = waiting * mean + sum(max(0.0, mean - seconds) for seconds in at_work)
    return work / max(1, len(at_work))


def _of_stage(status: Status) -> float | None:
    """Seconds left in the stage at work, by its steps so far; None where it counts none."""
    done, _, total = status.step.partition("/")
    if not (done.isdigit() and total.isdigit() and int(done)):
        return None
    return max(0.0, seconds_at_work(status) - sum(status.seconds.values())) * (int(total) - int(done)) / int(done)


def left_text(statuses: Mapping[Path, Status]) -> str:
    """The time left in words; empty where it is not known or nothing is left."""
    seconds = seconds_left(statuses)
    return f"about {age_text(seconds)} left" if seconds else ""


class Watch:
    """The cells of a command, from its start on."""

    def __init__(self, sweep: SweepFolder):
        self.sweep = sweep
        self.cells = list(sweep.unfinished())

    def statuses(self) -> dict[Path, Status]:
        found = self.sweep.statuses()
        return {cell: found[cell] for cell in self.cells if cell in found}

    def is_at_work(self) -> bool:
        """Whether a process, of another command too, runs one of the cells."""
        return any(status.state == RUNNING for status in self.statuses().values())

    @contextlib.contextmanager
    def shown(self) -> Iterator[Callable[[], None]]:
        """Gives what is to be called again and again, to show how far the cells are."""
        with self._bar() if progress.console.is_terminal else self._lines() as show:
            yield show

    @contextlib.contextmanager
    def _bar(self) -> Iterator[Callable[[], None]]:
        text = TextColumn("{task.fields[said]}", markup=False)
        columns = (TextColumn("cells"), BarColumn(BAR), MofNCompleteColumn(), TimeElapsedColumn(), text)
        with Progress(*columns, console=progress.console, transient=True) as bar:
            task = bar.add_task("cells", total=len(self.cells), said="")

            def show() -> None:
                now = self.statuses()
                left = left_text(now)
                said = self._at_work(now, progress.console.width - REST - len(left))
                bar.update(task, completed=_over(now), said=", ".join(filter(None, (left, said))))

            yield show

    @contextlib.contextmanager
    def _lines(self) -> Iterator[Callable[[], None]]:
        last, before = -progress.SECONDS_BETWEEN_LINES, 0

        def show(*, at_once: bool = False) -> None:
            nonlocal last, before
            now = self.statuses()
            over = _over(now)
            if over <= before or not (at_once or time.monotonic() - last >= progress.SECONDS_BETWEEN_LINES):
                return
            last, before = time.monotonic(), over
            parts = (f"{over} of {len(self.cells)} cells", _faults(now), left_text(now))
            log.info("%s", ", ".join(filter(None, parts)))

        yield show
        show(at_once=True)

    def _at_work(self, statuses: Mapping[Path, Status], room: int) -> str:
        """How many cells came out badly, then the cells at work as far as there is room for them."""
        running = [(path, status) for path, status in statuses.items() if status.state == RUNNING]
        told = [f"#{self.sweep.number(path)} {status.stage} {status.step}".rstrip() for path, status in running]
        said = _faults(statuses)
        for text in told:
            longer = f"{said}, {text}" if said else text
            if len(longer) > room:
                break
            said = longer
        return said


def _over(statuses: Mapping[Path, Status]) -> int:
    return sum(status.state not in OPEN for status in statuses.values())


def _faults(statuses: Mapping[Path, Status]) -> str:
    counts = Counter(status.state for status in statuses.values() if status.state not in (*OPEN, DONE))
    return ", ".join(f"{count} {state}" for state, count in counts.items())
