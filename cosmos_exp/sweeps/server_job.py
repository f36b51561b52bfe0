"""A server as a Slurm job: submitted, requeued on a preemption and after its time, started again
where it was killed."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_exp.common.errors import UserError, ValidationErrors
from cosmos_exp.common.processes import end_child
from cosmos_exp.serving.config import ENDPOINT, settings
from cosmos_exp.serving.tokens import INITIAL
from cosmos_exp.sweeps import slurm

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

log = logging.getLogger(__name__)

LOGS = "slurm"
"""Folder of the jobs' logs, in the state folder of the server."""
ANY = "0.0.0.0"
"""serve.host of a job that is given none: other machines reach it, so that it asks for a token."""
TIME = 1440
"""Minutes of a job where hydra.launcher.timeout_min is null; then it is requeued."""
LAST_LINES = 15
"""How many lines of a server are shown that ended before it listened."""
MARGIN = 10.0
"""Seconds beyond its grace after which a server is killed."""
SHORT = 60.0
"""Seconds. A server that was killed sooner after its start is not started again."""
ASK = 5.0
"""Seconds between two calls of squeue while a server starts."""
POLL = 0.5
"""Seconds between two looks at the endpoint file."""


@dataclass
class ServerTask:
    """Called, it runs a server until that ends by itself, which is also how it takes SIGTERM.

    command: of the server. grace: seconds that it has to end.
    """

    command: Sequence[str]
    grace: float
    _server: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __call__(self) -> None:
        """Raises SystemExit where the server has failed."""
        while True:
            started = time.monotonic()
            self._server = subprocess.Popen(self.command, preexec_fn=_ignore_warning)
            code = self._server.wait()
            if code == 0:
                return
            if code > 0 or time.monotonic() < started + SHORT:
                raise SystemExit(f"the server ended with exit code {code}")  # no traceback after its own words
            print(f"the server was killed by {signal.Signals(-code).name}; it is started again", flush=True)

    def checkpoint(self) -> DelayedSubmission:
        """What submitit calls on a preemption or time limit: ends the server and has the job requeued."""
        from submitit.helpers import DelayedSubmission

        if self._server is not None:
            end_child(self._server.pid, signal.SIGTERM, self.grace)
        self._server = None
        return DelayedSubmission(self)


def _ignore_warning() -> None:
    """Slurm sends SIGUSR2 to all processes of a job; it is this one that ends the server."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


@dataclass(frozen=True)
class ServerJob:
    """The job of a server. state: the server's folder; it writes `endpoint` there once it listens."""

    id: str
    state: Path

    @property
    def endpoint(self) -> Path:
        return self.state / ENDPOINT

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
        """The URL, once the server listens. say: takes the states of the job on the way.

        UserError where the job ends before.
        """
        said, asked = "", -ASK
        while (url := self.url()) is None:
            if time.monotonic() > asked + ASK:
                asked, states = time.monotonic(), slurm.alive([self.id])
                if not states and self.url() is None:
                    raise UserError(f"Slurm job {self.id} ended before its server listened\n{self._last_lines()}")
                if (now := ", ".join(states).replace(" (None)", "")) != said:
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


def asks_for_launcher(overrides: Sequence[str]) -> bool:
    return any(is_launchers(text) for text in overrides)


def launch(overrides: Sequence[str], config_dir: Path | None = None) -> int:
    """`cosmos-exp serve hydra/launcher=slurm ...`: submit the server, print where it listens once it does.

    Raises UserError for mistakes, for another launcher than Slurm, and where the job ends before its server listens.
    """
    launcher = launcher_of(overrides, config_dir)
    server = [text for text in overrides if not is_launchers(text)]
    if not any(text.lstrip("+").startswith("serve.host=") for text in server):
        server.append(f"serve.host={ANY}")
    config, serve = settings(server, config_dir=config_dir, here=False)
    if errors := [*launcher_problems(launcher, "serve.grace", serve.grace)]:
        raise ValidationErrors(errors)
    gpus = slurm.gpus_of(config.hardware) * (serve.workers or 1)
    own = ["--config-dir", str(config_dir)] if config_dir else []
    job = submit(["serve", *own, *server], launcher, Path(serve.state), gpus, serve.grace)
    if follow(job, launcher["wait"]) and serve.asks_for_token and (token := job.state / INITIAL).exists():
        print(f"token: in {token}; for clients: COSMOS_TOKEN_FILE")
    return 0


def launcher_of(overrides: Sequence[str], config_dir: Path | None = None) -> dict[str, Any]:
    """The settings of hydra/launcher in a server's overrides. UserError for another launcher than Slurm."""
    from cosmos_exp.config.compose import composing
    from cosmos_exp.config.launchers import SLURM
    from cosmos_exp.sweeps.cell import launcher_settings
    from cosmos_exp.sweeps.compose_cells import compose_multirun

    with composing():
        launcher = launcher_settings(compose_multirun([text for text in overrides if is_launchers(text)], config_dir))
    if launcher.get("kind") != SLURM:
        raise UserError("hydra/launcher: a server runs in this process, or as a job with hydra/launcher=slurm")
    return launcher


def launcher_problems(launcher: dict[str, Any], key: str, grace: float) -> Iterator[str]:
    """grace: seconds that the server has to end; `key` says where they are set."""
    from cosmos_exp.config.launchers import problems

    yield from problems(launcher)
    if launcher["signal_delay_s"] <= grace:
        yield (
            f"hydra.launcher.signal_delay_s={launcher['signal_delay_s']}: must be more than "
            f"{key}={grace:g}, the seconds that the server has to end"
        )


def follow(job: ServerJob, wait: bool) -> bool:
    """Print where a job's server listens; whether it does. wait: until then."""
    from cosmos_exp.common.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"Slurm job {job.id}: log {job.log_file}\nends with: scancel {job.id}")
    if not wait:
        console.print(f"where it listens will stand in {job.endpoint}")
        return False
    try:
        console.print(f"listens on {job.wait(console.print)}")
    except KeyboardInterrupt:
        console.print(f"the job goes on; where it listens will stand in {job.endpoint}")
        raise
    return True


def submit(arguments: Sequence[str], settings: dict[str, Any], state: Path, gpus: int, grace: float) -> ServerJob:
    """Submit the server `cosmos-exp ARGUMENTS` as a job.

    settings: of hydra/launcher. state: the server's folder. gpus: that it uses. grace: seconds that it has to end.
    """
    state = state.resolve()
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    given = {**settings, "timeout_min": settings["timeout_min"] or TIME, "stderr_to_stdout": True}
    command = [sys.executable, "-m", "cosmos_exp", *arguments]
    return ServerJob(slurm.submit(state / LOGS / "%j", given, gpus, [ServerTask(command, grace + MARGIN)]), state)


def is_launchers(override: str) -> bool:
    return override.lstrip("+").startswith(("hydra/launcher=", "hydra.launcher."))
