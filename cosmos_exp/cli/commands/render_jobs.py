"""What the commands of `cosmos-exp render` share: jobs with a bar of progress, their report, and values of options."""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cosmos_exp.common.errors import unknown_name
from cosmos_exp.common.interpreter import loading_modules

if TYPE_CHECKING:
    from cosmos_exp.rendering.clips.jobs import Context, Job, JobResult


def run(
    context: Context, jobs: Sequence[Job], results: Sequence[JobResult], out: Path, workers: int | None, started: float
) -> int:
    """Run the jobs with a bar of progress, and print what came of them and of their planning. workers: None for one per
    core. started: seconds of `time.monotonic`. Returns the exit status."""
    from cosmos_exp.common.cores import usable_cores
    from cosmos_exp.common.progress import steps
    from cosmos_exp.rendering.clips.jobs import run_jobs

    report = _Report()
    for result in results:
        report.add(result)
    total, drawn = sum(job.frames for job in jobs), 0

    def count(frames: int) -> None:
        nonlocal drawn
        drawn += frames
        tick(drawn, total)

    running = run_jobs(context, jobs, workers=workers or usable_cores(), tick=count)
    with steps("render") as tick:
        for result in running:
            report.add(result)
    return report.finish(out, time.monotonic() - started)


@contextmanager
def lasting_objects() -> Iterator[None]:
    """Spares the garbage collector what is made inside: imports and indices, which it would walk again and again."""
    with loading_modules():
        try:
            yield
        finally:
            gc.freeze()


class _Report:
    """Notes as they come, once each; at the end what was made and what failed."""

    def __init__(self) -> None:
        self.files = 0
        self.failures: list[str] = []
        self._told: set[tuple[str, str]] = set()

    def add(self, result: JobResult) -> None:
        from cosmos_exp.common.progress import console

        for note in result.notes:
            if (result.clip_id, note) not in self._told:
                self._told.add((result.clip_id, note))
                console.print(f"{result.clip_id}: {note}", style="yellow", markup=False, highlight=False)
        self.files += len(result.files)
        if result.error is not None:
            self.failures.append(" ".join(filter(None, (result.clip_id, result.kind, result.camera))))
            self.failures[-1] += f": {result.error}"

    def finish(self, out: Path, seconds: float) -> int:
        from cosmos_exp.common.progress import console

        print(f"{self.files} files in {out}, {seconds:.1f} s")
        if self.failures:
            lines = "\n".join(f"- {failure}" for failure in self.failures)
            console.print(f"{len(self.failures)} failed:\n{lines}", style="red", markup=False, highlight=False)
        return 2 if self.failures else 0


def one_of(what: str, allowed: Sequence[str]) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value not in allowed:
            raise argparse.ArgumentTypeError(unknown_name(what, value, allowed))
        return value

    return check


def names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of different names, as in A,B")
    return names


def numbers(text: str) -> tuple[int, ...]:
    numbers = [name.strip() for name in text.split(",")]
    if not all(number.isdecimal() for number in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of frame numbers, as in 0,37")
    return tuple(sorted({int(number) for number in numbers}))


def count_of_workers(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes, 1 or more")
    return int(text)
