"""A search that chooses the next cell from the metrics of those before: Optuna over Hydra overrides.

The study lies in `search.db` (SQLite) in the folder of the search, beside one run folder per trial. The same search
started again goes on; started in several processes at once, they share the trials.
"""

from __future__ import annotations

import fcntl
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.files import write_json
from cosmos_exp.metrics.info import METRIC_INFO
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.runs.sweep_cells import SEARCH

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from optuna import Study, Trial

log = logging.getLogger(__name__)

DATABASE, LOCK = "search.db", ".search.lock"
MOST_FAILURES = 3  # trials in a row
DIRECTIONS = {"up": "maximize", "down": "minimize"}

RunTrial = Callable[[int, list[str]], Path]  # (number, overrides) -> run folder


@dataclass(frozen=True)
class Axis:
    """One override key and what it may be: one of `choices`, or a number from low to high.

    whole: whole numbers, in steps of `step`. log: drawn evenly in the logarithm.
    """

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: int = 1
    whole: bool = False
    log: bool = False

    def suggest(self, trial: Trial) -> str:
        """The trial's value, as it stands in an override."""
        if self.choices:
            return trial.suggest_categorical(self.key, self.choices)
        if self.whole:
            return str(trial.suggest_int(self.key, int(self.low), int(self.high), step=self.step, log=self.log))
        return f"{trial.suggest_float(self.key, self.low, self.high, log=self.log):.6g}"

    @property
    def corners(self) -> tuple[str, ...]:
        """The values to check before a search begins: all choices, or both ends and something between."""
        if self.choices:
            return self.choices
        if self.whole:
            return str(int(self.low)), str(int(self.high))
        return tuple(f"{value:.6g}" for value in (self.low, self.high, self.low + 0.4567 * (self.high - self.low)))


def axis_of(override: Override) -> Axis:
    """The axis of a swept override: `a,b` or choice(a,b), range(1,9,2), interval(0,1), int(interval(4,35)),
    tag(log,interval(1,100)). Raises UserError for an empty one.
    """
    key, value = override.get_key_element().lstrip("+"), override.value()
    log_scale = "log" in getattr(value, "tags", ())
    if override.is_interval_sweep():
        whole = isinstance(value.start, int) and isinstance(value.end, int)
        low, high = float(value.start), float(value.end)
        if not low < high or (log_scale and low <= 0):
            raise UserError(f"{key}: interval({value.start},{value.end}) needs low < high, and log 0 < low")
        return Axis(key, low=low, high=high, whole=whole, log=log_scale)
    if override.is_range_sweep() and all(isinstance(v, int) for v in (value.start, value.stop, value.step)):
        values = range(value.start, value.stop, value.step)
        if len(values) > 1 and value.step > 0:
            return Axis(key, low=values[0], high=values[-1], step=value.step, whole=True)
    return Axis(key, choices=tuple(dict.fromkeys(override.sweep_string_iterator())))


def split_overrides(texts: Sequence[str]) -> tuple[list[Axis], list[str]]:
    """(what is searched, the overrides that stay as they are)."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(list(texts))
    axes = [axis_of(override) for override in parsed if override.is_sweep_override()]
    return axes, [text for text, override in zip(texts, parsed) if not override.is_sweep_override()]


def check_objectives(names: Sequence[str]) -> list[str]:
    """Optuna's direction of each metric. UserError for one that is none, or that is neither good nor bad."""
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


def search(
    folder: Path, axes: Sequence[Axis], objectives: Sequence[str], trials: int, run: RunTrial, *, seed: int = 0
) -> Study:
    """Run trials until so many are complete in the study of this folder, those of earlier searches counted.

    run: makes one cell. A trial that fails counts as none; three in a row end the search. UserError where the folder
    holds a search over something else.
    """
    with _worker_in(folder) as (alone, admit):
        study = open_study(folder, axes, objectives, seed if alone else None)
        if alone:
            _take_back(study)
        admit()
        failures = 0
        while _complete(study) < trials:
            trial = study.ask()
            overrides = [f"{axis.key}={axis.suggest(trial)}" for axis in axes]
            try:
                run_folder = run(trial.number, overrides)
            except KeyboardInterrupt:
                _give_up(study, trial.number, again=True)
                raise
            except (UserError, OSError, RuntimeError) as error:
                _give_up(study, trial.number)
                failures += 1
                log.warning("trial %d failed: %s", trial.number, error)
                if failures == MOST_FAILURES:
                    raise UserError(f"{MOST_FAILURES} trials in a row failed, the last with: {error}") from error
                continue
            trial.set_user_attr("run", run_folder.name)
            try:
                values = objective_values(run_folder, objectives)
            except UserError:
                _give_up(study, trial.number, again=True)
                raise
            study.tell(trial, values)
            failures = 0
            shown = ", ".join(f"{name} {value:.4g}" for name, value in zip(objectives, values))
            log.info("trial %d of %d: %s: %s", _complete(study), trials, " ".join(overrides), shown)
        return study


def open_study(folder: Path, axes: Sequence[Axis], objectives: Sequence[str], seed: int | None) -> Study:
    """The study of a folder, begun if there is none. seed: None draws another each time."""
    optuna = _import_optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    asked = {"objectives": list(objectives), "axes": {axis.key: vars(axis) for axis in axes}}
    record = folder / SEARCH
    if record.exists() and json.loads(record.read_text()) != json.loads(json.dumps(asked)):
        raise UserError(f"{folder} holds a search over other axes or objectives: choose another sweep_name=...")
    write_json(record, asked)
    storage = f"sqlite:///{(folder / DATABASE).resolve()}"
    directions = check_objectives(objectives)
    study = optuna.create_study(storage=storage, study_name="search", load_if_exists=True, directions=directions)
    # The seed goes on with the trials: a search that goes on must not draw its first values again.
    study.sampler = optuna.samplers.TPESampler(seed=None if seed is None else seed + len(study.trials))
    return study


def _complete(study: Study) -> int:
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def _take_back(study: Study) -> None:
    """Trials whose process died are tried again."""
    from optuna.trial import TrialState

    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        _give_up(study, trial.number, again=True)


def _give_up(study: Study, number: int, *, again: bool = False) -> None:
    from optuna.trial import TrialState

    params = study.trials[number].params
    study.tell(number, state=TrialState.FAIL)
    if again and params:
        study.enqueue_trial(params)


@contextmanager
def _worker_in(folder: Path) -> Iterator[tuple[bool, Callable[[], None]]]:
    """Among the workers of a search's folder. Yields whether it came when there was no other, and what it then calls
    to let others in."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = True
        except BlockingIOError:
            fcntl.flock(file, fcntl.LOCK_SH)
            alone = False
        yield alone, lambda: fcntl.flock(file, fcntl.LOCK_SH)


def _import_optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise UserError("cosmos-exp search needs Optuna: pip install 'cosmos-exp[optuna]'") from error
    return optuna
