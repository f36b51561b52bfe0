"""A sweep of a test: run through the real command, watched through the files it writes.

Its model has no network, so that a worker starts in a few seconds, and its cells sample until the test releases them.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cosmos_exp.runs.run_folder import Status
from cosmos_exp.runs.states import RUNNING
from cosmos_exp.sweeps.queue import RECORD, SweepFolder, cell_number
from helpers.forked import Forked

MODEL = Path(__file__).parents[1] / "waiting_model"
QUICK = (
    *("+experiment=quick", "model=waiting", "controls=hdmap", "previews=none", "metrics.names=[blur_ssim]"),
    "paths.outputs=out",
)
SAMPLING = "generate"
"""The stage in which a cell waits."""


def with_model(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which commands find the model of these tests."""
    path = os.pathsep.join(filter(None, [str(MODEL), environment.get("PYTHONPATH")]))
    return {**environment, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}


@dataclass
class Sweep:
    """The one sweep of a test, in an empty folder. environment: added to that of its commands."""

    cwd: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.cwd / "out" / "sweeps" / "swept"

    @property
    def quick(self) -> tuple[str, ...]:
        """Overrides of its small cells, which wait where they sample."""
        return (*QUICK, "sweep_name=swept", f"paths.cache={self.cwd}/cache", f"model.until={self.cwd}/released")

    def release(self, *seeds: int) -> None:
        """Let the cells of these seeds finish sampling, now or once they begin; all of them where none is given."""
        (self.cwd / "released").mkdir(exist_ok=True)
        for name in seeds or ("all",):
            (self.cwd / "released" / str(name)).touch()

    def start(self, *overrides: str) -> Forked:
        return self.command(*self.quick, "-m", *overrides)

    def command(self, *arguments: str) -> Forked:
        return Forked(*arguments, cwd=self.cwd, environment=with_model(os.environ | self.environment))

    def finish(self, process: Forked) -> tuple[int, str]:
        """Exit code, and what it printed."""
        out, err = process.communicate(timeout=300)
        return process.wait(), out + err

    def run(self, *arguments: str) -> tuple[int, str]:
        return self.finish(self.command(*arguments))

    def statuses(self) -> dict[int, Status]:
        """By the number of the cell."""
        return {cell_number(path): status for path, status in SweepFolder(self.folder).statuses().items()}

    def states(self) -> dict[int, str]:
        return {number: status.state for number, status in self.statuses().items()}

    def until(self, holds: Callable[[dict[int, Status]], bool], seconds: float = 300.0) -> dict[int, Status]:
        """Wait until something holds of the statuses, and return them."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if (self.folder / RECORD).exists() and holds(statuses := self.statuses()):
                return statuses
            time.sleep(0.05)
        found = self.states() if (self.folder / RECORD).exists() else "no sweep"
        raise AssertionError(f"did not come to be in {seconds:g} s: {found}")

    def at_sampling(self, number: int) -> Status:
        """Status of a cell, once it is sampling."""
        return self.until(lambda statuses: number in statuses and is_sampling(statuses[number]))[number]

    def kill_worker(self, number: int) -> None:
        """SIGKILL to the process of a cell that is sampling."""
        os.kill(self.at_sampling(number).pid, signal.SIGKILL)


def is_sampling(status: Status) -> bool:
    return status.state == RUNNING and status.stage == SAMPLING
