"""Ticks of a world become a recorder log."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from cosmos_exp.scene.carla.log_recording import ActorState, LogRecording, SignalState, VehicleControl
from cosmos_exp.scene.carla.packets import Packet
from cosmos_exp.scene.carla.recorder import ActorType, RecorderLog, read_log

CAR = ActorState(
    7,
    ActorType.VEHICLE,
    "vehicle.audi.tt",
    (10.0, -2.0, 0.5),
    (0.0, 0.0, 90.0),
    {"role_name": "hero"},
    box=((0.0, 0.0, 0.7), (2.1, 1.0, 0.7)),
    velocity=(0.0, 9.0, 0.0),
    control=VehicleControl(throttle=0.5),
    lights=8,
)
CAMERA = ActorState(
    8, ActorType.SENSOR, "sensor.camera.rgb", (11.0, -2.0, 2.0), parent=7, attached=((0.0, 1.0, 1.5), (0.0, 8.0, 0.0))
)
LIGHT = ActorState(9, ActorType.TRAFFIC_LIGHT, "traffic.traffic_light", (0.0, 0.0, 0.0), signal=SignalState(2, 1.5))
WALKER = ActorState(10, ActorType.WALKER, "walker.pedestrian.0001", (5.0, 5.0, 0.9), speed=1.4)


@pytest.fixture
def record(tmp_path):
    def record(*ticks: list[ActorState], additional_data: bool = True) -> RecorderLog:
        path = tmp_path / "drive.log"
        with path.open("wb") as file:
            recording = LogRecording(file, "Town01", datetime.now(timezone.utc), additional_data=additional_data)
            for number, actors in enumerate(ticks):
                recording.tick(20 + 0.5 * number, actors, platform_time=100 + number)
        log = read_log(path)
        assert log.warnings == ()
        return log

    return record


def test_a_tick_holds_what_carla_records_of_each_type(record):
    (frame,) = record([CAR, CAMERA, LIGHT, WALKER]).frames
    assert [actor.id for actor in frame.added] == [7, 8, 9, 10] and frame.parents == [(8, 7)]
    assert frame.added[1].location == (0.0, 1.0, 1.5) and frame.added[1].rotation == (0.0, 8.0, 0.0)
    assert frame.added[0].role == "hero"
    assert frame[Packet.POSITION]["id"].tolist() == [7, 10]
    assert frame[Packet.POSITION]["rotation"][0].tolist() == [0.0, 0.0, 90.0]
    assert frame[Packet.STATE][["id", "elapsed", "state"]].tolist() == [(9, 1.5, 2)]
    assert frame[Packet.ANIM_VEHICLE][["id", "throttle", "gear"]].tolist() == [(7, 0.5, 1)]
    assert frame[Packet.VEHICLE_LIGHT].tolist() == [(7, 8)]
    assert frame[Packet.ANIM_WALKER]["speed"][0] == pytest.approx(1.4)
    assert frame[Packet.BOUNDING_BOX]["id"].tolist() == [7]
    assert frame[Packet.KINEMATICS]["linear"].tolist() == [[0.0, 9.0, 0.0], [0.0, 0.0, 0.0]]
    assert frame[Packet.TRAFFIC_LIGHT_TIME][["id", "green"]].tolist() == [(9, 10.0)]


def test_actors_are_added_once_and_deleted_once(record):
    log = record([CAR], [CAR, WALKER], [WALKER], [WALKER])
    assert [[actor.id for actor in frame.added] for frame in log.frames] == [[7], [10], [], []]
    assert [list(frame.deleted) for frame in log.frames] == [[], [], [7], []]


def test_an_id_of_another_actor_is_deleted_first_and_added_in_the_next_frame(record):
    other = replace(CAR, type_id="vehicle.nissan.patrol")
    log = record([CAR], [other], [other])
    assert [list(frame.deleted) for frame in log.frames] == [[], [7], []]
    assert [[actor.type_id for actor in frame.added] for frame in log.frames] == [
        ["vehicle.audi.tt"],
        [],
        ["vehicle.nissan.patrol"],
    ]


def test_times_count_from_the_first_tick(record):
    log = record([CAR], [CAR], [CAR])
    assert [(frame.id, frame.elapsed, frame.duration) for frame in log.frames] == [
        (1, 0.0, 0.5),
        (2, 0.5, 0.5),
        (3, 1.0, -1.0),
    ]
    assert [frame.platform_time for frame in log.frames] == [0.0, 1.0, 2.0]


def test_without_additional_data_there_are_poses_states_and_controls_only(record):
    (frame,) = record([CAR, LIGHT], additional_data=False).frames
    assert frame.numbers == {} and len(frame[Packet.POSITION]) == 1 and len(frame[Packet.STATE]) == 1
    assert Packet.BOUNDING_BOX not in frame.lists and Packet.KINEMATICS not in frame.lists
