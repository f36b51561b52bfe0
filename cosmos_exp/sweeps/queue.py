"""A sweep's folder as a queue: each cell is a run folder whose status.json says whether it waits, is at work or over.

Any number of workers, on any machine that sees the folder, take cells from it. Whoever takes a cell or changes its
state from outside holds the lock of the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import socket
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from cosmos_exp.common.errors import UserError
from cosmos_exp.runs.run_folder import (
    CANCELLED,
    PREEMPTED,
    QUEUED,
    RUNNING,
    RunFolder,
    Status,
)

WAITING = (QUEUED, PREEMPTED)
OVERRIDES = Path(".hydra") / "overrides.yaml"
RECORD = "multirun.yaml"
JOBS = ".jobs"
CANCEL = ".cancel"


class SweepFolder:
    """The folder of a multirun. UserError where there is none."""

    def __init__(self, path: Path):
        self.path = path.resolve()
        if not self.path.is_dir():
            raise UserError(f"no folder at {path}")
        if not (self.path / RECORD).is_file():
            raise UserError(f"{path} is no sweep: it holds no {RECORD}; give a folder below outputs/sweeps")

    @cached_property
    def config(self) -> DictConfig:
        """What Hydra composed for the whole multirun, `hydra` included."""
        return OmegaConf.load(self.path / RECORD)

    def cells(self) -> list[RunFolder]:
        """Every cell that was ever queued or begun, in the order of the sweep."""
        found = (path.parent for path in self.path.glob("*/status.json"))
        return [RunFolder(path) for path in sorted(found, key=lambda path: (cell_number(path), path.name))]

    def statuses(self) -> dict[Path, Status]:
        """{run folder: its state now}."""
        return {cell.path: cell.living_status() for cell in self.cells()}

    def waiting(self, job: str = "") -> int:
        """How many cells a worker of this job would find to take; "": of a new job."""
        return sum(_can_be_taken(cell.read_status(), job) for cell in self.cells())

    def unfinished(self, *, lost: bool = False) -> dict[Path, Status]:
        """The cells that are waiting or at work. lost: also those whose process is gone, so that nobody ended them."""
        statuses = {cell.path: cell.read_status() for cell in self.cells()} if lost else self.statuses()
        return {path: status for path, status in statuses.items() if status.state in (*WAITING, RUNNING)}

    def begin(self, cells: Iterable[tuple[Path, str]]) -> None:
        """Let the cells of a new launch, (run folder, run id), wait for workers.

        Cells that an earlier launch left waiting do so no longer. UserError where cells of this sweep are at work.
        """
        cells = list(cells)
        with self._locked():
            statuses = self.statuses()
            if busy := [path.name for path, status in statuses.items() if status.state == RUNNING]:
                raise UserError(
                    f"{self.path} is at work ({', '.join(busy)}): see cosmos-exp status {self.path}, or choose another "
                    "sweep_name"
                )
            for path, status in statuses.items():
                if status.state in WAITING:
                    _put(path, status, CANCELLED, "not among the cells of a later launch")
            self._enqueue(cells)

    def enqueue(self, cells: Iterable[tuple[Path, str]]) -> None:
        """Let these cells, (run folder, run id), wait for workers, beside those that do already."""
        with self._locked():
            self._enqueue(cells)

    def _enqueue(self, cells: Iterable[tuple[Path, str]]) -> None:
        for path, run_id in cells:
            before = RunFolder(path).read_status()
            _put(path, Status(QUEUED, run_id, attempts=before.attempts if before else 0))

    def take(self, job: str) -> RunFolder | None:
        """The next waiting cell, from now on this process's; None where there is none.

        job: id of the Slurm or submitit job that this process belongs to, else empty.
        """
        with self._locked():
            for cell in self.cells():
                status = cell.read_status()
                if _can_be_taken(status, job):
                    cell.stop.unlink(missing_ok=True)
                    status.host, status.pid, status.job, status.stage = socket.gethostname(), os.getpid(), job, ""
                    _put(cell.path, status, RUNNING)
                    return cell
        return None

    def end(self, cell: Path, state: str, error: str) -> None:
        """Say how a cell ended whose process could not say so itself."""
        _put(cell, RunFolder(cell).read_status(), state, error)

    def held_by(self, pid: int) -> Path | None:
        """The cell at work in a process of this machine."""
        for cell in self.cells():
            status = cell.read_status()
            if (status.state, status.host, status.pid) == (RUNNING, socket.gethostname(), pid):
                return cell.path
        return None

    def cancel(self) -> tuple[int, int]:
        """Take all waiting cells out of the queue and ask those at work to stop. Returns how many of each."""
        with self._locked():
            statuses = self.statuses()
            waiting = [path for path, status in statuses.items() if status.state in WAITING]
            working = [path for path, status in statuses.items() if status.state == RUNNING]
            for path in waiting:
                _put(path, statuses[path], CANCELLED, "by the user")
            for path in working:
                RunFolder(path).stop.touch()
            (self.path / CANCEL).touch()
        return len(waiting), len(working)

    def cancelled_at(self) -> float:
        """When cells at work were last asked to stop, in seconds of the epoch; infinity where they were not."""
        try:
            return (self.path / CANCEL).stat().st_mtime
        except FileNotFoundError:
            return math.inf

    def add_job(self, job: str) -> None:
        """Remember the id of a Slurm job that works for this sweep."""
        with open(self.path / JOBS, "a") as file:
            file.write(f"{job}\n")

    def jobs(self) -> list[str]:
        """Ids of the Slurm jobs that work or have worked for this sweep."""
        with contextlib.suppress(FileNotFoundError):
            return (self.path / JOBS).read_text().split()
        return []

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with open(self.path / ".lock", "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def cell_number(path: Path) -> int:
    """The number that begins a cell's folder name; -1 where none does."""
    number = path.name.partition("_")[0]
    return int(number) if number.isdigit() else -1


def _can_be_taken(status: Status, job: str) -> bool:
    """Whether a cell waits, or an earlier life of this job, which Slurm has begun anew, has left it behind."""
    return status.state in WAITING or (bool(job) and status.state == RUNNING and status.job == job)


def _put(cell: Path, status: Status, state: str | None = None, error: str = "") -> None:
    if state is not None:
        status.state, status.error = state, error
    RunFolder(cell).write_status(status)
