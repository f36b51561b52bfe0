"""What is told of a recorder log, in CARLA's words. Tools such as scenario_runner's metrics read these lines."""

from __future__ import annotations

import re

import pytest
from helpers import recorder_writer as w

from cosmos_exp.carla_sim.recording import blocked_actors, collisions, file_info
from cosmos_exp.scene.carla.recorder import RecorderLog, read_log


@pytest.fixture
def log(shared) -> RecorderLog:
    return read_log(shared / "carla/logs/DistanceBetweenVehicles.log")


def test_info_begins_with_the_header_and_ends_with_frames_and_duration(log):
    lines = file_info(log).split("\n")
    assert lines[:4] == ["Version: 1", "Map: Town01", "Date: 11/23/21 14:08:48", ""]
    assert lines[4:7] == [
        "Frame 1 at 0 seconds",
        " Create 1: spectator (0) at (542.481, 4236.74, 490.868)",
        " Create 2: traffic.traffic_light (3) at (9499, 7041, 10.3242)",
    ]
    assert lines[-4:] == ["", "Frames: 847", "Duration: 24.7237 seconds", ""]


def test_info_has_the_frames_with_an_event_only(log):
    text = file_info(log)
    frames = re.findall(r"^Frame (\d+) at", text, re.M)
    assert frames == ["1", "51", "53", "58", "60", "62", "842", "843", "847"]
    assert "\n Parenting 181 with 174 (parent)\n" in text and "\n  role_name = hero\n" in text
    assert text.count("\n Create ") == 181 and text.count("\n Destroy ") == 3


def test_show_all_has_every_frame_and_row(log, tmp_path):
    beginning = tmp_path / "beginning.log"
    beginning.write_bytes(log.path.read_bytes()[:80_000])
    text = file_info(read_log(beginning), show_all=True)
    assert len(re.findall(r"^Frame \d+ at", text, re.M)) == 13
    frame = text.split("Frame 3 at")[1].split("Frame 4 at")[0]
    assert "\n Positions: 118\n" in frame and "\n State traffic lights: 36\n" in frame
    place = "  Id: 174 Location: (10700, 13300, 58.1735) Rotation: (0, 0, 0)"
    control = "  Id: 174 Steering: 0 Throttle: 0 Brake: 0 Handbrake: 0 Gear: 0"
    for line in (place, "  Id: 2 state: 2 frozen: 0 elapsedTime: 0.165035", control, "  Id: 174 None"):
        assert f"\n{line}\n" in frame
    assert "   mass = 1696\n" in text and "    gear 0: ratio " in text and "    wheel 3: tire_friction " in text


@pytest.fixture
def incident(tmp_path) -> RecorderLog:
    """Vehicle 1 is a hero and drives; 2 stands until 8 s; they touch at 4 s for two frames, 1 touches a wall at 6 s."""
    actors = w.added(w.actor(1, 1, "vehicle.a.a", role_name="hero"), w.actor(2, 1, "vehicle.b.b"))
    touch, wall = (0, 1, 2, True, False), (1, 1, 0xFFFFFFFF, True, False)
    hits = {4: [touch], 5: [touch], 6: [wall]}
    data = w.header("Town01")
    for i in range(10):
        places = w.positions({1: (500 * i, 0, 0, 0, 0, 0), 2: (900 * (i > 8), 100, 0, 0, 0, 0)})
        packets = [actors] if i == 0 else []
        data += w.frame(i + 1, float(i), 1.0, *packets, places, w.listed(5, "III??", hits.get(i, [])))
    path = tmp_path / "incident.log"
    path.write_bytes(data)
    return read_log(path)


def test_a_collision_is_told_once_while_it_lasts(incident):
    rows = [line.split() for line in collisions(incident).split("\n")[5:-4]]
    assert rows == [
        ["4", "v", "v", "1", "vehicle.a.a", "2", "vehicle.b.b"],
        ["6", "v", "o", "1", "vehicle.a.a", "4294967295"],
    ]
    assert "vehicle.b.b" not in collisions(incident, "h", "w")
    assert "vehicle.b.b" in collisions(incident, "h", "v") and "4294967295" not in collisions(incident, "h", "v")


def test_the_longest_stays_come_first(incident):
    lines = blocked_actors(incident, 3.0, 100.0).split("\n")
    assert [line.split() for line in lines[4:-4]] == [
        ["Time", "Id", "Actor", "Duration"],
        ["0", "2", "vehicle.b.b", "9"],
    ]
    assert "vehicle.b.b" not in blocked_actors(incident, 9.5, 100.0)
