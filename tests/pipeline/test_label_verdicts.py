"""Label verdicts of a run: metrics, files, what is looked up again, and the export of labels that survive."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import cosmos_exp as cx
from cosmos_exp.cli.commands.export import main as export
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video import read_video
from cosmos_exp.pipeline.evaluate import evaluate_run
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.scene.rds_hq.scene import load_rds_hq_scene

FRONT = "front_wide_120fov"
OPTIONS = (
    *("model=render", "views=single", "model.num_frames=9", "previews=none", "tracking=disabled", "scene.seed=3"),
    *(
        "captions.styles=[Sunny]",
        "metrics.names=[mask_miou,object_survival,lane_survival]",
        "metrics.references=false",
        "evaluator.every=2",
    ),
)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def folder(root) -> RunFolder:
    return RunFolder(cx.run([*OPTIONS, f"paths.cache={root}/cache"], root / "run").path)


def test_the_render_shows_what_can_be_decided(folder):
    values = folder.read_metrics()["Sunny"]
    assert values["lane_survival"] == 1.0 and values["mask_miou"] > 0.4
    assert values.get("object_survival", 1.0) == 1.0


def test_every_second_frame_has_verdicts_and_every_frame_of_the_video(folder):
    labels = json.loads((folder.labels("Sunny") / "labels.json").read_text())
    assert labels["schema"] == 1 and labels["frames"] == [0, 2, 4, 6, 8] and labels["style"] == "Sunny"
    assert {line["frame"] for line in labels["lane_lines"]} <= set(labels["frames"])
    shown = read_video(folder.labels("Sunny") / f"{FRONT}.mp4")
    assert shown.shape == (9, 224, 384, 3) and shown.max() > 100 > shown.mean()


def test_the_same_run_reads_nothing_again(folder, root):
    again = RunFolder(cx.run([*OPTIONS, f"paths.cache={root}/cache"], root / "again").path)
    assert again.require_status().misses == {}
    first, second = (f.labels("Sunny") / "labels.json" for f in (folder, again))
    assert first.read_bytes() == second.read_bytes()


def test_another_evaluator_is_another_value(folder, root):
    every = RunFolder(cx.run([*OPTIONS, "evaluator.every=4", f"paths.cache={root}/cache"], root / "every").path)
    assert every.require_status().misses["metrics"] == 3
    assert json.loads((every.labels("Sunny") / "labels.json").read_text())["frames"] == [0, 4, 8]


def test_without_an_evaluator_there_are_no_verdicts_until_one_reads_the_run(root):
    made = RunFolder(cx.run([*OPTIONS, "evaluator=none", f"paths.cache={root}/cache"], root / "none").path)
    assert made.read_metrics() == {"Sunny": {}} and not made.labels("Sunny").exists()
    with pytest.raises(UserError, match="no label verdicts at"):
        export(["rds-hq", "-o", str(root / "clips"), "--surviving", str(made.path)])
    evaluated = evaluate_run(made.path, ["psnr"])
    assert set(evaluated.metrics["Sunny"]) >= {"psnr"}


def test_verdicts_of_an_earlier_run_in_the_folder_are_removed(root):
    """Metrics and evaluator are no part of a run's id, so the folder is the same run's."""
    options = [*OPTIONS, f"paths.cache={root}/cache"]
    made = RunFolder(cx.run(options, root / "twice").path)
    assert (made.labels("Sunny") / "labels.json").exists()
    cx.run([*options, "evaluator=none"], root / "twice")
    assert made.read_metrics() == {"Sunny": {}} and not made.labels("Sunny").exists()


def test_what_survives_is_exported(folder, root, capsys):
    export(["rds-hq", "-o", str(root / "clips"), "--surviving", str(folder.path)])
    said = capsys.readouterr().out
    assert "lane lines: " in said and "are shown in 50% of their frames" in said
    labels = json.loads((folder.labels("Sunny") / "labels.json").read_text())
    lines = {line["line"] for line in labels["lane_lines"] if line["verdict"] == "shown"}
    kept = load_rds_hq_scene(root / "clips")
    assert len(kept.map.lane_lines) == len(lines) > 0
    shown = {label["id"] for label in labels["objects"] if label["verdict"] == "shown"}
    assert {track.id for track in kept.tracks} <= shown


def test_export_takes_the_scene_from_the_run(folder, root):
    base = ["rds-hq", "-o", str(root / "clips"), "--surviving", str(folder.path)]
    with pytest.raises(UserError, match=r"remove scene\.seed=4"):
        export([*base, "scene.seed=4"])
    with pytest.raises(UserError, match="unknown style of this run 'Suny': did you mean 'Sunny'"):
        export([*base, "--style", "Suny"])
    with pytest.raises(UserError, match=r"--least 2: a share above 0, up to 1"):
        export([*base, "--least", "2"])
