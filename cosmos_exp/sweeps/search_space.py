"""The space of a search: axes written as Hydra writes sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cosmos_exp.common.errors import UserError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from optuna import Trial


@dataclass(frozen=True)
class Axis:
    """One override key and its values: one of `choices`, or a number from low to high.

    whole: integers, in steps of `step`. log: uniform in the logarithm.
    """

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: int = 1
    whole: bool = False
    log: bool = False

    def suggest(self, trial: Trial) -> str:
        """The trial's value, as written in an override."""
        if self.choices:
            return trial.suggest_categorical(self.key, self.choices)
        if self.whole:
            return str(trial.suggest_int(self.key, int(self.low), int(self.high), step=self.step, log=self.log))
        return written(trial.suggest_float(self.key, self.low, self.high, log=self.log))

    @property
    def corners(self) -> tuple[str, ...]:
        """The values to validate before a search starts: all choices, or both ends and a value between."""
        if self.choices:
            return self.choices
        if self.whole:
            return str(int(self.low)), str(int(self.high))
        return tuple(map(written, (self.low, self.high, self.low + 0.4567 * (self.high - self.low))))


def written(value: object) -> str:
    """A value of an axis, as written in an override."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def axis_of(override: Override) -> Axis:
    """The axis of a swept override: `a,b` or choice(a,b), range(1,9,2), interval(0,1), int(interval(4,35)),
    tag(log,interval(1,100)). Raises UserError for an empty interval.
    """
    from hydra.core.override_parser.types import IntervalSweep, RangeSweep

    key, value = override.get_key_element().lstrip("+"), override.value()
    if isinstance(value, IntervalSweep):
        start, end, log = value.start, value.end, "log" in value.tags
        if start is None or end is None or not start < end or (log and start <= 0):
            raise UserError(f"{key}: interval({start},{end}) needs low < high, and log 0 < low")
        whole = isinstance(start, int) and isinstance(end, int)
        return Axis(key, low=float(start), high=float(end), whole=whole, log=log)
    if isinstance(value, RangeSweep):
        numbers = value.range()
        if isinstance(numbers, range) and len(numbers) > 1 and numbers.step > 0:
            return Axis(key, low=numbers[0], high=numbers[-1], step=numbers.step, whole=True)
    return Axis(key, choices=tuple(dict.fromkeys(override.sweep_string_iterator())))


def split_overrides(texts: Sequence[str]) -> tuple[list[Axis], list[str]]:
    """(the axes, the overrides that are the same in every trial)."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    axes, fixed = [], []
    for text, override in zip(texts, OverridesParser.create().parse_overrides(list(texts))):
        if not override.is_sweep_override():
            fixed.append(text)
        elif override.is_hydra_override():
            raise UserError(f"{text}: keys of hydra cannot be searched")
        else:
            axes.append(axis_of(override))
    return axes, fixed
