"""Which setting is best, in a sentence per style.

The page says the same of the cells that it shows (`page/answer.js`)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from cosmos_exp.filtering.rule import sentences as sentences_of_choices
from cosmos_exp.metrics.captured_scene import sentences
from cosmos_exp.metrics.info import metric_info
from cosmos_exp.runs.sweep_cells import STYLE_AXIS, Cell
from cosmos_exp.tracking.comparison.settings import (
    STYLE_KEPT,
    STYLE_SCORE,
    Constraint,
    Estimate,
    Setting,
    chosen_unequally,
    comparable,
    rank,
)
from cosmos_exp.tracking.comparison.weights import acting

NAMED = 4
"""Settings named of a list."""
CHOSEN = "it chose among the candidates of some settings, and is higher there by that alone."


def axis_labels(axes: Iterable[str]) -> dict[str, str]:
    """{key: its name without the group}, where that is the only such name."""
    short = {key: key.partition(".")[2] or key for key in axes}
    return {key: name if list(short.values()).count(name) == 1 else key for key, name in short.items()}


def value_text(setting: Setting, axis: str) -> str:
    """A value of a setting, with what it acts as where that is another."""
    value = setting.axes.get(axis)
    given = str(value).lower() if isinstance(value, bool) else "–" if value is None else str(value)
    acts = next((said[axis] for said in map(acting, setting.cells) if axis in said), None)
    return f"{given} (acts as {acts})" if acts else given


def not_measured(cells: Iterable[Cell]) -> list[str]:
    """Which metrics have no value in which styles, and why: a sentence for each reason."""
    found: dict[str, dict[str, str]] = {}
    for cell in cells:
        found.setdefault(cell.style, {}).update(cell.not_measured)
    return sentences(found)


def choices(cells: Iterable[Cell]) -> list[str]:
    """What is to be kept in mind of cells whose videos were chosen among candidates."""
    return sentences_of_choices(cell.choice for cell in cells if cell.choice)


class Answer:
    """The sentence about the settings of one style.

    axes: {swept key: its values} of the whole sweep; those of several values name a setting. constraint: None considers
    all settings.
    """

    def __init__(self, axes: dict[str, list[Any]], metric: str, constraint: Constraint | None = STYLE_KEPT) -> None:
        labels = axis_labels(axes)
        self.named = {key: labels[key] for key, values in axes.items() if len(values) > 1 and key != STYLE_AXIS}
        self.metric, self.constraint = metric, constraint

    def sentence(self, settings: Sequence[Setting]) -> str:
        considered, _ = comparable([s for s in settings if self._holds(s)], self.metric)
        ranking = rank(settings, self.metric, self.constraint)
        aside = self._incomplete(settings, considered) + self._aside(settings)
        if not considered:
            return f"No setting of {self._among(settings)} has this metric.{aside}"
        if chosen_unequally(considered, self.metric):
            return f"No setting can be named by {metric_info(self.metric).label}: {CHOSEN}{aside}"
        if ranking is None:
            return f"Only {self._name(considered[0])} can be considered.{aside}"
        name, found = self._name(ranking.best), _value(self.metric, ranking.best.estimate(self.metric))
        best = f"best {_objective(self.metric)} among {self._among(settings)}, {found}"
        if ranking.count < 2:
            none = "No winner can be named with one scene and one seed."
            return f"{none} {name} has the {best}, which may be chance.{aside}"
        over = f"paired over {ranking.count} {ranking.unit}"
        names = [self._name(tie) for tie in sorted(ranking.ties, key=self._level, reverse=True)]
        told = f"tied with {_list(names)}, not told apart" if names else "better than every other"
        return f"{name}: {best}; {told} ({over}).{self._doubt(ranking.best)}{self._between(ranking.best)}{aside}"

    def _holds(self, setting: Setting) -> bool:
        return self.constraint is None or self.constraint.holds(setting)

    def _level(self, setting: Setting) -> float:
        """The mean, larger is better."""
        found = setting.estimate(self.metric)
        return 0.0 if found is None else found.mean * (-1 if metric_info(self.metric).direction == "down" else 1)

    def _among(self, settings: Sequence[Setting]) -> str:
        asked = self.constraint
        if asked is None or not any(setting.estimate(asked.metric) for setting in settings):
            return "all settings"
        if asked == STYLE_KEPT:
            return "the settings that keep the style"
        return f"the settings with {metric_info(asked.metric).label} {asked.relation} {asked.bound:g}"

    def _doubt(self, best: Setting) -> str:
        """Where the interval of the constraint's metric has the bound in it."""
        asked = self.constraint
        found = best.estimate(asked.metric) if asked else None
        if not asked or not found or found.half is None or abs(found.mean - asked.bound) > found.half:
            return ""
        label = metric_info(asked.metric).label
        return f" Whether it meets this is not sure: {label} {_value(asked.metric, found)}."

    def _between(self, best: Setting) -> str:
        """Where its mean lies between floor and ceiling."""
        found = best.estimate(self.metric)
        ends = [
            [cell.references[self.metric][end] for cell in best.cells if end in cell.references.get(self.metric, {})]
            for end in ("ceiling", "floor")
        ]
        if not found or not all(ends):
            return ""
        ceiling, floor = (sum(values) / len(values) for values in ends)
        if not math.isfinite(ceiling - floor) or ceiling == floor:
            return ""
        share = (found.mean - floor) / (ceiling - floor)
        return f" From another scene (0) to this scene's own picture (1), that is {share:.2f}."

    def _incomplete(self, settings: Sequence[Setting], considered: Sequence[Setting]) -> str:
        """Which settings were measured on too few scenes and seeds."""
        few = [s for s in settings if self._holds(s) and s not in considered and s.repeats(self.metric)]
        if not few:
            return ""
        names = _list([self._name(setting) for setting in few])
        return f" Left out, because measured on less than half of the scenes and seeds: {names}."

    def _aside(self, settings: Sequence[Setting]) -> str:
        """Which settings were not considered, and why."""
        asked = self.constraint
        found = [(s, s.estimate(asked.metric)) for s in settings if asked and not asked.holds(s)]
        left = [f"{self._name(s)} ({metric_info(asked.metric).label} {e.mean:.3f})" for s, e in found if asked and e]
        if left:
            why = "lost the style" if asked == STYLE_KEPT else "do not meet this"
            return f" {len(left)} of {len(settings)} settings {why}: {_list(left)}."
        if any(setting.estimate(STYLE_SCORE) for setting in settings):
            return ""
        return " Whether the style is kept was not measured."

    def _name(self, setting: Setting) -> str:
        named = [(key, label) for key, label in self.named.items() if key in setting.axes]
        return ", ".join(f"{label} {value_text(setting, key)}" for key, label in named) or "the only setting"


def _objective(metric: str) -> str:
    info = metric_info(metric)
    return f"map adherence ({info.label})" if info.group == "map" else info.label


def _value(metric: str, found: Estimate | None) -> str:
    if found is None:
        return "–"
    unit = metric_info(metric).unit
    return f"{found.mean:.3f}" + ("" if found.half is None else f" ± {found.half:.3f}") + (f" {unit}" if unit else "")


def _list(names: Sequence[str]) -> str:
    return "; ".join(names[:NAMED]) + (f"; and {len(names) - NAMED} more" if len(names) > NAMED else "")
