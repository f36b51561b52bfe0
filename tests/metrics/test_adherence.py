"""Metrics that compare a video with the render it was made from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosmos_exp.metrics.blur_ssim import blur_ssim, blurred_ssim, ssim
from cosmos_exp.metrics.depth_edge_auc import depth_edge_auc, depth_edges, edge_auc
from cosmos_exp.metrics.edge_f1 import edge_f1, edge_f1_score
from cosmos_exp.metrics.psnr import psnr, video_psnr
from cosmos_exp.metrics.semantic_eta2 import eta_squared, semantic_eta2

FRONT = "front_wide_120fov"


def noise(view: str, video: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, video.shape, dtype=np.uint8)


def mirrored(view: str, video: np.ndarray) -> np.ndarray:
    return video[:, :, ::-1]


def test_ssim_agrees_with_its_definition_window_by_window():
    rng = np.random.default_rng(3)
    x = rng.integers(0, 256, (9, 10)).astype(np.uint8)
    y = np.clip(x + rng.normal(0, 30, x.shape), 0, 255).astype(np.uint8)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = []
    for i in range(3):
        for j in range(4):
            a, b = x[i : i + 7, j : j + 7].ravel().astype(float), y[i : i + 7, j : j + 7].ravel().astype(float)
            cov = np.cov(a, b, ddof=1)
            luminance = (2 * a.mean() * b.mean() + c1) / (a.mean() ** 2 + b.mean() ** 2 + c1)
            expected.append(luminance * (2 * cov[0, 1] + c2) / (cov[0, 0] + cov[1, 1] + c2))
    assert ssim(x, y, 255.0) == pytest.approx(np.mean(expected), abs=1e-10)


def test_ssim_of_flat_images_is_the_luminance_term():
    x, y = np.full((8, 8, 3), 100, np.uint8), np.full((8, 8, 3), 50, np.uint8)
    assert ssim(x, y, 1.0) == pytest.approx((2 * 5000 + 1e-4) / (12500 + 1e-4), abs=1e-8)


def test_blur_ssim_ranks_truth_over_brighter_over_noise(truth, generated):
    brighter = generated(lambda view, video: np.clip(video.astype(int) + 60, 0, 255).astype(np.uint8))
    scores = [blur_ssim(clip)["blur_ssim"] for clip in (truth, brighter, generated(noise))]
    assert scores[0] == pytest.approx(1.0)
    assert scores[0] > scores[1] + 0.05 > scores[2] + 0.2


def test_blur_ssim_ignores_fine_texture(truth):
    video = truth.single_view
    grain = np.random.default_rng(0).normal(0, 12, video.shape)
    assert blurred_ssim(video, np.clip(video + grain, 0, 255).astype(np.uint8)) > 0.95


def test_edge_f1_counts_pixels_over_the_whole_clip():
    step = np.zeros((1, 20, 20, 3), np.uint8)
    step[:, :, 10:] = 255
    shifted = np.roll(step, 2, axis=2)
    shifted[:, :, :2] = 0
    both = np.concatenate([step, step])
    assert edge_f1_score(step, step) == 1.0
    assert edge_f1_score(step, shifted) == 0.0
    assert edge_f1_score(both, np.concatenate([step, shifted])) == pytest.approx(0.5)
    assert edge_f1_score(both, np.concatenate([step, np.zeros_like(step)])) == pytest.approx(2 / 3)
    assert edge_f1_score(np.zeros_like(step), step) is None


def test_appearance_is_compared_with_the_requested_style(truth):
    """Snow that is drawn as the renderer draws it is right, whatever the weather of the controls."""
    snowy = {view: np.clip(video * 0.3 + 150, 0, 255).astype(np.uint8) for view, video in truth.generated.items()}
    for view, video in snowy.items():
        video[:, ::7, ::5] = 255  # flakes
        assert edge_f1_score(truth.generated[view], video) < 0.9
    clip = replace(truth, style="Snowy", generated=snowy, targets=snowy)
    assert (edge_f1(clip)["edge_f1"], blur_ssim(clip)["blur_ssim"]) == (1.0, pytest.approx(1.0))
    assert edge_f1(replace(clip, targets={})) == blur_ssim(replace(clip, targets={})) == {}


def test_edge_f1_of_truth_mirror_and_flat(truth, generated):
    assert edge_f1(truth)["edge_f1"] == 1.0
    assert edge_f1(generated(mirrored))["edge_f1"] < 0.3
    assert edge_f1(generated(lambda view, video: np.zeros_like(video)))["edge_f1"] == 0.0


def test_depth_edges_mark_jumps_and_the_skyline():
    depth = np.array([[np.inf, np.inf, np.inf], [50.0, 50.0, 20.0], [49.0, 48.0, 19.0]], np.float32)
    assert depth_edges(depth).tolist() == [[True, True, True], [False, True, False], [False, True, False]]


def test_edge_auc_is_the_probability_that_an_edge_pixel_is_stronger():
    frame = np.zeros((1, 40, 40, 3), np.uint8)
    frame[:, :, 20:] = 200
    edges = np.zeros((1, 40, 40), bool)
    edges[:, :20, 20] = True
    others = 40 * 40 - 23 * 7  # away from the marked upper half of the border
    ties = 17 * 4  # its lower half, as strong as the marked one
    assert edge_auc(edges, frame) == pytest.approx(1 - ties / 2 / others)
    assert edge_auc(edges, np.zeros_like(frame)) == 0.5
    assert edge_auc(np.zeros_like(edges), frame) is None


def test_depth_edge_auc_of_truth_mirror_and_noise(truth, generated):
    score = depth_edge_auc(truth)["depth_edge_auc"]
    faint = generated(lambda view, video: (video * 0.3).astype(np.uint8))
    assert score > 0.9
    assert depth_edge_auc(faint)["depth_edge_auc"] == pytest.approx(score, abs=0.02)
    assert depth_edge_auc(generated(mirrored))["depth_edge_auc"] < 0.8
    assert depth_edge_auc(generated(noise))["depth_edge_auc"] == pytest.approx(0.5, abs=0.03)


def test_eta_squared_by_hand():
    tags = np.array([[[1, 1, 2, 2]]], np.uint8)
    grey = np.array([10, 20, 50, 60], np.uint8)
    video = np.repeat(grey[None, None, :, None], 3, axis=-1)
    # class means 15 and 55 around 35: between 4 * 20^2, within 4 * 5^2
    assert eta_squared(tags, video) == pytest.approx(1600 / 1700)
    assert eta_squared(tags, np.full((1, 1, 4, 3), 7, np.uint8)) == 0.0
    assert eta_squared(np.ones((1, 1, 4), np.uint8), video) is None


def test_semantic_eta2_of_flat_classes_truth_mirror_and_noise(truth, generated):
    painted = generated(lambda view, video: np.repeat(truth.renders[view].semantic[..., None] * 9, 3, axis=-1))
    score = semantic_eta2(truth)["semantic_eta2"]
    assert semantic_eta2(painted)["semantic_eta2"] == pytest.approx(1.0)
    assert 0.5 < score < 1.0
    assert semantic_eta2(generated(mirrored))["semantic_eta2"] < score - 0.1
    assert semantic_eta2(generated(noise))["semantic_eta2"] < 0.01


def test_psnr_by_hand_and_only_with_a_target(truth):
    a = np.full((2, 4, 4, 3), 100, np.uint8)
    b = a.copy()
    b[0] = 110
    assert video_psnr(a, b) == pytest.approx(10 * np.log10(255**2 / 50))
    assert video_psnr(a, a) == 99.0
    assert psnr(replace(truth, targets={})) == {}
    assert set(psnr(replace(truth, targets={FRONT: truth.generated[FRONT]}))) == {"psnr", f"psnr/{FRONT}"}
    with pytest.raises(ValueError, match="differ in shape"):
        video_psnr(a, b[:1])
