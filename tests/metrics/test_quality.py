"""Sharpness and artefacts: detail and noise, against the render in the style."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from cosmos_exp.metrics.artefacts import SMOOTH, artefacts, flat_regions, local_variance
from cosmos_exp.metrics.sharpness import OCTAVES, detail, sharpness


def blurred(sigma: float):
    return lambda view, video: np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in video])


def noisy(deviation: float):
    rng = np.random.default_rng(0)
    return lambda view, video: np.clip(video + rng.normal(0, deviation, video.shape[:3])[..., None], 0, 255).astype(
        np.uint8
    )


def test_detail_of_a_checkerboard():
    """The Laplacian of cells of 0 and 100 with four other neighbours is 400 or -400."""
    cells = (np.indices((8, 8)).sum(axis=0) % 2 * 100).astype(np.uint8)
    assert detail(np.repeat(cells[None, ..., None], 3, axis=3)) == pytest.approx(400**2)


def test_sharpness_is_one_for_the_truth_less_for_blur_more_for_noise(truth, generated):
    assert sharpness(truth)["sharpness"] == 1.0 and sharpness(truth)["sharpness_error"] == 0.0
    soft = [sharpness(generated(blurred(sigma))) for sigma in (0.5, 1, 2, 4)]
    assert [s["sharpness"] for s in soft] == sorted((s["sharpness"] for s in soft), reverse=True)
    assert [s["sharpness_error"] for s in soft] == sorted(s["sharpness_error"] for s in soft)
    grainy = sharpness(generated(noisy(20)))
    assert grainy["sharpness"] > 2 and grainy["sharpness_error"] > 1


def test_half_the_energy_is_one_octave(truth, generated):
    half = generated(lambda view, video: (128 + (video.astype(float) - 128) / np.sqrt(2)).astype(np.uint8))
    assert sharpness(half)["sharpness_error"] == pytest.approx(1, abs=0.05)


def test_a_flat_video_is_as_far_off_as_can_be_and_a_flat_target_counts_nothing(truth, generated):
    assert sharpness(generated(lambda view, video: np.full_like(video, 90)))["sharpness_error"] == OCTAVES
    assert sharpness(replace(truth, targets={view: v * 0 for view, v in truth.targets.items()})) == {}
    assert sharpness(replace(truth, targets={})) == artefacts(replace(truth, targets={})) == {}


def test_local_variance_of_two_halves():
    frame = np.zeros((20, 20, 3), np.uint8)
    frame[:, 10:] = 90
    variance = local_variance(frame)
    assert variance[10, 4] == variance[10, 15] == 0
    assert variance[10, 10] == pytest.approx(90**2 * (4 / 9) * (5 / 9), rel=1e-3)


def test_flat_regions_have_one_class_and_little_of_their_own_to_show(truth):
    view, render = next(iter(truth.renders.items()))
    flat, variance = flat_regions(render, truth.targets[view])[:2]
    assert 0.05 < flat.mean() < 0.9
    assert 0 <= variance[0] < SMOOTH**2
    for i, j in np.argwhere(flat)[:: len(np.argwhere(flat)) // 50]:
        window = render.semantic[0, max(i - 4, 0) : i + 5, max(j - 4, 0) : j + 5]
        assert len(np.unique(window)) == 1


def test_white_noise_counts_its_deviation_and_blur_nothing(truth, generated):
    assert artefacts(truth)["artefacts"] == 0.0
    for deviation in (2, 5, 10):
        assert artefacts(generated(noisy(deviation)))["artefacts"] == pytest.approx(deviation, rel=0.2)
    assert artefacts(generated(blurred(0.7)))["artefacts"] < 1
