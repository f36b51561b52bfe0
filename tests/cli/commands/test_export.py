"""`cosmos-exp export`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cosmos_exp.cli.commands.export import main
from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.clipgt.clip import ClipGt
from cosmos_exp.scene.rds_hq.clip import RdsHqClip, clip_ids
from cosmos_exp.scene.rds_hq.scene import load_rds_hq_scene

STREET = ("scene=procedural", "scene.seed=5", "scene.duration=1.0", "scene.num_vehicles=3", "scene.num_pedestrians=0")


def test_a_street_becomes_a_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rds-hq", "-o", str(tmp_path / "clips"), *STREET, "sensors=six_views"]) == 0
    (clip_id,) = clip_ids(tmp_path / "clips")
    assert f"wrote clip {clip_id}: 1.0 s" in capsys.readouterr().out
    clip = RdsHqClip(tmp_path / "clips", clip_id)
    assert clip.caption().startswith("Driving ")
    for camera_type in ("ftheta", "pinhole"):
        model = clip.model(camera_type, "camera_front_wide_120fov")
        assert (model.width, model.height) == (1920, 1080)
    config = json.loads((tmp_path / "clips" / f"dataset_{clip_id}.json").read_text())
    assert config["CAMERAS"][0] == "camera_front_wide_120fov"
    assert config["NOT_POST_TRAINING"]["TARGET_CHUNK_FRAME"] == 31
    assert config["NOT_POST_TRAINING"]["RESIZE_RESOLUTION"] == [1280, 720]


def test_the_overrides_of_a_run_hold(tmp_path: Path) -> None:
    main(
        [
            "rds-hq",
            *STREET,
            "sensors=waymo_five",
            "-o",
            str(tmp_path),
            "scene.edits.none={kind: drop, tracks: [vehicle_1]}",
        ]
    )
    (clip_id,) = clip_ids(tmp_path)
    assert RdsHqClip(tmp_path, clip_id).pose_cameras()[0] == "front"
    assert "vehicle_1" not in [track.id for track in load_rds_hq_scene(tmp_path).tracks]
    config = json.loads((tmp_path / f"dataset_{clip_id}.json").read_text())
    assert config["NOT_POST_TRAINING"]["RESIZE_RESOLUTION"] == [1280, 704]


def test_a_clip_can_be_exported_again(tmp_path: Path) -> None:
    main(["rds-hq", "-o", str(tmp_path / "a"), *STREET, "sensors=front"])
    main(["rds-hq", "-o", str(tmp_path / "b"), "scene=rds_hq", f"scene.root={tmp_path / 'a'}", "sensors=rds_hq"])
    first, second = (load_rds_hq_scene(tmp_path / name) for name in "ab")
    assert [t.id for t in first.tracks] == [t.id for t in second.tracks]
    assert abs(first.rig_trajectory.poses - second.rig_trajectory.poses).max() < 1e-9


def test_a_street_becomes_a_clip_of_tables_and_that_another(tmp_path: Path, capsys) -> None:
    main(["clipgt", "-o", str(tmp_path / "a"), *STREET, "sensors=six_views"])
    (folder,) = (tmp_path / "a").iterdir()
    out = capsys.readouterr().out
    assert f"wrote clip {folder.name}: 1.0 s, 4 objects, 6 cameras" in out and f"{folder}: calibration_estimate" in out
    main(["clipgt", "-o", str(tmp_path / "b"), "scene=clipgt", f"scene.root={tmp_path / 'a'}", "sensors=clipgt"])
    first, second = (ClipGt(tmp_path / name / folder.name) for name in "ab")
    assert list(first.cameras) == list(second.cameras) and first.camera("camera_front_wide_120fov").model.width == 1920
    assert np.allclose(first.ego.poses, second.ego.poses, rtol=0, atol=1e-9)
    assert [track.id for track in first.tracks] == [track.id for track in second.tracks]


def test_objects_may_be_left_out_where_no_camera_sees_them(tmp_path: Path, capsys) -> None:
    camera = "sensors.cameras.front_wide_120fov"
    upwards = ["sensors=front", f"{camera}.hfov=5", f"{camera}.rotation=[0,-80,0]"]
    main(["clipgt", "-o", str(tmp_path), *STREET, *upwards, "--visible"])
    out = capsys.readouterr().out
    assert "objects: 0 of 4 are seen by a camera, in 0 pieces" in out and "1.0 s, 0 objects, 1 cameras" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-o", "x"), "required: rds-hq"),
        (("rds-hq", *STREET), "required: -o/--output"),
        (("rds_hq", "-o", "x"), "'rds_hq': did you mean 'rds-hq'"),
        (("rds-hq", "-o", "x", "scene=carla_log"), "scene.log is required"),
        (("rds-hq", "-o", "x", "scene=carla"), "unknown option of scene 'carla': did you mean 'carla_log'"),
        (("rds-hq", "-o", "x", "sensors=rds_hq"), "scene=procedural has no cameras of its own"),
        (("rds-hq", "-o", __file__), "is a file, not a folder"),
        (("rds-hq", "-o", "x", "--config-dir", "nowhere"), "no folder 'nowhere'"),
    ],
)
def test_a_mistake_is_named(arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        main(arguments)
    assert list(tmp_path.iterdir()) == []
