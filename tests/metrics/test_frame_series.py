"""Values of single frames: those of the front view, and what a clip's value is made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosmos_exp.metrics import METRICS, READS_TARGETS, evaluate
from cosmos_exp.metrics.frame_series import FRAME_SERIES, OF_TARGETS, frame_series

FRONT = "front_wide_120fov"


def noise_in_frame(at: int):
    """The truth, one of whose frames is noise."""

    def change(view: str, video: np.ndarray) -> np.ndarray:
        changed = video.copy()
        changed[at] = np.random.default_rng(0).integers(0, 256, video[at].shape)
        return changed

    return change


@pytest.mark.parametrize("metric", FRAME_SERIES)
def test_a_frame_that_is_noise_stands_out(truth, generated, metric: str):
    good, bad = (frame_series(clip, metric) for clip in (truth, generated(noise_in_frame(2))))
    assert len(good) == len(bad) == len(truth.videos[FRONT])
    worse = np.flatnonzero(~np.isclose(good, bad, equal_nan=True)).tolist()
    assert worse == ([2, 3] if metric == "flicker" else [2]), "flicker compares with the frame before"


def test_the_mean_of_the_frames_is_the_clips_value_where_that_is_a_mean(generated):
    clip = generated(noise_in_frame(2))
    values = evaluate(clip, FRAME_SERIES)
    assert frame_series(clip, "blur_ssim").mean() == pytest.approx(values[f"blur_ssim/{FRONT}"], rel=1e-5)
    errors = 255.0**2 / 10 ** (frame_series(clip, "psnr") / 10)  # 99 dB stands for no error
    assert 10 * np.log10(255.0**2 / errors.mean()) == pytest.approx(values[f"psnr/{FRONT}"], rel=1e-3)


def test_the_first_frame_has_no_flicker_and_a_view_without_target_no_series(truth):
    assert np.flatnonzero(np.isnan(frame_series(truth, "flicker"))).tolist() == [0]
    without = replace(truth, targets={})
    assert {metric for metric in FRAME_SERIES if not len(frame_series(without, metric))} == OF_TARGETS
    assert OF_TARGETS <= READS_TARGETS and set(FRAME_SERIES) <= set(METRICS)
