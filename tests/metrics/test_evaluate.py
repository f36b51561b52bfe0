from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.metrics import METRICS, evaluate
from cosmos_exp.metrics.info import METRIC_INFO, metric_info


def test_every_metric_of_a_clip_has_finite_values_and_a_label(truth):
    start = time.perf_counter()
    values = evaluate(truth)
    assert time.perf_counter() - start < 10  # 9 frames of three views take about half a second
    assert {key.partition("/")[0] for key in values} == set(METRIC_INFO)
    assert all(math.isfinite(value) for value in values.values())
    assert set(METRICS) <= set(values)


def test_a_clip_with_the_single_view_alone(truth):
    values = evaluate(replace(truth, generated={}), ["blur_ssim", "tse", "cse"])
    assert values["blur_ssim"] == values["blur_ssim/front_wide_120fov"] == pytest.approx(1.0)
    assert "tse" in values and "cse" not in values


def test_unknown_metric_names_the_nearest(truth):
    with pytest.raises(UserError, match="unknown metric 'blur_sim': did you mean 'blur_ssim'"):
        evaluate(truth, ["blur_sim"])


def test_info_of_view_keys():
    assert metric_info("tse/rear").label == "TSE rear"
    assert metric_info("tse/rear").direction == "down"
    assert metric_info("mine").label == "mine"
