"""Hyperparameter search with Optuna. The trials are the cells of a sweep.

The folder of a search is that of a sweep (`queue`), with the study in `search.db` (SQLite), axes and objectives in
`search.json`. The number of a cell is that of its trial. One process runs the search: it asks Optuna for trials, queues
them for the workers and tells Optuna the objectives. Killed and started again, it continues with the same trials.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.pool import AsyncResult
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.files import write_json
from cosmos_exp.common.guards import read_json
from cosmos_exp.metrics.info import METRIC_INFO
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.runs.states import BLOCKED, CANCELLED, DONE, FAILED, INTERRUPTED, KILLED, PREEMPTED, RUNNING
from cosmos_exp.runs.sweep_cells import SEARCH
from cosmos_exp.sweeps.queue import WAITING, SweepFolder
from cosmos_exp.sweeps.search_space import Axis, written

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)

DATABASE = "search.db"
RUN = "run"
"""User attribute of a trial: the name of its run folder."""
MOST_FAILURES = 3
"""Failed trials in a row that end a search."""
POLL = 0.2
"""Seconds between two looks at the trials in flight."""
GRACE = 10.0
"""Seconds that local workers have to stop after Ctrl-C."""
DIRECTIONS = {"up": "maximize", "down": "minimize"}

Prepare = Callable[[int, list[str]], tuple[Path, str]]
"""(trial number, overrides) -> (run folder, run id) of its cell, not queued yet; UserError where there is no config."""
Launch = Callable[[int, int], AsyncResult[None]]
"""(workers, trials left) -> the workers, in the background, until the queue is empty and no longer fed."""


def check_objectives(names: Sequence[str]) -> list[str]:
    """Optuna's direction of each metric. UserError for an unknown metric, or one without a better direction."""
    ranked = [name for name, info in METRIC_INFO.items() if info.direction]
    for name in names:
        if name not in ranked:
            raise UserError(unknown_name("objective", name, ranked))
    return [DIRECTIONS[METRIC_INFO[name].direction] for name in names]


def objective_values(folder: Path, names: Sequence[str]) -> list[float]:
    """The metrics of a finished run, each the mean over its styles."""
    by_style = RunFolder(folder).read_metrics().values()
    values = []
    for name in names:
        known = [metrics[name] for metrics in by_style if name in metrics]
        if not known:
            raise UserError(f"{folder} has no {name}: is it among metrics.names, and does it apply to the views made?")
        values.append(float(np.mean(known)))
    return values


def record_search(folder: Path, axes: Sequence[Axis], objectives: Sequence[str]) -> None:
    """Write search.json. UserError where the folder holds a search over other axes or objectives."""
    asked = {"objectives": list(objectives), "axes": {axis.key: vars(axis) for axis in axes}}
    record = folder / SEARCH
    if record.exists() and read_json("search", record) != json.loads(json.dumps(asked)):
        raise UserError(f"{folder} holds a search over other axes or objectives: choose another sweep_name=...")
    write_json(record, asked)


def open_study(folder: Path, objectives: Sequence[str], seed: int | None = None, *, parallel: int = 1) -> Study:
    """The study of a folder, created where there is none.

    seed: of the sampler; None draws one. parallel: how many trials are to be in flight.
    """
    optuna = _import_optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study: Study = optuna.create_study(
        storage=f"sqlite:///{(folder / DATABASE).resolve()}",
        study_name="search",
        load_if_exists=True,
        directions=check_objectives(objectives),
    )
    # The number of trials is added, so that a resumed search does not draw its first values again.
    seed = None if seed is None else seed + len(study.trials)
    liar = {"constant_liar": True} if parallel > 1 else {}
    study.sampler = optuna.samplers.TPESampler(seed=seed, **liar)
    return study


def search(
    sweep: SweepFolder,
    axes: Sequence[Axis],
    objectives: Sequence[str],
    trials: int,
    *,
    prepare: Prepare,
    launch: Launch,
    parallel: int = 1,
    seed: int = 0,
) -> Study:
    """Run trials until so many of the study are complete, those of earlier calls included.

    parallel: trials in flight, and workers. A failed trial does not count. UserError after `MOST_FAILURES` failures in
    a row, after `cosmos-exp cancel`, where the workers end early, and where another process runs this search.
    """
    with sweep.feeding():
        study = open_study(sweep.path, objectives, seed, parallel=parallel)
        running = Search(sweep, study, axes, objectives, trials, parallel, prepare)
        running.resume()
        workers = Workers(running, launch)
        try:
            while running.step():
                workers.keep()
                time.sleep(POLL)
        except KeyboardInterrupt:
            running.leave()
            raise
    workers.wait()
    if running.ending is not None:
        raise running.ending
    return study


@dataclass
class Search:
    """The trials of a search in progress.

    in_flight: {trial number: run folder} of trials that Optuna has not been told about. complete: trials with values.
    over: trials that ended since the start, failed ones included. failures: in a row. ending: why no more trials are
    asked for. cancelled_at: of the sweep, as last seen.
    """

    sweep: SweepFolder
    study: Study
    axes: Sequence[Axis]
    objectives: Sequence[str]
    trials: int
    parallel: int
    prepare: Prepare
    in_flight: dict[int, Path] = field(default_factory=dict)
    complete: int = 0
    over: int = 0
    failures: int = 0
    ending: UserError | None = None
    cancelled_at: float = math.inf

    def resume(self) -> None:
        """Match the study with the cells that an earlier process has left, and queue those that have ended early."""
        from optuna.trial import TrialState

        self.cancelled_at = self.sweep.cancelled_at()
        statuses = self.sweep.statuses()
        cells = {self.sweep.number(path): path for path in statuses}
        self._tell_retried(cells)
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.number in cells:
                self.in_flight[trial.number] = cells[trial.number]
            else:
                self._give_up(trial.number, again=True)
        self._queue_again(KILLED, INTERRUPTED, CANCELLED)
        self.complete = len(self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))

    def step(self) -> bool:
        """Tell Optuna about the trials that are over and ask for others; returns whether any are in flight."""
        for number, path in list(self.in_flight.items()):
            status = RunFolder(path).living_status()
            assert status is not None, "cells in flight are queued"
            if status.state == DONE:
                self._tell(number, path)
            elif status.state in (FAILED, BLOCKED):
                self._fail(number, status.error)
            elif status.state in (CANCELLED, INTERRUPTED):
                del self.in_flight[number]
                self._end(f"trial {number} was {status.state}; the same command goes on")
        if self.sweep.cancelled_at() != self.cancelled_at:
            self.sweep.cancel()  # also what was queued since
            self.cancelled_at = self.sweep.cancelled_at()
            self._end("the search was cancelled; the same command goes on")
        while self.ending is None and len(self.in_flight) < min(self.parallel, self.left):
            self._ask()
        return bool(self.in_flight)

    @property
    def left(self) -> int:
        """Trials that are not complete, those in flight included."""
        return self.trials - self.complete

    def states(self) -> list[str]:
        """The states of the cells in flight."""
        statuses = (RunFolder(path).living_status() for path in self.in_flight.values())
        return [status.state for status in statuses if status is not None]

    def queue_killed(self) -> None:
        """Queue the trials of killed processes again. Only where no supervisor is left to record their end."""
        self._queue_again(KILLED)

    def leave(self) -> None:
        """After Ctrl-C: wait until the workers of this process have recorded how their trials ended."""
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline:
            statuses = [RunFolder(path).living_status() for path in self.in_flight.values()]
            running = [status for status in statuses if status is not None and status.state == RUNNING]
            if all(status.job for status in running):
                if running:
                    log.info("the workers finish their trials; cosmos-exp cancel %s ends them", self.sweep.path)
                return
            time.sleep(POLL)

    def _ask(self) -> None:
        trial = self.study.ask()
        overrides = [f"{axis.key}={axis.suggest(trial)}" for axis in self.axes]
        try:
            path, run_id = self.prepare(trial.number, overrides)
        except UserError as error:
            self._fail(trial.number, str(error))
            return
        trial.set_user_attr(RUN, path.name)
        self.sweep.enqueue([(path, run_id)])
        self.in_flight[trial.number] = path

    def _tell(self, number: int, path: Path) -> None:
        del self.in_flight[number]
        self.over += 1
        try:
            values = objective_values(path, self.objectives)
        except UserError as error:
            self._give_up(number, again=True)
            self._end(str(error))
            return
        trial = self.study.tell(number, values)
        self.complete, self.failures = self.complete + 1, 0
        log.info("trial %d of %d: %s", self.complete, self.trials, _one_line(trial, self.objectives))

    def _fail(self, number: int, error: str) -> None:
        self.in_flight.pop(number, None)
        self._give_up(number)
        self.over, self.failures = self.over + 1, self.failures + 1
        log.warning("trial %d failed: %s", number, error)
        if self.failures >= MOST_FAILURES:
            self._end(f"{MOST_FAILURES} trials in a row failed, the last with: {error}")

    def _end(self, reason: str) -> None:
        """Ask for no more trials; those in flight are still told."""
        self.ending = self.ending or UserError(reason)

    def _queue_again(self, *states: str) -> None:
        ended = []
        for path in self.in_flight.values():
            status = RunFolder(path).living_status()
            if status is not None and status.state in states:
                ended.append((path, status.run_id))
        if ended:
            self.sweep.enqueue(ended)

    def _tell_retried(self, cells: dict[int, Path]) -> None:
        """Add the values of failed trials whose cells are done after a `cosmos-exp retry`.

        They are added as further trials, because a trial that has failed stays so in Optuna.
        """
        from optuna.trial import TrialState, create_trial

        told = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        runs = {trial.user_attrs.get(RUN) for trial in told}
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.FAIL,)):
            path = cells.get(trial.number)
            if path is None or path.name in runs or not _has(path, self.objectives):
                continue
            self.study.add_trial(
                create_trial(
                    params=trial.params,
                    distributions=trial.distributions,
                    values=objective_values(path, self.objectives),
                    user_attrs={RUN: path.name},
                )
            )

    def _give_up(self, number: int, *, again: bool = False) -> None:
        """Tell Optuna that a trial has failed. again: have its values tried by another one."""
        from optuna.trial import TrialState

        trial = self.study.tell(number, state=TrialState.FAIL)
        if again and trial.params:
            self.study.enqueue_trial(trial.params)


class Workers:
    """The workers of a search, started anew where they have ended with trials left."""

    def __init__(self, search: Search, launch: Launch):
        self.search = search
        self.launch = launch
        self._pool: AsyncResult[None] | None = None
        self._over = 0

    def keep(self) -> None:
        """Start workers where trials are queued and none are left. UserError where they ended without need."""
        search = self.search
        if self._pool is not None:
            if not self._pool.ready():
                return
            self._pool.get()
        search.queue_killed()
        states = search.states()
        if not any(state in WAITING for state in states):
            return
        if self._pool is not None and (search.over == self._over or PREEMPTED in states):
            raise UserError(
                f"the workers have ended, with trials {', '.join(map(str, search.in_flight))} {' and '.join(states)}: "
                f"see cosmos-exp status {search.sweep.path}; the same command goes on"
            )
        self._over = search.over
        self._pool = self.launch(min(search.parallel, search.left), search.left)

    def wait(self) -> None:
        """Until the workers have ended."""
        if self._pool is not None:
            self._pool.wait()


def _has(cell: Path, objectives: Sequence[str]) -> bool:
    """Whether a cell is done and has all objectives."""
    status = RunFolder(cell).read_status()
    if status is None or status.state != DONE:
        return False
    measured = {name for metrics in RunFolder(cell).read_metrics().values() for name in metrics}
    return measured.issuperset(objectives)


def _one_line(trial: FrozenTrial, objectives: Sequence[str]) -> str:
    params = " ".join(f"{key}={written(value)}" for key, value in trial.params.items())
    values = ", ".join(f"{name} {value:.4g}" for name, value in zip(objectives, trial.values))
    return f"{params}: {values}"


def _import_optuna() -> ModuleType:
    try:
        import optuna
    except ImportError as error:
        raise UserError("cosmos-exp search needs Optuna: pip install 'cosmos-exp[optuna]'") from error
    return optuna
