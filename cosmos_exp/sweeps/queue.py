"""The folder of a sweep as a queue of cells. A cell is a run folder; its status.json holds its state.

Any number of workers, on any machine that sees the folder, take cells from it. Taking a cell, and changing its state
from outside its process, needs the lock of the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import math
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cosmos_exp.common.cache_holds import is_removed
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import remove_partial_files
from cosmos_exp.common.locks import locked
from cosmos_exp.common.processes import has_open, is_alive
from cosmos_exp.runs.run_folder import RunFolder, Status, existing_folder, read_run_yaml
from cosmos_exp.runs.states import CANCELLED, PREEMPTED, QUEUED, RUNNING, UNREADABLE

log = logging.getLogger(__name__)

WAITING = (QUEUED, PREEMPTED)
OVERRIDES = Path(".hydra") / "overrides.yaml"
RECORD = "multirun.yaml"
JOBS = ".jobs"
CANCEL = ".cancel"
FEED = ".feed"
AT_WORK = ".at_work"
INDEX = ".cells"
GRACE = 60.0
"""Seconds that a worker has to stop, before it is killed."""
NEEDED = ("hydra.sweep.dir", "hydra.runtime.cwd", "hydra.overrides.task", "hydra.overrides.hydra")
"""Of the record, what a retry cannot do without."""


class SweepFolder:
    """The folder of a multirun. UserError where there is none."""

    def __init__(self, path: Path):
        self.path = existing_folder(path).resolve()
        if not (self.path / RECORD).is_file():
            raise UserError(f"{path} is no sweep: it holds no {RECORD}; give a folder below outputs/sweeps")

    @cached_property
    def config(self) -> DictConfig:
        """What Hydra composed for the whole multirun, `hydra` included. UserError where it cannot be read."""
        path = self.path / RECORD
        try:
            config = OmegaConf.create(read_run_yaml(path))
            if not isinstance(config, DictConfig):
                raise UserError(f"{path} holds no keys: it is no record of a sweep")
            values = OmegaConf.to_container(config)  # without resolving: what it refers to may be of the launch
            if absent := [key for key in NEEDED if _value(values, key) is None]:
                raise UserError(f"{path} has no {absent[0]}: it is damaged, or of another version")
        except OmegaConfBaseException as error:
            raise UserError(f"{path} is no record of a sweep: {' '.join(str(error).split())}") from error
        return config

    def enter_working_folder(self) -> None:
        """Go where the sweep was launched, which relative paths in its configs start from. UserError where that is
        gone."""
        cwd = Path(self.config.hydra.runtime.cwd)
        try:
            os.chdir(cwd)
        except OSError as error:
            raise UserError(
                f"{self.path} was launched in {cwd}, where relative paths of its cells start: {error.strerror}"
            ) from error

    def cells(self) -> list[RunFolder]:
        """Every cell that was ever queued or started, in the order of the sweep."""
        found = {path.parent for path in self.path.glob("*/status.json")}
        index = self._index()
        found |= {path for path in index if (path / "status.json").exists()}
        order = sorted(found, key=lambda path: (index.get(path, cell_number(path)), self.name(path)))
        return [RunFolder(path) for path in order]

    def name(self, cell: Path) -> str:
        """Its folder, seen from that of the sweep."""
        return cell.relative_to(self.path).as_posix()

    def number(self, cell: Path) -> int:
        """That Hydra gave it; -1 where it is not known."""
        return self._index().get(cell, cell_number(cell))

    def add(self, cell: Path, number: int) -> None:
        """Note the number of a cell whose folder does not tell it. UserError where another cell has the folder."""
        if cell.parent == self.path and cell_number(cell) == number:
            return
        with self._locked():
            other = self._index().get(cell)
            if other is not None and other != number:
                raise UserError(f"cells {other} and {number} would have the same folder {self.name(cell)!r}")
            if other is None:
                with open(self.path / INDEX, "a", encoding="utf-8") as file:
                    file.write(json.dumps([number, self.name(cell)]) + "\n")

    def _index(self) -> dict[Path, int]:
        """{folder: number} of the cells whose folders do not tell it."""
        try:
            lines = (self.path / INDEX).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return {}
        return {self.path / name: number for number, name in map(json.loads, lines)}

    def statuses(self) -> dict[Path, Status]:
        """{run folder: its status now}; `unreadable`, with the reason, where its file cannot be read."""
        return {cell.path: status for cell in self.cells() if (status := readable(cell.living_status))}

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
        remove_partial_files(self.path, ".*.partial")
        with self._locked():
            self.require_idle()
            for path, status in self.statuses().items():
                if status.state in WAITING:
                    _put(path, status, CANCELLED, "not among the cells of a later launch")
            self._enqueue(cells)

    def require_idle(self) -> None:
        """UserError where cells of this sweep are running."""
        if busy := [self.name(path) for path, status in self.statuses().items() if status.state == RUNNING]:
            raise UserError(
                f"{self.path} is running ({', '.join(busy)}): see cosmos-exp status {self.path}, or choose another "
                "sweep_name"
            )

    def enqueue(self, cells: Iterable[tuple[Path, str]]) -> None:
        """Queue these cells, (run folder, run id), beside those that are queued already. One that another command has
        begun meanwhile stays with it."""
        with self._locked():
            self._enqueue(cells)

    def _enqueue(self, cells: Iterable[tuple[Path, str]]) -> None:
        for path, run_id in cells:
            before = readable(RunFolder(path).living_status)
            if before is None or before.state not in (QUEUED, RUNNING):
                _put(path, Status(QUEUED, run_id, attempts=before.attempts if before else 0))

    def end_hanging(self, *, orphans: bool) -> None:
        """End the processes of this machine that hold a cell and do not go on with it.

        Those that are stopped or stuck are killed. orphans: no command is at work, so that those at work have lost
        theirs and are about to stop; they are waited for, and killed where they take longer than `GRACE`.
        """
        deadline, told = time.monotonic() + GRACE, False
        for cell in self.cells():
            while orphans and time.monotonic() < deadline and _is_orphan(readable(cell.living_status)):
                if not told:
                    log.info("workers that have lost their command are ending: waiting for them")
                told = True
                time.sleep(0.1)
            status = readable(cell.living_status)
            if status is None or status.state == UNREADABLE:
                continue
            pid = cell.hanging_process()
            if orphans and _is_orphan(status):
                pid = status.pid
            if pid is not None and has_open(pid, cell.lock):
                log.info("%s: process %d is stopped or hangs: killed", self.name(cell.path), pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

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
        with _opened(self.path / FEED, fcntl.LOCK_EX) as (_, only):
            if not only:
                raise UserError(f"another process adds cells to {self.path}: see cosmos-exp status {self.path}")
            try:
                yield
            finally:
                (self.path / FEED).unlink(missing_ok=True)

    def is_fed(self) -> bool:
        """Whether a process, this one included, is `feeding` the queue."""
        try:
            with open(self.path / FEED) as file:
                return not _lock(file, fcntl.LOCK_SH)
        except FileNotFoundError:
            return False

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
        """Take all queued cells out of the queue and ask the running ones to stop. Returns how many of each.

        A process of this machine that is stopped or hangs cannot be asked: it is killed.
        """
        with self._locked():
            statuses = dict(self._recorded())
            queued = [path for path, status in statuses.items() if status.state in WAITING]
            running = [path for path, status in statuses.items() if status.state == RUNNING and not _is_dead(path)]
            for path in queued:
                _put(path, statuses[path], CANCELLED, "by the user")
            for path in running:
                if (pid := RunFolder(path).hanging_process()) is not None:
                    os.kill(pid, signal.SIGKILL)
                    _put(path, statuses[path], CANCELLED, "by the user; killed because it gave no sign of life")
                else:
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
        return ((cell.path, status) for cell in self.cells() if (status := readable(cell.read_status)))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with locked(self.path / ".lock"):
            yield


def _value(values: Any, key: str) -> Any:
    """At a key with dots of nested mappings; None where there is none."""
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def readable(read: Callable[[], Status | None]) -> Status | None:
    """A status, or one that says why there is none to read."""
    try:
        return read()
    except UserError as error:
        return Status(UNREADABLE, "", error=str(error))


def cell_number(path: Path) -> int:
    """The number that begins a cell's folder name; -1 where none does."""
    number = path.name.partition("_")[0]
    return int(number) if number.isdecimal() and len(number) < 10 else -1


def _can_be_taken(status: Status, job: str) -> bool:
    """Whether a cell is queued or preempted, or was running in this job before Slurm requeued it."""
    return status.state in WAITING or (bool(job) and status.state == RUNNING and status.job == job)


def _is_dead(cell: Path) -> bool:
    """Whether the process that has a cell ran on this machine and is gone."""
    status = RunFolder(cell).read_status()
    return status is not None and status.host == socket.gethostname() and not is_alive(status.pid)


def _is_orphan(status: Status | None) -> bool:
    """Whether a cell runs in a process of this machine that a command has started and not a job."""
    return status is not None and (status.state, status.host, status.job) == (RUNNING, socket.gethostname(), "")


@contextlib.contextmanager
def _opened(path: Path, kind: int) -> Iterator[tuple[IO[str], bool]]:
    """Open a file that others may remove, and lock it; gives also whether that was possible within a second."""
    deadline = time.monotonic() + 1.0  # who looks whether a file is locked holds the lock for a moment
    while True:
        with open(path, "a") as file:
            while not (got := _lock(file, kind)) and time.monotonic() < deadline:
                time.sleep(0.05)
            if is_removed(file.fileno()):
                continue
            yield file, got
            return


@contextlib.contextmanager
def commanded(sweep: Path, *, alone: bool = False) -> Iterator[bool]:
    """While inside, this process counts as a command at work on a sweep; gives whether it was the only one.

    alone: UserError where it is not.
    """
    with _opened(sweep / AT_WORK, fcntl.LOCK_EX) as (file, only):
        if alone and not only:
            raise UserError(f"{sweep} is run by another command: see cosmos-exp status {sweep}, or choose another name")
        fcntl.flock(file, fcntl.LOCK_SH)
        try:
            yield only
        finally:
            if _lock(file, fcntl.LOCK_EX):
                (sweep / AT_WORK).unlink(missing_ok=True)


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
