"""`cosmos-exp sync` with real offline runs and the real `wandb sync`, which speaks with a small server of the test."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from helpers.forked import run_forked
from helpers.sweep_folder import write_run, write_sweep
from helpers.wandb_server import API_KEY, wandb_server

from cosmos_exp.cli.main import _dispatch
from cosmos_exp.common.errors import UserError
from cosmos_exp.tracking.wandb.file import read_run, run_files
from cosmos_exp.tracking.wandb.sync import sync


@pytest.fixture
def sweep(tmp_path) -> Path:
    return write_sweep(tmp_path / "gw")


def command(folder: Path, *arguments: str, **environment: str) -> CompletedProcess:
    """In a process of its own: W&B reads its environment once."""
    return run_forked("sync", str(folder), *arguments, cwd=folder, environment=os.environ | environment)


def files(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in run_files(folder)}


def test_run_folders_become_offline_runs_once(sweep, capsys):
    assert _dispatch(["sync", str(sweep)]) == 0
    assert "1_0abc: logged" in capsys.readouterr().out
    runs = {run.name.partition("#")[2]: run for run in map(read_run, run_files(sweep))}
    assert list(runs) == ["0_0abc", "1_0abc", "2_0abc", "3_0abc", "4_0abc"]
    assert runs["2_0abc"].name == "guidance=3 num_steps=6 #2_0abc"
    assert {(run.group, run.job_type, run.tags) for run in runs.values()} == {
        ("gw", "generate", ("mine", "street", "nano"))
    }
    assert runs["2_0abc"].run_id == "20abc"
    assert runs["2_0abc"].config["axes"] == {"sampler_guidance": 3, "sampler_num_steps": 6}
    assert runs["2_0abc"].summary["metrics/tse"] == pytest.approx(1 / 3)
    assert (runs["1_0abc"].exit_code, runs["1_0abc"].summary["error"]) == (1, "the video is black")
    assert (runs["3_0abc"].exit_code, runs["3_0abc"].summary["error"]) == (1, "during single_view")

    before = files(sweep)
    assert sync(sweep) == {"unchanged": 5}
    assert files(sweep) == before
    (sweep / "2_0abc" / "metrics.json").write_text(json.dumps({"Night": {"tse": 9.0}}))
    assert sync(sweep) == {"logged": 1, "unchanged": 4}
    assert len(run_files(sweep)) == 5


def test_how_texts_of_a_language_model_came_about_is_in_the_config(tmp_path):
    run = tmp_path / "rewritten"
    write_run(run, ["sampler.guidance=1"], run_id="1a", metrics={"tse": 0.5})
    (clip,) = [path.stem for path in (run / "captions").glob("*.json")]
    told = {"Night": {"caption": "Night.", "source": "template", "attempts": 3, "rejected": [{"text": "x"}]}}
    (run / "rewrites").mkdir()
    (run / "rewrites" / f"{clip}.json").write_text(json.dumps(told))
    assert sync(run) == {"logged": 1}
    (logged,) = map(read_run, run_files(run))
    assert logged.config["rewrites"] == told


def test_online_sends_each_run_once_and_a_changed_one_again_under_its_id(tmp_path):
    write_run(tmp_path / "good", ["sampler.guidance=1"], run_id="1a", metrics={"tse": 0.5})
    write_run(tmp_path / "bad", ["sampler.guidance=3"], run_id="2b", state="failed", error="the video is black")
    with wandb_server() as server:
        done = command(tmp_path, "--online", **server.environment)
        assert done.stdout.splitlines() == ["bad: logged", "good: logged", "2 logged, 2 sent, 0 sent before"], (
            done.stderr
        )
        assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "good"]
        assert server.uploads == {"1a": 1, "2b": 1}
        assert server.runs["1a"]["project"] == "streets"
        assert any(name.endswith(".mp4") for name in server.files["1a"])
        assert server.artifacts == ["run-1a-comparison"]

        done = command(tmp_path, "--online", **server.environment)
        assert done.stdout.splitlines()[-1] == "2 unchanged, 0 sent, 2 sent before"
        assert server.uploads == {"1a": 1, "2b": 1}

        (tmp_path / "good" / "metrics.json").write_text(json.dumps({"Night": {"tse": 9.0}}))
        done = command(tmp_path, "--online", **server.environment)
        assert done.stdout.splitlines()[-1] == "1 unchanged, 1 logged, 1 sent, 1 sent before"
        assert server.uploads == {"1a": 2, "2b": 1}
        assert server.runs["1a"]["project"] == "streets"
        rows = server.history["1a"].values()
        assert [(row["_step"], row["metrics/tse"]) for row in rows] == [(0, 0.5), (0, 9.0)]  # the same step once more
        assert server.summary["1a"]["metrics/tse"] == 9.0


def test_the_same_run_in_two_folders_is_one_run(tmp_path):
    write_run(tmp_path / "a", [], run_id="77")
    write_run(tmp_path / "b", [], run_id="77")
    assert sync(tmp_path) == {"logged": 1, "left out": 1}
    (file,) = run_files(tmp_path)
    assert file.is_relative_to(tmp_path / "b")


@pytest.mark.parametrize("state", ["queued", "running", "preempted"])
def test_a_run_that_will_go_on_is_left_out(tmp_path, state):
    write_run(tmp_path / "a", [], state=state, run_id="1", updated=datetime.now(timezone.utc).isoformat())
    said = []
    assert sync(tmp_path, say=said.append) == {"left out": 1}
    assert said[0] == f"a: left out: it is {state}"


def test_a_run_without_its_video_is_named_after_the_others_are_logged(sweep):
    next((sweep / "0_0abc" / "single_view").glob("*.mp4")).unlink()
    with pytest.raises(UserError, match=r"0_0abc: no video at .*single_view"):
        sync(sweep)
    assert len(run_files(sweep)) == 4


def test_project_and_entity_of_the_command(tmp_path):
    write_run(tmp_path / "a", [], run_id="1")
    assert _dispatch(["sync", str(tmp_path), "--project", "other", "--entity", "team"]) == 0
    (file,) = run_files(tmp_path)
    assert (read_run(file).project, read_run(file).entity) == ("other", "team")


def test_mistakes(tmp_path):
    with pytest.raises(UserError, match="no folder at"):
        sync(tmp_path / "gone")
    with pytest.raises(UserError, match="did you mean '--online'"):
        _dispatch(["sync", str(tmp_path), "--onlin"])


@pytest.mark.slow
def test_without_a_server_nothing_hangs(tmp_path):
    write_run(tmp_path / "a", [], run_id="1")
    done = command(tmp_path, "--online", WANDB_BASE_URL="http://127.0.0.1:9", WANDB_API_KEY=API_KEY)
    assert done.returncode == 2
    assert "W&B cannot be reached" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_run_whose_server_is_away_is_done_and_sent_later(tmp_path):
    options = ["model=render", "metrics.names=[blur_ssim]", "tracking=wandb", "tracking.mode=online", "name=away"]
    line = ["+experiment=quick", "paths.outputs=out", *options]
    with wandb_server() as server:
        environment = {**os.environ, **server.environment, "OMP_NUM_THREADS": "1"}
        away = environment | {"WANDB_BASE_URL": "http://127.0.0.1:9"}
        done = run_forked(*line, cwd=tmp_path, environment=away)
        assert done.returncode == 0, done.stderr
        assert "W&B cannot be reached" in done.stderr and "out/runs/away --online` sends the run later" in done.stderr
        done = command(tmp_path / "out" / "runs" / "away", "--online", **server.environment)
        assert done.stdout.splitlines()[-1] == "1 unchanged, 1 sent, 0 sent before"
        assert sum(server.uploads.values()) == 1
