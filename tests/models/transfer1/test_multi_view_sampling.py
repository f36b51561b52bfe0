"""Steps and guidance of the multi-view network beside those of the front view."""

from __future__ import annotations

import numpy as np
import pytest

import cosmos_exp as cx
from cosmos_exp.runs.cost_history import History

FRONT, REAR = "front_wide_120fov", "rear_tele_30fov"


def test_the_other_views_have_their_own_steps_and_guidance(tiny_model_folder, tmp_path) -> None:
    scene = cx.load_scene("procedural", seed=3, duration=0.5, num_vehicles=2)
    made = ["views=six", f"model.weights={tiny_model_folder}", "model.num_frames=9", "captions.styles=[Night]"]

    def videos(*options: str) -> tuple[np.ndarray, np.ndarray, dict[str, list[int]]]:
        """Of the front and the rear view, and {stage: passes of each result that was computed}."""
        before = len(History(tmp_path).costs())
        model = cx.load_model("nano", [*made, "sampler.num_steps=2", *options])
        clip = model.generate(scene, cache=tmp_path)["Night"]
        passes: dict[str, list[int]] = {}
        for cost in History(tmp_path).costs()[before:]:
            passes.setdefault(cost.stage, []).append(cost.passes)
        return clip.videos[FRONT], clip.videos[REAR], passes

    front, rear, passes = videos()
    assert passes["single_view"] == [6] and passes["multi_view"] == [6]
    other_front, other_rear, passes = videos("model.multi_view_steps=1", "model.multi_view_guidance=0")
    assert "single_view" not in passes and passes["multi_view"] == [2]
    assert np.array_equal(other_front, front) and not np.array_equal(other_rear, rear)
    _, same_rear, passes = videos("model.multi_view_steps=2", "model.multi_view_guidance=1")
    assert "multi_view" not in passes and np.array_equal(same_rear, rear)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("model.multi_view_steps=0", r"model.multi_view_steps=0: must be 1 to 1000"),
        ("model.multi_view_guidance=-1", r"model.multi_view_guidance=-1: must be 0 \(no guidance\) or more"),
    ],
)
def test_their_ranges_are_those_of_the_sampler(tiny_model_folder, option, message) -> None:
    with pytest.raises(cx.UserError, match=message):
        cx.load_model("nano", [f"model.weights={tiny_model_folder}", "views=six", option])


def test_one_view_has_no_use_for_them(tiny_model_folder) -> None:
    with pytest.raises(cx.UserError, match=r"model.multi_view_steps=4: there is one view.*give null, or views=six"):
        cx.load_model("nano", [f"model.weights={tiny_model_folder}", "views=single", "model.multi_view_steps=4"])
