"""Every setting against a baseline: pairs of a scene and seed, intervals that contain the truth, Holm's correction."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from benchmarks.intervals import coverage
from cosmos_exp.common.errors import UserError
from cosmos_exp.runs.sweep_cells import Cell
from cosmos_exp.tracking.comparison.differences import baseline_of, differences_to, print_differences
from cosmos_exp.tracking.comparison.settings import settings_of
from cosmos_exp.tracking.comparison.statistics import (
    BOOTSTRAP_FROM,
    bootstrap_interval,
    holm,
    mean_interval,
    student_interval,
)

GUIDANCE, WEIGHTS = (0, 1, 3), (0.5, 1.0)
GAIN = {0: 0.0, 1: 0.5, 3: -0.2}
KEYS = ("sampler.guidance", "controls.hdmap.weight", "scene.seed", "sampler.seed")


def cells_of(scenes: int = 10, seeds: int = 2) -> list[Cell]:
    """psnr: far apart by scene; guidance 1 adds half a decibel, 3 takes a fifth, each give or take a tenth."""
    cells = []
    for at in product(GUIDANCE, WEIGHTS, range(scenes), range(seeds)):
        noise = np.random.default_rng([at[0], int(2 * at[1]), *at[2:]]).standard_normal()
        metrics = {"psnr": 20 + 5 * at[2] + GAIN[at[0]] + 0.1 * noise, "tse_matches": 5.0}
        cells.append(Cell(run=str(len(cells)), axes=dict(zip(KEYS, at)), style="Snowy", state="done", metrics=metrics))
    return cells


def settings(**counts: int):
    return settings_of(cells_of(**counts))["Snowy"]


def test_a_difference_is_that_of_the_same_scenes_and_seeds():
    (found,) = (d for d in differences_to(settings(), "psnr", settings()[0]) if d.setting.axes == axes(1, 0.5))
    by_scene = [
        np.mean([value(1, 0.5, scene, seed) - value(0, 0.5, scene, seed) for seed in range(2)]) for scene in range(10)
    ]
    assert (found.count, found.unit) == (10, "scenes")
    assert found.mean == pytest.approx(np.mean(by_scene))
    assert found.interval == mean_interval(by_scene)
    assert found.interval.low < 0.5 < found.interval.high and found.p < 0.01


def test_a_setting_that_differs_by_chance_is_not_told_apart():
    found = {
        d.setting.axes["controls.hdmap.weight"]: d
        for d in differences_to(settings(), "psnr", settings()[0])
        if d.setting.axes["sampler.guidance"] == 0
    }
    assert found[1.0].interval.low < 0 < found[1.0].interval.high and found[1.0].p > 0.05


def test_few_scenes_have_students_interval_and_one_has_none():
    values = [0.1, 0.4, 0.3]
    assert mean_interval(values) == student_interval(values)
    assert student_interval(values).high - np.mean(values) == pytest.approx(4.30265 * np.std(values, ddof=1) / 3**0.5)
    (first, *_) = differences_to(settings(scenes=1, seeds=1), "psnr", settings(scenes=1, seeds=1)[0])
    assert (first.interval, first.p, first.count) == (None, None, 1)
    assert {d.unit for d in differences_to(settings(scenes=1), "psnr", settings(scenes=1)[0])} == {"seeds"}


def test_the_bootstrap_is_repeatable_follows_the_skew_and_agrees_with_its_p():
    values = np.random.default_rng(0).lognormal(size=12)
    found = bootstrap_interval(values)
    assert found == bootstrap_interval(values)
    assert found != bootstrap_interval(values, seed=1)
    assert found.high - values.mean() > 1.5 * (values.mean() - found.low), "longer towards the long tail"
    for shift in np.linspace(found.low, found.high, 7)[1:-1]:
        assert bootstrap_interval(values - shift).p > 0.05
    for shift in (found.low - 0.05, found.high + 0.05):
        assert bootstrap_interval(values - shift).p < 0.05


def test_values_that_hardly_differ_have_a_finite_interval():
    assert mean_interval([2.0] * 9).p == 0.0 and mean_interval([0.0] * 9).p == 1.0
    for values in ([0.0] * 9 + [1.0], [0.1] * 9 + [0.3]):
        assert mean_interval(values) == student_interval(values), "a third of the resamples have no spread"


def test_the_bootstrap_contains_the_truth_where_it_is_used():
    """A small part of `python -m benchmarks.intervals`: 200 samples, so give or take 0.02."""
    found = coverage("exponential", BOOTSTRAP_FROM, 200, ("percentile", "Student", "used"))
    shares = {method: share for method, (share, _) in found.items()}
    assert shares["used"] > 0.92
    assert shares["percentile"] < shares["Student"] < shares["used"]


def test_holm_adjusts_as_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_baseline_is_one_setting():
    assert baseline_of(settings(), "sampler.guidance=1,hdmap.weight=0.5").axes == axes(1, 0.5)
    with pytest.raises(UserError, match=r"names 2 settings, and has to name one: give controls\.hdmap\.weight too"):
        baseline_of(settings(), "guidance=1")
    with pytest.raises(UserError, match=r"unknown value of sampler\.guidance '2'.*allowed: 0, 1, 3"):
        baseline_of(settings(), "guidance=2")
    with pytest.raises(UserError, match=r"unknown axis of --baseline 'guidence': did you mean"):
        baseline_of(settings(), "guidence=1")
    with pytest.raises(UserError, match="'guidance' is not AXIS=VALUE"):
        baseline_of(settings(), "guidance")


def test_the_console_shows_differences_intervals_and_what_is_better(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    print_differences(cells_of(), "guidance=0,hdmap.weight=0.5")
    said = capsys.readouterr().out
    assert "Snowy: difference to guidance=0, hdmap.weight=0.5" in said
    rows = [line for line in said.splitlines() if "scenes" in line]
    assert len(rows) == len(GUIDANCE) * len(WEIGHTS) - 1, "psnr alone: matches have no better direction"
    assert [row.split("│")[-2].strip() for row in rows] == ["", "better", "better", "worse", "worse"]


def axes(guidance: int, weight: float) -> dict[str, float]:
    return {"sampler.guidance": guidance, "controls.hdmap.weight": weight}


def value(*at) -> float:
    return next(cell.metrics["psnr"] for cell in cells_of() if tuple(cell.axes[key] for key in KEYS) == at)
