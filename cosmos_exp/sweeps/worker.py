"""A worker: takes cells of a sweep, one after the other, until the queue is empty.

Scene, renderer and model stay loaded from cell to cell. While a search feeds the queue, the worker waits for its next
trial.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import logging
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cosmos_exp.common import progress
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.interpreter import quick_exit
from cosmos_exp.runs import stopping
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.runs.states import FAILED, PREEMPTED, RUNNING

if TYPE_CHECKING:
    from cosmos_exp.sweeps.cell import CellRunner
    from cosmos_exp.sweeps.queue import SweepFolder

log = logging.getLogger(__name__)

ENDED, REFUSED_EXIT, PREEMPTED_EXIT, DOUBTFUL, INTERRUPTED_EXIT = 0, 2, 75, 76, 130
"""Exit codes: queue empty; a mistake of the user; preempted; unforeseen exception, so that a new process should go on;
Ctrl-C."""

LOADING = (500_000, 20, 1_000)
"""Thresholds of the garbage collector during the first cell; the usual ones traverse all modules while they load."""

MARGIN = 1.2
"""The next cell is expected to take this many times as long as the longest so far."""

IDLE, PATIENCE = 0.5, 60.0
"""Seconds between two looks at an empty queue that is fed; seconds after which a worker gives up."""

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    stopping.listen()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # preempted when its supervisor dies
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--job", default="")
    parser.add_argument("--share", type=int, default=0)
    parser.add_argument("--parent", type=int)
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args(arguments)
    if given.parent not in (None, os.getppid()):  # it died before its death could be a signal
        return PREEMPTED_EXIT
    from cosmos_exp.pipeline.run import lease_gpus
    from cosmos_exp.sweeps.cell import runner_of
    from cosmos_exp.sweeps.queue import SweepFolder

    sweep = SweepFolder(given.folder)
    sweep.enter_working_folder()
    progress.quiet = not (given.verbose or sweep.config.get("verbose", False))
    lease_gpus(sweep.config.hardware)  # before a cell counts as running
    with runner_of(sweep) as runner:
        return work(sweep, runner, given.job, given.share)


def work(sweep: SweepFolder, runner: CellRunner, job: str = "", share: int = 0) -> int:
    """Take and run cells; returns an exit code. share: how many to take even where time may run short."""
    taken, longest, idle, before = 0, 0.0, 0.0, gc.get_threshold()
    gc.set_threshold(*LOADING)
    while not stopping.asked() and (taken < share or time.time() + MARGIN * longest < _end_of_job()):
        cell = sweep.take(job)
        if cell is None:
            if idle >= PATIENCE or not sweep.is_fed():
                return ENDED
            time.sleep(IDLE)
            idle += IDLE
            continue
        taken, idle, started = taken + 1, 0.0, time.monotonic()
        try:
            error = runner.run(cell.path)
        except stopping.Stopped as stop:
            if stop.state == PREEMPTED:
                return PREEMPTED_EXIT
            stopping.forget()
            continue
        except KeyboardInterrupt:
            return _interrupted()
        if stopping.interrupted():
            return _interrupted()
        gc.set_threshold(*before)
        longest = max(longest, time.monotonic() - started)
        if error is not None and not _explained(sweep, cell, error):
            return DOUBTFUL
    return PREEMPTED_EXIT if stopping.asked() else ENDED


def _interrupted() -> int:
    """Let no further Ctrl-C disturb the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stopping.landed()
    return INTERRUPTED_EXIT


def _explained(sweep: SweepFolder, cell: RunFolder, error: Exception) -> bool:
    """Log a failure and see that the cell's status tells it. Whether it is one that users cause."""
    from cosmos_exp.config.hydra_internals import explain

    message = explain(error)
    log.error("%s: %s", cell.path.name, message or error, exc_info=None if message else error)
    status = cell.read_status()
    if status is not None and status.state == RUNNING:  # it ended before its first stage
        sweep.end(cell.path, FAILED, message or str(error) or type(error).__name__)
    return message is not None


def _end_of_job() -> float:
    """When Slurm will end this job, in seconds of the epoch; infinity elsewhere."""
    return float(os.environ.get("SLURM_JOB_END_TIME", math.inf))


if __name__ == "__main__":
    with quick_exit():
        try:
            sys.exit(main(sys.argv[1:]))
        except KeyboardInterrupt:
            sys.exit(_interrupted())
        except UserError as error:
            print(error, file=sys.stderr)
            sys.exit(REFUSED_EXIT)
        except Exception:
            if not stopping.interrupted():  # of an interrupt, libraries make errors of their own
                raise
            sys.exit(_interrupted())
