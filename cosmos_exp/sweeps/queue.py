"""The folder of a sweep as a queue of cells. A cell is a run folder; its status.json holds its state.

Any number of workers, on any machine that sees the folder, take cells from it. Taking a cell, and changing its state
from outside its process, needs the lock of the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import socket
import time
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import IO

from omegaconf import DictConfig, OmegaConf

from cosmos_exp.common.errors import UserError
from cosmos_exp.runs.run_folder import RunFolder, Status
from cosmos_exp.runs.states import CANCELLED, PREEMPTED, QUEUED, RUNNING

WAITING = (QUEUED, PREEMPTED)
OVERRIDES = Path(".hydra") / "overrides.yaml"
RECORD = "multirun.yaml"
JOBS = ".jobs"
CANCEL = ".cancel"
FEED = ".feed"


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
        config = OmegaConf.load(self.path / RECORD)
        assert isinstance(config, DictConfig)
        return config

    def cells(self) -> list[RunFolder]:
        """Every cell that was ever queued or started, in the order of the sweep."""
        found = (path.parent for path in self.path.glob("*/status.json"))
        return [RunFolder(path) for path in sorted(found, key=lambda path: (cell_number(path), path.name))]

    def statuses(self) -> dict[Path, Status]:
        """{run folder: its status now}."""
        return {cell.path: status for cell in self.cells() if (status := cell.living_status())}

    def waiting(self, job: str = "") -> int:
        """How many cells a worker of this job could take; "": of a new job."""
        return sum(_can_be_taken(status, job) for _, status in self._recorded())

    def unfinished(self, *, lost: bool = False) -> dict[Path, Status]:
        """The cells that are queued, preempted or running. lost: also those that say `running` and whose process is
        gone."""
        statuses = dict(self._recorded()) if lost else self.statuses()
        return {path: status for path, status in statuses.items() if status.state in (*WAITING, RUNNING)}

    def begin(self, cells: Iterable[tuple[Path, str]]) -> None:
        """Queue the cells of a new launch, (run folder, run id).

        Cells that an earlier launch left in the queue are cancelled. UserError where cells of this sweep are running.
        """
        cells = list(cells)
        with self._locked():
            statuses = self.statuses()
            if busy := [path.name for path, status in statuses.items() if status.state == RUNNING]:
                raise UserError(
                    f"{self.path} is running ({', '.join(busy)}): see cosmos-exp status {self.path}, or choose another "
                    "sweep_name"
                )
            for path, status in statuses.items():
                if status.state in WAITING:
                    _put(path, status, CANCELLED, "not among the cells of a later launch")
            self._enqueue(cells)

    def enqueue(self, cells: Iterable[tuple[Path, str]]) -> None:
        """Queue these cells, (run folder, run id), beside those that are queued already."""
        with self._locked():
            self._enqueue(cells)

    def _enqueue(self, cells: Iterable[tuple[Path, str]]) -> None:
        for path, run_id in cells:
            before = RunFolder(path).read_status()
            _put(path, Status(QUEUED, run_id, attempts=before.attempts if before else 0))

    def take(self, job: str) -> RunFolder | None:
        """Take the next queued or preempted cell for this process; None where there is none.

        job: id of the Slurm or submitit job that this process belongs to, else empty.
        """
        with self._locked():
            for path, status in self._recorded():
                if _can_be_taken(status, job):
                    cell = RunFolder(path)
                    cell.stop.unlink(missing_ok=True)
                    status.host, status.pid, status.job, status.stage = socket.gethostname(), os.getpid(), job, ""
                    _put(path, status, RUNNING)
                    return cell
        return None

    @contextlib.contextmanager
    def feeding(self) -> Iterator[None]:
        """While inside, this process adds cells, and workers that find the queue empty wait for them.

        The kernel ends this with the process, however that ends. UserError where another process is feeding.
        """
        with open(self.path / FEED, "a") as file:
            deadline = time.monotonic() + 1.0  # `is_fed` of a worker holds the lock for a moment
            while not _lock(file, fcntl.LOCK_EX):
                if time.monotonic() > deadline:
                    raise UserError(f"another process adds cells to {self.path}: see cosmos-exp status {self.path}")
                time.sleep(0.05)
            yield

    def is_fed(self) -> bool:
        """Whether a process, this one included, is `feeding` the queue."""
        with open(self.path / FEED, "a") as file:
            return not _lock(file, fcntl.LOCK_SH)

    def end(self, cell: Path, state: str, error: str) -> None:
        """Record how a cell ended whose process could not do so itself."""
        status = RunFolder(cell).read_status()
        assert status is not None, "cells are queued before they are taken"
        _put(cell, status, state, error)

    def held_by(self, pid: int) -> Path | None:
        """The cell that a process of this machine is running."""
        for path, status in self._recorded():
            if (status.state, status.host, status.pid) == (RUNNING, socket.gethostname(), pid):
                return path
        return None

    def cancel(self) -> tuple[int, int]:
        """Take all queued cells out of the queue and ask the running ones to stop. Returns how many of each."""
        with self._locked():
            statuses = self.statuses()
            queued = [path for path, status in statuses.items() if status.state in WAITING]
            running = [path for path, status in statuses.items() if status.state == RUNNING]
            for path in queued:
                _put(path, statuses[path], CANCELLED, "by the user")
            for path in running:
                RunFolder(path).stop.touch()
            (self.path / CANCEL).touch()
        return len(queued), len(running)

    def cancelled_at(self) -> float:
        """When the sweep was last cancelled, in seconds of the epoch; infinity where it never was."""
        try:
            return (self.path / CANCEL).stat().st_mtime
        except FileNotFoundError:
            return math.inf

    def add_job(self, job: str) -> None:
        """Record the id of a Slurm job that runs workers of this sweep."""
        with open(self.path / JOBS, "a") as file:
            file.write(f"{job}\n")

    def jobs(self) -> list[str]:
        """Ids of all Slurm jobs that were submitted for this sweep."""
        with contextlib.suppress(FileNotFoundError):
            return (self.path / JOBS).read_text().split()
        return []

    def _recorded(self) -> Iterator[tuple[Path, Status]]:
        """(run folder, its status as it stands in the file)."""
        return ((cell.path, status) for cell in self.cells() if (status := cell.read_status()))

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
    """Whether a cell is queued or preempted, or was running in this job before Slurm requeued it."""
    return status.state in WAITING or (bool(job) and status.state == RUNNING and status.job == job)


def _lock(file: IO[str], kind: int) -> bool:
    """Lock an open file if that is possible at once; returns whether it was."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _put(cell: Path, status: Status, state: str | None = None, error: str = "") -> None:
    if state is not None:
        status.state, status.error = state, error
    RunFolder(cell).write_status(status)
