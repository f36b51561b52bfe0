"""Against the real wandb package, offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from wandb.proto.wandb_internal_pb2 import Record

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video import write_video
from cosmos_exp.filtering.rule import Candidate, Choice
from cosmos_exp.tracking.wandb import file as wandb_file
from cosmos_exp.tracking.wandb.file import read_run, run_files
from cosmos_exp.tracking.wandb.run import ComparisonRow, check_mode, log_run, metric_values

METRICS = {"Night": {"tse": 0.25, "tse/rear_tele_30fov": 0.5, "blur_ssim": 0.9}, "Golden hour": {"blur_ssim": 0.7}}
PROMPTS = {"Night": "a street at night", "Golden hour": "a street in the evening"}


@pytest.fixture
def video(tmp_path) -> Path:
    frames = np.random.default_rng(0).integers(0, 256, (4, 32, 48, 3), dtype=np.uint8)
    return write_video(tmp_path / "run" / "multi_view" / "clip_Night" / "grid.mp4", frames, 10)


@pytest.fixture
def values(tmp_path, video) -> dict:
    return dict(
        run_folder=tmp_path / "run",
        run_id="1a2b3c4d",
        project="streets",
        name="guidance=3",
        group="sweep_1",
        tags=["nano", "procedural"],
        config={"sampler": {"guidance": 3.0, "num_steps": 8}},
        axes={"sampler.guidance": 3.0},
        metrics=METRICS,
        prompts=PROMPTS,
        videos={"Golden hour/grid": video},
        rows=[ComparisonRow("clip", "Night", {"hdmap": video}, video, video)],
    )


def test_an_offline_run_holds_everything(values, video, capfd):
    import huggingface_hub.inference  # noqa: F401  W&B would advertise Weave to a process that has it

    folder = log_run(**values)
    assert capfd.readouterr() == ("", "")
    assert folder.parent == values["run_folder"] / "wandb"
    (file,) = run_files(values["run_folder"])
    run = read_run(file)
    assert (run.run_id, run.project, run.name, run.group) == ("1a2b3c4d", "streets", "guidance=3", "sweep_1")
    assert (run.job_type, set(run.tags), run.exit_code) == ("generate", {"nano", "procedural"}, 0)
    assert run.config["sampler"] == {"guidance": 3.0, "num_steps": 8}
    assert run.config["axes"] == {"sampler_guidance": 3.0}
    assert run.config["prompts"] == PROMPTS
    assert run.summary["metrics/blur_ssim"] == pytest.approx(0.8)
    assert run.summary["metrics/Night/tse/rear_tele_30fov"] == 0.5
    assert run.summary["prompt/Golden_hour"] == PROMPTS["Golden hour"]
    assert len(run.history) == 1

    logged = folder / "files" / run.media["videos/Golden_hour/grid"]
    assert logged.read_bytes() == video.read_bytes()
    table = json.loads((folder / "files" / run.media["comparison"]).read_text())
    assert table["columns"] == [
        "key",
        "run",
        "scene",
        "style",
        "prompt",
        "sampler_guidance",
        "hdmap",
        "single_view",
        "grid",
        "tse",
        "blur_ssim",
    ]
    assert table["data"][0][:6] == ["clip Night", "guidance=3", "clip", "Night", PROMPTS["Night"], 3.0]
    assert table["data"][0][-2:] == [0.25, 0.9]
    staged = [path for name, path in run.staged.items() if name.endswith(".mp4")]
    assert staged and all(path.is_relative_to(values["run_folder"]) for path in staged)
    assert staged[0].read_bytes() == video.read_bytes()


def test_the_values_of_frames_are_curves_over_the_frame(values):
    frames = {"Night": {"psnr": [20.0, 21.0, 22.0], "flicker": [None, 3.0, 4.0]}, "Golden hour": {"psnr": [30.0, 31.0]}}
    log_run(**values, frames=frames)
    (file,) = run_files(values["run_folder"])
    run = read_run(file)
    assert run.steps == {"frames/*": "frame"}
    rows = [{k: v for k, v in row.items() if k[0] != "_"} for row in run.history[1:]]
    assert rows == [
        {"frame": 0, "frames/Night/psnr": 20.0, "frames/Golden_hour/psnr": 30.0},
        {"frame": 1, "frames/Night/psnr": 21.0, "frames/Golden_hour/psnr": 31.0, "frames/Night/flicker": 3.0},
        {"frame": 2, "frames/Night/psnr": 22.0, "frames/Night/flicker": 4.0},
    ]
    assert not any(key.startswith("frame") for key in run.summary), "the last frame says nothing of the run"
    assert run.summary["metrics/tse"] == 0.25


def test_candidates_are_a_table_and_the_kept_one_is_in_the_summary(values):
    candidates = [Candidate(0, 0, {"flicker": 5.0}, 0.25), Candidate(1, 77, {"flicker": 4.0}, 0.5, ("frozen",))]
    folder = log_run(**values, choices={"Golden hour": Choice("measures", candidates)})
    summary = read_run(next(iter(run_files(folder)))).summary
    assert (summary["filter/Golden_hour/candidate"], summary["filter/Golden_hour/score"]) == (0, 0.25)
    assert summary["candidates"]["nrows"] == 2
    (table,) = folder.rglob("candidates*.table.json")
    assert json.loads(table.read_text())["data"][1] == [
        "guidance=3", "Golden hour", 1, 77, False, 0.5, 4.0, "frozen",
    ]  # fmt: skip


def test_ceilings_and_normalised_values_are_in_summary_and_table(values):
    references = {
        "Night": {"blur_ssim": {"ceiling": 1.0, "floor": 0.5}, "tse": {"ceiling": 0.2, "floor": 4.2}},
        "Golden hour": {"blur_ssim": {"ceiling": 1.0, "floor": 0.6}, "psnr": {"ceiling": 99.0}},
    }
    folder = log_run(**values, references=references)
    (file,) = run_files(values["run_folder"])
    run = read_run(file)
    assert run.summary["normalised/Night/blur_ssim"] == pytest.approx(0.8)
    assert run.summary["normalised/blur_ssim"] == pytest.approx((0.8 + 0.25) / 2), "the mean over the styles"
    assert run.summary["normalised/tse"] == pytest.approx(0.9875)
    assert run.summary["floor/Golden_hour/blur_ssim"] == 0.6 and run.summary["ceiling/blur_ssim"] == 1.0
    assert not any(key.endswith("rear_tele_30fov") for key in run.summary if key.startswith("normalised"))
    table = json.loads((folder / "files" / run.media["comparison"]).read_text())
    row = dict(zip(table["columns"], table["data"][0]))
    assert (row["blur_ssim"], row["ceiling/blur_ssim"], row["normalised/blur_ssim"]) == (0.9, 1.0, pytest.approx(0.8))


def test_logging_again_replaces_the_offline_copy(values):
    log_run(**values)
    log_run(**values | {"metrics": {"Night": {"tse": 7.0}}})
    (file,) = run_files(values["run_folder"])
    assert read_run(file).summary["metrics/tse"] == 7.0


def test_logging_the_same_again_changes_nothing(values, video):
    folder = log_run(**values)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.wandb*")}
    assert log_run(**values) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.wandb*")} == before
    video.write_bytes(video.read_bytes() + b"\0")
    log_run(**values)  # another video under the same name
    (file,) = run_files(values["run_folder"])
    assert before.get(file) != file.stat().st_mtime_ns


def test_a_failed_run_is_marked_as_failed(values):
    log_run(**values | {"metrics": {}, "videos": {}, "rows": [], "error": "out of memory", "exit_code": 1})
    (file,) = run_files(values["run_folder"])
    run = read_run(file)
    assert run.summary["error"] == "out of memory"
    assert run.exit_code == 1 and run.config["axes"] == {"sampler_guidance": 3.0}


def test_a_missing_video_leaves_no_run(values, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4"):
        log_run(**values | {"videos": {"x": tmp_path / "gone.mp4"}})
    assert run_files(values["run_folder"]) == []


def test_many_history_bytes_cross_block_borders(values):
    long_prompt = "rain " * 20_000  # 100 kB, several blocks of 32 KiB
    log_run(**values | {"prompts": {"Night": long_prompt}})
    (file,) = run_files(values["run_folder"])
    assert read_run(file).summary["prompt/Night"] == long_prompt


def test_a_damaged_file_is_refused(values, tmp_path):
    log_run(**values)
    (file,) = run_files(values["run_folder"])
    data = bytearray(file.read_bytes())
    data[200] ^= 0xFF
    (tmp_path / "flipped.wandb").write_bytes(data)
    with pytest.raises(UserError, match="is damaged at byte"):
        read_run(tmp_path / "flipped.wandb")
    (tmp_path / "other.wandb").write_bytes(b"not a run")
    with pytest.raises(UserError, match="is not an offline W&B run"):
        read_run(tmp_path / "other.wandb")
    with pytest.raises(UserError, match="No such file"):
        read_run(tmp_path / "none.wandb")


def test_bad_mode_and_bad_id(values):
    with pytest.raises(UserError, match=r"unknown tracking.mode 'offlin': did you mean 'offline'"):
        check_mode("offlin")
    with pytest.raises(UserError, match="run_id='a/b' cannot be a W&B id"):
        log_run(**values | {"run_id": "a/b"})


def test_online_without_login_fails_at_once(tmp_path):
    """In a process of its own, whose home has no stored login."""
    code = "from cosmos_exp.tracking.wandb.run import check_mode; check_mode('online')"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")} | {"HOME": str(tmp_path)}
    environment["NETRC"] = str(tmp_path / "netrc")
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "needs a W&B login" in done.stderr


def test_means_over_styles_skip_styles_without_the_key():
    flat = metric_values(METRICS)
    assert flat["metrics/blur_ssim"] == pytest.approx(0.8)
    assert flat["metrics/tse"] == 0.25
    assert "metrics/tse/rear_tele_30fov" not in flat


def test_git_is_asked_once_for_all_runs_of_a_folder(tmp_path, values, monkeypatch):
    commit = "-c user.email=a@b -c user.name=a commit --allow-empty -m first"
    for line in ("init", commit, "remote add origin https://a/b"):
        subprocess.run(["git", *line.split()], cwd=tmp_path, check=True, capture_output=True)
    asked, ask = [], subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda line, **options: asked.append(line) or ask(line, **options))
    first = git_of(log_run(**values | {"run_folder": tmp_path / "sweep" / "first"}))
    assert asked, "the first run asks"
    asked.clear()
    second = git_of(log_run(**values | {"run_folder": tmp_path / "sweep" / "second"}))
    assert asked == []
    assert first == second
    assert first.commit and first.remote_url == "https://a/b"


def git_of(logged: Path):
    """What an offline run says of the repository around it."""
    (file,) = run_files(logged)
    records = [Record.FromString(payload) for payload in wandb_file._records(file)]
    return next(record.run.git for record in records if record.HasField("run"))
