"""What a server says of a log, and which of its vehicles is the ego."""

from __future__ import annotations

import pytest
from helpers.carla_clients import require_carla

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.carla_live.connection import CaptureError, Server, check_versions, connect
from cosmos_exp.scene.carla_live.ego import Vehicle, find_ego
from cosmos_exp.scene.carla_live.recording import check_window, last_frame, parse_info, replayed_ego

INFO = """\
Version: 1
Map: Carla/Maps/Town01
Date: 11/23/21 14:08:48

Frame 1 at 0 seconds
 Create 1: spectator (0) at (10700, 13300, 62)
 Create 50: vehicle.audi.tt (1) at (0, 0, 0)
  number_of_wheels = 4
  role_name = autopilot
Frame 51 at 1.25 seconds
 Create 174: vehicle.lincoln.mkz_2017 (1) at (10700, 13300, 62)
  role_name = hero
  color = 16,16,16
 Create 180: sensor.camera.rgb (5) at (0, 0, 0)
  role_name = front
 Parenting 180 with 174 (parent)

Frames: 847
Duration: 24.7237 seconds
"""


def test_a_log_is_known_by_what_the_server_prints() -> None:
    recording = parse_info("drive.log", INFO)
    assert (recording.town, recording.frames, recording.duration) == ("Town01", 847, 24.7237)
    assert [str(recorded.vehicle) for recorded in recording.vehicles] == [
        "50 vehicle.audi.tt (role autopilot)",
        "174 vehicle.lincoln.mkz_2017 (role hero)",
    ]
    assert recording.ego(None).seconds == 1.25
    assert recording.ego("50").vehicle.role == "autopilot"
    assert recording.ego("vehicle.audi.tt").vehicle.id == 50


def test_a_log_that_the_server_lacks_is_named() -> None:
    with pytest.raises(CaptureError, match=r"no recorder log 'drive\.log' .* it says: File drive\.log not found"):
        parse_info("drive.log", "File drive.log not found on server\n")


def test_an_ego_that_is_not_there_lists_the_vehicles() -> None:
    """By id, type and role."""
    recording = parse_info("drive.log", INFO)
    listed = "the vehicles are: 50 vehicle.audi.tt (role autopilot); 174 vehicle.lincoln.mkz_2017 (role hero)"
    for ego, told in (("7", "no vehicle has the actor id 7"), ("taxi", "no vehicle has the role or type 'taxi'")):
        with pytest.raises(UserError) as error:
            recording.ego(ego)
        assert told in str(error.value) and listed in str(error.value)


def test_an_ego_of_which_there_are_two_is_asked_for_by_id() -> None:
    twins = [Vehicle(1, "taxi", "vehicle.audi.tt"), Vehicle(2, "taxi", "vehicle.audi.tt")]
    with pytest.raises(UserError, match="'taxi' is that of 2 vehicles: give the ego's actor id"):
        find_ego(twins, "taxi")
    with pytest.raises(UserError, match="there are no vehicles"):
        find_ego([], None)


def test_a_replayed_ego_is_found_under_another_id() -> None:
    hero = parse_info("drive.log", INFO).ego(None)
    played = Vehicle(9, "hero", "vehicle.lincoln.mkz_2017")
    assert replayed_ego(hero, [Vehicle(50, "autopilot", "vehicle.audi.tt"), played]) is played
    same_id = Vehicle(174, "hero", "vehicle.lincoln.mkz_2017")
    assert replayed_ego(hero, [played, same_id]) is same_id
    with pytest.raises(CaptureError, match=r"174 vehicle.lincoln.mkz_2017 .role hero. of the log: 2 vehicles are of"):
        replayed_ego(hero, [played, Vehicle(10, "hero", "vehicle.lincoln.mkz_2017")])
    other = Vehicle(174, "", "vehicle.audi.tt")
    with pytest.raises(CaptureError, match=r"no vehicle is of its type.*174 vehicle\.audi\.tt.*from 1\.25 s on"):
        replayed_ego(hero, [other])


def test_frames_do_not_go_past_the_end() -> None:
    recording = parse_info("drive.log", INFO)
    assert last_frame(recording, 0.0, 1 / 24) == 593 and last_frame(recording, 24.0, 2 / 24) == 8
    check_window(recording, 19.7, 1 / 24, 121)
    with pytest.raises(UserError, match=r"121 frames 0.04167 s of the log apart end at 25.000 s.*at most 114 frames"):
        check_window(recording, 20.0, 1 / 24, 121)
    with pytest.raises(UserError, match=r"start 30 s lies outside the log, which is 24.7237 s long"):
        check_window(recording, 30.0, 1 / 24, 1)


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        ("0.9.16", "0.9.15", "server at .* is CARLA 0.9.15, the installed client is 0.9.16.*pip install carla==0.9.15"),
        ("0.9.16", "0.10.0", "of one version; use a server of 0.9.16"),
        ("0.10.0", "0.10.0", "is CARLA 0.10.0; captures know 0.9.13, 0.9.14, 0.9.15, 0.9.16"),
        ("0.9.16", "8a3b21", "is CARLA 8a3b21"),
    ],
)
def test_versions_that_do_not_go_together_are_told(ours: str, theirs: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_versions(ours, theirs, Server())


def test_a_build_of_ones_own_is_of_its_release() -> None:
    check_versions("0.9.16", "0.9.16-dirty", Server())


def test_a_port_where_nothing_listens_is_told_at_once() -> None:
    require_carla()
    with pytest.raises(UserError, match=r"no CARLA server at 127\.0\.0\.1:9 \(Connection refused\).*carla-sim"):
        connect(Server(port=9, timeout=60))
