"""The real command, with files looked at: pictures of every rig and scene, and what it says about mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cosmos_exp.cli.commands.show import main
from cosmos_exp.common.errors import UserError
from cosmos_exp.visualization.frusta import COLORS

CONF = Path(__file__).resolve().parents[3] / "conf"
NEEDS_MORE = ("rds_hq", "clipgt", "carla_yaml")  # a clip, a sensor file
RIGS = [path.stem for path in sorted((CONF / "sensors").glob("*.yaml")) if path.stem not in NEEDS_MORE]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def pixels(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def share_of(picture: np.ndarray, color: tuple[int, ...], tolerance: int = 12) -> float:
    """Share of the pixels that have a colour."""
    return float((np.abs(picture - color[:3]).max(axis=-1) <= tolerance).mean())


@pytest.mark.parametrize("name", RIGS)
def test_every_rig_is_drawn(name, capsys):
    assert main([f"rig={name}"]) == 0
    printed = capsys.readouterr().out
    picture = pixels(f"rig_{name}.png")
    assert f"wrote rig_{name}.png" in printed and picture.shape[1] == 1200 and picture.shape[0] > 800
    cameras = [line for line in printed.splitlines()[1:] if "pinhole" in line or "f-theta" in line]
    assert cameras
    for color in COLORS[: len(cameras)]:
        assert share_of(picture, color) > 3e-4
    assert share_of(picture, COLORS[len(cameras)], 3) < 3e-4


def test_the_table_has_what_the_config_says(capsys):
    main(["rig=waymo_five"])
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["camera", "lens", "image", "hfov", "vfov", "x", "y", "z", "roll", "pitch", "yaw", "view"]
    assert rows[3].split() == [
        "side_left", "pinhole", "1920x886", "50.4", "24.5", "1.43", "0.12", "2.12", "0.0", "0.0", "90.0",
        "rear_left_70fov",
    ]  # fmt: skip


def test_overrides_and_the_alias_change_the_picture(capsys):
    main(["sensors=front", "-o", "plain.png"])
    main(["-o", "narrow.png", "rig=front", "rig.cameras.front_wide_120fov.hfov=40"])
    assert "40.0" in capsys.readouterr().out
    main(["rig=front", "-o", "again.png"])
    assert np.array_equal(pixels("plain.png"), pixels("again.png"))
    plain, narrow = pixels("plain.png"), pixels("narrow.png")
    assert plain.shape != narrow.shape or not np.array_equal(plain, narrow)


def test_a_scene_from_above(capsys):
    assert main(["scene=procedural", "scene.seed=5", "scene.road=intersection", "scene.duration=2"]) == 0
    assert "2.0 s" in capsys.readouterr().out
    picture = pixels("scene_procedural_intersection_5.png")
    road, building, ego, truck = (146, 151, 159), (206, 198, 188), (24, 92, 214), (128, 62, 172)
    assert share_of(picture, road) > 0.05 and share_of(picture, building) > 0.02
    assert share_of(picture, ego, 30) > 2e-4 and share_of(picture, truck, 30) > 2e-4
    assert picture.shape[1] == 1200


def test_a_scene_with_a_rig_shows_its_cameras(capsys):
    scene = ["scene=procedural", "scene.seed=5", "scene.duration=2"]
    main([*scene, "-o", "alone.png"])
    main([*scene, "sensors=six_views", "-o", "with.png"])
    assert "rear_tele_30fov" in capsys.readouterr().out
    for color in COLORS[1:6]:
        assert share_of(pixels("with.png"), color) > share_of(pixels("alone.png"), color)


def test_a_recorded_drive(shared, capsys):
    carla = shared / "carla"
    log, town = carla / "logs" / "DistanceBetweenVehicles.log", carla / "maps" / "Town01.xodr"
    main(
        ["scene=carla_log", f"scene.log={log}", f"scene.map={town}", "scene.start=5", "scene.duration=5", "-o", "a.jpg"]
    )
    assert "1 actor besides the ego" in capsys.readouterr().out
    assert Image.open("a.jpg").format == "JPEG" and share_of(pixels("a.jpg"), (146, 151, 159)) > 0.1


def test_a_recorded_clip_with_its_own_cameras(shared, capsys):
    main(["scene=rds_hq", f"scene.root={shared / 'rds_hq' / 'example'}", "rig=rds_hq", "-o", "clip.png"])
    printed = capsys.readouterr().out
    assert "118.9" in printed and "front_wide_120fov" in printed
    assert share_of(pixels("clip.png"), (146, 151, 159)) > 0.1


def test_the_rig_of_a_sensor_file_stands_where_the_actor_is(capsys):
    transform = "{location: {x: 0, y: 0, z: 1.8}, rotation: {pitch: 8, yaw: 0, roll: 0}}"
    attributes = "{image_size_x: 1920, image_size_y: 1080, fov: 110}"
    Path("sensors.yaml").write_text(f"- sensor: rgb\n  attributes: {attributes}\n  transform: {transform}\n")
    main(["rig=carla_yaml", "rig.file=sensors.yaml", "rig.actor_origin=[1.39,0,0.04]", "-o", "file.png"])
    of_the_file = capsys.readouterr().out.splitlines()[1].split()
    main(["rig=cosmos_aov", "-o", "aov.png"])
    assert capsys.readouterr().out.splitlines()[1].split()[1:] == of_the_file[1:]


def test_a_rig_of_ones_own(tmp_path, capsys):
    folder = tmp_path / "mine" / "sensors"
    folder.mkdir(parents=True)
    camera = "{hfov: 90, position: [1, 0, 2], rotation: [0, 0, 0]}"
    (folder / "roof.yaml").write_text(f"name: roof\ncameras:\n  up_1: {camera}\n")
    main(["rig=roof", "--config-dir", "mine"])
    assert "up_1" in capsys.readouterr().out and Path("rig_roof.png").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to show: give rig=NAME, one of .*six_views.*, or scene=NAME, one of .*procedural"),
        (["six_views"], "'six_views' is no override: .* such as rig=six_views"),
        (["rig=waymo"], "unknown option of sensors 'waymo': did you mean 'waymo_five'"),
        (["scene=proc"], "unknown option of scene 'proc': did you mean 'procedural'"),
        (["rig=front", "rig.nme=x"], "unknown config key 'sensors.nme': did you mean 'sensors.name'"),
        (["rig=front", "rig.cameras.front_wide_120fov.hfov=400"], "^rig 'front': hfov 400 .* nearest 170"),
        (["rig=front", "+rig.views.front_wide_120fov=rear"], "unknown view 'rear': did you mean 'rear_tele_30fov'"),
        (["rig=rds_hq"], "goes with scene=clipgt, scene=rds_hq"),
        (["rig=carla_yaml"], "give sensors.file=PATH"),
        (["scene=carla_log"], "scene.log is required"),
        (["scene=carla_log", "scene.log=no.log", "scene.map=no.xodr"], "scene.log: no file 'no.log'"),
        (["scene=procedural", "scene.road=intersektion"], "did you mean 'intersection'"),
        (["scene=procedural", "+scene.sed=3"], "scene.sed"),
        (["scene=procedural", "scene.seed=many"], "scene.seed"),
        (["rig=front", "-o", "a.gif"], "unknown picture format '.gif': .*allowed: .png, .jpg, .jpeg"),
        (["rig=front", "-o", "no/a.png"], "there is no folder 'no'"),
        (["rig=front", "--outptu", "a.png"], "did you mean '--output'"),
        (["rig=front", "--config-dir", "nowhere"], "no folder 'nowhere'"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(words, message, tmp_path):
    with pytest.raises(UserError, match=message):
        main(words)
    assert list(tmp_path.iterdir()) == []
