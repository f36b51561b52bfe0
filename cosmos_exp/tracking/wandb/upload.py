"""Sends offline W&B runs to the server, each once: `wandb sync` leaves a mark beside what it has sent."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cosmos_exp.common.errors import UserError
from cosmos_exp.tracking.wandb.file import run_files
from cosmos_exp.tracking.wandb.run import check_mode, has_login

REACH_TIMEOUT = 10  # seconds
AT_ONCE = 4  # runs on their way at a time
MARK = ".synced"  # appended to the name of the .wandb file


def check_server() -> None:
    """UserError where the server cannot be reached, or does not take the login."""
    import wandb

    if not has_login(wandb):
        raise UserError("no login to W&B: run `wandb login`, or set WANDB_API_KEY")
    check_mode("online")
    try:
        wandb.Api(timeout=REACH_TIMEOUT)  # asks the server who this is; `wandb.login` does so once a process
    except wandb.errors.Error as error:
        raise UserError(f"W&B cannot be reached with this login: {error}") from error


def is_uploaded(offline_run: Path) -> bool:
    """Whether the run in this `offline-run-*` folder has been sent to a server, whole."""
    return all(file.with_name(file.name + MARK).exists() for file in run_files(offline_run))


def upload(offline_runs: Sequence[Path], *, timeout: float | None = None) -> list[Path]:
    """Send the runs in these `offline-run-*` folders, but for those sent before; returns those sent now.

    The server keeps one run of an id: of a run that was logged anew after it had been sent, config, summary and files
    are replaced, and its history is sent again. timeout: seconds for all; None waits for a network that is
    away as long as `wandb sync` does. UserError where the server did not take all of them.
    """
    waiting = [run for run in offline_runs if not is_uploaded(run)]
    if not waiting:
        return []
    command = [sys.executable, "-m", "wandb", "sync", "-n", str(AT_ONCE), *(str(run.resolve()) for run in waiting)]
    try:
        with tempfile.TemporaryDirectory() as logs:  # of `wandb sync`, which it would put into the working folder
            environment = {**os.environ, "WANDB_DIR": logs}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"W&B did not take {', '.join(map(str, waiting))} within {timeout:.0f} s") from error
    if refused := [run for run in waiting if not is_uploaded(run)]:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        why = said[-1] if said else f"exit status {done.returncode}"
        raise UserError(f"W&B did not take {', '.join(map(str, refused))}: {why}")
    return waiting
