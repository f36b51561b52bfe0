"""Metrics as measures: each sees the damage that it is there to see, and none that it must not; a small part of
`python -m benchmarks.metrics`."""

from __future__ import annotations

import pytest

from benchmarks import metrics
from benchmarks.metrics import IGNORES, METRICS, SEES, clips_of, failures, markdown, measure, rank_correlation

OF_MANY_SCENES = ("depth_si_rmse", "false_objects")
"""Whose response to some damage is told only over more scenes than there are here."""
DAMAGES = ("noise", "shift", "wrong style", "vehicles added", "shuffled", "views swapped")


@pytest.fixture(scope="module")
def found():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "STRENGTHS", (0.5, 1.0))  # half of the benchmark's, so half of its time
        return measure(clips_of(2, ["Original"], [m for m in METRICS if m not in OF_MANY_SCENES], DAMAGES))


def test_every_metric_has_a_row_and_passes_it(found):
    assert set(SEES) == set(METRICS) and set(IGNORES) <= set(METRICS)
    assert failures(found) == []


def test_the_style_is_lost_by_degrees_and_by_nothing_else(found):
    assert found["style_score", "wrong style"].correlation > 0.95
    assert found["style_score", "wrong style"].effect > 0.8
    assert abs(found["style_score", "shuffled"].effect) < 0.05


def test_a_measure_that_sees_nothing_fails_its_row(found):
    blind = {key: type(response)(0.0, 0.0) for key, response in found.items()}
    assert ("psnr", "noise") in failures(blind) and ("style_score", "wrong style") in failures(blind)
    fooled = {key: type(response)(1.0, 1.0) for key, response in found.items()}
    assert failures(fooled) == [(m, d) for m, unseen in IGNORES.items() for d in unseen if (m, d) in found]


def test_as_a_table_for_a_page(found):
    head, _, first, *_ = markdown(found).splitlines()
    assert head == "| metric | noise | shift | wrong style | vehicles added | shuffled | views swapped |"
    assert first.startswith("| `style_score` | ") and first.count("|") == head.count("|")


def test_rank_correlation():
    assert rank_correlation([0, 1, 4, 9], [0, 0.1, 0.2, 0.3]) == pytest.approx(1.0)
    assert rank_correlation([3, 2, 1], [1, 2, 3]) == pytest.approx(-1.0)
    assert rank_correlation([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(0.8)  # 1 - 6 * 2 / (4 * 15)
    assert rank_correlation([5, 5, 5], [1, 2, 3]) == 0.0
