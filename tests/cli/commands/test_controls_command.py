"""`cosmos-exp controls`: files, names, notes, mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosmos_exp.cli.commands.controls import main
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video import read_video

SENSORS = """
- {sensor: rgb, attributes: {image_size_x: 64, image_size_y: 48, gamma: 2.2}, transform: {location: {z: 1.8}}}
- {sensor: semantic_segmentation, attributes: {image_size_x: 64, image_size_y: 48}, transform: {location: {z: 1.8}}}
"""
SCENE = ("scene.num_vehicles=2", "scene.num_pedestrians=0", "scene.duration=1")


@pytest.fixture
def sensors(tmp_path: Path) -> Path:
    path = tmp_path / "sensors.yaml"
    path.write_text(SENSORS)
    return path


def test_videos_of_the_asked_outputs(sensors, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([*SCENE, "--sensors", f"file:{sensors}", "-o", str(out), "--frames", "5", "--fps", "10"]) == 0
    names = {"rgb", "semantic_segmentation", "sky", "rgb_masked", "rgb_edges"}
    assert {path.stem for path in out.iterdir()} == names
    assert {read_video(path).shape for path in out.iterdir()} == {(5, 48, 64, 3)}
    printed = capsys.readouterr().out
    assert "note: attribute gamma has no counterpart" in printed and str(out / "rgb_edges.mp4") in printed


def test_a_world_scenario_map_beside_the_hd_map(sensors, tmp_path):
    sensors.write_text(SENSORS + SENSORS.splitlines()[1].replace("rgb", "rds_hq"))
    given = [*SCENE, "--sensors", str(sensors), "--frames", "2", "--fps", "10", "--lossless"]
    main([*given, "-o", str(tmp_path / "a")])
    main([*given, "-o", str(tmp_path / "b"), "--wsm"])
    first, second = ({path.stem for path in (tmp_path / name).rglob("*.mp4")} for name in "ab")
    assert "hdmap" in first and second - first == {"wsm"}
    (path,) = (tmp_path / "b").rglob("wsm.mp4")
    video = read_video(path)
    assert video.shape == (2, 48, 64, 3) and video.any(axis=(1, 2, 3)).all()


def test_mistakes(sensors, tmp_path):
    given = ["--sensors", str(sensors), "-o", str(tmp_path / "out")]
    with pytest.raises(UserError, match=r"99 frames: 1.00 s at 24 Hz have 1 to 25"):
        main([*SCENE, *given, "--frames", "99"])
    with pytest.raises(UserError, match="fps=0: must be above 0"):
        main([*SCENE, *given, "--fps", "0"])
    with pytest.raises(UserError, match="no sensor file"):
        main([*SCENE, "--sensors", "nowhere.yaml", "-o", str(tmp_path / "out")])
    with pytest.raises(UserError, match="is a file, not a folder"):
        main([*SCENE, "--sensors", str(sensors), "-o", str(sensors)])
    sensors.write_text("- {sensor: rgb, attributes: {image_size_x: 65, image_size_y: 48}}")
    with pytest.raises(UserError, match=r"camera_0 has 65x48 pixels, .* even numbers: 66x48"):
        main([*SCENE, *given])
    assert not (tmp_path / "out").exists()
