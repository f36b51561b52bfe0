from __future__ import annotations

from pathlib import Path

import pytest

from cosmos_exp.runs import cost_history as history
from cosmos_exp.runs.cost_history import Cost, History, estimate


def cost(seconds: float, *, stage: str = "render", setting: str = "", size: float = 2.0, passes: int = 1) -> Cost:
    return Cost(stage, setting, size, passes, seconds, bytes=int(1000 * size))


def test_what_was_added_is_read_back_and_damaged_lines_are_left_out(tmp_path: Path) -> None:
    kept = History(tmp_path / "cache")
    assert kept.costs() == []
    kept.add(cost(1.5))
    with open(kept.path, "a") as file:
        file.write('{"stage": "rend\n{"unknown": 1}\n')
    kept.add(cost(2.5, setting="nano"))
    assert kept.costs() == [cost(1.5), cost(2.5, setting="nano")]


def test_the_older_half_goes_when_it_grows(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(history, "MOST_BYTES", 1000)
    kept = History(tmp_path)
    for seconds in range(100):
        kept.add(cost(float(seconds)))
    assert kept.path.stat().st_size <= 1000
    assert kept.costs()[-1] == cost(99.0)


def test_an_estimate_is_the_median_of_its_own_stage_and_setting() -> None:
    costs = [cost(s) for s in (1.0, 3.0, 50.0)] + [cost(7.0, setting="gpu"), cost(9.0, stage="controls")]
    found = estimate(costs, "render", "", 2.0)
    assert (found.seconds, found.bytes, found.of, found.scaled) == (3.0, 2000, 3, False)
    assert estimate(costs, "metrics", "", 2.0) is None


def test_several_counts_of_passes_tell_what_does_not_grow_with_them() -> None:
    costs = [cost(5.0, passes=2), cost(50.0, passes=2), cost(5.2, passes=2), cost(9.2, passes=4)]
    assert estimate(costs, "render", "", 2.0, 2).seconds == 5.2
    assert estimate(costs, "render", "", 2.0, 10).seconds == pytest.approx(21.2)  # 1.2 and 2 for each pass
    shrinking = [cost(9.0, passes=2), cost(5.0, passes=4)]
    assert estimate(shrinking, "render", "", 2.0, 8).seconds == pytest.approx(10.0)  # as 4 of them, twice


def test_time_grows_with_passes_and_from_another_size_with_the_pixels() -> None:
    costs = [cost(6.0, passes=3)]
    assert estimate(costs, "render", "", 2.0, 5).seconds == pytest.approx(10.0)
    larger = estimate(costs, "render", "", 4.0, 5)
    assert (larger.seconds, larger.bytes, larger.scaled) == (pytest.approx(20.0), 4000, True)
