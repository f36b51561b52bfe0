from __future__ import annotations

import json

import pytest
from helpers import recorder_writer as w

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
    assert "no vehicle has the role 'hero'" in text and "no vehicles or walkers" in text
    assert "warning: the log ends inside a packet header" in text
