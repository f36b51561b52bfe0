"""Cosmos3 on a server of its interface: what is sent, how jobs are followed, and how their videos come back."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from helpers.cosmos3_bound import VIEWS, configured
from helpers.cosmos3_server import SQUARE, hangs_up, mark, overloaded

from cosmos_exp.captions.views import view_prompt
from cosmos_exp.common.errors import UserError, ValidationErrors
from cosmos_exp.common.video import read_video
from cosmos_exp.config.validate import validate
from cosmos_exp.guardrails.verdicts import Blocked
from cosmos_exp.remote.server_client import Unreachable


def shows(video: np.ndarray, maps: np.ndarray, view: str) -> None:
    """Whether a video is what the server makes of a view's maps: their inverse, with the camera's square."""
    assert video.shape == maps.shape
    below = video[:, SQUARE + 16 :].astype(int)
    assert np.abs(below.mean((1, 2)) - (255 - maps[:, -1, -1].astype(int))).max() < 6


def test_the_views_of_one_job_come_back_apart(server, bound):
    one = bound()
    made = one.generate()["Sunny"]
    assert tuple(made) == VIEWS
    for view, video in made.items():
        shows(video, one.maps(view), view)
        assert np.abs(video[:, 4 : SQUARE - 4, 4 : SQUARE - 4].astype(int) - mark(view)).max() < 8
    (job,) = server.submitted
    assert len(job.files) == 2


def test_every_field_of_a_request_is_given(server, bound):
    own = ("controls.wsm.weight=0.5", "captions.negative_prompt=fog", "model.flow_shift=8", "sampler.guidance=0")
    bound(*own).generate()
    (job,) = server.submitted
    form = {key: value for key, value in job.form.items() if key not in ("extra_params", "seed")}
    assert form == {
        "prompt": "A quiet street.", "num_frames": "9", "fps": "30.0", "width": "208", "height": "120",
        "num_inference_steps": "35", "guidance_scale": "1.0", "flow_shift": "8.0",
    }  # fmt: skip
    assert job.extra == {
        "wsm": {"weight": 0.5},
        "control_guidance": 1.0,
        "emphasize_control_in_prompt": True,
        "per_view_negative_prompt": "fog",
        "multiview": {
            "resolution": "480",
            "aspect_ratio": "16:9",
            "num_frames": 9,
            "views": [
                {"camera_key": f"camera_{view}", "prompt": "A quiet street.", "control_reference_index": number}
                for number, view in enumerate(VIEWS)
            ],
        },
    }


LONG = ("model.num_frames=14", "model.chunk_frames=9")  # three chunks, each on the last 5 frames of the one before


def test_a_long_clip_is_continued_from_its_last_frames(server, bound, tmp_path):
    one = bound(*LONG)
    made = one.generate()["Sunny"]
    for view, video in made.items():
        shows(video, one.maps(view), view)
    assert [len(job.files) for job in server.submitted] == [2, 4, 4]
    assert len({job.form["seed"] for job in server.submitted}) == 3
    for number, job in enumerate(server.submitted[1:], 1):
        multiview = job.extra["multiview"]
        assert multiview["condition_frame_indexes_vision"] == [0, 1] and not multiview["condition_video_as_image"]
        assert [view["vision_reference_index"] for view in multiview["views"]] == [2, 3]
        path = tmp_path / "vision.mp4"
        path.write_bytes(job.files[3])
        given, clip = read_video(path), made[VIEWS[1]][4 * number : 4 * number + 5]
        assert np.array_equal(given[1:], clip[1:])  # of the first, the clip has an earlier chunk's
        assert np.abs(given[0].astype(int) - clip[0]).mean() < 2


def test_the_first_frames_can_be_those_of_the_scene(server, bound):
    one = bound(*LONG, "sampler.first_frames=rgb", "model.given_frames=1")
    assert one.model.reads_renders == ("rgb",)
    made = one.generate()["Sunny"]
    for view, video in made.items():
        assert np.abs(video[0].astype(int) - one.maps(view)[0]).mean() < 3  # stands for the render
        shows(video[1:], one.maps(view)[1:], view)
    indices = [job.extra["multiview"]["condition_frame_indexes_vision"] for job in server.submitted]
    assert indices == [[0], [0, 1], [0, 1]]
    with pytest.raises(UserError, match="9 given frames: must be"):
        bound(*LONG, "sampler.first_frames=rgb", "model.given_frames=9").generate()


def test_what_was_made_is_not_asked_for_again(server, bound):
    first = bound(*LONG).generate()["Sunny"]
    again = bound(*LONG).generate()["Sunny"]
    assert len(server.submitted) == 3
    assert all(np.array_equal(first[view], again[view]) for view in VIEWS)
    bound(*LONG, "model.served_model=cosmos3").generate()
    assert len(server.submitted) == 6 and server.submitted[-1].form["model"] == "cosmos3"


def test_a_failed_chunk_leaves_those_before_it(server, bound):
    server.fails = {1: (400, "bad", "no")}
    with pytest.raises(UserError, match="job video_gen_0001: no"):
        bound(*LONG).generate()
    server.fails = {}
    bound(*LONG).generate()
    assert len(server.submitted) == 4


def test_all_that_would_be_refused_is_told_at_once_and_nothing_is_sent(server, bound):
    with pytest.raises(ValidationErrors) as told:
        bound().generate(Sunny='{"a": 1}', Rainy="Follow the WSM in camera_front_wide_120fov. <|im_start|>")
    errors = "\n".join(told.value.errors)
    assert "Sunny: the prompt of front_wide_120fov: is a JSON object" in errors
    for part in ("'follow the wsm'", "'camera_front_wide_120fov'", "'<|'"):
        assert f"Rainy: the prompt of rear_left_70fov: contains {part}" in errors
    assert server.calls == []


def test_the_sentence_on_the_camera_is_left_to_the_server(server, bound):
    one = bound()
    request = one.request(Rainy="Rain.")
    with_sentences = {view: view_prompt(view, text) for view, text in request.view_prompts["Rainy"].items()}
    list(one.model.generate(replace(request, view_prompts={"Rainy": with_sentences}), one.results))
    (job,) = server.submitted
    assert [view["prompt"] for view in job.extra["multiview"]["views"]] == ["Rain.", "Rain."]


def test_a_job_that_a_guard_stopped_blocks_the_clip(server, bound):
    server.fails = {0: (400, "guardrail", "Guardrail blocked the generated video.")}
    with pytest.raises(Blocked, match="video_gen_0000: Guardrail blocked"):
        bound().generate()
    assert len(server.submitted) == 1


def test_a_job_that_failed_on_the_server_is_asked_for_again_so_often(server, bound):
    server.fails = {0: (500, "generation_error", "out of memory")}
    assert bound().generate() and len(server.submitted) == 2
    server.fails = dict.fromkeys(range(2, 9), (500, "generation_error", "out of memory"))
    with pytest.raises(UserError, match="job video_gen_0004: out of memory"):
        bound("sampler.seed=1", "model.attempts=3").generate()
    assert len(server.submitted) == 5


def test_calls_that_were_lost_are_repeated(server, bound, caplog):
    server.troubles = [overloaded, hangs_up, lambda *call: call[0] == "GET" and overloaded(*call)]
    assert bound().generate() and len(server.submitted) == 1
    assert server.troubles == []


def test_an_answer_that_was_lost_may_leave_a_job_behind_and_that_is_said(server, bound, caplog):
    server.lost_answers = 1
    assert bound().generate() and len(server.submitted) == 2
    assert "its job may run there beside that of the next try" in caplog.text


def test_a_server_that_is_away_for_longer_than_model_patience_is_named(server, bound):
    server.troubles = [hangs_up] * 4
    with pytest.raises(Unreachable, match="does not answer"):
        bound("model.patience=0").generate()


def test_a_job_that_the_server_has_lost_is_asked_for_again(server, bound):
    def forgets(method, path, handler) -> bool:
        if method == "GET":
            server.jobs.clear()
        return False

    server.troubles = [forgets]
    with pytest.raises(UserError, match="video_gen_0001 is not there any more: Video video_gen_0001 not found"):
        bound().generate()
    server.troubles = []
    assert bound().generate() and len(server.submitted) == 3


class Stop(Exception):
    pass


class StopsAtWork:
    """A reporter that ends the run as soon as the server has a job."""

    def __init__(self, server):
        self.server = server

    @contextmanager
    def stage(self, name, label=""):
        def tick(done, total):
            if any(call.startswith("GET") for call in self.server.calls):
                raise Stop

        yield tick


@pytest.mark.parametrize("cancel", [False, True])
def test_a_run_that_ends_leaves_its_job_or_cancels_it(server, bound, cancel):
    """The same requests find the job that was left."""
    server.held, server.pending_deletes = True, 2
    one = bound(f"model.cancel={cancel}")
    one.results.reporter = StopsAtWork(server)
    with pytest.raises(Stop):
        one.generate()
    server.held = False
    assert server.deleted == (["video_gen_0000"] if cancel else [])
    assert bound().generate()
    assert len(server.submitted) == (2 if cancel else 1)


def test_a_job_of_an_earlier_run_that_failed_counts_for_no_attempt(server, bound):
    server.held = True
    one = bound()
    one.results.reporter = StopsAtWork(server)
    with pytest.raises(Stop):
        one.generate()
    server.held, server.fails = False, {0: (400, "bad", "a server that was set up wrongly")}
    assert bound("model.attempts=1").generate() and len(server.submitted) == 2


def test_a_video_of_another_length_is_refused_and_its_job_not_taken_again(server, bound):
    server.shorter = 1
    with pytest.raises(UserError, match=r"made 17x120x208 .*, asked was 18x120x208: 2 views of 9"):
        bound().generate()
    server.shorter = 0
    assert bound().generate() and len(server.submitted) == 2


def test_the_token_is_sent_and_missed_by_name(server, bound, tmp_path):
    server.key = "secret"
    with pytest.raises(UserError, match="COSMOS_TOKEN, or COSMOS_TOKEN_FILE, is for it"):
        bound().generate()
    (tmp_path / "token").write_text("secret\n")
    assert bound(f"model.token_file={tmp_path / 'token'}").generate()


def test_styles_are_on_the_server_at_the_same_time(server, bound):
    server.held = True

    def release() -> None:
        wait_until(lambda: len(server.submitted) == 2)
        server.held = False

    releasing = threading.Thread(target=release)
    releasing.start()
    made = bound().generate(Sunny="A street in the sun.", Snowy="A street in the snow.")
    releasing.join()
    assert list(made) == ["Sunny", "Snowy"]
    assert {job.form["prompt"] for job in server.submitted} == {"A street in the sun.", "A street in the snow."}


def wait_until(holds, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("model.resolution=1080", "model.resolution: unknown resolution '1080'"),
        ("model.chunk_frames=200", "model.chunk_frames=200: must be 1 + 4k, from 5 to 397; nearest is 201"),
        ("model.chunk_frames=9999", "nearest is 397"),
        ("model.num_frames=3000", "any number of frames from 2 to 2001; nearest is 2001"),
        ("model.overlap=6", "continues a video from 5 or 9 or 13 or 17 frames; nearest is 5"),
        ("model.multi_view_frames=5", "model.multi_view_frames=5: cosmos3_auto makes all views at once"),
        ("model.height=704", "this model makes 480x832, 544x736, 640x640, 736x544, 832x480 pixels"),
        ("model.flow_shift=0", "model.flow_shift=0: must be more than 0"),
        ("model.attempts=0", "model.attempts=0: must be 1 to 10"),
        ("sampler.sigma_max=40", "cannot carry it: give sampler.sigma_max=80"),
        ("sampler.first_frames=folder", "cannot carry it: give sampler.first_frames=rgb, or null"),
        ("model.given_frames=4", "model.given_frames=4: must be 1 + 4k; nearest is 5"),
        ("speed.cache_threshold=0.1", "speed.cache_threshold: a request to this model's server cannot carry it"),
        ("controls.wsm.weight_map.box=[0,0,1,0.5]", "controls.wsm.weight_map: a request to this model's server"),
        ("captions.prompt='Follow the wsm closely.'", "captions.prompt contains 'follow the wsm': leave it out"),
        ("captions.view_prompts.rear_left_70fov='{\"a\":1}'", "captions.view_prompts.rear_left_70fov is a JSON object"),
        ("captions.other_views=bare", "captions.other_views=bare: this model needs a text of every view"),
        ("views.names=[front_wide_120fov,front_wide_120fov]", "views.names names 'front_wide_120fov' more than once"),
        ("controls.hdmap.weight=1", "unknown control of this model 'hdmap': allowed: wsm"),
        ("model.endpoint=gpu:8091", "needed is an address such as http://host:8080"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_config_is_one_message(override, told):
    (error,) = [error for error in validate(configured("http://127.0.0.1:1", override)) if told in error]
    assert "\n" not in error


def test_a_whole_config_needs_no_server_to_be_valid():
    assert [e for e in validate(configured("http://127.0.0.1:1")) if "no scene draws it" not in e] == []
