"""Keeps a run's status.json true while its stages work, and tells the user about them."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from cosmos_exp import gpu, progress
from cosmos_exp.errors import UserError
from cosmos_exp.tracking.run_folder import DONE, FAILED, INTERRUPTED, RUNNING, RunFolder, Status

log = logging.getLogger(__name__)


@contextlib.contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Wait until no other process works in this run folder, and keep others out."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another process works in %s: waiting for it", folder)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Report:
    """run_id: of the config; a folder that holds a run of another config is a UserError.

    prefix: begins every line of this run, where several may write to one console. device: that the networks run on.

    hits, misses: {stage: cache lookups}, counted by the stages and written with the status.
    """

    def __init__(self, folder: RunFolder, run_id: str, prefix: str = "", device: str = "cpu"):
        before = folder.read_status()
        if before and before.run_id != run_id:
            raise UserError(
                f"{folder.path} holds run {before.run_id}, which has another config than this one ({run_id}): "
                "choose another name=..."
            )
        self.folder = folder
        self.prefix = prefix
        self.device = device
        self.hits: Counter[str] = Counter()
        self.misses: Counter[str] = Counter()
        now = _now()
        self.status = Status(
            RUNNING,
            run_id,
            started=now,
            updated=now,
            host=socket.gethostname(),
            pid=os.getpid(),
            hits=self.hits,
            misses=self.misses,
        )
        self._write()

    @contextlib.contextmanager
    def until_done(self) -> Iterator[None]:
        """Write how the work within ends."""
        try:
            yield
        except KeyboardInterrupt:
            self._end(INTERRUPTED, "interrupted by the user")
            raise
        except Exception as error:
            self._end(FAILED, str(error) or type(error).__name__)
            raise
        self._end(DONE, "")

    @contextlib.contextmanager
    def stage(self, name: str, label: str = "") -> Iterator[progress.Tick]:
        """Time a stage and show its progress. label: what the user sees, where it is more than the name."""
        self.status.stage = name
        self._write()
        hits, misses = self.hits.total(), self.misses.total()
        started = time.monotonic()
        label = self.prefix + (label or name)
        meter = gpu.PeakMeter(self.device)
        with progress.steps(label) as tick:
            yield tick
        if peak := meter.peak():
            before = self.status.gpu_memory.get(name, {})
            self.status.gpu_memory[name] = {key: max(value, before.get(key, 0.0)) for key, value in peak.items()}
        seconds = time.monotonic() - started
        self.status.seconds[name] = round(self.status.seconds.get(name, 0.0) + seconds, 3)
        cached = self.hits.total() > hits and self.misses.total() == misses
        log.info("%-24s %6.1f s%s", label, seconds, "  from the cache" if cached else "")

    def _end(self, state: str, error: str) -> None:
        self.status.state, self.status.error = state, error
        try:
            self._write()
        except OSError as problem:  # a full disk: status.json goes on saying `running` of a process that is gone
            log.warning("cannot write %s: %s", self.folder.status, problem.strerror)

    def _write(self) -> None:
        self.status.updated = _now()
        self.folder.write_status(self.status)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
