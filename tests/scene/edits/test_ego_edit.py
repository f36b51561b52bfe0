"""The ego on other ways through the same scene."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.edits.ego_edit import EgoEdit, edit_ego
from cosmos_exp.scene.edits.maneuvers import LaneChange, SpeedChange
from cosmos_exp.scene.lane_surface import LaneSurface
from cosmos_exp.scene.types import ActorClass, Lane, LaneType, Scene, SceneMap, Track, Trajectory

SPEED = 10.0


def lane(name: str, y: float, slope: float = 0.0, end: float = 150.0) -> Lane:
    """Along x, 3.5 m wide, rising to the left by `slope`."""
    x = np.arange(-50.0, end + 1, 5.0)
    edges = [np.stack([x, np.full(len(x), v), np.full(len(x), slope * v)], axis=1) for v in (y + 1.75, y - 1.75)]
    return Lane(name, LaneType.DRIVING, *edges)


def street(speed: float = SPEED, slope: float = 0.0, end: float = 150.0, duration: float = 4.0) -> Scene:
    """Three lanes; the ego drives along x in the middle one for 4 s."""
    lanes = tuple(lane(name, y, slope, end) for name, y in (("left", 3.5), ("own", 0.0), ("right", -3.5)))
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[1, 0, 3] = speed * duration
    rig = Trajectory(np.array([0.0, duration]), poses)
    cuboid = np.eye(4)
    cuboid[:3, 3] = 1.4, 0.0, 0.75
    ego = Track("ego", ActorClass.CAR, (4.6, 1.9, 1.5), Trajectory(rig.times, poses @ cuboid))
    return Scene("clip", "test", SceneMap("street", lanes), ego, rig, (), 0.0, duration)


def bend(radius: float = 40.0) -> Scene:
    """A circle to the left without lanes."""
    times = np.linspace(0.0, 4.0, 401)
    angle = SPEED * times / radius
    poses = np.tile(np.eye(4), (len(times), 1, 1))
    poses[:, 0, 0], poses[:, 0, 1], poses[:, 1, 0], poses[:, 1, 1] = (
        np.cos(angle),
        -np.sin(angle),
        np.sin(angle),
        np.cos(angle),
    )
    poses[:, 0, 3], poses[:, 1, 3] = radius * np.sin(angle), radius * (1 - np.cos(angle))
    rig = Trajectory(times, poses)
    return replace(street(), map=SceneMap("bend"), rig_trajectory=rig, ego=replace(street().ego, trajectory=rig))


def rig_at(scene: Scene, *times: float) -> np.ndarray:
    return scene.rig_trajectory.sample(np.array(times))


def headings(poses: np.ndarray) -> np.ndarray:
    return np.unwrap(np.arctan2(poses[:, 1, 0], poses[:, 0, 0]))


def test_no_edit_is_the_same_scene() -> None:
    scene = street()
    assert edit_ego(scene, EgoEdit()) is scene


def test_a_shift_goes_to_the_left_and_takes_the_cuboid_along() -> None:
    scene = edit_ego(street(), EgoEdit(shift=1.5))
    np.testing.assert_allclose(rig_at(scene, 0, 2, 4)[:, :3, 3], [[0, 1.5, 0], [20, 1.5, 0], [40, 1.5, 0]], atol=1e-9)
    np.testing.assert_allclose(scene.ego.trajectory.at(2.0)[:3, 3], [21.4, 1.5, 0.75], atol=1e-9)


def test_a_shift_in_a_bend_keeps_its_distance_and_heading() -> None:
    scene = edit_ego(bend(), EgoEdit(shift=2.0))
    poses = scene.rig_trajectory.poses
    np.testing.assert_allclose(np.linalg.norm(poses[:, :2, 3] - [0, 40], axis=1), 38.0, atol=1e-3)
    np.testing.assert_allclose(headings(poses)[[0, -1]], [0.0, 1.0], atol=1e-6)


def test_the_ground_beside_the_path_is_followed() -> None:
    scene = edit_ego(street(slope=0.05), EgoEdit(shift=2.0))
    np.testing.assert_allclose(scene.rig_trajectory.poses[:, 2, 3], 0.1, atol=1e-9)
    off_road = edit_ego(street(slope=0.05), EgoEdit(shift=9.0))
    np.testing.assert_allclose(off_road.rig_trajectory.poses[:, 2, 3], 0.0, atol=1e-9)


@pytest.mark.parametrize("make", [street, bend])
def test_a_lane_change_is_smooth_and_faces_along_its_path(make) -> None:
    scene = edit_ego(make(), EgoEdit(lane_change=LaneChange(lateral=-3.5, start=1.0, duration=2.0)))
    poses = scene.rig_trajectory.poses
    steps = np.diff(poses[:, :2, 3], axis=0)
    path = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
    between = (headings(poses)[1:] + headings(poses)[:-1]) / 2
    assert np.abs(path - between).max() < 2e-3
    own = make().rig_trajectory
    aside = [float((np.linalg.inv(own.at(t)) @ scene.rig_trajectory.at(t))[1, 3]) for t in (0.9, 2.0, 3.1)]
    np.testing.assert_allclose(aside, [0.0, -1.75, -3.5], atol=2e-3)


def test_a_lane_change_can_come_back() -> None:
    scene = edit_ego(street(), EgoEdit(lane_change=LaneChange(lateral=2.0, start=0.5, duration=1.0, stay=0.5)))
    np.testing.assert_allclose(rig_at(scene, 0.5, 1.5, 2.0, 3.0, 4.0)[:, 1, 3], [0, 2, 2, 0, 0], atol=1e-6)


def test_a_lane_change_begun_before_the_end_stays_unfinished() -> None:
    scene = edit_ego(street(), EgoEdit(lane_change=LaneChange(lateral=2.0, start=3.0, duration=2.0)))
    assert rig_at(scene, 4.0)[0, 1, 3] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(("lanes", "y"), [(1, 3.5), (-1, -3.5)])
def test_lanes_are_counted_on_the_map(lanes: int, y: float) -> None:
    scene = edit_ego(street(), EgoEdit(lane_change=LaneChange(lanes=lanes, start=0.5, duration=2.0)))
    assert rig_at(scene, 4.0)[0, 1, 3] == pytest.approx(y)


def test_a_speed_factor_scales_the_way_driven() -> None:
    assert rig_at(edit_ego(street(), EgoEdit(speed=SpeedChange(factor=0.5))), 4.0)[0, 0, 3] == pytest.approx(20.0)


def test_a_target_speed_is_reached_over_its_duration() -> None:
    scene = edit_ego(street(), EgoEdit(speed=SpeedChange(target=0.0, start=1.0, duration=2.0)))
    x = rig_at(scene, 1.0, 3.0, 4.0)[:, 0, 3]
    np.testing.assert_allclose(x, [10.0, 20.0, 20.0], atol=0.02)


def test_a_faster_ego_drives_on_along_its_lane() -> None:
    scene = edit_ego(street(), EgoEdit(speed=SpeedChange(factor=2.0)))
    np.testing.assert_allclose(rig_at(scene, 4.0)[0, :3, 3], [80.0, 0.0, 0.0], atol=1e-6)


def test_where_the_road_ends_the_largest_factor_is_named_and_works() -> None:
    with pytest.raises(UserError, match=r"the largest factor is 1\.5\b"):
        edit_ego(street(end=60.0), EgoEdit(speed=SpeedChange(factor=3.0)))
    scene = edit_ego(street(end=60.0), EgoEdit(speed=SpeedChange(factor=1.5)))
    assert rig_at(scene, 4.0)[0, 0, 3] == pytest.approx(60.0)


def test_up_and_yaw_are_offsets() -> None:
    pose = rig_at(edit_ego(street(), EgoEdit(up=1.0, yaw=90.0)), 2.0)[0]
    np.testing.assert_allclose(pose[:3, 3], [20, 0, 1], atol=1e-9)
    np.testing.assert_allclose(pose[:3, 0], [0, 1, 0], atol=1e-9)


def test_edits_combine() -> None:
    edit = EgoEdit(shift=-1.0, speed=SpeedChange(factor=0.5), lane_change=LaneChange(lateral=3.0, start=0, duration=3))
    np.testing.assert_allclose(rig_at(edit_ego(street(), edit), 4.0)[0, :3, 3], [20.0, 2.0, 0.0], atol=1e-6)


@pytest.mark.parametrize("kind", ["csv", "json rows", "json matrices"])
def test_poses_from_a_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"poses.{kind.split()[0]}"
    if kind == "csv":
        path.write_text("time,x,y,z,yaw\n0,0,5,0,0\n4,8,5,0,90\n")
    elif kind == "json rows":
        half = float(np.sqrt(0.5))
        rows = [dict(time=0, x=0, y=5, z=0, yaw=0), dict(time=4, x=8, y=5, z=0, qw=half, qx=0, qy=0, qz=half)]
        rows[0] = {k: v for k, v in rows[0].items() if k != "yaw"} | dict(qw=1, qx=0, qy=0, qz=0)
        path.write_text(json.dumps(rows))
    else:
        poses = np.tile(np.eye(4), (2, 1, 1))
        poses[:, 1, 3], poses[1, 0, 3] = 5, 8
        poses[1, :2, :2] = [[0, -1], [1, 0]]
        path.write_text(json.dumps({"times": [0, 4], "poses": poses.tolist()}))
    poses = rig_at(edit_ego(street(), EgoEdit(poses=str(path))), 2.0, 4.0)
    np.testing.assert_allclose(poses[:, :3, 3], [[4, 5, 0], [8, 5, 0]], atol=1e-9)
    np.testing.assert_allclose(headings(poses), [np.pi / 4, np.pi / 2], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "time,x,y,z,yaw\n0,0,0,0,0\n1,1,0,0,0\n", "from 0 s to 1 s, the scene lasts from 0 to 4 s"),
        ("a.csv", "time,x,y,z,yaww\n0,0,0,0,0\n", "did you mean 'yaw'"),
        ("a.csv", "time,x,y,z\n0,0,0,0\n", "pose 0 has no yaw"),
        ("a.csv", "time,x,y,z,yaw\n0,nan,0,0,0\n4,0,0,0,0\n", "not finite"),
        ("a.csv", "time,x,y,z,yaw\n1,0,0,0,0\n0,0,0,0,0\n", "times must increase"),
        ("a.json", "{", "is not JSON"),
        ("a.json", json.dumps({"times": [0, 4], "poses": [np.diag([1.0, 1, -1, 1]).tolist()] * 2}), "no rigid motion"),
        ("a.xml", "", "unknown kind of pose file"),
    ],
)
def test_a_bad_file_is_explained(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        edit_ego(street(), EgoEdit(poses=str(tmp_path / name)))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (EgoEdit(shift=float("nan")), "shift=nan: must be a finite number"),
        (EgoEdit(shift=99.0), "nearest is 30"),
        (EgoEdit(yaw=float("inf")), "yaw=inf"),
        (EgoEdit(poses="nowhere.csv"), "no file 'nowhere.csv'"),
        (EgoEdit(speed=SpeedChange(factor=-1.0)), "factor=-1"),
        (EgoEdit(speed=SpeedChange(factor=2.0, target=3.0)), "factor or target"),
        (EgoEdit(speed=SpeedChange(target=500.0)), "0 to 70 m/s"),
        (EgoEdit(lane_change=LaneChange(lateral=3.0, start=9.0)), "start=9: must be 0 to 4 s"),
        (EgoEdit(lane_change=LaneChange(lateral=3.0, duration=0.0)), "longer than 0 s"),
        (EgoEdit(lane_change=LaneChange(lateral=3.0, lanes=1)), "lateral or lanes"),
        (EgoEdit(lane_change=LaneChange(lanes=2)), "1 lanes to the left and 1 to the right; nearest: 1"),
        (EgoEdit(lane_change=LaneChange(lateral=9.0, duration=0.5)), "choose at most 2.67 m"),
    ],
)
def test_what_cannot_be_is_explained(edit: EgoEdit, message: str) -> None:
    with pytest.raises(UserError, match=message):
        edit_ego(street(), edit)


def test_a_standing_ego_cannot_change_lanes() -> None:
    with pytest.raises(UserError, match=r"only 0\.0 m are driven"):
        edit_ego(street(speed=0.0), EgoEdit(lane_change=LaneChange(lateral=3.0)))


def test_the_surface_takes_the_level_nearest_to_the_point() -> None:
    low, high = lane("low", 0.0), lane("high", 0.0)
    lift = np.array([0.0, 0.0, 6.0])
    surface = LaneSurface([low, replace(high, left=high.left + lift, right=high.right + lift)])
    heights = surface.heights(np.array([[3.0, 0.5, 0.4], [3.0, 0.5, 5.0], [3.0, 9.0, 0.0]]))
    np.testing.assert_allclose(heights, [0.0, 6.0, np.nan])
