"""Means over scenes and seeds, their intervals, and what of a difference chance alone would make.

Of few scenes the interval is Student's; from `BOOTSTRAP_FROM` on it is a bootstrap of Student's t (the bootstrap-t of
Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 12.5), which also holds where values are skewed.
`python -m benchmarks.intervals` measures how often each contains the truth. The page computes Student's of the cells
that it shows (`page/stats.js`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from cosmos_exp.runs.sweep_cells import SEED_AXIS, Cell

SCENE_AXES = tuple(f"scene.{key}" for key in ("seed", "log", "map", "ego", "start", "root", "clip"))
SEED_AXES = (SEED_AXIS,)
LEVEL = 0.05
BOOTSTRAP_FROM = 8
"""Fewest values with a bootstrap interval: of fewer, it is several times as wide as Student's."""
RESAMPLES = 9999
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


def estimate(pairs: Sequence[tuple[Cell, float]]) -> Estimate | None:
    """The mean over scenes where there are several, and else over seeds; see `independent`. None without a value."""
    if not pairs:
        return None
    values, unit = independent(pairs)
    return Estimate(float(np.mean(values)), standard_error(values), len(values), unit)


def independent(pairs: Sequence[tuple[Cell, float]]) -> tuple[list[float], str]:
    """Values averaged within a scene and seed, then within a scene: one per scene, or of a single scene one per seed;
    and which of the two, `scenes` or `seeds`."""
    by_scene = [
        [
            float(np.mean([value for _, value in in_seed]))
            for in_seed in groups(in_scene, lambda pair: _seed(pair[0])).values()
        ]
        for in_scene in groups(pairs, lambda pair: _scene(pair[0])).values()
    ]
    if len(by_scene) > 1:
        return [float(np.mean(seeds)) for seeds in by_scene], "scenes"
    return by_scene[0], "seeds"


def of_scenes(pairs: Sequence[tuple[Cell, float]]) -> list[tuple[Cell, float]]:
    """The first cell of each scene, with the mean over its seeds."""
    scenes = groups(pairs, lambda pair: _scene(pair[0])).values()
    return [(of_scene[0][0], float(np.mean([value for _, value in of_scene]))) for of_scene in scenes]


def standard_error(values: Sequence[float]) -> float | None:
    """Of the mean; None for a single value."""
    return float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None


@dataclass(frozen=True)
class Interval:
    """Of the mean, at 95 %. p: probability that chance alone takes a mean of 0 as far, two-sided."""

    low: float
    high: float
    p: float


def mean_interval(values: Sequence[float], seed: int = 0) -> Interval | None:
    """By bootstrap from `BOOTSTRAP_FROM` values on, by Student's t below; None for a single value."""
    if len(values) < 2:
        return None
    return bootstrap_interval(values, seed) if len(values) >= BOOTSTRAP_FROM else student_interval(values)


def student_interval(values: Sequence[float]) -> Interval:
    """Of two values or more, exact where they are normal (Student 1908)."""
    mean, error = float(np.mean(values)), standard_error(values)
    if not error:
        return Interval(mean, mean, 0.0 if mean else 1.0)
    half = student_quantile(len(values) - 1) * error
    return Interval(mean - half, mean + half, chance(abs(mean) / error, len(values) - 1))


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> Interval:
    """Bootstrap-t: quantiles of (mean* - mean) / error* over `RESAMPLES` resamples, instead of Student's.

    The same values and seed give the same interval. Student's where an end is infinite, because too many resamples
    consist of one value.
    """
    given = np.asarray(values, np.float64)
    mean, error = float(given.mean()), standard_error(values)
    if not error:
        return student_interval(values)
    drawn = given[np.random.default_rng(seed).integers(0, len(given), (RESAMPLES, len(given)))]
    errors = drawn.std(axis=1, ddof=1) / math.sqrt(len(given))
    errors[drawn.min(axis=1) == drawn.max(axis=1)] = 0.0  # which rounding hides
    ahead = drawn.mean(axis=1) - mean
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(ahead == 0, 0.0, ahead / errors)
    low, high = np.quantile(t, [LEVEL / 2, 1 - LEVEL / 2], method="inverted_cdf")
    if not (math.isfinite(low) and math.isfinite(high)):
        return student_interval(values)
    beyond = min(np.count_nonzero(t >= mean / error), np.count_nonzero(t <= mean / error))
    p = min(1.0, 2 * (beyond + 1) / (RESAMPLES + 1))
    return Interval(mean - high * error, mean - low * error, p)


def holm(chances: Sequence[float]) -> list[float]:
    """Probabilities of several comparisons, adjusted for their number (Holm, Scand. J. Statist. 6, 1979)."""
    order = np.argsort(chances, kind="stable")
    adjusted, worst = [0.0] * len(chances), 0.0
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, (len(chances) - rank) * chances[i]))
        adjusted[i] = worst
    return adjusted


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


def repeat(cell: Cell) -> tuple[str, str]:
    """Scene and seed: cells that have both in common are compared with each other."""
    return _scene(cell), _seed(cell)


def _scene(cell: Cell) -> str:
    return repr([cell.axes.get(axis) for axis in SCENE_AXES])


def _seed(cell: Cell) -> str:
    return repr([cell.axes.get(axis) for axis in SEED_AXES])


def groups(items: Sequence[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    """Items with the same key together, in the order of their first ones."""
    found: dict[str, list[T]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found
