"""Edge and vis presets; exactness against recorded frames is part of the goldens."""

from __future__ import annotations

import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.controls.edge import CANNY_THRESHOLDS, edge
from cosmos_exp.controls.vis import BLUR_PRESETS, fit_720p, vis


@pytest.fixture(scope="module")
def frames():
    """Two frames: a grey step on black in a bit of noise."""
    clip = np.random.default_rng(0).integers(0, 20, (2, 48, 64, 3), dtype=np.uint8)
    clip[:, 12:36, 16:48] += 120
    return clip


def test_edges_outline_the_step(frames):
    edges = edge(frames, "medium")
    assert edges.shape == frames.shape and edges.dtype == np.uint8
    assert set(np.unique(edges)) == {0, 255}
    assert (edges[..., 0] == edges[..., 1]).all() and (edges[..., 0] == edges[..., 2]).all()
    assert edges[0, 20:30, 13:19].any(axis=(1, 2)).all()
    assert not edges[0, 18:30, 22:42].any()


def test_a_higher_strength_keeps_fewer_edges(frames):
    counts = [int((edge(frames, strength) > 0).sum()) for strength in CANNY_THRESHOLDS]
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1]


def test_blur_keeps_the_layout_and_loses_the_detail(frames):
    for strength in BLUR_PRESETS:
        blurred = vis(frames, strength)
        assert blurred.shape == frames.shape and blurred.dtype == np.uint8
        inside, outside = blurred[:, 20:28, 26:38].mean(), blurred[:, :4, :4].mean()
        assert inside > 1.5 * outside
        assert blurred[:, 20:28, 26:38].std() < frames[:, 20:28, 26:38].std()


def test_a_flat_frame_stays(frames):
    flat = np.full((1, 48, 64, 3), 77, np.uint8)
    assert not edge(flat).any()
    assert (vis(flat) == 77).all()


def test_large_frames_are_blurred_at_720p_size():
    assert fit_720p(640, 360) == (640, 360)
    assert fit_720p(1920, 1080) == (1252, 704)
    assert fit_720p(1080, 1920) == (704, 1252)
    assert fit_720p(2000, 2000) == (960, 960)


def test_unknown_strengths_and_tiny_frames(frames):
    with pytest.raises(UserError, match="did you mean 'medium'"):
        edge(frames, "meduim")
    with pytest.raises(UserError, match="did you mean 'very_high'"):
        vis(frames, "veryhigh")
    with pytest.raises(UserError, match="at least 16 pixels, given 64x8"):
        vis(frames[:, :8], "high")
