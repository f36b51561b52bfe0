"""Recorder logs that are written, against the reader and logs that CARLA wrote."""

from __future__ import annotations

from datetime import datetime, timezone
from io import BytesIO

import numpy as np
import pytest

from cosmos_exp.scene.carla.log_writer import LogWriter
from cosmos_exp.scene.carla.packets import ActorAdded, Packet, WalkerBones, WheelAngles, list_rows
from cosmos_exp.scene.carla.recorder import Frame, RecorderLog, read_log

DATE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


@pytest.fixture
def read_back(tmp_path):
    def read_back(*frames: Frame) -> RecorderLog:
        path = tmp_path / "drive.log"
        with path.open("wb") as file:
            writer = LogWriter(file, "Town01", DATE)
            for frame in frames:
                writer.write(frame)
        return read_log(path)

    return read_back


@pytest.mark.parametrize("name", ["DistanceBetweenVehicles.log", "DistanceToLaneCenter.log"])
def test_a_log_of_carlas_is_written_again_byte_by_byte(shared, name):
    log = read_log(shared / "carla/logs" / name)
    file = BytesIO()
    writer = LogWriter(file, log.map, log.date)
    for frame in log.frames:
        writer.write(frame)
    assert file.getvalue() == log.path.read_bytes()


def test_every_packet_is_read_as_it_was_written(read_back):
    box = (1, (0.0, 0.0, 0.7), (2.4, 1.0, 0.7))
    rows = {
        Packet.COLLISION: (1, 2, 3, True, False),
        Packet.POSITION: (1, (1.5, -2.0, 0.25), (1.0, 2.0, 3.0)),
        Packet.STATE: (2, True, 1.5, 2),
        Packet.ANIM_VEHICLE: (1, -0.5, 0.25, 0.125, True, -1),
        Packet.ANIM_WALKER: (3, 1.5),
        Packet.VEHICLE_LIGHT: (1, 0x28),
        Packet.SCENE_LIGHT: (-4, 10.0, (1.0, 0.5, 0.25, 1.0), True, 2),
        Packet.KINEMATICS: (1, (9.0, 0.0, 0.0), (0.0, 0.0, 20.0)),
        Packet.BOUNDING_BOX: box,
        Packet.TRAFFIC_LIGHT_TIME: (2, 10.0, 3.0, 2.0),
        Packet.TRIGGER_VOLUME: box,
        Packet.VEHICLE_DOOR: (1, 6, True),
        Packet.ANIM_BIKER: (5, 4.0, 100.0),
        Packet.WEATHER: (tuple(range(14)),),
    }
    frame = Frame(
        1,
        -1.0,
        0.0,
        added=[ActorAdded(1, 1, "vehicle.a.b", 7, (1.0, 2.0, 3.0), (0.0, 0.0, 90.0), {"role_name": "é"}, {})],
        deleted=[8, 9],
        parents=[(3, 1)],
        walker_bones=[WalkerBones(3, {"hips": ((0.0, 0.0, 1.0), (0.0, 10.0, 0.0))})],
        wheel_angles=[WheelAngles(1, ((0, 5.0, 90.0), (1, 6.0, 91.0)))],
        lists={packet: [list_rows(packet, [row])] for packet, row in rows.items()},
        numbers={Packet.PLATFORM_TIME: 0.5, Packet.FRAME_COUNTER: 99, Packet.VISUAL_TIME: 1.25},
    )
    log = read_back(frame)
    (got,) = log.frames
    assert log.warnings == () and log.leftover_bytes == 0 and log.date == DATE and log.map == "Town01"
    for packet, row in rows.items():
        np.testing.assert_allclose(_numbers(got[packet]), _numbers(list_rows(packet, [row])), rtol=1e-6)
    (actor,) = got.added
    assert (actor.type_id, actor.location, actor.attributes) == ("vehicle.a.b", (1.0, 2.0, 3.0), {"role_name": "é"})
    assert (got.deleted, got.parents, got.numbers) == ([8, 9], [(3, 1)], frame.numbers)
    assert got.wheel_angles == frame.wheel_angles and got.walker_bones == frame.walker_bones


def _numbers(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([rows[name].ravel().astype(float) for name in rows.dtype.names or ()])


def test_a_frame_learns_its_duration_from_the_next(read_back):
    log = read_back(*(Frame(i + 1, -1.0, t) for i, t in enumerate((0.0, 0.05, 0.125))))
    assert [frame.duration for frame in log.frames] == [0.05, 0.075, -1.0]


def test_a_recording_can_be_read_up_to_its_last_frame_at_any_time(tmp_path):
    path = tmp_path / "drive.log"
    with path.open("wb", buffering=0) as file:
        writer = LogWriter(file, "Town01", DATE)
        for count in range(1, 4):
            writer.write(Frame(count, -1.0, count * 0.1))
            assert len(read_log(path).frames) == count


def test_what_the_format_cannot_hold_leaves_the_file_as_it_was():
    file = BytesIO()
    writer = LogWriter(file, "Town01", DATE)
    writer.write(Frame(1, -1.0, 0.0))
    before = file.getvalue()
    with pytest.raises(ValueError, match="65535 records of a kind in a frame, not 65536"):
        writer.write(Frame(2, -1.0, 0.1, deleted=range(65536)))
    with pytest.raises(ValueError, match="65535 bytes, not 70000"):
        writer.write(Frame(2, -1.0, 0.1, added=[ActorAdded(1, 0, "x" * 70000, 0, (0, 0, 0), (0, 0, 0), {}, {})]))
    assert file.getvalue() == before
