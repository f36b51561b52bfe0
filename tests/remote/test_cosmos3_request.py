"""Requests to a server of Cosmos3: the form, and everything that is wrong with one at once."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cosmos_exp.remote.cosmos3_request import CameraInput, TransferRequest, nearest_count, prompt_problems

VIEWS = ("cross_left_120fov", "front_wide_120fov")
REQUEST = TransferRequest(
    prompt="A street.",
    views=tuple(CameraInput(view, f"Trees, seen by {number}.", f"map {number}") for number, view in enumerate(VIEWS)),
    resolution="720",
    aspect_ratio="4:3",
    num_frames=201,
    fps=30.0,
    num_steps=35,
    guidance_scale=6.0,
    seed=7,
    weight=1.0,
    flow_shift=10.0,
    control_guidance=1.0,
    emphasize_control=True,
)
CONTINUED = replace(REQUEST, given_frames=9, views=tuple(replace(v, vision=f"end {v.control}") for v in REQUEST.views))


def test_the_order_of_the_views_is_that_of_the_request_and_indices_are_those_of_the_files():
    views = json.loads(CONTINUED.fields()["extra_params"])["multiview"]["views"]
    assert [view["camera_key"] for view in views] == [f"camera_{view}" for view in VIEWS]
    for own, view in zip(CONTINUED.views, views):
        assert CONTINUED.files[view["control_reference_index"]] == own.control
        assert CONTINUED.files[view["vision_reference_index"]] == own.vision
    assert json.loads(CONTINUED.fields()["extra_params"])["multiview"]["condition_frame_indexes_vision"] == [0, 1, 2]


def test_sizes_are_those_of_resolution_and_aspect_ratio():
    assert (REQUEST.fields()["width"], REQUEST.fields()["height"]) == ("1104", "832")


def test_equal_requests_have_one_digest():
    assert REQUEST.digest == replace(REQUEST).digest
    others = [
        replace(REQUEST, seed=8),
        CONTINUED,
        replace(REQUEST, views=REQUEST.views[::-1]),
        replace(REQUEST, model="a"),
    ]
    assert len({REQUEST.digest, *(other.digest for other in others)}) == 5


def test_a_whole_request_has_no_problems():
    assert [*REQUEST.problems(), *CONTINUED.problems()] == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"views": ()}, "no views: give any of front_wide_120fov"),
        ({"views": REQUEST.views * 2}, "views names 'cross_left_120fov' more than once"),
        ({"views": (replace(REQUEST.views[0], view="front"),)}, "unknown view 'front'"),
        ({"views": (replace(REQUEST.views[0], prompt=" "),)}, "the prompt of cross_left_120fov: is empty"),
        ({"views": (CONTINUED.views[0], REQUEST.views[1]), "given_frames": 5}, "give them of all views, or of none"),
        ({"given_frames": 5}, "first frames are given of no view"),
        ({"prompt": ""}, "the prompt of the scene is empty"),
        ({"num_frames": 200}, "200 frames: a clip has 1 + 4k of them, 5 or more; nearest is 201"),
        ({"num_frames": 1}, "nearest is 5"),
        ({"resolution": "1080"}, "unknown resolution '1080'"),
        ({"aspect_ratio": "16:10"}, "unknown aspect ratio '16:10'"),
        ({"fps": 0.0}, "fps=0: must be more than 0"),
        ({"weight": float("nan")}, "weight of wsm=nan: must be more than 0"),
        ({"guidance_scale": -1.0}, "guidance_scale=-1: must be 0 or more"),
        ({"num_steps": 0}, "num_steps=0: must be 1 or more"),
    ],
)
def test_a_mistake_is_one_message(changes, told):
    (problem,) = [problem for problem in replace(REQUEST, **changes).problems() if told in problem]
    assert "\n" not in problem


def test_given_frames_leave_some_to_make():
    assert list(replace(CONTINUED, num_frames=9).problems()) == [
        "9 given frames: must be 1 + 4k of them, fewer than the clip's 9"
    ]


def test_all_mistakes_are_told_at_once():
    wrong = replace(REQUEST, views=REQUEST.views * 13, num_frames=4, fps=-1.0, prompt=" ")
    problems = list(wrong.problems())
    assert len(problems) == 6 and "26 files: one request takes 24" in problems


@pytest.mark.parametrize(
    "text",
    [
        '{"caption": "rain"}', "", "The video is captured from a roof.", "FOLLOW THE WSM control videos precisely",
        "Seen by camera_rear_tele_30fov", "<|vision_start|> rain", "This video is of rain",
        "5 seconds long and is of 30 FPS",
        "The video has a duration of 5 s", "The video has a resolution of 480",
    ],
)  # fmt: skip
def test_texts_that_a_server_refuses(text):
    assert list(prompt_problems(text))


@pytest.mark.parametrize(
    "text", ["Rain on a street.", "[rain]", "42", "A camera on a tripod films the street.", "{rain"]
)
def test_texts_that_a_server_takes(text):
    assert list(prompt_problems(text)) == []


@pytest.mark.parametrize(("frames", "nearest"), [(-3, 1), (1, 1), (4, 5), (200, 201), (203, 201)])
def test_the_nearest_count_of_frames(frames, nearest):
    assert nearest_count(frames) == nearest
