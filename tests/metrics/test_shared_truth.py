"""What metrics find out about the truth alone serves the next clip of the same truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cosmos_exp.common.views import VIEWS
from cosmos_exp.metrics import evaluate
from cosmos_exp.metrics import types as metric_types

NAMES = ("blur_ssim", "edge_f1", "depth_edge_auc", "flicker")


def test_the_second_clip_has_the_values_that_it_has_alone(generated):
    first = generated(lambda view, video: video[:, :, ::-1])
    second = generated(lambda view, video: 255 - video)
    alone = evaluate(second, NAMES)
    evaluate(first, NAMES)
    assert {metric for metric, _, _ in first.reference_cache} == set(NAMES)
    again = replace(second)
    assert again.reference_cache == {}, "a changed clip may have another truth"
    again.reference_cache.update(first.reference_cache)
    assert evaluate(again, NAMES) == alone
    key = "edge_f1", VIEWS[0], first.style
    again.reference_cache[key] = [np.zeros_like(edges) for edges in first.reference_cache[key]]
    assert evaluate(again, NAMES) != alone, "what was found is what is used"


def test_what_is_large_is_not_kept(generated, monkeypatch):
    monkeypatch.setattr(metric_types, "MAX_CACHED_BYTES", 0)
    clip = generated(lambda view, video: video)
    evaluate(clip, ("edge_f1",))
    assert clip.reference_cache == {}
