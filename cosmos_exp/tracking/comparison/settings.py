"""Which setting of a sweep is best in a metric, and how sure that is.

A setting is a combination of the swept values that are neither scene nor seed. The page computes the same of the cells
that it shows (`page/stats.js`).
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cosmos_exp.metrics.info import METRIC_INFO, metric_info
from cosmos_exp.runs import seed_diversity
from cosmos_exp.runs.sweep_cells import STYLE_AXIS, Cell, axis_values
from cosmos_exp.tracking.comparison.statistics import (
    LEVEL,
    SCENE_AXES,
    SEED_AXES,
    Estimate,
    chance,
    estimate,
    groups,
    of_scenes,
    repeat,
)

STYLE_SCORE = "style_score"
OBJECTIVES = ("mask_miou", "semantic_eta2", "psnr")
"""What settings are compared by where nothing else is asked: adherence to the map, as far as it was measured."""
FIRST_COLUMNS = {"style": 1, "map": 2, "objects": 2, "consistency": 1, "quality": 1}
"""How many metrics of each group a table shows at first: what fits a page of 1400 pixels."""
OF_ALL_SEEDS = (seed_diversity.KEY,)
"""Metrics to which all seeds of a scene give one value, so that an interval is over scenes alone."""
RELATIONS = {"above": operator.gt, "at least": operator.ge, "at most": operator.le}


@dataclass(frozen=True)
class Constraint:
    """What the mean of a metric must satisfy for a setting to be considered. relation: one of RELATIONS."""

    metric: str
    relation: str
    bound: float

    def holds(self, setting: Setting) -> bool:
        """Also where the metric was not measured."""
        found = setting.estimate(self.metric)
        return found is None or RELATIONS[self.relation](found.mean, self.bound)


STYLE_KEPT = Constraint(STYLE_SCORE, "above", 0.0)


@dataclass(frozen=True)
class Setting:
    """axes: what it sets. cells: one per scene and seed."""

    axes: Mapping[str, Any]
    cells: Sequence[Cell]

    def estimate(self, metric: str) -> Estimate | None:
        """Of a metric; None where no cell has it."""
        return estimate(self._values(metric))

    def repeats(self, metric: str) -> set[tuple[str, str]]:
        """The scenes and seeds that it was measured on."""
        return {repeat(cell) for cell, _ in self._values(metric)}

    def among(self, repeats: Collection[tuple[str, str]]) -> Setting:
        """The setting on these scenes and seeds alone."""
        return Setting(self.axes, [cell for cell in self.cells if repeat(cell) in repeats])

    def ahead_of(self, other: Setting, metric: str) -> Estimate | None:
        """The mean difference to another setting, in pairs of one scene and seed; None without a pair."""
        return estimate(self.differences(other, metric))

    def differences(self, other: Setting, metric: str) -> list[tuple[Cell, float]]:
        """To another setting, in pairs of one scene and seed; cells without a partner are left out."""
        partners = {repeat(cell): value for cell, value in other._values(metric)}
        return [(c, value - partners[repeat(c)]) for c, value in self._values(metric) if repeat(c) in partners]

    def _values(self, metric: str) -> list[tuple[Cell, float]]:
        pairs = [(cell, cell.metrics[metric]) for cell in self.cells if metric in cell.metrics]
        if metric not in OF_ALL_SEEDS:
            return pairs
        return of_scenes(pairs)


@dataclass(frozen=True)
class Ranking:
    """best: the setting with the best mean. ties: those that it is not told apart from.

    count, unit: pairs of the comparison that has fewest; below 2, nothing can be told.
    """

    best: Setting
    ties: Sequence[Setting]
    count: int
    unit: str


def settings_of(cells: Iterable[Cell]) -> dict[str, list[Setting]]:
    """{style: its settings}, both in the order of the cells."""
    cells = list(cells)
    factors = [axis for axis in axis_values(cells) if axis not in (*SCENE_AXES, *SEED_AXES)]
    found: dict[str, list[Setting]] = {}
    for style, of_style in groups(cells, lambda cell: cell.style).items():
        alike = groups(of_style, lambda cell: repr([cell.axes.get(axis) for axis in factors]))
        found[style] = [
            Setting({axis: group[0].axes.get(axis) for axis in factors if axis != STYLE_AXIS}, group)
            for group in alike.values()
        ]
    return found


def default_objective(metrics: Iterable[str]) -> str:
    """The first of OBJECTIVES among these metrics, else the first known one with a better direction; '' without one."""
    known = set(metrics) - {STYLE_SCORE}
    ranked = [name for name, info in METRIC_INFO.items() if name in known and info.direction]
    return next((name for name in OBJECTIVES if name in ranked), ranked[0] if ranked else "")


def first_columns(metrics: Sequence[str]) -> list[str]:
    """Those that a table shows at first: of each group as many as FIRST_COLUMNS has, the default objective and the
    style score before others; then all without a group."""
    first, leading = [], (default_objective(metrics), STYLE_SCORE)
    for group, count in FIRST_COLUMNS.items():
        own = [name for name in metrics if metric_info(name).group == group and metric_info(name).direction]
        first += sorted(own, key=lambda name: name not in leading)[:count]
    return first + [name for name in metrics if metric_info(name).group not in FIRST_COLUMNS]


def comparable(settings: Sequence[Setting], metric: str) -> tuple[list[Setting], set[tuple[str, str]]]:
    """Those measured on at least half as many scenes and seeds as the one with most, and the scenes and seeds that all
    of these have: means over other scenes say nothing."""
    measured = [(setting, setting.repeats(metric)) for setting in settings]
    most = max((len(repeats) for _, repeats in measured), default=0)
    kept = [(setting, repeats) for setting, repeats in measured if repeats and 2 * len(repeats) >= most]
    return [setting for setting, _ in kept], set.intersection(*(repeats for _, repeats in kept)) if kept else set()


def chosen_unequally(settings: Iterable[Setting], metric: str) -> bool:
    """Whether the metric, or one of the same evidence, took the best of more candidates in some cells than in others:
    it is higher in these by that alone."""
    cells = [cell for setting in settings for cell in setting.cells if metric in cell.metrics]
    return len({cell.choice.among(metric) if cell.choice else 1 for cell in cells}) > 1


def rank(settings: Sequence[Setting], metric: str, constraint: Constraint | None = STYLE_KEPT) -> Ranking | None:
    """Compare the setting with the best mean with each other one; None where there is nothing to compare.

    Student's paired test over scenes, or over the seeds of a single scene, at 5 % after Holm's correction for the
    number of comparisons (Scand. J. Statist. 6, 1979). Only settings that satisfy the constraint are considered, and of
    these the `comparable` ones; the best mean is that over the scenes and seeds that all of them have. Nothing is
    compared that was `chosen_unequally`.
    """
    sign = {"up": 1, "down": -1}.get(metric_info(metric).direction)
    meeting = [s for s in settings if not constraint or constraint.holds(s)]
    settings, common = comparable(meeting, metric)
    means = {
        i: sign * found.mean
        for i, setting in enumerate(settings)
        if sign and (found := setting.among(common).estimate(metric))
    }
    if sign is None or len(means) < 2 or chosen_unequally(settings, metric):
        return None
    best = max(means, key=lambda i: means[i])
    tests = []
    for i in means.keys() - {best}:
        ahead = settings[best].ahead_of(settings[i], metric)
        p, count, unit = 1.0, 0, ""
        if ahead is not None:
            count, unit = ahead.count, ahead.unit
            if ahead.error is not None and sign * ahead.mean > 0:
                p = chance(abs(ahead.mean) / ahead.error, count - 1) if ahead.error > 0 else 0.0
        tests.append((p, i, count, unit))
    tests.sort()
    told = next((n for n, (p, *_) in enumerate(tests) if p > LEVEL / (len(tests) - n)), len(tests))
    _, _, count, unit = min(tests, key=lambda test: test[2])
    return Ranking(settings[best], [settings[i] for _, i, *_ in tests[told:]], count, unit)
