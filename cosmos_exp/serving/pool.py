"""The workers of a server: processes that it starts, starts again when they end, and stops.

A worker ends when its stdin does, so none outlives its server for long. Of a server that was killed, what is left of
them is ended before the next one starts.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cosmos_exp.common.cores import usable_cores
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.processes import is_alive
from cosmos_exp.serving.config import Settings
from cosmos_exp.serving.store import JobStore, WorkerInfo

log = logging.getLogger(__name__)

MODULE = "cosmos_exp.serving.worker"
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
"""Seconds before a worker that ended is started again; twice as long each time, until one has lived `STEADY`."""
STEADY = 60.0
FULL_PAUSE = 2.0
"""Seconds between two attempts to write the queue on a full disk."""
LEFT_BEHIND = 3.0
"""Seconds that workers of a server that was killed have to end."""
LAST_LINES = 4096
"""Bytes of a worker's log in which the reason of its end is looked for."""


def devices(settings: Settings) -> list[str]:
    """The device of each worker: the GPUs in turn, or the CPU. UserError for a GPU that is not there."""
    device, asked = settings.config.hardware.device, settings.serve.workers
    if device != "cuda" or (settings.config.hardware.processes or 1) > 1:
        return [device] * (asked or 1)
    import torch

    count = torch.cuda.device_count()
    if not count:
        raise UserError("hardware.device=cuda: this machine has no GPU that PyTorch can use; give hardware=cpu")
    return [f"cuda:{index % count}" for index in range(asked or count)]


@dataclass
class WorkerPool:
    """overrides: of the server's command line, which the workers compose again. grace: seconds to stop."""

    store: JobStore
    folder: Path
    overrides: Sequence[str]
    devices: Sequence[str]
    grace: float
    _boot: str = field(default_factory=lambda: secrets.token_hex(2))
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    _stopping: bool = False

    async def start(self) -> None:
        """Queue again what the last server's workers were at, and start."""
        await asyncio.to_thread(end_left_behind, self.store)
        if again := self.store.requeue_interrupted(reason="the server ended"):
            log.info("%d jobs of the last server go on", len(again))
        self.folder.mkdir(parents=True, exist_ok=True)
        for index, device in enumerate(self.devices):
            name = f"{device.replace(':', '')}-{index}-{self._boot}"  # unlike those of the last server
            self._tasks.append(asyncio.create_task(self._keep_alive(name, index, device)))

    async def stop(self) -> None:
        """Let every worker end between two steps; the jobs they were at are queued again."""
        self._stopping = True
        for process in list(self._processes.values()):
            if process.stdin is not None:
                process.stdin.close()
        done, late = await asyncio.wait(self._tasks, timeout=self.grace) if self._tasks else (set(), set())
        if late:
            log.warning("%d workers did not stop in %g s and are killed", len(late), self.grace)
            for process in self._processes.values():
                with suppress(ProcessLookupError):
                    process.kill()
            await asyncio.wait(late)
        for task in done | late:
            if (error := task.exception()) is not None:
                log.error("a worker's supervisor failed", exc_info=error)

    async def _keep_alive(self, name: str, index: int, device: str) -> None:
        pause = FIRST_PAUSE
        while not self._stopping:
            begun, why = time.monotonic(), ""
            try:
                why = await self._run(name, index, device)
            except OSError as error:
                why = f"it cannot be started: {error.strerror or error}"
            await self._requeue(name, why)
            if self._stopping:
                return
            pause = FIRST_PAUSE if time.monotonic() - begun > STEADY else min(LONGEST_PAUSE, 2 * pause)
            log.warning("worker %s ended: %s; started again in %g s", name, why, pause)
            self._say(name, device, "error", why)
            await self._wait(pause)
        self._say(name, device, "stopped", "")

    async def _requeue(self, name: str, why: str) -> None:
        """What it was at, as soon as the disk has room; else the next server does it."""
        while True:
            try:
                self.store.requeue_interrupted(name, why, counts=not self._stopping)
                return
            except sqlite3.OperationalError as error:
                log.warning("the queue cannot be written: %s; tried again in %g s", error, FULL_PAUSE)
            if self._stopping:
                return
            await self._wait(FULL_PAUSE)

    async def _run(self, name: str, index: int, device: str) -> str:
        """One process from its start to its end; why it ended."""
        own = self.folder / f"{index}.log"
        with own.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", MODULE, name, *self.overrides, "--device", device,
                stdin=asyncio.subprocess.PIPE, stdout=output, stderr=output, env=self._environment(),
                start_new_session=True,  # Ctrl-C is for the server
            )  # fmt: skip
        self._processes[name] = process
        self._say(name, device, "loading", "the process starts", process.pid)
        if self._stopping and process.stdin is not None:
            process.stdin.close()
        try:
            code = await process.wait()
        finally:
            self._processes.pop(name, None)
        ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        return f"{ended}: {line}" if (line := last_line(own)) else ended

    def _environment(self) -> dict[str, str]:
        share = max(1, usable_cores() // len(self.devices))
        return {"OMP_NUM_THREADS": str(share)} | dict(os.environ) if len(self.devices) > 1 else dict(os.environ)

    async def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < until:
            await asyncio.sleep(0.1)

    def _say(self, name: str, device: str, state: str, message: str, pid: int = 0) -> None:
        with suppress(sqlite3.OperationalError):  # a full disk
            self.store.set_worker(WorkerInfo(name, pid, device, state, message, (), time.time()))


def last_line(path: Path) -> str:
    """Of a log: usually the error that a process ended with."""
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_LINES))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip()[:500] if lines else ""
    return ""


def end_left_behind(store: JobStore) -> None:
    """End the workers of a server that was killed, which would write into the same folders as the new ones."""
    left = [worker for worker in store.workers() if _is_worker(worker)]
    for kind, patience in ((signal.SIGTERM, LEFT_BEHIND), (signal.SIGKILL, LEFT_BEHIND)):
        for worker in left:
            with suppress(ProcessLookupError):
                os.kill(worker.pid, kind)
        until = time.monotonic() + patience
        while left and time.monotonic() < until:
            time.sleep(0.05)
            left = [worker for worker in left if _is_worker(worker)]
    store.forget_workers()


def _is_worker(worker: WorkerInfo) -> bool:
    """Whether the process is still that worker, and no other that got its number."""
    try:
        words = Path(f"/proc/{worker.pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return MODULE.encode() in words and worker.name.encode() in words and is_alive(worker.pid)
