from __future__ import annotations

import json
import subprocess
import sys

import pytest
from helpers import recorder_writer as w

from cosmos_exp.cli.commands.scene import main
from cosmos_exp.scene.carla.info import format_info, scene_info


@pytest.fixture
def small_log(tmp_path):
    drive = w.Drive(times=[0.0, 0.1, 0.25, 0.3])
    hero = w.actor(10, 1, "vehicle.audi.tt", role_name="hero", color="1,2,3")
    spectator = w.actor(1, 0, "spectator")
    drive.add(0, w.added(spectator, hero), w.boxes({1: w.NAN_BOX, 10: ((0, 0, 70), (200, 90, 70))}))
    drive.add(2, w.deleted(10))
    drive.movers = {1: {i: (0,) * 6 for i in range(4)}, 10: {0: (0,) * 6, 1: (100, 0, 0, 0, 0, 90)}}
    drive.lights = {4: {0: 0, 1: 2, 2: 2, 3: 1}}
    path = tmp_path / "small.log"
    path.write_bytes(drive.to_bytes())
    return path


def test_numbers_of_the_golden_log(shared):
    folder = shared / "carla" / "logs"
    golden = json.loads((folder / "DistanceBetweenVehicles.golden.json").read_text())
    info = json.loads(json.dumps(scene_info(folder / "DistanceBetweenVehicles.log"), allow_nan=False))
    assert info.pop("warnings") == []
    ego = info.pop("ego")
    assert (ego["role"], ego["taken"], ego["problem"]) == ("hero", 0, None)
    assert ego["pieces"] == [{"id": 174, "start": 0.0, "end": pytest.approx(24.69, abs=0.05), "frames": 846}]
    assert info == golden


def test_actor_life_and_boxes(small_log):
    info = json.loads(json.dumps(scene_info(small_log), allow_nan=False))
    spectator, hero = info["actors"]
    assert (hero["added_frame"], hero["removed_frame"], hero["n_positions"]) == (1, 3, 2)
    assert hero["last"] == {"frame": 2, "elapsed": 0.1, "location_m": [1, 0, 0], "roll_pitch_yaw_deg": [0, 0, 90]}
    assert hero["range_m"]["x"] == [0, 1]
    assert spectator["bounding_box"] == {"origin_m": [None] * 3, "extent_m": [None] * 3}
    assert info["traffic_light_transitions"] == {"4": [[1, 0], [2, 2], [4, 1]]}
    assert info["frame_duration"]["max"] == pytest.approx(0.15)
    assert info["hero_ids"] == [10] and info["duration_s"] == 0.3
    assert [f["frame"] for f in info["sampled_frames"]] == [1, 2, 3, 4]


def test_printed_form_names_map_frames_ego_and_actors(small_log):
    text = format_info(scene_info(small_log))
    for expected in ("Straight01", "frames    4", "0.300 s", "10 vehicle.audi.tt", "hero", "1-2", "spectator"):
        assert expected in text


def test_printed_form_without_hero_and_with_truncated_tail(tmp_path):
    path = tmp_path / "cut.log"
    path.write_bytes(w.header() + w.frame(1, 0.0, -1.0) + b"\x06\xff")
    text = format_info(scene_info(path))
    assert "none: the log has no vehicle of role 'hero'" in text and "no vehicles or walkers" in text
    assert "warning: the log ends inside a packet header" in text


@pytest.fixture
def drive():
    """A hero of the ROS bridge's role, placed at 0 s and set on the map elsewhere at 0.2 s."""
    drive = w.Drive(times=[0.1 * i for i in range(9)])
    drive.add(0, w.added(w.actor(10, 1, "vehicle.audi.tt", role_name="ego_vehicle")))
    drive.movers = {10: {i: (0 if i < 2 else 30_000, 0, -50_000 if i == 8 else 0, 0, 0, 0) for i in range(9)}}
    return drive


def test_the_pieces_that_hold_the_ego_and_the_one_a_run_takes(tmp_path, drive):
    path = tmp_path / "drive.log"
    path.write_bytes(drive.to_bytes())
    info = scene_info(path)
    assert info["hero_ids"] == [10] and info["ego"]["taken"] == 1
    assert [p[name] for p in info["ego"]["pieces"] for name in ("start", "end")] == pytest.approx([0.0, 0.1, 0.2, 0.7])
    text = format_info(info)
    assert "ego       10 vehicle.audi.tt (role ego_vehicle)" in text
    assert "from 0.200 to 0.700 s  a run takes it: the longest" in text


def test_an_ego_that_is_nowhere_is_said_with_the_reason(tmp_path, drive):
    path = tmp_path / "drive.log"
    drive.movers[10] = dict.fromkeys(range(9), (0, float("nan"), 0, 0, 0, 0))
    path.write_bytes(drive.to_bytes())
    text = format_info(scene_info(path))
    assert "has no finite pose in the log, in none of 9 frames; frame 1: x, y, z 0, nan, 0 m" in text
    assert text.count("warning:") == 1


def test_json_has_no_number_that_is_not_finite(tmp_path, drive, capsys):
    path = tmp_path / "drive.log"
    drive.times = [0.0, float("nan"), *(0.1 * i for i in range(2, 8)), float("inf")]
    path.write_bytes(drive.to_bytes())
    assert main(["info", str(path), "--json"]) == 0
    text = capsys.readouterr().out
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_escape_codes_of_a_log_never_reach_the_terminal(tmp_path, drive):
    path = tmp_path / "drive.log"
    drive.town = "\x1b]0;owned\x07"
    drive.add(0, w.added(w.actor(11, 1, "vehicle.\x9b2J", role_name="\x1b[2J")))
    path.write_bytes(drive.to_bytes())
    for options in ([], ["--json"]):
        command = [sys.executable, "-m", "cosmos_exp", "scene", "info", str(path), *options]
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        assert not any(code in found.stdout + found.stderr for code in "\x1b\x07\x9b")
    missing = [sys.executable, "-m", "cosmos_exp", "scene", "info", f"{tmp_path}/\x1b[2J.log"]
    assert r"\x1b[2J.log" in subprocess.run(missing, capture_output=True, text=True).stderr
