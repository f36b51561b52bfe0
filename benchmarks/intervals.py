"""How often a 95 % interval of few values contains the truth: which interval to trust for how many scenes.

python -m benchmarks.intervals [--samples 2000]

Per distribution and number of values: the share of samples whose interval contains the mean of the distribution
(0.95 is right; its standard error is 0.005 at 2000 samples), and its mean width as a multiple of Student's. `used` is
what the comparison of a sweep uses. Percentile and BCa bootstrap: Efron and Tibshirani 1993, sections 13.3 and 14.3.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from rich.console import Console
from rich.table import Table

from cosmos_exp.common.progress import steps
from cosmos_exp.tracking.comparison.statistics import (
    BOOTSTRAP_FROM,
    LEVEL,
    bootstrap_interval,
    mean_interval,
    student_interval,
)

SIZES = (2, 3, 4, 6, 8, 12, 16)
RESAMPLES = 2000
Ends = tuple[float, float]


@dataclass(frozen=True)
class Distribution:
    """draw: n values. mean: of the distribution."""

    draw: Callable[[np.random.Generator, int], np.ndarray]
    mean: float


DISTRIBUTIONS = {
    "normal": Distribution(lambda rng, n: rng.standard_normal(n), 0.0),
    "exponential": Distribution(lambda rng, n: rng.exponential(size=n), 1.0),
    "one in five is 4 off": Distribution(lambda rng, n: rng.standard_normal(n) + 4 * (rng.random(n) < 0.2), 0.8),
    "lognormal": Distribution(lambda rng, n: rng.lognormal(size=n), np.exp(0.5)),
}


def percentile(values: np.ndarray) -> Ends:
    low, high = np.quantile(_means(values), [LEVEL / 2, 1 - LEVEL / 2])
    return low, high


def bca(values: np.ndarray) -> Ends:
    """Bias-corrected and accelerated."""
    means, normal = _means(values), NormalDist()
    below = np.mean(means < values.mean()) + np.mean(means == values.mean()) / 2
    bias = normal.inv_cdf(float(np.clip(below, 1e-3, 1 - 1e-3)))
    without = (values.sum() - values) / (len(values) - 1)
    apart = without.mean() - without
    spread = (apart**2).sum() ** 1.5
    skew = (apart**3).sum() / (6 * spread) if spread else 0.0
    ends = [bias + normal.inv_cdf(q) for q in (LEVEL / 2, 1 - LEVEL / 2)]
    low, high = np.quantile(means, [normal.cdf(bias + end / (1 - skew * end)) for end in ends])
    return low, high


def _means(values: np.ndarray) -> np.ndarray:
    return values[np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)


def _ends(interval: Callable) -> Callable[[np.ndarray], Ends]:
    return lambda values: (interval(values).low, interval(values).high)


METHODS: dict[str, Callable[[np.ndarray], Ends]] = {
    "Student": _ends(student_interval),
    "percentile": percentile,
    "BCa": bca,
    "bootstrap-t": _ends(bootstrap_interval),
    "used": _ends(mean_interval),
}


def coverage(name: str, count: int, samples: int, methods=METHODS) -> dict[str, tuple[float, float]]:
    """{method: share of samples whose interval contains the mean, mean width}. name: of a distribution."""
    rng, truth = np.random.default_rng(count), DISTRIBUTIONS[name].mean
    drawn = [DISTRIBUTIONS[name].draw(rng, count) for _ in range(samples)]
    found = {}
    for method in methods:
        low, high = np.transpose([METHODS[method](values) for values in drawn])
        found[method] = float(np.mean((low <= truth) & (truth <= high))), float(np.mean(high - low))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=2000)
    samples = parser.parse_args().samples
    table = Table("values", "n", *METHODS)
    rows = [(name, count) for name in DISTRIBUTIONS for count in SIZES]
    with steps("intervals") as tick:
        for done, (name, count) in enumerate(rows, 1):
            found = coverage(name, count, samples)
            shown = [f"{share:.3f} x{width / found['Student'][1]:.2f}" for share, width in found.values()]
            table.add_row(name, str(count), *shown)
            tick(done, len(rows))
    console = Console(width=120)
    console.print(table)
    console.print(f"used: Student below {BOOTSTRAP_FROM} values, bootstrap-t from there on")


if __name__ == "__main__":
    main()
