"""Runs a worker, and where it was killed, marks its cell as failed and starts another.

So a killed worker, most often by the kernel when memory runs out, costs the sweep one cell.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.processes import end_child, has_open
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.runs.states import CANCELLED, FAILED, INTERRUPTED, PREEMPTED
from cosmos_exp.runs.stopping import SIGNALS
from cosmos_exp.sweeps.queue import GRACE, SweepFolder
from cosmos_exp.sweeps.worker import DOUBTFUL, ENDED, INTERRUPTED_EXIT, PREEMPTED_EXIT, REFUSED_EXIT

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

ENDED_AS = {PREEMPTED_EXIT: PREEMPTED, INTERRUPTED_EXIT: INTERRUPTED}
PATIENCE = 1.0
"""Seconds for the last lines of a worker that has ended."""
LAST_LINES = 5
"""How many lines of a worker are kept, to tell why it ended."""


@dataclass
class Supervisor:
    """Called, it runs workers until the queue is empty or this job is preempted.

    sweep: folder. share: cells to take even where time may run short. environment: added to that of this process for
    the worker; None unsets a variable. verbose: the worker shows all lines of its cells. say: takes its lines; None
    leaves them to the standard output and error of this process. interrupted: no other worker is to be started.
    """

    sweep: Path
    share: int = 0
    environment: dict[str, str | None] = field(default_factory=dict)
    verbose: bool = False
    say: Callable[[str], None] | None = None
    _worker: subprocess.Popen[str] | None = field(default=None, init=False)
    interrupted: bool = field(default=False, init=False)
    _cell: Path | None = field(default=None, init=False)  # the last that the worker was seen with
    _said: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES), init=False)

    def __call__(self) -> None:
        """Raises UserError where a worker ends before it takes a cell."""
        sweep = SweepFolder(self.sweep)
        while not self.interrupted and (sweep.waiting(_job_id()) or sweep.is_fed()):
            code = self._run_worker(sweep)
            if code in (ENDED, PREEMPTED_EXIT, INTERRUPTED_EXIT):
                return

    def interrupt(self) -> None:
        """Have the worker end, as Ctrl-C does, and start no other."""
        self.interrupted = True
        worker = self._worker
        if worker is not None and worker.poll() is None:
            worker.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End the worker at once."""
        self.interrupted = True
        if self._worker is not None:
            self._worker.kill()

    def checkpoint(self) -> DelayedSubmission:
        """What submitit calls on a preemption or time limit: ends the worker and has the job requeued."""
        from submitit.helpers import DelayedSubmission

        if self._worker is not None:
            _end(self._worker.pid, SweepFolder(self.sweep))
        self._worker = None
        return DelayedSubmission(self)

    def _run_worker(self, sweep: SweepFolder) -> int:
        command = [sys.executable, "-m", "cosmos_exp.sweeps.worker", str(self.sweep)]
        command += ["--job", _job_id(), "--share", str(self.share), "--parent", str(os.getpid())]
        command += ["--verbose"] * self.verbose
        pipes: dict[str, Any] = {}
        if self.say is not None:
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "errors": "replace"}
        # Blocked until the worker has handlers for them, which unblocks them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (*SIGNALS, signal.SIGINT))
        try:
            self._worker = worker = subprocess.Popen(command, env=self._environment(), text=True, **pipes)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._cell = None
        listener = self._listen(worker)
        while True:
            try:
                code = worker.wait(timeout=1.0)
                break
            except subprocess.TimeoutExpired:
                self._cell = sweep.held_by(worker.pid) or self._cell
                self._enforce_cancel(sweep, worker)
        if listener is not None:
            listener.join(PATIENCE)  # its own children may have the pipe still
        self._settle(sweep, worker.pid, code)
        return code

    def _listen(self, worker: subprocess.Popen[str]) -> threading.Thread | None:
        """Pass the lines of the worker on, in a thread."""
        if self.say is None:
            return None

        def listen() -> None:
            assert worker.stdout is not None and self.say is not None
            for line in worker.stdout:
                self._said.append(line.rstrip())
                self.say(line.rstrip("\n"))

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        return listener

    def _environment(self) -> dict[str, str]:
        return {name: value for name, value in (os.environ | self.environment).items() if value is not None}

    def _settle(self, sweep: SweepFolder, pid: int, code: int) -> None:
        """Record how the cell of a worker that has ended came out."""
        cell = sweep.held_by(pid)
        if cell is not None and self.interrupted:
            sweep.end(cell, INTERRUPTED, "interrupted by the user")
        elif cell is not None:
            sweep.end(cell, ENDED_AS.get(code, FAILED), _how_it_died(code))
        elif self.interrupted or self._cell is not None:
            return
        elif code == REFUSED_EXIT and self._said:
            raise UserError(self._said[-1])
        elif code not in (ENDED, PREEMPTED_EXIT, INTERRUPTED_EXIT, DOUBTFUL):
            raise UserError(f"a worker of {self.sweep} ended before it took a cell: {_how_it_died(code)}")

    def _enforce_cancel(self, sweep: SweepFolder, worker: subprocess.Popen[str]) -> None:
        if time.time() < sweep.cancelled_at() + GRACE:
            return
        cell = sweep.held_by(worker.pid)
        if cell is not None and RunFolder(cell).stop.exists():
            worker.kill()
            sweep.end(cell, CANCELLED, "by the user; killed because it did not stop")
        elif cell is None and self._cell is not None and has_open(worker.pid, RunFolder(self._cell).lock):
            worker.kill()  # another command has taken its cell, because it gave no sign of life


def _end(pid: int, sweep: SweepFolder) -> None:
    """Preempt a worker; kill it where it does not stop in time."""
    if not end_child(pid, signal.SIGUSR2, GRACE) and (cell := sweep.held_by(pid)) is not None:
        sweep.end(cell, PREEMPTED, "preempted; killed because it did not stop in time")


def _job_id() -> str:
    """Id of the Slurm or submitit job that this process is; empty where it is none."""
    if "SUBMITIT_EXECUTOR" not in os.environ:
        return ""
    from submitit import JobEnvironment

    return JobEnvironment().job_id


def _how_it_died(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit code {code}"
    reason = "; the kernel does so when memory runs out" if code == -signal.SIGKILL else ""
    return f"its process was killed by {signal.Signals(-code).name}{reason}"
