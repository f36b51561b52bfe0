"""Edits of tracks: who is there, where, and when."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from cosmos_exp.common.cache import StageCache
from cosmos_exp.common.errors import UserError
from cosmos_exp.config.schema import typed
from cosmos_exp.config.validate import validate
from cosmos_exp.scene.edits.ego_edit import EgoEdit
from cosmos_exp.scene.edits.scene_edits import (
    apply_edits,
    collisions,
    edit_identity,
    edit_tracks,
    nearest_approach,
    parse_edits,
)
from cosmos_exp.scene.sources import load_scene
from cosmos_exp.scene.types import ActorClass, Lane, LaneType, Scene, SceneMap, Track, Trajectory

CAR, WALKER = (4.6, 1.9, 1.5), (0.45, 0.55, 1.75)


def moving(name: str, kind: ActorClass, size, start, velocity, role: str = "traffic", end: float = 4.0) -> Track:
    heading = float(np.arctan2(velocity[1], velocity[0]))
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(heading), -np.sin(heading)], [np.sin(heading), np.cos(heading)]]
    poses = np.tile(pose, (2, 1, 1))
    poses[0, :3, 3] = *start, size[2] / 2
    poses[1, :3, 3] = poses[0, :3, 3] + end * np.array([*velocity, 0.0])
    return Track(name, kind, size, Trajectory(np.array([0.0, end]), poses), role=role)


def lane(name: str, y: float) -> Lane:
    x = np.arange(-50.0, 151.0, 5.0)
    edges = [np.stack([x, np.full(len(x), v), np.zeros(len(x))], axis=1) for v in (y + 1.75, y - 1.75)]
    return Lane(name, LaneType.DRIVING, *edges)


@pytest.fixture
def scene() -> Scene:
    """Two lanes along x. The ego drives at 10 m/s in the right one; its box reaches from -0.9 to 3.7 m of the rig."""
    ego = moving("ego", ActorClass.CAR, CAR, (1.4, 0.0), (10.0, 0.0))
    rig = Trajectory(ego.trajectory.times, ego.trajectory.poses @ _shifted(-1.4, 0, -0.75))
    tracks = (
        moving("car_1", ActorClass.CAR, CAR, (20.0, 0.0), (10.0, 0.0)),
        moving("car_2", ActorClass.CAR, CAR, (60.0, 3.5), (-10.0, 0.0)),
        moving("truck_1", ActorClass.TRUCK, (8.0, 2.5, 3.3), (100.0, -6.0), (1e-9, 0.0), role="parked"),
        moving("walker_1", ActorClass.PEDESTRIAN, WALKER, (30.0, -6.0), (0.0, 1.5), role="crossing"),
    )
    return Scene("clip", "test", SceneMap("street", (lane("left", 3.5), lane("own", 0.0))), ego, rig, tracks, 0.0, 4.0)


def _shifted(x: float, y: float, z: float) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, 3] = x, y, z
    return pose


def edited(scene: Scene, **edits) -> Scene:
    return edit_tracks(scene, parse_edits(edits))


def ids(scene: Scene) -> list[str]:
    return [track.id for track in scene.tracks]


def added(scene: Scene, **values) -> Track:
    return edited(scene, new={"kind": "add"} | values).tracks[-1]


def place(track: Track, t: float) -> list[float]:
    return track.trajectory.at(t)[:2, 3].tolist()


def heading(track: Track, t: float) -> float:
    x = track.trajectory.at(t)[:2, 0]
    return float(np.degrees(np.arctan2(x[1], x[0])))


@pytest.mark.parametrize(
    ("conditions", "left"),
    [
        ({"tracks": "car_1"}, ["car_2", "truck_1", "walker_1"]),
        ({"tracks": ["car_*"]}, ["truck_1", "walker_1"]),
        ({"classes": ["car", "truck"]}, ["walker_1"]),
        ({"roles": "parked"}, ["car_1", "car_2", "walker_1"]),
        ({"classes": "car", "nearer_than": 10}, ["car_1", "truck_1", "walker_1"]),
        ({"farther_than": 10}, ["car_2", "walker_1"]),
        ({"classes": "bus"}, ["car_1", "car_2", "truck_1", "walker_1"]),
    ],
)
def test_drop_takes_out_what_meets_every_condition(scene: Scene, conditions: dict, left: list[str]) -> None:
    assert ids(edited(scene, out={"kind": "drop"} | conditions)) == left


def test_the_distance_is_the_smallest_over_time(scene: Scene) -> None:
    distances = {track.id: nearest_approach(scene, track) for track in scene.tracks}
    assert distances["car_1"] == pytest.approx(18.6)
    assert distances["car_2"] == pytest.approx(3.5, abs=1.0)


def test_move_in_its_own_frame_and_in_the_world(scene: Scene) -> None:
    own = edited(scene, m={"kind": "move", "tracks": "car_2", "x": 5, "y": 1, "yaw": 10}).tracks[1]
    np.testing.assert_allclose(place(own, 0.0), [55.0, 2.5], atol=1e-9)
    assert heading(own, 0.0) == pytest.approx(-170.0)
    world = edited(scene, m={"kind": "move", "tracks": "car_2", "x": 5, "yaw": 90, "frame": "world"}).tracks[1]
    np.testing.assert_allclose([place(world, 0.0), place(world, 4.0)], [[65, 3.5], [65, -36.5]], atol=1e-9)
    assert heading(world, 2.0) == pytest.approx(-90.0)


@pytest.mark.parametrize(
    ("change", "x"),
    [({"delay": 1.0}, [10.0, 20.0, 50.0]), ({"speed": 0.5}, [20.0, 25.0, 40.0]), ({"speed": 2.0}, [20, 40, 100])],
)
def test_retime_keeps_the_path_and_goes_straight_on_at_its_ends(scene: Scene, change: dict, x: list[float]) -> None:
    track = edited(scene, r={"kind": "retime", "tracks": "car_1"} | change).tracks[0]
    np.testing.assert_allclose([place(track, t)[0] for t in (0.0, 1.0, 4.0)], x, atol=1e-9)
    np.testing.assert_allclose(track.trajectory.times[[0, -1]], [0.0, 4.0])


def test_copy_is_a_second_track_displaced_in_place_and_time(scene: Scene) -> None:
    result = edited(scene, twin={"kind": "copy", "track": "car_1", "x": 30, "y": 3.5, "delay": 0.5})
    assert ids(result)[-1] == "twin" and ids(result)[:-1] == ids(scene)
    np.testing.assert_allclose(place(result.tracks[-1], 1.0), [55.0, 3.5], atol=1e-9)


def test_add_by_gap_keeps_the_distance_from_bumper_to_bumper(scene: Scene) -> None:
    ahead, behind = added(scene, gap=10, size=[4, 2, 1.5]), added(scene, gap=-10, size=[4, 2, 1.5], speed=12)
    np.testing.assert_allclose([place(ahead, 0), place(ahead, 4)], [[15.7, 0], [55.7, 0]], atol=1e-9)
    np.testing.assert_allclose([place(behind, 0), place(behind, 4)], [[-12.9, 0], [35.1, 0]], atol=1e-9)
    assert ahead.trajectory.at(0.0)[2, 3] == pytest.approx(0.75)


def test_add_beside_the_ego_by_metres_or_lanes_and_against_its_direction(scene: Scene) -> None:
    np.testing.assert_allclose(place(added(scene, gap=10, lateral=2.0), 4.0), [56.0, 2.0], atol=1e-6)
    oncoming = added(scene, gap=50, lanes=1, heading=180, speed=15)
    np.testing.assert_allclose([place(oncoming, 0), place(oncoming, 4)], [[56.0, 3.5], [-4.0, 3.5]], atol=1e-6)
    assert abs(heading(oncoming, 2.0)) == pytest.approx(180.0)


def test_a_cut_in_changes_lanes_and_brakes(scene: Scene) -> None:
    track = added(
        scene,
        gap=10,
        lanes=1,
        relative_speed=2.0,
        lane_change={"lanes": -1, "start": 0.5, "duration": 1.5},
        speed_change={"target": 0, "start": 2.0, "duration": 1.0},
    )
    np.testing.assert_allclose([place(track, t)[1] for t in (0.0, 1.25, 2.0, 4.0)], [3.5, 1.75, 0.0, 0.0], atol=2e-3)
    assert heading(track, 1.25) < -5.0 and heading(track, 3.0) == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose([place(track, t)[0] for t in (2.0, 3.0, 4.0)], [40.0, 46.0, 46.0], atol=0.05)


def test_a_pedestrian_crosses_straight_after_waiting(scene: Scene) -> None:
    track = added(scene, **{"class": "pedestrian", "gap": 20, "lateral": -4, "heading": 90, "start": 1.0})
    assert track.actor_class is ActorClass.PEDESTRIAN
    x = 3.7 + 20 + track.size[0] / 2
    np.testing.assert_allclose([place(track, 1), place(track, 3)], [[x, -4.0], [x, -1.2]], atol=1e-6)


def test_add_on_a_lane_at_a_position_and_on_poses_of_a_file(scene: Scene, tmp_path) -> None:
    np.testing.assert_allclose(place(added(scene, lane="left", station=60, speed=5), 4.0), [30.0, 3.5], atol=1e-6)
    placed = added(scene, position=[10, 20], heading=-90, speed=2)
    np.testing.assert_allclose(place(placed, 4.0), [10.0, 12.0], atol=1e-6)
    (tmp_path / "poses.csv").write_text("time,x,y,z,yaw\n1,0,0,1,0\n3,8,0,1,0\n")
    recorded = added(scene, poses=str(tmp_path / "poses.csv"))
    np.testing.assert_allclose(place(recorded, 2.0), [4.0, 0.0], atol=1e-9)
    assert not recorded.exists_at(0.5) and recorded.exists_at(2.5)


def test_edits_go_in_order_and_null_switches_one_off(scene: Scene) -> None:
    edits = {"twin": {"kind": "copy", "track": "car_1"}, "out": {"kind": "drop", "tracks": "car_*"}}
    assert ids(edited(scene, **edits)) == ["truck_1", "walker_1", "twin"]
    assert ids(edited(scene, **edits | {"out": None})) == [*ids(scene), "twin"]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"kind": "dorp"}, "did you mean 'drop'"),
        ({"tracks": "car_1"}, "kind is required"),
        (3, "an edit is a mapping"),
        ({"kind": "drop"}, "says no tracks"),
        ({"kind": "drop", "tracks": "car_3"}, "did you mean 'car_"),
        ({"kind": "drop", "classes": "cra"}, "did you mean 'car'"),
        ({"kind": "drop", "roles": "parkd"}, "did you mean 'parked'"),
        ({"kind": "drop", "nearer_than": -1}, "nearer_than=-1"),
        ({"kind": "move", "tracks": "car_1", "frame": "wrld"}, "did you mean 'world'"),
        ({"kind": "move", "tracks": "car_1", "x": "far"}, "x=far: must be a number"),
        ({"kind": "move", "tracks": "car_1", "x": float("inf")}, "must be a finite number"),
        ({"kind": "retime", "tracks": "car_1", "speed": 0}, "nearest is 0.01"),
        ({"kind": "copy"}, "track is required"),
        ({"kind": "copy", "track": "car"}, "did you mean 'car_"),
        ({"kind": "add"}, "give one of gap, lane, position or poses"),
        ({"kind": "add", "gap": 5, "lane": "own"}, "not gap and lane together"),
        ({"kind": "add", "gpa": 5}, "did you mean 'gap'"),
        ({"kind": "add", "lane": "onw"}, "did you mean 'own'"),
        ({"kind": "add", "lane": "own", "station": 500}, "200.0 m long; nearest 200"),
        ({"kind": "add", "gap": 5, "class": "lorry"}, "unknown class 'lorry'"),
        ({"kind": "add", "gap": 5, "size": [4, 2]}, "needs 3 values"),
        ({"kind": "add", "gap": 5, "size": [4, 2, 0]}, "0.05 to 100 m"),
        ({"kind": "add", "gap": 5, "start": 9}, "start=9: must be 0 to 4 s"),
        ({"kind": "add", "gap": 5, "speed": -3}, "speed=-3"),
        ({"kind": "add", "gap": 5, "lanes": 3}, "nearest: 1"),
        ({"kind": "add", "gap": 5, "lane_change": {"latral": 1}}, "did you mean 'lateral'"),
        ({"kind": "add", "gap": 5, "lane_change": {"lateral": 9, "duration": 0.5}}, "choose at most"),
        ({"kind": "add", "poses": "nowhere.csv"}, "no file 'nowhere.csv'"),
    ],
)
def test_what_cannot_be_is_explained(scene: Scene, edit, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        edited(scene, mine=edit)
    assert "scene.edits.mine" in str(raised.value)


def test_an_added_track_needs_a_name_of_its_own(scene: Scene) -> None:
    with pytest.raises(UserError, match="another name"):
        edited(scene, car_1={"kind": "add", "gap": 5})


def test_an_ego_that_hits_something_is_reported(scene: Scene, caplog) -> None:
    assert collisions(scene) == {}
    with caplog.at_level(logging.WARNING):
        crash = apply_edits(scene, EgoEdit(), {"wall": {"kind": "add", "gap": 10, "speed": 0}})
    assert collisions(crash)["wall"] == pytest.approx((1.1, 1.9), abs=0.01)
    assert "overlaps wall from" in caplog.text
    bridge = replace(crash.tracks[-1], trajectory=Trajectory(np.zeros(1), _shifted(20, 0, 6)[None]))
    assert collisions(replace(scene, tracks=(bridge,))) == {}


def test_edits_follow_the_edited_ego(scene: Scene) -> None:
    ahead = apply_edits(scene, EgoEdit(shift=3.5), {"ahead": {"kind": "add", "gap": 10}}).tracks[-1]
    np.testing.assert_allclose(place(ahead, 2.0), [36.0, 3.5], atol=1e-6)


def test_every_source_takes_edits_from_its_config(configure) -> None:
    cfg = configure("+experiment=cut_in", "scene.edits.cut_in.gap=7", "scene.edits.cut_in.class=truck")
    assert validate(cfg) == []
    scene = load_scene(typed(cfg).scene)
    (track,) = [track for track in scene.tracks if track.id == "cut_in"]
    rear = scene.ego.trajectory.at(0.0)
    gap = (np.linalg.inv(rear) @ track.trajectory.at(0.0))[0, 3] - (scene.ego.size[0] + track.size[0]) / 2
    assert gap == pytest.approx(7.0, abs=1e-6) and track.actor_class is ActorClass.TRUCK
    assert collisions(scene) == {}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["scene.ego_edit.shift=nan"], "scene.ego_edit.shift=nan"),
        (["scene.ego_edit.lane_change.lateral=3", "scene.ego_edit.lane_change.start=8"], "must be 0 to 5 s"),
        (["scene.edits.x.kind=ad"], "did you mean 'add'"),
        (["scene.edits.x={kind: drop, clases: car}"], "did you mean 'classes'"),
        (["+experiment=cut_in", "scene.edits.cut_in.gap=wide"], "gap=wide: must be a number"),
    ],
)
def test_mistakes_are_found_before_a_run(configure, overrides: list[str], message: str) -> None:
    found = validate(configure(*overrides))
    assert len(found) == 1 and message in found[0]


def test_the_cache_key_follows_edits_and_the_content_of_their_files(configure, tmp_path) -> None:
    from cosmos_exp.pipeline.keys import scene_key

    def key(*overrides: str) -> str:
        return scene_key(typed(configure(*overrides)).scene, StageCache(tmp_path / "cache"))

    poses = tmp_path / "poses.csv"
    poses.write_text("time,x,y,z,yaw\n0,0,0,0,0\n5,9,0,0,0\n")
    given = f"scene.ego_edit.poses={poses}"
    keys = [key(), key("scene.ego_edit.shift=1"), key("+experiment=cut_in"), key(given)]
    keys.append(key("+experiment=cut_in", "scene.edits.cut_in.gap=7"))
    poses.write_text("time,x,y,z,yaw\n0,0,0,0,0\n5,8,0,0,0\n")
    keys.append(key(given))
    assert len(set(keys)) == len(keys)
    assert key("scene.ego_edit.shift=0", "scene.edits.x=null") == keys[0]
    assert edit_identity(EgoEdit(), {}) == ({}, [])
