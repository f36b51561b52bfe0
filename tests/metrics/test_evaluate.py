from __future__ import annotations

import math
from dataclasses import replace

import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.metrics import METRICS, OPTIONAL, READS_PERCEPTION, READS_PROMPT, VERSIONS, evaluate, evaluate_metric
from cosmos_exp.metrics.info import METRIC_INFO, metric_info


def test_every_metric_of_a_clip_has_finite_values_and_a_label(truth):
    values = evaluate(truth)
    elsewhere = {*READS_PERCEPTION, *OPTIONAL, "seed_diversity"}  # without an evaluator; where named; of several runs
    elsewhere |= {key for key in METRIC_INFO if key.startswith(tuple(READS_PROMPT))}
    assert {key.partition("/")[0] for key in values} == set(METRIC_INFO) - elsewhere
    assert all(math.isfinite(value) for value in values.values())
    assert set(METRICS) - READS_PERCEPTION <= set(values)


def test_a_clip_with_the_single_view_alone(truth):
    values = evaluate(replace(truth, generated={}), ["blur_ssim", "tse", "cse"])
    assert values["blur_ssim"] == values["blur_ssim/front_wide_120fov"] == pytest.approx(1.0)
    assert "tse" in values and "cse" not in values


def test_unknown_metric_names_the_nearest(truth):
    with pytest.raises(UserError, match="unknown metric 'blur_sim': did you mean 'blur_ssim'"):
        evaluate(truth, ["blur_sim"])


def test_one_metric_alone_gives_its_part_of_the_union(truth):
    names = ["edge_f1", "style_score"]
    alone = [evaluate_metric(truth, name) for name in names]
    assert alone[0] and alone[1] and not alone[0].keys() & alone[1].keys()
    assert evaluate(truth, names) == alone[0] | alone[1]
    with pytest.raises(UserError, match="unknown metric 'edgef1': did you mean 'edge_f1'"):
        evaluate_metric(truth, "edgef1")


def test_values_that_are_not_finite_are_refused_by_key(truth, monkeypatch):
    values = {"psnr": math.inf, "psnr/a": 1.0, "psnr/b": math.nan}
    monkeypatch.setitem(METRICS, "psnr", lambda clip: values)
    for compute in (lambda: evaluate_metric(truth, "psnr"), lambda: evaluate(truth, ["psnr"])):
        with pytest.raises(ValueError, match="not finite: psnr, psnr/b"):
            compute()


def test_every_metric_has_a_version():
    assert list(VERSIONS) == [*METRICS, *OPTIONAL] and all(version >= 1 for version in VERSIONS.values())


def test_info_of_view_keys():
    assert metric_info("tse/rear").label == "TSE rear"
    assert metric_info("tse/rear").direction == "down"
    assert metric_info("mine").label == "mine"
