"""Keeps a run's status.json true while its stages work, and tells the user about them."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from cosmos_exp.common import progress
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import remove_partial_files
from cosmos_exp.common.gpu_memory import PeakMeter
from cosmos_exp.common.locks import locked
from cosmos_exp.guardrails.verdicts import Blocked
from cosmos_exp.runs import stopping
from cosmos_exp.runs.run_folder import HEARTBEAT, SILENCE, RunFolder, Status
from cosmos_exp.runs.states import BLOCKED, CANCELLED, DONE, FAILED, INTERRUPTED, QUEUED, RUNNING
from cosmos_exp.runs.stopping import Stopped

log = logging.getLogger(__name__)

LOOK = 0.2
"""Seconds between two looks at a run folder in which another process works."""


@contextlib.contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Wait until no other process works in this run folder, keep others out, and remove what dead ones left half
    written. UserError where the other process gives no sign of life."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        began: float | None = None
        while True:
            try:
                held.enter_context(locked(RunFolder(folder).lock, wait=False))
                break
            except BlockingIOError:
                if began is None:
                    began = time.monotonic()
                    log.info("another process works in %s: waiting for it", folder)
            stopping.heed()
            _require_life(RunFolder(folder), time.monotonic() - began)
            time.sleep(LOOK)
        remove_partial_files(folder)
        yield


def _require_life(folder: RunFolder, waited: float) -> None:
    status = folder.read_status()
    updated = datetime.fromisoformat(status.updated).timestamp() if status and status.updated else 0.0
    if waited > SILENCE and time.time() - updated > SILENCE:
        who = f"process {status.pid} of {status.host}" if status and status.pid else "another process"
        raise UserError(
            f"{folder.path} is in use by {who}, which has given no sign of life for {SILENCE:g} s: end it, or choose "
            "another name=..."
        )


def same_run(folder: RunFolder, run_id: str) -> Status:
    """The status of a folder for the run with this id. UserError where the folder holds a run of another config."""
    before = folder.read_status() or Status(QUEUED, run_id)
    if before.run_id != run_id:
        raise UserError(
            f"{folder.path} holds run {before.run_id}, which has another config than this one ({run_id}): "
            "choose another name=..."
        )
    return before


class Report:
    """run_id: of the config; a folder that holds a run of another config is a UserError.

    prefix: begins every line of this run, where several may write to one console. device: that the networks run on.

    hits, misses: {stage: cache lookups}, counted by the stages and written with the status.
    """

    def __init__(self, folder: RunFolder, run_id: str, prefix: str = "", device: str = "cpu"):
        before = same_run(folder, run_id)
        self.folder = folder
        self.prefix = prefix
        self.device = device
        self.hits: Counter[str] = Counter()
        self.misses: Counter[str] = Counter()
        self.status = Status(
            RUNNING,
            run_id,
            started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            host=socket.gethostname(),
            pid=os.getpid(),
            job=before.job,
            attempts=before.attempts + 1,
            hits=self.hits,
            misses=self.misses,
        )
        self._writing = threading.Lock()
        self._write()

    @contextlib.contextmanager
    def until_done(self) -> Iterator[None]:
        """Give signs of life while the work within goes on, and write how it ends."""
        over = threading.Event()
        heart = threading.Thread(target=self._beat, args=(over,), daemon=True)
        heart.start()
        try:
            yield
            if stopping.interrupted():
                raise KeyboardInterrupt
        except Stopped as stop:
            self._end(stop.state, str(stop), over)
            raise
        except KeyboardInterrupt:
            stopping.landed()
            self._end(INTERRUPTED, "interrupted by the user", over)
            raise
        except Exception as error:
            if stopping.interrupted():
                stopping.landed()
                self._end(INTERRUPTED, "interrupted by the user", over)
                raise KeyboardInterrupt from error
            if asked := stopping.asked():  # Slurm's signals reach helper processes too, whose end is no failure
                self._end(asked.state, str(asked), over)
                raise asked from error
            self._end(BLOCKED if isinstance(error, Blocked) else FAILED, str(error) or type(error).__name__, over)
            raise
        self._end(DONE, "", over)

    @contextlib.contextmanager
    def stage(self, name: str, label: str = "") -> Iterator[progress.Tick]:
        """Time a stage and show its progress. label: what the user sees, where it is more than the name."""
        stopping.heed()
        self.status.stage, self.status.step = name, ""
        self._write()
        hits, misses = self.hits.total(), self.misses.total()
        started, worked = time.monotonic(), time.process_time()
        label = self.prefix + (label or name)
        meter = PeakMeter(self.device)
        with progress.steps(label) as show:

            def tick(done: int, total: int) -> None:
                stopping.heed()
                self.status.step = f"{done}/{total}"
                show(done, total)

            yield tick
        if peak := meter.peak():
            before = self.status.gpu_memory.get(name, {})
            self.status.gpu_memory[name] = {key: max(value, before.get(key, 0.0)) for key, value in peak.items()}
        seconds = time.monotonic() - started
        self.status.seconds[name] = round(self.status.seconds.get(name, 0.0) + seconds, 3)
        worked = time.process_time() - worked
        self.status.cpu_seconds[name] = round(self.status.cpu_seconds.get(name, 0.0) + worked, 3)
        cached = self.hits.total() > hits and self.misses.total() == misses
        log.info("%-24s %6.1f s%s", label, seconds, "  from the cache" if cached else "")

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(HEARTBEAT):
            if self.folder.stop.exists():
                stopping.request(CANCELLED, "by the user")
            with contextlib.suppress(OSError, RuntimeError):  # a full disk; counts that change while they are written
                self._write()

    def _end(self, state: str, error: str, over: threading.Event) -> None:
        over.set()
        self.status.state, self.status.error = state, error
        try:
            self._write()
            self.folder.stop.unlink(missing_ok=True)
        except OSError as problem:  # a full disk: status.json goes on saying `running` of a process that is gone
            log.warning("cannot write %s: %s", self.folder.status, problem.strerror)

    def _write(self) -> None:
        with self._writing:
            self.folder.write_status(self.status)
