"""Recorder log and map -> Scene: axes, lives of actors, classes, lights, errors."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest
from helpers import opendrive_writer as o
from helpers import recorder_writer as w
from helpers.small_drive import (
    CAR,
    EGO,
    PROP,
    SPEED,
    TIMES,
    WALKER,
    at,
    small_drive,
    tracks_by_id,
)

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.carla.axes import carla_rotation, flu_heading, flu_points, flu_poses
from cosmos_exp.scene.carla.log import load_carla_scene
from cosmos_exp.scene.carla.recorder import ActorType, read_log
from cosmos_exp.scene.opendrive.planar import distance_to_polyline
from cosmos_exp.scene.opendrive.reader import load_opendrive
from cosmos_exp.scene.types import ActorClass, LaneType, LightState


def test_rotation_matrix_has_carlas_handedness():
    """Nose up, right side down and clockwise turns, in CARLA's axes and in ours."""
    roll, pitch, yaw = (carla_rotation(np.array(v)) for v in ([30, 0, 0], [0, 30, 0], [0, 0, 30]))
    assert pitch[2, 0] == pytest.approx(0.5)
    assert yaw[1, 0] == pytest.approx(0.5)
    assert roll[2, 1] == pytest.approx(-0.5)
    poses = flu_poses(np.array([[1.0, 2.0, 3.0]] * 3), np.array([[30, 0, 0], [0, 30, 0], [0, 0, 30]]))
    np.testing.assert_allclose(poses[:, :3, 3], [[1, -2, 3]] * 3)
    np.testing.assert_allclose(np.linalg.det(poses[:, :3, :3]), 1)
    assert poses[0, 2, 1] == pytest.approx(0.5), "left side up"
    assert poses[1, 2, 0] == pytest.approx(0.5), "nose up"
    assert poses[2, 1, 0] == pytest.approx(-0.5), "clockwise, so to the right"


def test_rotation_order_is_roll_then_pitch_then_yaw():
    def about(axis: int, degrees: float) -> np.ndarray:
        return carla_rotation(np.eye(3)[axis] * degrees)

    combined = carla_rotation(np.array([10, 20, 30]))
    np.testing.assert_allclose(combined, about(2, 30) @ about(1, 20) @ about(0, 10), atol=1e-12)


def test_ego_is_at_its_cuboids_centre_and_the_rig_below_the_rear_axle(load):
    scene = load()
    assert scene.ego.size == pytest.approx((4.8, 2.0, 1.5))
    np.testing.assert_allclose(scene.ego.trajectory.poses[0, :3, 3], (1.1, -1.75 + 0.05, 0.7), atol=1e-6)
    np.testing.assert_allclose(scene.rig_trajectory.poses[0, :3, 3], (-0.3, -1.75, -0.05), atol=1e-6)
    later = scene.rig_trajectory.at(0.5)[:3, 3]
    assert later[0] == pytest.approx(-0.3 + SPEED * (0.5 - TIMES[2]), abs=1e-4), "irregular frame times are respected"


def test_rear_axle_without_recorded_wheels(load):
    drive = small_drive()
    drive.extra[2].pop()
    rig = load(drive).rig_trajectory.poses[0, :3, 3]
    assert rig[0] == pytest.approx(1.1 - 0.29 * 4.8)


def test_turns_are_interpolated_along_the_shortest_arc(load):
    drive = small_drive()
    drive.movers[EGO] = {i: at(i, yaw=170 if i < 5 else -170) for i in range(2, 10)}
    scene = load(drive)
    middle = scene.ego.trajectory.at((TIMES[4] + TIMES[5]) / 2)
    assert np.degrees(np.arctan2(middle[1, 0], middle[0, 0])) % 360 == pytest.approx(180)


def test_tracks_are_vehicles_walkers_and_usable_props(load, caplog):
    with caplog.at_level(logging.INFO):
        tracks = tracks_by_id(load())
    assert set(tracks) == {"11", "12", "13"}
    assert [tracks[k].actor_class for k in ("11", "12", "13")] == [
        ActorClass.CAR,
        ActorClass.PEDESTRIAN,
        ActorClass.OTHER,
    ]
    assert tracks["11"].color == pytest.approx((1.0, 0.0, 0.2)) and tracks["11"].model == "vehicle.nissan.patrol"
    assert tracks["13"].color is not None
    assert tracks["12"].size == pytest.approx((0.4, 0.4, 1.86))
    heading = tracks["12"].trajectory.poses[0, :3, 0]
    np.testing.assert_allclose(heading, (0, -1, 0), atol=1e-6)
    assert "1 actors static.prop.mesh are not part of the scene" in caplog.text


def test_actors_far_below_ground_are_not_there(load):
    car = tracks_by_id(load())["11"]
    assert car.trajectory.times[0] == TIMES[5]
    assert not car.exists_at(TIMES[4]) and car.exists_at(TIMES[9])
    np.testing.assert_allclose(car.trajectory.poses[:, 2, 3], 0.9, atol=1e-6)


def test_an_actor_that_returns_or_jumps_gets_another_track(load):
    drive = small_drive()
    gone = {**drive.movers[PROP]}
    del gone[6]
    drive.movers[PROP] = gone
    drive.movers[WALKER] = {i: at(20 if i < 5 else 90, y=-500) for i in range(10)}
    drive.add(4, w.deleted(CAR))
    drive.add(7, w.added(w.actor(CAR, 1, "vehicle.tesla.model3")), w.boxes({CAR: ((0, 0, 90), (230, 95, 90))}))
    tracks = tracks_by_id(load(drive))
    spans = {name: (t.trajectory.times[0], t.trajectory.times[-1]) for name, t in tracks.items()}
    assert spans["13"][1] == TIMES[5] and spans["13_1"][0] == TIMES[7]
    assert spans["12"][1] == TIMES[4] and spans["12_1"][0] == TIMES[5]
    assert tracks["11"].model == "vehicle.tesla.model3" and spans["11"][0] == TIMES[7]
    assert len({t.id for t in tracks.values()}) == len(tracks)


def test_signals_without_a_finite_place_are_left_out(load, caplog):
    drive = small_drive()
    drive.add(0, w.added(w.actor(17, 4, "traffic.stop", location=(math.nan, 0, 0))))
    assert len(load(drive).map.traffic_signs) == 1
    assert "signal without a finite place left out: traffic.stop 17" in caplog.text


@pytest.mark.parametrize("color", ["9" * 5000 + ",0,0", "²,0,0", "300,0,0", "red"])
def test_colors_that_are_none_are_counted(load, color, caplog):
    drive = small_drive()
    for actor in (40, 41):
        drive.add(0, w.added(w.actor(actor, 1, "vehicle.audi.tt", color=color)), w.boxes({actor: w.NAN_BOX}))
        drive.movers[actor] = {i: at(50 + actor) for i in range(len(TIMES))}
    assert tracks_by_id(load(drive))["40"].color is None
    (line,) = (record.message for record in caplog.records if "color" in record.message)
    assert "of actor 40, and 1 more" in line and len(line) < 200


@pytest.mark.parametrize("name", ["straight01", "Carla/Maps/Straight01", "/Game/Carla/Maps/Straight01_Opt"])
def test_same_town_under_other_spellings(load, name):
    drive = small_drive()
    drive.town = name
    assert load(drive).map.name == "Straight01"


def test_map_of_another_town(load, tmp_path):
    drive = small_drive()
    other = tmp_path / "Town02.xodr"
    other.write_text(o.straight_town())
    with pytest.raises(UserError, match=r"recorded in 'Straight01'.*is 'Town02': did you mean .*Straight01\.xodr"):
        load(drive, map=other)
    other.write_text(o.straight_town().replace('name=""', 'name="Straight01"', 1))
    assert load(drive, map=other).map.name == "Straight01"


def test_missing_and_truncated_inputs(load, tmp_path, town):
    with pytest.raises(UserError, match=r"did you mean .*Straight01\.xodr"):
        load(map=tmp_path / "Straigt01.xodr")
    with pytest.raises(UserError, match=r"recorder log .* not found"):
        load_carla_scene(tmp_path / "absent.log", town)
    town.write_text(o.straight_town()[:500])
    with pytest.raises(UserError, match="truncated"):
        load()


def test_recorded_light_gives_the_maps_light_its_states(load):
    (light,) = load().map.traffic_lights
    assert light.id == "77"
    assert light.states == (LightState.RED, LightState.GREEN, LightState.OFF)
    np.testing.assert_allclose(light.state_times, TIMES[[0, 4, 8]])
    assert light.state_at(TIMES[5]) is LightState.GREEN


def test_signals_that_the_map_lacks_are_added(load, caplog):
    drive = small_drive()
    light = w.actor(16, 3, "traffic.traffic_light", location=(3000, 500, 0), rotation=(0, 0, 90))
    sign = w.actor(17, 4, "traffic.stop", location=(4000, 500, 0), rotation=(0, 0, 90))
    drive.add(0, w.added(light, sign))
    drive.lights[16] = {0: 1}
    scene_map = load(drive).map
    added = scene_map.traffic_lights[1]
    assert added.id == "actor_16" and added.states == (LightState.YELLOW,)
    np.testing.assert_allclose(added.pose[:3, 0], (-1, 0, 0), atol=1e-6)
    assert scene_map.traffic_signs[1].kind == "stop"
    assert "signal of the log that the map does not have, added: traffic.traffic_light 16, and 1 more" in caplog.text


def test_missing_boxes_are_assumed_and_said(load, caplog):
    drive = small_drive()
    drive.extra[0] = [packet for packet in drive.extra[0] if packet[0] != 13]
    tracks = tracks_by_id(load(drive))
    assert tracks["11"].size == (4.6, 1.9, 1.55) and tracks["12"].size == (0.5, 0.5, 1.8)
    assert "13" not in tracks, "a prop without a box is no track"
    assert "without a usable bounding box: actor 11 (vehicle.nissan.patrol), taken as 4.6 x 1.9 x 1.55 m" in caplog.text


@pytest.mark.parametrize(
    ("type_id", "attributes", "expected"),
    [
        ("vehicle.carlamotors.firetruck", {"base_type": "truck"}, ActorClass.TRUCK),
        ("vehicle.carlamotors.carlacola", {}, ActorClass.TRUCK),
        ("vehicle.mitsubishi.fusorosa", {}, ActorClass.BUS),
        ("vehicle.bh.crossbike", {"number_of_wheels": "2"}, ActorClass.BICYCLE),
        ("vehicle.new.scooter", {"number_of_wheels": "2"}, ActorClass.MOTORCYCLE),
        ("vehicle.mercedes.sprinter", {"base_type": "van"}, ActorClass.CAR),
        ("vehicle.audi.tt", {"base_type": ""}, ActorClass.CAR),
    ],
)
def test_vehicle_classes(load, type_id, attributes, expected):
    drive = small_drive()
    drive.add(0, w.added(w.actor(40, 1, type_id, **attributes)), w.boxes({40: ((0, 0, 90), (230, 95, 90))}))
    drive.movers[40] = {i: at(50) for i in range(len(TIMES))}
    assert tracks_by_id(load(drive))["40"].actor_class is expected


def test_two_wheelers_carry_a_rider(load):
    drive = small_drive()
    bike = w.actor(40, 1, "vehicle.bh.crossbike", number_of_wheels="2", color="0,0,255")
    drive.add(0, w.added(bike), w.boxes({40: ((0, 0, 80), (75, 25, 80))}))
    drive.movers[40] = {i: at(50) for i in range(len(TIMES))}
    tracks = tracks_by_id(load(drive))
    bike, rider = tracks["40"], tracks["40_rider"]
    assert rider.actor_class is ActorClass.RIDER and rider.color is None
    assert bike.size == pytest.approx((1.5, 0.5, 1.1)) and bike.color == (0, 0, 1)
    assert bike.trajectory.poses[0, 2, 3] == pytest.approx(0.55)
    assert rider.trajectory.poses[0, 2, 3] == pytest.approx(0.45 + 1.25 / 2)


def test_facts_and_scenery(load):
    scene = load()
    assert scene.facts == {
        "road": "straight_2lane",
        "area": "residential",
        "lanes": "2",
        "speed": "36 km/h",
        "town": "Straight01",
    }
    assert scene.map.buildings and scene.map.trees
    again, other = load(), load(seed=3)
    assert [b.height for b in again.map.buildings] == [b.height for b in scene.map.buildings]
    assert [b.height for b in other.map.buildings] != [b.height for b in scene.map.buildings]


@pytest.mark.parametrize(
    ("name", "mean", "largest", "lane"),
    [("DistanceBetweenVehicles", 0.311, 0.467, "4:0:-1"), ("DistanceToLaneCenter", 0.309, 1.352, "8:0:1")],
)
def test_real_ego_keeps_its_lane(shared, name, mean, largest, lane):
    """Figures of the reference client (distance of the actor's origin to the nearest driving lane's centre)."""
    carla = shared / "carla"
    scene = load_carla_scene(carla / "logs" / f"{name}.log", carla / "maps" / "Town01.xodr")
    poses = scene.ego.trajectory.poses
    origins = (poses[:, :3, 3] - poses[:, :3, :3] @ np.array([0.004043, 0.0, 0.71886]))[:, :2]
    driving = [item for item in scene.map.lanes if item.type is LaneType.DRIVING]
    distances = np.array([distance_to_polyline(origins, (item.left + item.right)[:, :2] / 2) for item in driving])
    nearest = distances.min(axis=0)
    assert nearest.mean() == pytest.approx(mean, abs=6e-4) and nearest.max() == pytest.approx(largest, abs=6e-4)
    assert {driving[k].id for k in distances.argmin(axis=0)} == {lane}
    assert len(scene.map.lanes) < 400 and scene.facts["road"] == "straight_2lane"


def test_real_scene(shared):
    carla = shared / "carla"
    scene = load_carla_scene(carla / "logs" / "DistanceBetweenVehicles.log", carla / "maps" / "Town01.xodr")
    (other,) = scene.tracks
    assert other.model == "vehicle.nissan.patrol" and other.trajectory.times[0] > 2.0
    assert other.trajectory.poses[:, 2, 3].min() > 0
    assert (scene.start, scene.end) == pytest.approx((0.0, 24.696887))
    assert all(light.states for light in scene.map.traffic_lights)
    facing_ego = [light for light in scene.map.traffic_lights if light.pose[0, 0] < -0.99]
    assert facing_ego, "lights at the end of the road look at the ego"


def test_recorded_lights_face_as_the_maps_do(shared):
    """The rule for lights that only a log knows agrees with the map's own lights, for all 36 of the town."""
    carla = shared / "carla"
    log = read_log(carla / "logs" / "DistanceBetweenVehicles.log")
    lights = load_opendrive(carla / "maps" / "Town01.xodr").traffic_lights
    recorded = [a for frame in log.frames for a in frame.added if a.type == ActorType.TRAFFIC_LIGHT]
    matched = set()
    for actor in recorded:
        place = flu_points(np.array(actor.location))
        light = min(lights, key=lambda item: np.linalg.norm(item.pose[:2, 3] - place[:2]))
        heading = flu_heading(actor.rotation[2] + 90)
        assert light.pose[:2, 0] @ [np.cos(heading), np.sin(heading)] > 0.99
        matched.add(light.id)
    assert len(recorded) == len(matched) == 36
