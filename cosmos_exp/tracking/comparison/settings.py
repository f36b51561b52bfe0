"""Which setting of a sweep is best in a metric, and how sure that is.

A setting is a combination of the swept values that are neither scene nor seed. The page computes the same of the cells
that it shows (`page/stats.js`).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from cosmos_exp.metrics.info import METRIC_INFO, metric_info
from cosmos_exp.runs.sweep_cells import STYLE_AXIS, Cell, axis_values

SCENE_AXES = tuple(f"scene.{key}" for key in ("seed", "log", "map", "ego", "start", "root", "clip"))
SEED_AXES = ("sampler.seed",)
STYLE_SCORE = "style_score"
OBJECTIVES = ("mask_miou", "semantic_eta2", "psnr")
"""What settings are compared by where nothing else is asked: adherence to the map, as far as it was measured."""
FIRST_COLUMNS = {"style": 1, "map": 2, "objects": 2, "consistency": 1, "quality": 1}
"""How many metrics of each group a table shows at first: what fits a page of 1400 pixels."""
RELATIONS = {"above": operator.gt, "at least": operator.ge, "at most": operator.le}
LEVEL = 0.05
T = TypeVar("T")


@dataclass(frozen=True)
class Estimate:
    """mean: over `count` scenes, or seeds of a single one (`unit`). error: its standard error; None for one."""

    mean: float
    error: float | None
    count: int
    unit: str

    @property
    def half(self) -> float | None:
        """Half the 95 % interval, by Student's t."""
        return None if self.error is None else student_quantile(self.count - 1) * self.error


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

    def ahead_of(self, other: Setting, metric: str) -> Estimate | None:
        """The mean difference to another setting, in pairs of one scene and seed; None without a pair."""
        partners = {_repeat(cell): value for cell, value in other._values(metric)}
        pairs = [(c, value - partners[_repeat(c)]) for c, value in self._values(metric) if _repeat(c) in partners]
        return estimate(pairs)

    def _values(self, metric: str) -> list[tuple[Cell, float]]:
        return [(cell, cell.metrics[metric]) for cell in self.cells if metric in cell.metrics]


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
    for style, of_style in _groups(cells, lambda cell: cell.style).items():
        groups = _groups(of_style, lambda cell: repr([cell.axes.get(axis) for axis in factors]))
        found[style] = [
            Setting({axis: group[0].axes.get(axis) for axis in factors if axis != STYLE_AXIS}, group)
            for group in groups.values()
        ]
    return found


def default_objective(metrics: Iterable[str]) -> str:
    """The first of OBJECTIVES among these metrics, else the first known one with a better direction; '' without one."""
    known = set(metrics) - {STYLE_SCORE}
    ranked = [name for name, info in METRIC_INFO.items() if name in known and info.direction]
    return next((name for name in OBJECTIVES if name in ranked), ranked[0] if ranked else "")


def first_columns(metrics: Sequence[str]) -> list[str]:
    """Those that a table shows at first: of each group as many as FIRST_COLUMNS has, objectives and the style score
    before others, then all without a group."""
    first = []
    for group, count in FIRST_COLUMNS.items():
        own = [name for name in metrics if metric_info(name).group == group and metric_info(name).direction]
        first += sorted(own, key=lambda name: name not in (*OBJECTIVES, STYLE_SCORE))[:count]
    return first + [name for name in metrics if metric_info(name).group not in FIRST_COLUMNS]


def rank(settings: Sequence[Setting], metric: str, constraint: Constraint | None = STYLE_KEPT) -> Ranking | None:
    """Compare the setting with the best mean with each other one; None where there is nothing to compare.

    Student's paired test over scenes, or over the seeds of a single scene, at 5 % after Holm's correction for the
    number of comparisons (Scand. J. Statist. 6, 1979). Only settings that satisfy the constraint are considered.
    """
    sign = {"up": 1, "down": -1}.get(metric_info(metric).direction)
    means = {
        i: sign * found.mean
        for i, setting in enumerate(settings)
        if sign and (not constraint or constraint.holds(setting)) and (found := setting.estimate(metric))
    }
    if sign is None or len(means) < 2:
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


def estimate(pairs: Sequence[tuple[Cell, float]]) -> Estimate | None:
    """Values are averaged within a scene and seed, then within a scene; the error is that of the mean over scenes where
    there are several, and else over seeds. None without a value."""
    if not pairs:
        return None
    by_scene = [
        [
            float(np.mean([value for _, value in in_seed]))
            for in_seed in _groups(in_scene, lambda pair: _seed(pair[0])).values()
        ]
        for in_scene in _groups(pairs, lambda pair: _scene(pair[0])).values()
    ]
    units = [float(np.mean(seeds)) for seeds in by_scene] if len(by_scene) > 1 else by_scene[0]
    count = len(units)
    error = float(np.std(units, ddof=1)) / math.sqrt(count) if count > 1 else None
    return Estimate(float(np.mean(units)), error, count, "scenes" if len(by_scene) > 1 else "seeds")


def chance(t: float, freedom: int) -> float:
    """Probability that |t| of Student is as large, for whole degrees of freedom (Abramowitz and Stegun 26.7.3-4)."""
    angle = math.atan(t / math.sqrt(freedom))
    sin, cos, odd = math.sin(angle), math.cos(angle), freedom % 2
    term = cos if odd else 1.0
    total = 0.0 if freedom == 1 else term
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= cos * cos * (k - 1) / k
        total += term
    within = 2 / math.pi * (angle + sin * total) if odd else sin * total
    return 1 - within


def student_quantile(freedom: int, outside: float = LEVEL) -> float:
    """The t that |t| exceeds with this probability."""
    low, high = 0.0, 1.0
    while chance(high, freedom) > outside:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if chance(middle, freedom) > outside else (low, middle)
    return high


def _scene(cell: Cell) -> str:
    return repr([cell.axes.get(axis) for axis in SCENE_AXES])


def _seed(cell: Cell) -> str:
    return repr([cell.axes.get(axis) for axis in SEED_AXES])


def _repeat(cell: Cell) -> tuple[str, str]:
    return _scene(cell), _seed(cell)


def _groups(items: Sequence[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    """Items with the same key together, in the order of their first ones."""
    groups: dict[str, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
