"""Best of N with the model of a server: the same choice as in process, and further views for the kept one alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.composing import Composer
from helpers.served import served

from cosmos_exp.common.errors import ValidationErrors
from cosmos_exp.config.schema import typed
from cosmos_exp.config.validate import request_problems
from cosmos_exp.pipeline.run import run
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.serving.config import settings

SMALL = ("views=six", "model.num_frames=9", "sampler.num_steps=1", "scene.num_vehicles=2", "evaluator.every=8")
QUIET = ("tracking=disabled", "previews=none", "previews.controls=used", "metrics.names=[]", "metrics.references=false")


def test_a_server_makes_candidates_as_front_views_and_all_views_once(tmp_path: Path, configure, tiny_model_folder):
    place = (f"paths.outputs={tmp_path}", f"paths.cache={tmp_path}/cache", "sampler.best_of=2")
    run(configure(*SMALL, *QUIET, *place), tmp_path / "here")
    with served(tmp_path / "server", "model=nano", f"model.weights={tiny_model_folder}") as server:
        remote = ("model=remote", f"model.endpoint={server.url}")
        run(Composer()(*remote, *SMALL, *QUIET, *place), tmp_path / "there")
    here, there = (RunFolder(tmp_path / name) for name in ("here", "there"))
    assert there.filter.read_text() == here.filter.read_text()
    for path in ("multi_view", "single_view"):
        ours, theirs = (sorted((folder.path / path).rglob("*.mp4")) for folder in (here, there))
        assert [a.read_bytes() for a in ours] == [b.read_bytes() for b in theirs] != []
    cache = tmp_path / "server" / "cache"
    made = {stage: len(list((cache / stage).glob("[0-9a-f]*"))) for stage in ("single_view", "multi_view")}
    assert made == {"single_view": 2, "multi_view": 1}


def test_a_server_itself_has_no_candidates(configure):
    with pytest.raises(ValidationErrors, match=r"sampler.best_of=4: must be 1 in a server; its clients choose"):
        settings(["sampler.best_of=4"])
    assert any("best_of" in problem for problem in request_problems(typed(configure("sampler.best_of=2")), None))
