"""A server as a Slurm job: submitted, requeued on a preemption and after its time, started again where it was killed."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.processes import end_child
from cosmos_exp.sweeps import slurm

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

log = logging.getLogger(__name__)

LOGS = "slurm"
"""Folder of the jobs' logs, in the state folder of the server."""
TIME = 1440
"""Minutes of a job where hydra.launcher.timeout_min is null; then it is requeued."""
LAST_LINES = 15
"""How many lines of a server are shown that ended before it listened."""
SHORT = 60.0
"""Seconds. A server that was killed sooner after its start is not started again."""
POLL = 0.5
"""Seconds between two looks at the endpoint file."""


@dataclass
class Service:
    """Called, it runs a server until that ends by itself, which is also how it takes SIGTERM.

    command: of the server. grace: seconds that it has to end.
    """

    command: Sequence[str]
    grace: float
    _server: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __call__(self) -> None:
        """Raises RuntimeError where the server has failed."""
        while True:
            started = time.monotonic()
            self._server = subprocess.Popen(self.command)
            code = self._server.wait()
            if code == 0:
                return
            if code > 0 or time.monotonic() < started + SHORT:
                raise RuntimeError(f"the server ended with exit code {code}")
            print(f"the server was killed by {signal.Signals(-code).name}; it is started again", flush=True)

    def checkpoint(self) -> DelayedSubmission:
        """What submitit calls on a preemption or time limit: ends the server and has the job requeued."""
        from submitit.helpers import DelayedSubmission

        if self._server is not None:
            end_child(self._server.pid, signal.SIGTERM, self.grace)
        self._server = None
        return DelayedSubmission(self)


@dataclass(frozen=True)
class ServiceJob:
    """The job of a server. state: the server's folder; it writes `endpoint` there once it listens."""

    id: str
    state: Path
    endpoint: Path

    @property
    def log_file(self) -> Path:
        return self.state / LOGS / self.id / f"{self.id}_0_log.out"

    def url(self) -> str | None:
        """Where the server of this job listens; None where it does not yet."""
        try:
            found = json.loads(self.endpoint.read_text())
        except (OSError, ValueError):
            return None
        return found.get("url") if str(found.get("job")) == self.id else None

    def wait(self, say: Callable[[str], None]) -> str:
        """The URL, once the server listens. say: takes the states of the job on the way. UserError where it ends before."""
        said, asked = "", -slurm.POLL
        while (url := self.url()) is None:
            if time.monotonic() > asked + (slurm.POLL if said.startswith("RUNNING") else 2.0):
                asked, states = time.monotonic(), slurm.alive([self.id])
                if not states and self.url() is None:
                    raise UserError(f"Slurm job {self.id} ended before its server listened\n{self._last_lines()}")
                if (now := ", ".join(states)) != said:
                    said = now
                    say(f"Slurm job {self.id}: {now}")
            time.sleep(POLL)
        return url

    def _last_lines(self) -> str:
        try:
            lines = self.log_file.read_text(errors="replace").splitlines()
        except OSError:
            return f"it has no log: {self.log_file}"
        return "\n".join([*lines[-LAST_LINES:], f"whole log: {self.log_file}"])


def submit(arguments: Sequence[str], settings: dict[str, Any], state: Path, endpoint: Path, gpus: int, grace: float):
    """Submit `cosmos-exp serve ARGUMENTS` as a job.

    settings: of hydra/launcher. state: the server's folder. endpoint: the file in it that the server writes once it
    listens. gpus: that it uses. grace: seconds that it has to end, less than `settings["signal_delay_s"]`.
    """
    state.mkdir(parents=True, exist_ok=True)
    given = {**settings, "timeout_min": settings["timeout_min"] or TIME, "stderr_to_stdout": True}
    command = [sys.executable, "-m", "cosmos_exp", "serve", *arguments]
    job = slurm.submit(state.resolve() / LOGS / "%j", given, gpus, [Service(command, grace)])
    return ServiceJob(job, state, endpoint)


def job_id() -> str | None:
    """Id of the Slurm job that this process belongs to."""
    return os.environ.get("SLURM_JOB_ID")
