"""How `benchmarks.behaviour` judges what it has measured."""

from __future__ import annotations

import pytest

from benchmarks.behaviour import (
    MEASURES,
    PARTS,
    Behaviour,
    Claim,
    difference,
    labels_shown,
    mean_ranks,
    metric,
    of_setting,
)
from cosmos_exp.runs.seed_diversity import KEY
from cosmos_exp.tracking.comparison.statistics import Interval


def row(scene: int, guidance: float, psnr: float | None) -> dict[str, object]:
    return {"scene.seed": scene, "sampler.guidance": guidance} | ({} if psnr is None else {"psnr": psnr})


def test_values_are_means_over_seeds_of_the_scenes_that_have_them() -> None:
    rows = [row(1, 0, 10.0), row(1, 0, 12.0), row(1, 3, 20.0), row(2, 0, None), row(3, 0, 5.0)]
    assert of_setting(rows, "sampler.guidance", 0, metric("psnr")) == {1: 11.0, 3: 5.0}


def test_a_difference_is_paired_over_the_scenes_that_both_have() -> None:
    claim = difference("", {1: 3.0, 2: 5.0, 4: 9.0}, {1: 1.0, 2: 3.0, 3: 0.0}, -1)
    assert claim.mean == -2.0 and claim.interval is not None and claim.interval.low == claim.interval.high == -2.0
    assert difference("", {1: 3.0}, {1: 1.0}).verdict == "one scene"


@pytest.mark.parametrize(
    ("low", "high", "bound", "or_noise", "verdict"),
    [
        (0.1, 0.3, 0.0, False, "holds"),
        (-0.1, 0.3, 0.0, False, "not told apart"),
        (-0.1, 0.3, 0.0, True, "holds, within noise"),
        (-0.3, -0.1, 0.0, True, "fails"),
        (-0.3, -0.1, -0.5, False, "holds"),
    ],
)
def test_a_claim_holds_where_its_interval_is_on_its_side(
    low: float, high: float, bound: float, or_noise: bool, verdict: str
) -> None:
    assert Claim("", (low + high) / 2, Interval(low, high, 0.5), bound, or_noise).verdict == verdict


def test_labels_are_lanes_and_objects_where_there_are_any() -> None:
    assert labels_shown({"lane_survival": 0.5, "object_survival": 1.0}) == 0.75
    assert labels_shown({"lane_survival": 0.5, "object_survival": None}) == 0.5
    assert labels_shown({}) is None


def test_ranks_count_the_better_ones_and_know_which_way_is_better() -> None:
    good = {"blur_ssim": 0.9, "edge_f1": 0.9, "depth_si_rmse": 0.1, "mask_miou": 0.9, KEY: 3.0}
    bad = {"blur_ssim": 0.1, "edge_f1": 0.1, "depth_si_rmse": 0.9, "mask_miou": 0.9, KEY: 1.0}
    by_control = {(name, key): {7: value} for name, kind in (("a", good), ("b", bad)) for key, value in kind.items()}
    assert set(good) == {key for key, _ in MEASURES.values()} | {KEY}
    assert mean_ranks(by_control, ["a", "b"]) == {"a": {7: 0.0}, "b": {7: 0.75}}


def test_every_part_is_one() -> None:
    assert all(callable(getattr(Behaviour, part)) for part in PARTS)
