"""Which piece of a recording is taken, and whether it is long enough, is known before anything is computed."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from helpers import opendrive_writer as o
from helpers import recorder_writer as w

from cosmos_exp.common.errors import UserError
from cosmos_exp.config.compose import scene_of
from cosmos_exp.pipeline.run import run
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.runs.states import FAILED
from cosmos_exp.sweeps.plan import make_plan

NOTE = "the ego 10 is on the map from 0.000 to 0.200 s and from 0.300 to 0.800 s: taken is 0.300 to 0.800 s"


@pytest.fixture
def teleported(configure, tmp_path: Path):
    """A function: the config of a run on a log whose hero is placed at 0 s and set on the map elsewhere at 0.3 s."""
    drive = w.Drive(times=0.1 * np.arange(9))
    box = {10: ((0, 0, 75), (240, 100, 75))}
    drive.add(0, w.added(w.actor(10, 1, "vehicle.lincoln.mkz", role_name="hero")), w.boxes(box))
    drive.movers = {10: {i: (5000 * (i > 2) + 100 * i, 175, 0, 0, 0, 0) for i in range(9)}}
    (tmp_path / "drive.log").write_bytes(drive.to_bytes())
    (tmp_path / "Straight01.xodr").write_text(o.straight_town())
    files = [f"scene.log={tmp_path / 'drive.log'}", f"scene.map={tmp_path / 'Straight01.xodr'}"]
    common = ("scene=carla_log", *files, "views=single", "tracking=disabled", f"paths.outputs={tmp_path}")
    return lambda *overrides: configure(*common, *overrides)


def test_a_plan_says_which_piece_is_taken(teleported) -> None:
    """Once for all cells, from the cache too."""
    cells = [teleported("model.num_frames=9", f"sampler.seed={seed}") for seed in (0, 1)]
    for _ in range(2):
        (note,) = make_plan(cells).notes
        assert note.startswith(NOTE)


def test_a_plan_refuses_what_cannot_be_long_enough_as_the_run_does(teleported, tmp_path: Path) -> None:
    short = teleported("model.num_frames=9", "scene.start=0")
    message = (
        r"9 frames at 24 Hz need 0.33 s, the scene is 0.20 s long: .*; the ego 10 is on the map from 0.000 to 0.200"
    )
    with pytest.raises(UserError, match=message):
        make_plan([short])
    with pytest.raises(UserError, match=f"^cell 1: {message}"):
        make_plan([teleported("model.num_frames=9"), short])
    with pytest.raises(UserError, match=message):
        run(short, tmp_path / "run")
    status = RunFolder(tmp_path / "run").read_status()
    assert status is not None and (status.state, status.stage) == (FAILED, "captions")


def test_commands_that_draw_or_write_the_scene_say_it_too(teleported, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        assert scene_of(teleported()).start == pytest.approx(0.3)
    assert NOTE in caplog.text
