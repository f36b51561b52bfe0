"""Brings W&B to the state of the disk: one run per run id, logged once, sent once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from cosmos_exp.common.errors import UserError
from cosmos_exp.runs.run_folder import RunFolder, existing_folder
from cosmos_exp.runs.states import BLOCKED, DONE, PREEMPTED, QUEUED, RUNNING, UNREADABLE
from cosmos_exp.runs.sweep_cells import find_runs, run_state
from cosmos_exp.tracking.wandb.file import run_files
from cosmos_exp.tracking.wandb.folder import log_folder
from cosmos_exp.tracking.wandb.upload import check_server, upload

UNFINISHED = (QUEUED, RUNNING, PREEMPTED)  # and will go on


def sync(
    folder: Path,
    *,
    online: bool = False,
    project: str | None = None,
    entity: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Counter[str]:
    """Log every run folder in and below `folder` offline, and send what a server has not had; a line to `say` for each.

    Of folders with the same run id the last done one counts. A run that is at work or will be, or that a guard has
    blocked, is left out; one that failed is marked as failed in W&B. Returns how many were `logged`, `unchanged`, `left
    out`, `sent` and `sent before`. UserError where there is no run, the server cannot be reached, or a run cannot be
    logged or sent; the others are, first.
    """
    runs = find_runs(existing_folder(folder))
    if not runs:
        raise UserError(f"no run folders in {folder}: give a run folder, or one that holds runs")
    if online:
        check_server()
    counts: Counter[str] = Counter()
    offline, problems = [], []
    chosen = _one_per_id(runs)
    for run in runs:
        name = folder.resolve().name if run == folder else run.relative_to(folder).as_posix()
        if reason := _left_out(RunFolder(run), chosen):
            counts["left out"] += 1
            say(f"{name}: left out: {reason}")
            continue
        try:
            done, logged = _log(RunFolder(run), project, entity)
        except (UserError, FileNotFoundError) as error:
            problems.append(f"{name}: {error}")
            continue
        counts[done] += 1
        offline.append(logged)
        say(f"{name}: {done}")
    if online:
        try:
            sent = upload(offline)
            counts.update({"sent": len(sent), "sent before": len(offline) - len(sent)})
        except UserError as error:
            problems.append(str(error))
    say(", ".join(f"{count} {what}" for what, count in counts.items()))
    if problems:
        raise UserError("\n".join(problems))
    return counts


def _left_out(folder: RunFolder, chosen: dict[str, Path]) -> str:
    """Why a run folder is not logged; empty where it is."""
    state, error = run_state(folder)
    if state == UNREADABLE:
        return error
    status = folder.read_status()
    if status is None or not folder.config.exists():
        return error or "it has no config"
    if state in (*UNFINISHED, BLOCKED):
        return f"it is {state}"
    same = chosen[status.run_id]
    return f"{same} holds the same run" if same != folder.path else ""


def _log(folder: RunFolder, project: str | None, entity: str | None) -> tuple[str, Path]:
    """(`logged` or `unchanged`, the offline run)."""
    before = _versions(folder)
    state, error = run_state(folder)
    offline = log_folder(folder, state=state, error=error, project=project, entity=entity)
    return "unchanged" if _versions(folder) == before else "logged", offline


def _versions(folder: RunFolder) -> dict[Path, int]:
    """{offline run: when it was written, ns}."""
    return {file: file.stat().st_mtime_ns for file in run_files(folder.wandb)}


def _one_per_id(runs: list[Path]) -> dict[str, Path]:
    """{run id: its folder}; of several the last, and a done one before others."""
    found: dict[str, Path] = {}
    states = {run: run_state(RunFolder(run))[0] for run in runs}
    for run in sorted((run for run in runs if states[run] != UNREADABLE), key=lambda run: states[run] == DONE):
        status = RunFolder(run).read_status()
        if status is not None:
            found[status.run_id] = run
    return found
