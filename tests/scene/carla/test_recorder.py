"""The recorder format, byte by byte."""

from __future__ import annotations

import struct
from datetime import datetime, timezone

import numpy as np
import pytest
from helpers import recorder_writer as w

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.carla.packets import Packet
from cosmos_exp.scene.carla.recorder import read_log


@pytest.fixture
def write(tmp_path):
    def write(data: bytes, name: str = "drive.log"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def one_frame(*packets: bytes) -> bytes:
    return w.header() + w.frame(1, 0.0, -1.0, *packets)


def test_header_is_unix_time_and_bare_map_name(write):
    log = read_log(write(w.header("Carla/Maps/Town10HD_Opt", date=1637676528) + w.frame(1, 0.0, -1.0)))
    assert log.date == datetime(2021, 11, 23, 14, 8, 48, tzinfo=timezone.utc)
    assert (log.version, log.map, log.map_name) == (1, "Carla/Maps/Town10HD_Opt", "Town10HD_Opt")


def test_positions_become_metres_and_keep_roll_pitch_yaw_order(write):
    log = read_log(write(one_frame(w.positions({9: (100, -250, 50, 1, 2, 3)}))))
    (row,) = log.frames[0][Packet.POSITION]
    assert row["id"] == 9
    np.testing.assert_allclose(row["location"], [1.0, -2.5, 0.5])
    np.testing.assert_allclose(row["rotation"], [1, 2, 3])


def test_actor_with_attributes_parent_and_deletion(write):
    record = w.actor(5, 1, "vehicle.audi.tt", location=(100, 200, 300), rotation=(1, 2, 3), role_name="hero", color="")
    log = read_log(write(one_frame(w.added(record), w.parents((6, 5)), w.deleted(4, 8))))
    (actor,) = log.frames[0].added
    assert actor.type_id == "vehicle.audi.tt" and actor.role == "hero" and actor.attributes["color"] == ""
    assert actor.location == pytest.approx((1, 2, 3)) and actor.rotation == (1, 2, 3)
    assert log.frames[0].parents == [(6, 5)] and log.frames[0].deleted == [4, 8]


def test_every_other_known_packet_is_decoded_without_leftovers(write):
    packets = (
        w.listed(5, "III??", [(1, 2, 0xFFFFFFFF, True, False)]),
        w.light_states({3: 2}),
        w.listed(8, "I3f?i", [(1, 0.5, 0.25, 0.125, True, -1)]),
        w.listed(9, "If", [(1, 1.5)]),
        w.listed(10, "II", [(1, 0x30)]),
        w.listed(11, "i5f?B", [(-1, 1.0, 1, 1, 1, 1, True, 2)]),
        w.listed(12, "I6f", [(1, 1, 2, 3, 4, 5, 6)]),
        w.boxes({1: ((1, 2, 3), (10, 20, 30))}),
        w.packet(14, struct.pack("<d", 1.5)),
        w.physics(1, [(1, 2, 3), (4, 5, 6)]),
        w.listed(16, "I3f", [(1, 10, 3, 2)]),
        w.listed(17, "I6f", [(1, 1, 2, 3, 10, 20, 30)]),
        w.packet(18, struct.pack("<Q", 99)),
        w.packet(19, struct.pack("<HIH", 1, 4, 1) + w.text("hips") + struct.pack("<6f", 100, 0, 0, 1, 2, 3)),
        w.packet(20, struct.pack("<d", 2.5)),
        w.listed(21, "IB?", [(1, 6, True)]),
        w.packet(22, struct.pack("<HII", 1, 1, 2) + struct.pack("<B2fB2f", 0, 5.0, 90.0, 1, 6.0, 91.0)),
        w.listed(23, "I2f", [(1, 3.0, 4.0)]),
    )
    log = read_log(write(one_frame(*packets)))
    frame = log.frames[0]
    assert log.warnings == () and log.leftover_bytes == 0
    assert frame[Packet.ANIM_VEHICLE]["gear"].tolist() == [-1]
    assert frame[Packet.COLLISION]["hero1"].tolist() == [True]
    assert frame[Packet.BOUNDING_BOX]["extent"].tolist() == [[0.1, 0.2, 0.3]]
    assert frame[Packet.KINEMATICS]["linear"].tolist() == [[1, 2, 3]]
    assert frame[Packet.SCENE_LIGHT]["id"].tolist() == [-1]
    assert frame.platform_time == 1.5 and frame.numbers[Packet.FRAME_COUNTER] == 99
    np.testing.assert_allclose(frame.physics[0].wheel_positions, [[0.01, 0.02, 0.03], [0.04, 0.05, 0.06]])
    assert frame.walker_bones[0].bones["hips"][0] == pytest.approx((1, 0, 0))
    assert frame.wheel_angles[0].wheels == ((0, 5.0, 90.0), (1, 6.0, 91.0))


@pytest.mark.parametrize("packet_id", [18, 24, 31])
def test_weather_is_recognised_by_size_under_any_id(write, packet_id):
    log = read_log(write(one_frame(w.listed(packet_id, "14f", [range(14)]))))
    assert log.frames[0][Packet.WEATHER]["values"].tolist() == [list(range(14))]
    assert log.warnings == ()


def test_unknown_ids_are_skipped_by_size_and_counted(write):
    noise = w.packet(139, b"eye tracker")
    log = read_log(write(one_frame(noise, w.positions({1: (0,) * 6}), noise)))
    assert len(log.frames[0][Packet.POSITION]) == 1
    assert log.warnings == ("skipped 2 packets of unknown id 139",)
    log = read_log(write(one_frame(*(w.packet(packet_id) for packet_id in range(100, 256)), noise)))
    assert log.warnings == ("skipped 157 packets of 156 unknown ids: 139 (2), 100 (1), 101 (1), 102 (1), 103 (1), ...",)


def test_a_hundred_thousand_unknown_packets_are_one_warning(write):
    """Read in time that grows with their number: 5 MB of them in a second or two."""
    log = read_log(write(one_frame(w.packet(139) * 100_000)))
    assert log.warnings == ("skipped 100000 packets of unknown id 139",)
    assert log.packet_counts["id 139"] == 100_000


def test_known_packet_of_another_layout_is_left_out(write):
    log = read_log(write(one_frame(w.packet(15, struct.pack("<HI", 1, 7)), w.positions({1: (0,) * 6}))))
    assert not log.frames[0].physics and len(log.frames[0][Packet.POSITION]) == 1
    assert log.warnings[0].startswith("PhysicsControl packet of unknown layout left out: frame 1")


def test_records_longer_than_the_layout_are_not_read_askew(write):
    """Of two records of 32 bytes, the second would begin in the middle of the first."""
    longer = w.listed(6, "I6ff", [(1, *range(6), 9.0), (2, *range(6), 9.0)])
    log = read_log(write(one_frame(longer)))
    assert len(log.frames[0][Packet.POSITION]) == 0
    assert log.warnings == ("Position packet of unknown layout left out: frame 1: 2 records of 32 instead of 28 bytes",)


def test_a_broken_actor_costs_no_other(write):
    whole = w.actor(5, 1, "vehicle.audi.tt")
    log = read_log(write(one_frame(w.packet(2, struct.pack("<H", 2) + whole + whole[:20]))))
    assert [actor.id for actor in log.frames[0].added] == [5]
    assert "EventAdd packet of unknown layout" in log.warnings[0]


def test_two_packets_of_a_kind_in_one_frame(write):
    """They add up."""
    one, two = (w.added(w.actor(i, 1, "vehicle.audi.tt")) for i in (5, 6))
    log = read_log(write(one_frame(one, two, w.positions({5: (100,) * 6}), w.positions({6: (0,) * 6}))))
    assert [actor.id for actor in log.frames[0].added] == [5, 6]
    assert log.frames[0][Packet.POSITION]["location"].tolist() == [[1, 1, 1], [0, 0, 0]]
    assert log.warnings == ()


def test_text_that_is_no_utf8_is_shown_escaped(write):
    record = w.actor(5, 1, "vehicle.audi.tt", role_name="hero").replace(b"audi", b"\xff\xfedi")
    (actor,) = read_log(write(one_frame(w.added(record)))).frames[0].added
    assert actor.type_id == "vehicle.\\xff\\xfedi.tt" and actor.role == "hero"


WHEELS = struct.pack("<HII", 1, 1, 4) + struct.pack("<B2f", 0, 5.0, 90.0) * 4
DOOR, BIKER = struct.pack("<HIB?", 1, 1, 6, True), struct.pack("<HI2f", 1, 3, 2.0, 4.0)


@pytest.mark.parametrize(
    "order", [(WHEELS, BIKER, DOOR), (DOOR, WHEELS, BIKER), (BIKER, DOOR, WHEELS)], ids=["0.9.16", "0.10", "a fork"]
)
def test_packets_whose_ids_changed_are_told_by_their_layout(write, order):
    """21 to 23 mean other things in other versions; a frame without a vehicle of the kind has an empty list."""
    full = [w.packet(21 + i, payload) for i, payload in enumerate(order)]
    empty = [w.packet(packet_id, b"\0\0") for packet_id in (21, 22, 23)]
    frames = [w.frame(1, 0.0, 0.1, *empty), w.frame(2, 0.1, 0.1, *full), w.frame(3, 0.2, -1.0, *full)]
    log = read_log(write(w.header() + b"".join(frames)))
    assert log.warnings == () and log.leftover_bytes == 0
    assert {name: log.packet_counts[name] for name in ("AnimVehicleWheels", "AnimBiker", "VehicleDoor")} == {
        "AnimVehicleWheels": 3,
        "AnimBiker": 3,
        "VehicleDoor": 3,
    }
    frame = log.frames[1]
    assert frame.wheel_angles[0].wheels[0] == (0, 5.0, 90.0)
    assert frame[Packet.ANIM_BIKER]["engine_rotation"] == [4.0] and frame[Packet.VEHICLE_DOOR]["door"] == [6]


def test_one_odd_packet_changes_no_order(write):
    odd = w.packet(21, DOOR)
    frames = [w.frame(i, 0.1 * i, 0.1, w.packet(21, WHEELS) if i != 1 else odd) for i in range(1, 5)]
    log = read_log(write(w.header() + b"".join(frames)))
    assert [len(frame.wheel_angles) for frame in log.frames] == [0, 1, 1, 1]
    assert len(log.warnings) == 1 and "AnimVehicleWheels packet of unknown layout" in log.warnings[0]


def test_defects_are_told_once_each_with_their_count(write):
    torn = w.packet(21, WHEELS + b"xyz")
    frames = [w.frame(i, 0.1 * i, 0.1, torn) for i in range(1, 32)]
    log = read_log(write(w.header() + w.packet(7) * 9 + b"".join(frames)))
    assert log.warnings == (
        "packet outside any frame left out: State, and 8 more",
        "AnimVehicleWheels packet with bytes beyond its layout: frame 1: 3 bytes, and 30 more",
    )
    assert log.leftover_bytes == 31 * 3


def test_frame_times_that_are_none_or_no_order(write):
    times = [0.0, 0.1, float("nan"), 0.3, 0.2, 0.4, 1e9, float("inf")]
    log = read_log(write(w.header() + b"".join(w.frame(i + 1, t, 0.1) for i, t in enumerate(times))))
    assert np.isnan(log.times[[2, 7]]).all() and log.duration == 1e9
    assert log.warnings == (
        "frame without a finite time: frame 3 at nan s, and 1 more",
        "frame that is not later than the one before: frame 5 at 0.2 s after 0.3 s",
        "frame more than 10 s after the one before: frame 7 at 1e+09 s after 0.4 s",
    )


def test_a_date_beyond_the_calendar_costs_no_log(write):
    log = read_log(write(w.header(date=2**62) + w.frame(1, 0.0, -1.0)))
    assert log.date is None and log.warnings == (f"the date of the recording is none: {2**62} s after 1970",)


def test_surplus_bytes_of_a_known_packet_are_counted(write):
    log = read_log(write(one_frame(w.packet(3, struct.pack("<HI", 1, 7) + b"xyz"))))
    assert log.frames[0].deleted == [7] and log.leftover_bytes == 3


def test_truncated_tail_ends_the_log_with_a_warning(write):
    frames = [w.frame(i + 1, 0.1 * i, 0.1, w.positions({1: (i, 0, 0, 0, 0, 0)})) for i in range(3)]
    whole = w.header() + frames[0] + frames[1]
    for cut in range(1, len(frames[2])):
        log = read_log(write(whole + frames[2][:cut]))
        assert [f.id for f in log.frames] == [1, 2]
        assert log.warnings
    assert read_log(write(whole)).warnings == ()


def test_log_cut_inside_its_header_is_an_error(write):
    head = w.header()
    for cut in (0, 1, 5, len(head) - 1):
        with pytest.raises(UserError, match="ends inside its header"):
            read_log(write(head[:cut]))


def test_log_without_a_complete_frame_is_an_error(write):
    for data in (w.header(), w.header() + w.frame(1, 0.0, -1.0)[:-5]):
        with pytest.raises(UserError, match="no complete frame"):
            read_log(write(data))


@pytest.mark.parametrize("data", [w.header(magic="CARLA_RECORDEX"), b"PK\x03\x04" + b"\x00" * 200, b"\xff" * 64])
def test_other_files_are_not_recorder_logs(write, data):
    with pytest.raises(UserError, match=r"not a CARLA recorder log|ends inside its header"):
        read_log(write(data))


def test_missing_log_names_the_nearest_file(write):
    path = write(w.header(), "morning_drive.log")
    with pytest.raises(UserError, match=r"did you mean .*morning_drive\.log"):
        read_log(path.with_name("mornng_drive.log"))
    with pytest.raises(UserError, match="no folder"):
        read_log(path.parent / "absent" / "a.log")
    with pytest.raises(UserError, match="is a folder"):
        read_log(path.parent)


@pytest.mark.parametrize(
    ("name", "frames", "duration"),
    [("DistanceBetweenVehicles", 847, 24.723716), ("DistanceToLaneCenter", 432, 12.528205)],
)
def test_real_logs_leave_no_byte_over(shared, name, frames, duration):
    log = read_log(shared / "carla" / "logs" / f"{name}.log")
    assert len(log.frames) == frames and log.duration == pytest.approx(duration, abs=1e-6)
    assert log.leftover_bytes == 0 and log.warnings == () and log.map == "Town01"
