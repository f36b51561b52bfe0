"""The guards of a run: what they judged is kept and recorded, and what cannot be judged stops it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.chat_server import MODEL, ChatServer, fails, says
from helpers.guard_networks import guard_weights, with_face

from cosmos_exp.common.cache import StageCache
from cosmos_exp.common.errors import UserError
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.guardrails.faces import FaceGuard
from cosmos_exp.guardrails.verdicts import Blocked
from cosmos_exp.models.base import GeneratedVideos, StoredVideo
from cosmos_exp.pipeline.cached_results import Results
from cosmos_exp.pipeline.dry_run import DryRunResults
from cosmos_exp.pipeline.guarding import Guarding, texts_of
from cosmos_exp.runs.run_folder import RunFolder

VIEW = "rear_tele_30fov"


@pytest.fixture
def guarding(configure, tmp_path: Path):
    """A function: the guards of a config, with a run folder and a cache that all of a test share."""

    def made(*overrides: str, kind: type[Results] = Results) -> Guarding:
        spec = RunSpec.of(configure(*overrides))
        return Guarding(spec.config, kind(spec, StageCache(tmp_path / "cache")), RunFolder(tmp_path))

    return made


def record(guards: Guarding) -> dict:
    return json.loads(guards.folder.guardrails.read_text())


def test_every_text_that_a_model_reads_is_judged(guarding) -> None:
    regions = "captions.regions=[{prompt: A wall., box: [0,0,1,1]}, {prompt: A naked man., box: [0,0,1,1]}]"
    guards = guarding("captions.negative_prompt=blurry", regions)
    texts = texts_of(guards.config, {"the prompt of Night": "A street by night."})
    assert list(texts) == [
        "the prompt of Night",
        "the negative prompt",
        "the regional prompt 0",
        "the regional prompt 1",
    ]
    with pytest.raises(Blocked, match="the regional prompt 1: it has 'naked'"):
        guards.require_safe(texts)
    assert record(guards)["blocked"].endswith("it has 'naked'")


def test_what_a_text_model_said_is_kept_and_what_it_did_not_say_is_no_pass(guarding) -> None:
    with ChatServer(fails(500), says("safe")) as server:
        model = (f"guardrails.text_model={MODEL}", "guardrails.text_answers=llama_guard_3")
        given = (*model, f"guardrails.endpoint={server.url}")
        guards = guarding(*given)
        guards.text_guards.model.chat.model.config.retries = 0
        with pytest.raises(UserError) as stopped:
            guards.require_safe({"the prompt": "A street."})
        assert not isinstance(stopped.value, Blocked) and record(guards)["texts"] == {}
        guarding(*given).require_safe({"the prompt": "A street."})
        asked = len(server.asked)
        guards = guarding(*given)
        guards.require_safe({"the prompt": "A street."})
        assert len(server.asked) == asked
    assert record(guards)["texts"]["the prompt"]["text_model"]["level"] == "safe"
    assert record(guards)["guards"]["text_model"]["answers"] == "llama_guard_3"


@pytest.fixture
def video(guarding):
    """A function: a style whose front view is empty and whose rear view has a face, or none."""

    def made(guards: Guarding, size: int) -> GeneratedVideos:
        empty = np.full((3, 160, 256, 3), 90, np.uint8)
        rear = np.stack([with_face(frame, size, 60, 10) for frame in empty]) if size else empty
        videos = []
        for name, frames in (("front", empty), (VIEW, rear)):
            key = {"name": name, "size": size}
            entry = Results.get(guards.results, "controls", key, [], lambda frames=frames: {"video": frames})
            videos.append(StoredVideo((entry,), lambda frames=frames: frames))
        return GeneratedVideos("Night", videos[0], {"front_wide_120fov": videos[0], VIEW: videos[1]})

    return made


def test_views_with_faces_are_pixelated_and_the_others_stay_the_same_entries(guarding, video) -> None:
    given = ("guardrails.faces=true", f"guardrails.weights={guard_weights()}")
    guards = guarding(*given)
    made = video(guards, 60)
    safe = guards.guarded(made)
    assert safe.front is made.front and safe.views["front_wide_120fov"] is made.front
    finder = FaceGuard(guard_weights(), 0.5, 20)
    assert finder.find(made.views[VIEW].read()[0]) and not finder.find(safe.views[VIEW].read()[0])
    assert record(guards)["videos"] == {"Night/single view": {"faces": 0}, f"Night/{VIEW}": {"faces": 3}}
    again = guarding(*given)
    assert again.guarded(made).entries[-1].key == safe.entries[-1].key
    assert again.results.misses["guardrails"] == 0
    other = guarding(*given, "guardrails.face_threshold=0.6").guarded(made)
    assert other.views[VIEW].entries[0].key != safe.views[VIEW].entries[0].key


def test_a_dry_run_looks_at_no_frame(guarding, video) -> None:
    given = ("guardrails.faces=true", f"guardrails.weights={guard_weights()}")
    guards = guarding(*given, kind=DryRunResults)
    made = video(guards, 60)
    assert guards.guarded(made).entries == made.entries
    assert [(wanted.stage, wanted.cached) for wanted in guards.results.wanted.values()] == [("guardrails", False)] * 2


def test_guards_that_are_off_leave_everything_as_it_is(guarding, video) -> None:
    guards = guarding("guardrails=off")
    made = video(guards, 60)
    assert guards.guarded(made) is made
    guards.require_safe({"the prompt": "a naked man"})
    assert record(guards) == {"blocked": "", "guards": {}, "texts": {"the prompt": {}}, "videos": {}}


def test_only_faces_change_the_run_id(configure) -> None:
    from cosmos_exp.config.schema import run_id, typed

    plain = run_id(typed(configure()))
    for same in ("guardrails=off", "guardrails.safety_threshold=0.9", "guardrails.face_threshold=0.9"):
        assert run_id(typed(configure(same))) == plain
    assert run_id(typed(configure("guardrails.faces=true"))) != plain
