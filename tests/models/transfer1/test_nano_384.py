"""The weights of `model=nano_384`: the front view in more pixels, in the style of its caption."""

from __future__ import annotations

import pytest

import cosmos_exp as cx


@pytest.mark.slow
def test_a_front_view_of_its_size_in_the_style_of_its_caption(tmp_path) -> None:
    options = ["views=single", "model.num_frames=9", "sampler.num_steps=3", "captions.styles=[Snowy,Night]"]
    model = cx.load_model("nano_384", options)
    clips = model.generate(cx.load_scene("procedural", seed=1_000_003, duration=0.5), cache=tmp_path)
    snow, night = (clips[style].videos["front_wide_120fov"] for style in ("Snowy", "Night"))
    assert snow.shape == night.shape == (9, 224, 384, 3)
    assert snow[:, :40].mean() > 110 and night[:, :40].mean() < 70  # the sky
    assert snow.mean() > night.mean() + 40


def test_more_views_are_refused() -> None:
    with pytest.raises(cx.UserError, match=r"nano_384 makes front_wide_120fov alone \(views=single\)"):
        cx.load_model("nano_384")
