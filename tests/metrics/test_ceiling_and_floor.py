"""Ceiling and floor: the same metric of other videos."""

from __future__ import annotations

import numpy as np
import pytest

from cosmos_exp.metrics import METRICS, READS_PERCEPTION, evaluate_metric
from cosmos_exp.metrics.info import metric_info
from cosmos_exp.metrics.references import (
    DISPLACED,
    FOREIGN,
    FOREIGN_FRAMES,
    at_frames,
    displaced_clip,
    floor_of,
    foreign_clip,
    foreign_frames,
)


@pytest.fixture(scope="module")
def foreign(truth):
    """Another scene: here, the pictures turned upside down."""
    frames = foreign_frames(len(truth.rig_poses))
    return foreign_clip(truth, {view: video[frames, ::-1] for view, video in truth.videos.items()})


def test_a_clip_at_some_of_its_frames_is_like_a_shorter_one(truth):
    part = at_frames(truth, np.array([0, 2]))
    for view, video in truth.videos.items():
        assert np.array_equal(part.videos[view], video[[0, 2]])
        assert np.array_equal(part.renders[view].depth, truth.renders[view].depth[[0, 2]])
        assert np.array_equal(part.targets[view], truth.targets[view][[0, 2]])
    assert np.array_equal(part.rig_poses, truth.rig_poses[[0, 2]])
    assert evaluate_metric(part, "psnr")["psnr"] == 99.0


def test_a_foreign_scene_is_shown_at_a_few_instants_from_first_to_last():
    assert foreign_frames(25).tolist() == [0, 12, 24]
    assert len(foreign_frames(57)) == FOREIGN_FRAMES
    assert foreign_frames(2).tolist() == [0, 1]


def test_no_two_displaced_frames_agree(truth):
    clip = displaced_clip(truth)
    (first, *others) = clip.videos.values()
    for frame, before in zip(first[1:], first):
        assert np.abs(frame.astype(int) - before).mean() > 10
    assert all(video.shape == first.shape for video in others)
    assert sorted(np.unique(first[0])) == sorted(np.unique(truth.single_view[(len(truth.single_view) - 5) // 2]))


WITHOUT_EVALUATOR = [name for name in METRICS if name not in READS_PERCEPTION]


@pytest.mark.parametrize("name", [name for name in WITHOUT_EVALUATOR if floor_of(name) in (FOREIGN, DISPLACED)])
def test_the_floor_is_below_the_ceiling(name, truth, foreign):
    ceiling = evaluate_metric(truth, name)
    floor = evaluate_metric(foreign if floor_of(name) == FOREIGN else displaced_clip(truth), name)
    assert name in ceiling and name in floor
    better = ceiling[name] - floor[name]
    assert better < 0 if metric_info(name).direction == "down" else better > 0


def test_a_metric_that_compares_frames_has_a_floor_of_frames_that_do_not_agree():
    assert [name for name in METRICS if floor_of(name) == DISPLACED] == ["flicker", "tse", "cse"]
    assert floor_of("style_score") == -1.0
