"""The weights of `model=nano`: pictures in the style of the caption, of the road."""

from __future__ import annotations

import numpy as np
import pytest

import cosmos_exp as cx


@pytest.mark.slow
def test_a_front_view_of_its_size_in_the_style_of_its_caption(tmp_path) -> None:
    options = ["views=single", "model.num_frames=9", "sampler.num_steps=3", "captions.styles=[Snowy,Night]"]
    model = cx.load_model("nano", options)
    clips = model.generate(cx.load_scene("procedural", seed=1_000_003, duration=0.5), cache=tmp_path)
    snow, night = (clips[style].videos["front_wide_120fov"] for style in ("Snowy", "Night"))
    assert snow.shape == night.shape == (9, 224, 384, 3)
    assert snow[:, :40].mean() > 110 and night[:, :40].mean() < 70  # the sky
    assert snow.mean() > night.mean() + 40


@pytest.mark.slow
def test_six_views_show_the_road_and_the_sky_of_their_own_camera(tmp_path) -> None:
    own = ["sampler.guidance=0", "model.num_frames=9", "captions.styles=[Sunny]"]
    model = cx.load_model("nano", own)
    scene = cx.load_scene("procedural", seed=1_000_003, duration=0.5)
    videos = model.generate(scene, cache=tmp_path)["Sunny"].videos
    assert len(videos) == 6
    for view, video in videos.items():
        assert video.shape == (9, 224, 384, 3), view
        road = video[:, -30:, 150:230].astype(float)
        assert road.std(axis=-1).mean() < 12 and 50 < road.mean() < 130, view  # grey
        sky = video[:, :20].reshape(-1, 3).astype(float)
        assert np.percentile(sky[:, 2] - sky[:, 0], 80) > 10, view  # blue in places
