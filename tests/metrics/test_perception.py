"""Metrics of what an evaluator sees: values computed by hand, and what known damage does to them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from helpers.perceived import VIEWS, perceived_clip, shifted

from cosmos_exp.evaluators.labels import ObjectLabel
from cosmos_exp.evaluators.types import SEMANTIC_CLASSES, Perception
from cosmos_exp.metrics import READS_PERCEPTION, evaluate_metric
from cosmos_exp.metrics.depth_si_rmse import depth_si_rmse, si_rmse
from cosmos_exp.metrics.frechet import frechet, frechet_distance
from cosmos_exp.metrics.lane_f1 import Counts, lane_f1, near
from cosmos_exp.metrics.mask_miou import mask_miou, mean_iou
from cosmos_exp.metrics.objects import false_objects, groups_of, object_recall, scores, unmatched
from cosmos_exp.metrics.types import GeneratedClip

FRONT, REAR = VIEWS


def changed(clip: GeneratedClip, change) -> GeneratedClip:
    return replace(clip, generated={view: change(view, video) for view, video in clip.generated.items()})


@pytest.fixture(scope="module")
def clip() -> GeneratedClip:
    return perceived_clip()


def label(box, kind=0, frame=0, pixels=100, distance=15.0, occlusion=0.0) -> ObjectLabel:
    box = tuple(float(v) for v in box)
    return ObjectLabel("a", kind, frame, box, box, pixels, distance, occlusion, 1, (10.0, 20.0))


def test_mean_iou_of_two_halves():
    truth = np.zeros((1, 4, 4), np.uint8)
    truth[:, :, 2:] = 1
    seen = truth.copy()
    seen[:, :2, 2:] = 0  # class 0: 8 common of 12; class 1: 4 common of 8
    assert mean_iou(Perception(semantic=seen), truth) == pytest.approx((8 / 12 + 4 / 8) / 2)


def test_classes_that_an_evaluator_does_not_know_do_not_count():
    truth = np.zeros((1, 4, 4), np.uint8)
    truth[:, :, 2:] = 1
    known = [name for i, name in enumerate(SEMANTIC_CLASSES) if i != 1]
    assert mean_iou(Perception(semantic=np.zeros_like(truth), known=known), truth) == 1.0
    assert mean_iou(Perception(semantic=truth, known=[]), truth) is None


def test_si_rmse_is_blind_to_scale_and_not_to_shape():
    truth = np.random.default_rng(0).uniform(2, 70, (2, 8, 8)).astype(np.float32)
    assert si_rmse(Perception(depth=3 * truth), truth) == pytest.approx(0.0, abs=1e-6)
    doubled = truth.copy()
    doubled[:, :4] *= np.e  # log error 1 in one half: variance 1/4
    assert si_rmse(Perception(depth=doubled), truth) == pytest.approx(0.5, abs=1e-6)
    assert si_rmse(Perception(depth=truth), np.full_like(truth, np.inf)) is None


def test_paint_within_the_tolerance_is_a_hit():
    line = np.zeros((9, 9), bool)
    line[4] = True
    assert near(line, 2.0).sum(axis=1).tolist() == [0, 0, 9, 9, 9, 9, 9, 0, 0]
    assert not near(np.zeros((3, 3), bool), 5.0).any()
    assert Counts(painted=10, hits=5, seen=20, right=20).f1 == pytest.approx(2 * 0.5 / 1.5)
    assert Counts(seen=4).f1 is None


def test_each_box_finds_one_label_of_its_class():
    labels = [label((0, 0, 10, 10)), label((1, 0, 11, 10)), label((50, 50, 60, 60), kind=3)]
    boxes = np.array([[0, 0.9, 0, 0, 10, 10], [3, 0.8, 0, 0, 10, 10], [0, 0.7, 50, 50, 60, 60]])
    assert scores(labels, boxes) == [0.9, 0.0, 0.0]
    both = np.array([[0, 0.6, 1, 0, 11, 10], [0, 0.5, 0, 0, 10, 10]])
    assert scores(labels[:2], both) == [0.5, 0.6]
    assert scores(labels, np.zeros((0, 6))) == [0.0, 0.0, 0.0]


def test_false_objects_touch_no_label():
    boxes = np.array([[0, 0.9, 0, 0, 10, 10], [1, 0.9, 5, 0, 15, 10], [0, 0.9, 40, 0, 50, 10], [0, 0.2, 80, 0, 90, 10]])
    assert unmatched([label((0, 0, 10, 10))], boxes).tolist() == [False, False, True, False]
    assert unmatched([], boxes).tolist() == [True, True, True, False]


def test_labels_are_grouped_by_class_size_distance_and_occlusion():
    assert groups_of(label((0, 0, 10, 10)), 144) == ("car", "small", "near", "clear")
    assert groups_of(label((0, 0, 10, 40), kind=3, distance=30, occlusion=0.4), 144) == (
        *("pedestrian", "large", "middle", "occluded"),
    )
    assert groups_of(label((0, 0, 10, 40), distance=300), 720) == ("car", "small", "far", "clear")


def test_the_evaluator_reads_the_renderer_well(clip):
    """Bounds far below what the model card says, over two views of one scene."""
    assert mask_miou(clip)["mask_miou"] > 0.5
    assert depth_si_rmse(clip)["depth_si_rmse"] < 0.3
    assert lane_f1(clip)["lane_f1"] > 0.6
    assert object_recall(clip)["object_recall"] > 0.5
    assert false_objects(clip)["false_objects"] < 1.5


def test_a_displaced_picture_is_worse_by_every_metric(clip):
    moved = changed(clip, shifted(24))
    assert mask_miou(moved)["mask_miou"] < mask_miou(clip)["mask_miou"] - 0.15
    assert depth_si_rmse(moved)["depth_si_rmse"] > depth_si_rmse(clip)["depth_si_rmse"] + 0.05
    assert lane_f1(moved)["lane_f1"] < lane_f1(clip)["lane_f1"] - 0.3
    assert object_recall(moved)["object_recall"] < object_recall(clip)["object_recall"] - 0.3
    assert false_objects(moved)["false_objects"] > false_objects(clip)["false_objects"]


def test_softness_alone_costs_little(clip):
    soft = changed(clip, lambda view, video: np.stack([cv2.GaussianBlur(frame, (0, 0), 1.0) for frame in video]))
    assert mask_miou(soft)["mask_miou"] > mask_miou(clip)["mask_miou"] - 0.08
    assert lane_f1(soft)["lane_f1"] > lane_f1(clip)["lane_f1"] - 0.1


def test_a_grey_picture_shows_nothing(clip):
    grey = changed(clip, lambda view, video: np.full_like(video, 128))
    assert mask_miou(grey)["mask_miou"] < 0.25
    assert object_recall(grey)["object_recall"] == 0.0
    assert lane_f1(grey)["lane_f1"] < 0.1


def test_every_view_has_a_value(clip):
    values = mask_miou(clip)
    assert values["mask_miou"] == pytest.approx((values[f"mask_miou/{FRONT}"] + values[f"mask_miou/{REAR}"]) / 2)


def test_without_an_evaluator_the_metrics_are_undefined(clip):
    blind = replace(clip, evaluator=None)
    assert all(evaluate_metric(blind, name) == {} for name in READS_PERCEPTION)


def test_what_an_evaluator_does_not_tell_is_undefined(clip):
    class Blind:
        every, identity = 1, {"name": "blind"}

        def perceive(self, frames):
            return Perception(depth=np.ones(frames.shape[:3], np.float32))

    partial = replace(clip, evaluator=Blind())
    assert {name for name in READS_PERCEPTION if evaluate_metric(partial, name)} == {"depth_si_rmse"}


def test_the_frechet_distance_of_two_gaussians():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (20000, 3))
    y = rng.normal([1, 0, 0], [2, 1, 1], (20000, 3))
    assert frechet_distance(x, x) == pytest.approx(0.0, abs=1e-6)
    assert frechet_distance(x, y) == pytest.approx(1 + (2 - 1) ** 2, rel=0.05)  # |m - m_r|^2 + (s - s_r)^2


def test_the_frechet_distance_of_a_clip_grows_with_its_damage(clip):
    values = [frechet(changed(clip, change))["frechet"] for change in (lambda view, video: video, shifted(24))]
    grey = frechet(changed(clip, lambda view, video: np.full_like(video, 128)))["frechet"]
    assert values[0] == pytest.approx(0.0, abs=1e-3) and values[0] < values[1] < grey
