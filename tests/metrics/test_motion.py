"""Metrics that know how the cameras moved: flicker and the Sampson errors."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest
from helpers.street import CAMERAS, SIZE, render

from cosmos_exp.metrics.epipolar import detect, features_of, fundamental, pinhole_matrix, rays_of, sampson
from cosmos_exp.metrics.flicker import flicker
from cosmos_exp.metrics.sampson_cross_view import cse, shared_view
from cosmos_exp.metrics.sampson_temporal import tse, view_errors
from cosmos_exp.sensors.camera import Camera
from cosmos_exp.sensors.ftheta import FTheta

FRONT, LEFT, RIGHT = CAMERAS


def frozen(view: str, video: np.ndarray) -> np.ndarray:
    return np.repeat(video[:1], len(video), axis=0)


def blinking(view: str, video: np.ndarray) -> np.ndarray:
    return np.clip(video + 20 * (np.arange(len(video)) % 2)[:, None, None, None], 0, 255).astype(np.uint8)


def test_flicker_is_small_for_the_truth_and_names_blinking_and_freezing(truth, generated):
    score = flicker(truth)["flicker"]
    assert score < 2.0
    assert flicker(generated(blinking))["flicker"] == pytest.approx(20, abs=2)
    assert flicker(generated(frozen))["flicker"] > 3 * score


def test_flicker_ignores_what_moves_by_itself(truth, generated):
    """A car that flashes is not flicker of the world."""
    front = truth.renders[FRONT]
    semantic = front.semantic.copy()
    semantic[:, 60:, :120] = 14
    flashing = truth.generated[FRONT].copy()
    flashing[1::2, 60:, :120] = 255
    renders = {FRONT: replace(front, semantic=semantic)}
    seen = replace(truth, generated={FRONT: flashing}, renders=renders)
    assert flicker(seen)["flicker"] < 2.0
    assert flicker(replace(seen, renders=truth.renders))["flicker"] > 20


def test_sampson_of_a_sideways_camera_pair():
    """With a pure x baseline epipolar lines are rows: a row error of d pixels costs d / sqrt(2)."""
    K = np.array([[100.0, 0, 64], [0, 100.0, 36], [0, 0, 1]])
    pose = np.eye(4)
    pose[0, 3] = -0.5
    points = np.random.default_rng(0).uniform([-3, -2, 4], [3, 2, 20], (50, 3))
    x0 = points @ K.T
    x1 = (points @ pose[:3, :3].T + pose[:3, 3]) @ K.T
    x0, x1 = x0 / x0[:, 2:], x1 / x1[:, 2:]
    F = fundamental(K, K, pose)
    assert sampson(F, x0, x1).max() < 1e-9
    assert sampson(F, x0, x1 + np.array([0, 3, 0])) == pytest.approx(3 / np.sqrt(2))
    assert sampson(F, x0, x1 + np.array([3, 0, 0])).max() < 1e-9


def test_pinhole_equivalent_of_a_pinhole_is_itself(truth):
    K = pinhole_matrix(truth.cameras[FRONT])
    assert K[0, 0] == pytest.approx(truth.cameras[FRONT].model.fx, rel=0.01)


def test_temporal_error_is_subpixel_for_the_truth_only(truth, generated):
    scores = tse(truth)
    assert scores["tse"] < 0.15
    assert scores["tse_keep"] > 0.95
    assert scores["tse_matches"] > 300
    assert f"tse/{LEFT}" in scores
    swimming = generated(lambda view, v: np.stack([np.roll(f, 3 * i, axis=0) for i, f in enumerate(v)]))
    assert tse(swimming)["tse"] > 5 * scores["tse"]


def test_errors_in_units_that_do_not_depend_on_the_size_of_the_image(truth, generated):
    """The street's cameras are pinholes of 120 degrees: focal length = width / (2 tan 60)."""
    width = truth.single_view.shape[2]
    for scores, name in ((tse(truth), "tse"), (cse(truth), "cse")):
        assert scores[f"{name}_960"] == pytest.approx(scores[name] * 960 / width)
        assert scores[f"{name}_norm"] == pytest.approx(scores[name] * 2 * np.tan(np.radians(60)) / width, rel=0.02)


def test_temporal_error_notices_a_wrong_calibration(truth):
    turned = {}
    for name, camera in truth.cameras.items():
        pose = camera.camera_to_rig.copy()
        pose[:3, :3] = cv2.Rodrigues(np.array([0, 0, np.radians(20.0)]))[0] @ pose[:3, :3]
        turned[name] = replace(camera, camera_to_rig=pose)
    assert tse(replace(truth, cameras=turned))["tse"] > 10 * tse(truth)["tse"]


def test_temporal_error_needs_motion(truth):
    standing = replace(truth, rig_poses=np.tile(np.eye(4), (len(truth.rig_poses), 1, 1)))
    assert tse(standing) == {"tse_matches": 0.0}
    features = partial(features_of, truth, FRONT)
    assert view_errors(features, truth.renders[FRONT], truth.cameras[FRONT], truth.rig_poses[:1]) == []


def test_temporal_error_through_an_ftheta_camera(truth):
    model = FTheta(1920, 1080, (960.0, 540.0), (0.0, 0.0010908, 0.0, 0.0, 0.0, 0.0), True).resized(*SIZE)
    camera = Camera(FRONT, model, truth.cameras[FRONT].camera_to_rig)
    seen = render(camera, truth.rig_poses)
    rays = rays_of(camera.model)
    errors, _ = np.concatenate(
        view_errors(lambda frame: detect(seen.rgb[frame], rays), seen, camera, truth.rig_poses), axis=1
    )
    assert len(errors) > 80
    assert np.median(errors) < 0.2


def test_shared_view_of_neighbours(truth):
    """Front and left look 66 degrees apart with 60 degrees to either side: the left part of the front image."""
    front, left, right = (truth.cameras[view] for view in (FRONT, LEFT, RIGHT))
    mask = shared_view(front, left)
    half = 0.5 - np.tan(np.radians(6)) / np.tan(np.radians(60)) / 2
    assert mask[72].mean() == pytest.approx(half, abs=0.03)
    assert mask[72, :20].all() and not mask[:, 160:].any()
    assert not shared_view(left, right).any()


def test_cross_view_error_is_subpixel_for_the_truth_only(truth):
    scores = cse(truth)
    assert scores["cse"] < 0.3
    assert scores["cse_matches"] > 80
    assert {key for key in scores if "/" in key} == {f"cse/{FRONT}+{LEFT}", f"cse/{FRONT}+{RIGHT}"}
    late = dict(truth.generated) | {LEFT: np.roll(truth.generated[LEFT], 4, axis=1)}
    assert cse(replace(truth, generated=late))[f"cse/{FRONT}+{LEFT}"] > 5 * scores["cse"]


def test_cross_view_without_matches_counts_zero(truth, generated):
    assert cse(generated(lambda view, video: np.full_like(video, 90))) == {"cse_matches": 0.0}
    assert cse(replace(truth, generated={FRONT: truth.generated[FRONT]})) == {}
