"""Recorder log and map -> Scene: axes, windows, lives of actors, lights, errors."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from helpers import opendrive_writer as o
from helpers import recorder_writer as w

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.carla.axes import carla_rotation, flu_heading, flu_points, flu_poses
from cosmos_exp.scene.carla.log import load_carla_scene
from cosmos_exp.scene.carla.recorder import ActorType, read_log
from cosmos_exp.scene.opendrive.planar import distance_to_polyline
from cosmos_exp.scene.opendrive.reader import load_opendrive
from cosmos_exp.scene.types import ActorClass, LaneType, LightState

TIMES = np.cumsum([0.0, 0.05, 0.12, 0.03, 0.1, 0.07, 0.11, 0.02, 0.1, 0.1, 0.1])
EGO, CAR, WALKER, PROP, CHAIR, LIGHT, SPECTATOR = 10, 11, 12, 13, 14, 15, 1
SPEED = 10.0
LANE_Y = 175  # centimetres: CARLA's y is to the right, where lane -1 lies


def at(x: float, y: float = LANE_Y, z: float = 0.0, yaw: float = 0.0) -> tuple[float, ...]:
    return (100 * x, y, z, 0.0, 0.0, yaw)


def small_drive() -> w.Drive:
    """The ego at 10 m/s along x from frame 2 on, a car parked below ground until frame 5, a walker, props, a light."""
    drive = w.Drive(times=TIMES)
    drive.add(
        0,
        w.added(
            w.actor(SPECTATOR, 0, "spectator"),
            w.actor(CAR, 1, "vehicle.nissan.patrol", color="255,0,51", number_of_wheels="4", role_name="scenario"),
            w.actor(WALKER, 2, "walker.pedestrian.0001"),
            w.actor(PROP, 0, "static.prop.trafficcone01"),
            w.actor(CHAIR, 0, "static.prop.mesh"),
            w.actor(LIGHT, 3, "traffic.traffic_light", location=(12050, 450, 10)),
        ),
        w.boxes(
            {
                SPECTATOR: w.NAN_BOX,
                CAR: ((0, 0, 90), (230, 95, 90)),
                WALKER: ((0, 0, 0), (20, 20, 93)),
                PROP: ((0, 0, 25), (20, 20, 25)),
                CHAIR: ((0, 0, 50), (30, 30, 50)),
            }
        ),
    )
    drive.add(
        2,
        w.added(w.actor(EGO, 1, "vehicle.lincoln.mkz", color="16,16,16", role_name="hero")),
        w.boxes({EGO: ((10, -5, 70), (240, 100, 75))}),
        w.physics(EGO, [(250, 95, 30), (250, 255, 30), (-30, 95, 30), (-30, 255, 30)]),
    )
    drive.add(10, w.deleted(EGO, WALKER))
    count = len(TIMES)
    drive.movers = {
        EGO: {i: at(1 + SPEED * (TIMES[i] - TIMES[2])) for i in range(2, 10)},
        CAR: {i: at(30, z=-50000.0 if i < 5 else 0.0) for i in range(count)},
        WALKER: {i: at(20, y=-520 + 5 * i, z=93, yaw=90) for i in range(10)},
        PROP: {i: at(15, y=300) for i in range(count)},
        CHAIR: {i: at(15, y=-500) for i in range(count)},
        SPECTATOR: {i: at(0) for i in range(count)},
    }
    drive.lights = {LIGHT: {i: (0 if i < 4 else 2 if i < 8 else 4) for i in range(count)}}
    return drive


@pytest.fixture
def town(tmp_path):
    path = tmp_path / "Straight01.xodr"
    path.write_text(o.straight_town())
    return path


@pytest.fixture
def load(tmp_path, town):
    def load(drive: w.Drive | None = None, **arguments):
        path = tmp_path / "drive 1.5.log"
        path.write_bytes((drive or small_drive()).to_bytes())
        return load_carla_scene(path, arguments.pop("map", town), **arguments)

    return load


def tracks_by_id(scene):
    return {track.id: track for track in scene.tracks}


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


def test_default_window_is_the_egos_life(load):
    scene = load()
    assert (scene.start, scene.end) == pytest.approx((TIMES[2], TIMES[9]))
    assert scene.source == "carla_log" and scene.ego.role == "hero" and scene.ego.id == "10"
    assert scene.clip_id == "drive_1_5_170000_700000" and "." not in scene.clip_id
    np.testing.assert_allclose(scene.ego.trajectory.times, TIMES[2:10])


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


def test_window(load):
    scene = load(start=0.25, duration=0.25)
    assert (scene.start, scene.end) == pytest.approx((0.25, 0.5))
    times = scene.ego.trajectory.times
    assert times[0] <= 0.25 < times[1] and times[-2] < 0.5 <= times[-1]
    assert scene.ego.exists_at(0.25) and scene.ego.exists_at(0.5)
    np.testing.assert_allclose(scene.frame_times(2, 4.0), [0.25, 0.5])


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ({"duration": 0.0}, "duration 0.0 s .* from 0.170 to 0.700 s"),
        ({"duration": -1.0}, "must be above 0"),
        ({"start": 5.0}, "start 5.0 s lies outside .* 0.170 to 0.700 s"),
        ({"start": 0.1}, "start 0.1 s lies outside"),
        ({"start": -1.0}, "start -1.0 s lies outside"),
        ({"start": 0.7}, "start 0.7 s lies outside"),
        ({"start": 0.5, "duration": 1.0}, "ends at 1.500 s.*the longest duration is 0.2"),
        ({"start": float("nan")}, "must be finite"),
        ({"duration": float("inf")}, "must be finite"),
    ],
)
def test_windows_outside_the_egos_time(load, window, message):
    with pytest.raises(UserError, match=message):
        load(**window)


NAN, INF = float("nan"), float("inf")


def teleported() -> w.Drive:
    """The ego at one place in frames 2 and 3, and 300 m further from frame 4 to 9."""
    drive = small_drive()
    drive.movers[EGO] = {i: at(TIMES[i] if i < 4 else 100 + TIMES[i]) for i in range(2, 10)}
    return drive


def test_the_longest_piece_of_the_log_is_taken_and_said(load):
    scene = load(teleported())
    assert (scene.start, scene.end) == pytest.approx((TIMES[4], TIMES[9]))
    assert scene.notes == (
        "the ego 10 is on the map from 0.170 to 0.200 s and from 0.300 to 0.700 s: taken is 0.300 to 0.700 s (the "
        "longest; scene.start chooses another)",
    )
    first = load(teleported(), start=0.17)
    assert first.end == pytest.approx(TIMES[3]) and first.notes[0].endswith("taken is 0.170 to 0.200 s (by its start)")
    assert load(teleported(), start=0.0).start == pytest.approx(first.start), "0 is the first"
    with pytest.raises(UserError, match=r"start 0.25 s lies outside .* 0.170 to 0.200 s and from 0.300 to 0.700 s"):
        load(teleported(), start=0.25)


def test_an_ego_in_part_of_a_log_is_said(load):
    drive = small_drive()
    drive.times = [*TIMES, *(TIMES[-1] + 0.5 * np.arange(1, 5))]
    assert load(drive).notes == ("the ego 10 is on the map from 0.170 to 0.700 s, in a log of 2.800 s",)
    assert load().notes == (), "nearly the whole log"


def test_an_ego_spawned_again_is_found_in_its_longest_life(load):
    """Under another id, as when a run of routes places a new hero for each."""
    drive = small_drive()
    drive.movers[EGO] = {2: at(0), 3: at(0)}
    drive.add(4, w.deleted(EGO), w.added(w.actor(50, 1, "vehicle.audi.tt", role_name="hero")))
    drive.movers[50] = {i: at(50) for i in range(4, 10)}
    scene = load(drive)
    assert scene.ego.id == "50" and scene.start == pytest.approx(TIMES[4])
    assert "from 0.170 to 0.200 s (vehicle 10) and from 0.300 to 0.700 s (vehicle 50)" in scene.notes[0]


@pytest.mark.parametrize("bad", [(INF, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, NAN), (1e30, 0, 0, 0, 0, 0)])
def test_an_ego_without_a_finite_pose_is_refused(load, bad):
    drive = small_drive()
    drive.movers[EGO] = dict.fromkeys(range(2, 10), bad)
    with pytest.raises(UserError, match=r"ego 10 \(vehicle.lincoln.mkz\) has no finite pose .* 8 frames; frame 3: x"):
        load(drive)


def test_poses_that_are_not_finite_end_a_piece_and_are_counted(load, caplog):
    """One such frame costs neither the log nor the actor."""
    drive = small_drive()
    drive.movers[EGO][4] = at(NAN)
    drive.movers[WALKER][3] = at(20, yaw=INF)
    scene = load(drive)
    assert scene.start == pytest.approx(TIMES[5]) and "from 0.170 to 0.200 s and from 0.370" in scene.notes[0]
    assert all(np.isfinite(track.trajectory.poses).all() for track in scene.tracks)
    assert caplog.text.count("pose that is not finite") == 1
    assert "left out: actor 12, frame 4: x, y, z 20, 1.75, 0 m, roll, pitch, yaw 0, 0, inf, and 1 more" in caplog.text


def test_frames_hours_apart_hold_no_drive(load):
    drive = small_drive()
    drive.times = 1e9 * np.arange(len(TIMES))
    with pytest.raises(UserError, match=r"nowhere on the map for two frames in a row: .*7 more than 10 s after"):
        load(drive)


def test_signals_without_a_finite_place_are_left_out(load, caplog):
    drive = small_drive()
    drive.add(0, w.added(w.actor(17, 4, "traffic.stop", location=(NAN, 0, 0))))
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


@pytest.mark.parametrize("role", ["ego_vehicle", "ego", "hero1"])
def test_roles_of_other_tools_are_the_ego_too(load, role):
    drive = small_drive()
    drive.extra[2][0] = w.added(w.actor(EGO, 1, "vehicle.lincoln.mkz", role_name=role))
    assert load(drive).ego.role == role


def test_ego_by_id_and_unknown_ego(load):
    assert load(ego=CAR).ego.model == "vehicle.nissan.patrol"
    for wrong in (99, WALKER):
        with pytest.raises(UserError, match=rf"no vehicle with id {wrong}.*11 vehicle.nissan.patrol \(role scenario\)"):
            load(ego=wrong)


def test_log_without_a_hero_lists_the_vehicles(load):
    drive = small_drive()
    drive.extra[2] = []
    with pytest.raises(UserError, match=r"no vehicle of role 'hero'.*11 vehicle.nissan.patrol"):
        load(drive)


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
