"""Scenes as clips: what stands in the tars, and scene -> clip -> scene."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from cosmos_exp.common.errors import UserError
from cosmos_exp.config.conf_folder import CONF
from cosmos_exp.rendering.hdmap.drawing import Box, HdMap
from cosmos_exp.rendering.renderer import Renderer
from cosmos_exp.scene.carla.log import load_carla_scene
from cosmos_exp.scene.map_layers import cuboid_corners
from cosmos_exp.scene.procedural.street import procedural_scene
from cosmos_exp.scene.rds_hq.clip import RdsHqClip, clip_ids
from cosmos_exp.scene.rds_hq.objects import at_frames, average_static_objects, hdmap_class
from cosmos_exp.scene.rds_hq.rig import clip_rig
from cosmos_exp.scene.rds_hq.scene import load_rds_hq_scene
from cosmos_exp.scene.rds_hq.writer import clip_times, moves, object_records, write_clip
from cosmos_exp.scene.types import ActorClass, LaneLine, LightState, Scene, Track, Trajectory
from cosmos_exp.sensors.camera import Camera, Rig
from cosmos_exp.sensors.pinhole import Pinhole
from cosmos_exp.sensors.rigs import build_rig

TOLERANCE = 1e-9  # metres, and of rotation matrices: what a scene may change by on its way through a clip


def rig_of(name: str, size: tuple[int, int] = (640, 360)) -> Rig:
    return build_rig(name, yaml.safe_load((CONF / "sensors" / f"{name}.yaml").read_text())["cameras"], size=size)


def members(root: Path, folder: str) -> dict[str, bytes]:
    """{key: content} of the only clip, read as any other program would."""
    (path,) = (root / folder).glob("*.tar")
    with tarfile.open(path) as tar:
        return {m.name.split(".", 1)[1]: tar.extractfile(m).read() for m in tar.getmembers()}


@pytest.fixture(scope="module")
def street() -> Scene:
    """A junction with lights, signs, people, moving, waiting and parked vehicles."""
    return procedural_scene(seed=6, duration=1.5, num_vehicles=20)


@pytest.fixture(scope="module")
def carla(shared: Path) -> Scene:
    """Three seconds of a recorded drive, with a car ahead."""
    folder = shared / "carla"
    log, town = folder / "logs" / "DistanceBetweenVehicles.log", folder / "maps" / "Town01.xodr"
    return load_carla_scene(log, town, start=5.0, duration=3.0)


@pytest.fixture(scope="module")
def written(street: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clips")
    write_clip(street, rig_of("six_views"), root, caption="A street.")
    return root


@pytest.fixture(scope="module")
def back(written: Path) -> Scene:
    return load_rds_hq_scene(written)


def test_every_folder_of_the_format_is_there(written: Path, street: Scene) -> None:
    layers = "lanelines lanes road_boundaries crosswalks road_markings wait_lines poles traffic_signs traffic_lights"
    expected = {f"3d_{layer}" for layer in layers.split()} | {"captions", f"dataset_{street.clip_id}.json"}
    expected |= {"pose", "vehicle_pose", "all_object_info", "ftheta_intrinsic", "pinhole_intrinsic"}
    assert {p.name for p in written.iterdir()} == expected
    assert clip_ids(written) == [street.clip_id]
    assert (written / "captions" / f"{street.clip_id}.txt").read_text() == "A street.\n"


def test_poses_are_right_handed_in_full_precision_at_30_hz(written: Path) -> None:
    poses = members(written, "pose")
    assert len(poses) == 46 * 6
    assert sorted(poses)[0] == "000000.pose.camera_cross_left_120fov.npy"
    first = np.load(io.BytesIO(poses["000045.pose.camera_rear_tele_30fov.npy"]))
    assert (first.shape, first.dtype) == ((4, 4), np.float64)
    every = np.stack([np.load(io.BytesIO(p)) for p in (*poses.values(), *members(written, "vehicle_pose").values())])
    assert np.allclose(np.linalg.det(every[:, :3, :3]), 1.0)


def test_objects_are_sampled_at_10_hz_and_move_when_they_move(written: Path) -> None:
    objects = {int(key[:6]): json.loads(content) for key, content in members(written, "all_object_info").items()}
    assert sorted(objects) == list(range(0, 46, 3))
    flags: dict[str, set[bool]] = {}
    places: dict[str, list[np.ndarray]] = {}
    for records in objects.values():
        for name, record in records.items():
            flags.setdefault(name, set()).add(record["object_is_moving"])
            places.setdefault(name, []).append(np.array(record["object_to_world"])[:3, 3])
    assert all(len(flag) == 1 for flag in flags.values())
    for name, flag in flags.items():
        assert (np.ptp(places[name], axis=0).max() > 0.01) in flag
    assert {True, False} <= {value for flag in flags.values() for value in flag}


def test_motion_is_told_from_standing() -> None:
    poses = np.tile(np.eye(4), (3, 1, 1))
    assert not moves(poses)
    poses[1, 0, 3] = 0.005
    assert not moves(poses)
    poses[2, 0, 3] = 0.02
    assert moves(poses)
    turned = np.tile(np.eye(4), (2, 1, 1))
    turned[1, :2, :2] = [[np.cos(0.003), -np.sin(0.003)], [np.sin(0.003), np.cos(0.003)]]
    assert moves(turned)


def test_an_empty_layer_says_so(written: Path, tmp_path: Path, street: Scene) -> None:
    bare = dataclasses.replace(street, map=dataclasses.replace(street.map, crosswalks=()))
    write_clip(bare, rig_of("front"), tmp_path)
    (label,) = json.loads(members(tmp_path, "3d_crosswalks")["crosswalks.json"])["labels"]
    assert (label["labelFamily"], label["labelData"]) == ("EMPTY", {"emptyLabel": True})
    assert len(json.loads(members(written, "3d_crosswalks")["crosswalks.json"])["labels"]) == len(street.map.crosswalks)


def test_long_names_survive(tmp_path: Path, street: Scene) -> None:
    name = "2d23a1f4-c269-46aa-8e7d-1bb595d1e421_2445376400000_2445396400000"
    write_clip(dataclasses.replace(street, clip_id=name), rig_of("front"), tmp_path)
    with tarfile.open(tmp_path / "pose" / f"{name}.tar") as tar:
        longest = max(tar.getnames(), key=len)
    assert len(longest) > 100 and longest.startswith(f"{name}.0000")


@pytest.mark.parametrize("road", ["slope", "motorway", "roundabout"])
def test_further_roads_come_back(road: str, tmp_path: Path) -> None:
    scene = procedural_scene(seed=4, road=road, duration=0.5)
    write_clip(scene, rig_of("front"), tmp_path)
    back = load_rds_hq_scene(tmp_path)
    assert len(back.map.lanes) == len(scene.map.lanes)
    np.testing.assert_allclose(back.rig_trajectory.at(0.4), scene.rig_trajectory.at(0.4), atol=5e-4)
    found = {track.id: track for track in back.tracks}
    for track in scene.tracks:
        np.testing.assert_allclose(found[track.id].trajectory.at(0.4), track.trajectory.at(0.4), atol=TOLERANCE)
    z = np.concatenate([lane.left[:, 2] for lane in back.map.lanes])
    assert (np.ptp(z) > 1.0) == (road == "slope")


def test_a_clip_id_loses_its_dots(tmp_path: Path, street: Scene) -> None:
    assert write_clip(dataclasses.replace(street, clip_id="drive.1"), rig_of("front"), tmp_path) == "drive_1"
    assert clip_ids(tmp_path) == ["drive_1"]


@pytest.mark.parametrize(("rig", "camera_type"), [("six_views", "pinhole"), ("six_views_ftheta", "ftheta")])
def test_the_rig_comes_back(rig: str, camera_type: str, street: Scene, tmp_path: Path) -> None:
    given = build_rig(rig, yaml.safe_load((CONF / "sensors" / f"{rig}.yaml").read_text())["cameras"])
    clip = RdsHqClip(tmp_path, write_clip(street, given, tmp_path))
    found = clip_rig(clip, camera_type)
    assert {c.name for c in found.cameras} == {c.name for c in given.cameras}
    for camera in given.cameras:
        same = found.camera(camera.name)
        assert np.abs(same.camera_to_rig - camera.camera_to_rig).max() < TOLERANCE
        points = np.random.default_rng(0).uniform([-5, -5, 4], [5, 5, 30], (100, 3))
        assert np.abs(same.model.project(points) - camera.model.project(points)).max() < 1e-3


def test_both_camera_types_are_written_for_either_rig(written: Path, street: Scene, tmp_path: Path) -> None:
    assert len(members(written, "ftheta_intrinsic")) == len(members(written, "pinhole_intrinsic")) == 6
    write_clip(street, rig_of("six_views_ftheta", (1920, 1080)), tmp_path)
    values = np.load(
        io.BytesIO(members(tmp_path, "pinhole_intrinsic")["pinhole_intrinsic.camera_front_wide_120fov.npy"])
    )
    assert values.dtype == np.float64
    assert values == pytest.approx([1 / 0.0010908, 1 / 0.0010908, 960, 560, 1920, 1080])


def test_the_map_comes_back_to_the_last_bit(street: Scene, back: Scene) -> None:
    for name in ("road_boundaries", "crosswalks", "road_markings", "wait_lines"):
        given, found = getattr(street.map, name), getattr(back.map, name)
        assert len(given) == len(found) and all(np.array_equal(a, b) for a, b in zip(given, found))
    for name in ("lanes", "lane_lines", "poles"):
        given, found = getattr(street.map, name), getattr(back.map, name)
        assert len(given) == len(found) > 0
        for a, b in zip(given, found):
            for key in (entry.name for entry in dataclasses.fields(a)):
                assert np.array_equal(getattr(a, key), getattr(b, key)), (name, key)


def test_signs_and_lights_come_back(street: Scene, back: Scene) -> None:
    assert street.map.traffic_lights
    for name in ("traffic_signs", "traffic_lights"):
        given, found = getattr(street.map, name), getattr(back.map, name)
        assert [(a.id, getattr(a, "kind", "")) for a in given] == [(b.id, getattr(b, "kind", "")) for b in found]
        for a, b in zip(given, found):
            assert np.abs(a.pose - b.pose).max() < TOLERANCE
            assert np.abs(np.subtract(a.size, b.size)).max() < TOLERANCE
    for a, b in zip(street.map.traffic_lights, back.map.traffic_lights):
        assert a.states == b.states and np.array_equal(a.state_times, b.state_times)


def test_the_ego_drives_as_before(street: Scene, back: Scene) -> None:
    times = clip_times(street)
    assert (back.start, back.end) == (0.0, pytest.approx(1.5))
    assert np.abs(back.rig_trajectory.poses - street.rig_trajectory.sample(times)).max() < TOLERANCE


def test_objects_come_back_at_every_frame(street: Scene, back: Scene) -> None:
    found = {track.id: track for track in back.tracks}
    assert list(found) == [track.id for track in street.tracks]  # so the instances of a picture have the same numbers
    for track in street.tracks:
        same = found[track.id]
        assert (same.actor_class, same.color, same.model, same.role) == (
            track.actor_class, track.color, track.model, track.role
        )  # fmt: skip
        assert np.abs(np.subtract(same.size, track.size)).max() < TOLERANCE
        for t in clip_times(street):  # a procedural street is sampled at 10 Hz itself
            assert np.abs(same.trajectory.at(t) - track.trajectory.at(t)).max() < TOLERANCE


def test_a_motorcycle_is_one_again_and_a_rider_to_others(street: Scene, tmp_path: Path) -> None:
    poses = np.tile(np.eye(4), (2, 1, 1))
    track = Track("moto", ActorClass.MOTORCYCLE, (2, 1, 1.5), Trajectory(np.array([0.0, 1.5]), poses), (0.2, 0.4, 1.0))
    write_clip(dataclasses.replace(street, tracks=(track,)), rig_of("front"), tmp_path)
    record = json.loads(members(tmp_path, "all_object_info")["000000.all_object_info.json"])["moto"]
    assert record["object_type"] == "Rider"
    (found,) = load_rds_hq_scene(tmp_path).tracks
    assert (found.actor_class, found.color) == (ActorClass.MOTORCYCLE, (0.2, 0.4, 1.0))


def test_lights_change_when_they_did(street: Scene, tmp_path: Path) -> None:
    """Frame 0 of a clip is the start of the scene, whatever its clock says then."""
    changing = dataclasses.replace(
        street.map.traffic_lights[0],
        state_times=np.array([0.0, 0.9, 1.2]), states=(LightState.RED, LightState.GREEN, LightState.YELLOW),
    )  # fmt: skip
    scene_map = dataclasses.replace(street.map, traffic_lights=(changing,))
    write_clip(dataclasses.replace(street, map=scene_map, start=0.5), rig_of("front"), tmp_path)
    (found,) = load_rds_hq_scene(tmp_path).map.traffic_lights
    assert [found.state_at(t) for t in (0.0, 0.39, 0.41, 0.71)] == [
        changing.state_at(t) for t in (0.5, 0.89, 0.91, 1.21)
    ]


def test_a_clip_starts_at_the_start_of_the_window(street: Scene, tmp_path: Path) -> None:
    write_clip(dataclasses.replace(street, start=0.5, end=1.0), rig_of("front"), tmp_path)
    later = load_rds_hq_scene(tmp_path)
    assert later.duration == pytest.approx(0.5)
    assert np.abs(later.rig_trajectory.at(0.2) - street.rig_trajectory.at(0.7)).max() < TOLERANCE
    name = later.tracks[0].id
    (track,) = (t for t in street.tracks if t.id == name)
    assert np.abs(later.tracks[0].trajectory.at(0.3) - track.trajectory.at(0.8)).max() < TOLERANCE


def test_an_object_exists_where_a_key_frame_sees_it(street: Scene) -> None:
    def shown(first: float, last: float) -> list[int]:
        poses = np.tile(np.eye(4), (2, 1, 1))
        track = Track("x", ActorClass.CAR, (4, 2, 1.5), Trajectory(np.array([first, last]), poses))
        return [f for f, records in object_records(dataclasses.replace(street, tracks=(track,))).items() if records]

    assert shown(0.05, 0.35) == [3, 6, 9]
    assert shown(0.1, 0.3) == [3, 6, 9]
    assert shown(0.12, 0.18) == []


def test_a_clip_that_fails_half_way_is_not_there(street: Scene, tmp_path: Path) -> None:
    unwritable = dataclasses.replace(street.map, lane_lines=(LaneLine(np.zeros((2, 3)), style="dotted"),))
    with pytest.raises(KeyError):
        write_clip(dataclasses.replace(street, map=unwritable), rig_of("front"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_clip_is_replaced_whole(street: Scene, tmp_path: Path) -> None:
    clip = write_clip(street, rig_of("six_views"), tmp_path)
    (tmp_path / "lidar_raw").mkdir()
    (tmp_path / "lidar_raw" / f"{clip}.tar").touch()
    write_clip(street, rig_of("front"), tmp_path)
    assert RdsHqClip(tmp_path, clip).pose_cameras() == ("camera_front_wide_120fov",)
    assert not (tmp_path / "lidar_raw" / f"{clip}.tar").exists()


def test_what_our_reader_would_refuse_is_not_written(street: Scene, tmp_path: Path) -> None:
    poses = street.rig_trajectory.poses.copy()
    poses[1, 0, 3] = np.nan
    broken = dataclasses.replace(street, rig_trajectory=Trajectory(street.rig_trajectory.times, poses))
    with pytest.raises(UserError, match=r"a pose of the rig is nan \(number 1, 0, 3\): it must be finite"):
        write_clip(broken, rig_of("front"), tmp_path)
    mirrored = Rig("mine", (Camera("front", Pinhole.from_hfov(64, 36, 1.0), np.diag([1.0, -1.0, 1.0, 1.0])),))
    with pytest.raises(UserError, match="camera front: camera_to_rig: the pose is left-handed"):
        write_clip(street, mirrored, tmp_path)
    with pytest.raises(UserError, match=r"1e\+10 s long: .* six digits, so that a clip has 33333.3 s at most"):
        write_clip(dataclasses.replace(street, end=1e10), rig_of("front"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_camera_name_that_a_tar_cannot_hold_is_refused(street: Scene, tmp_path: Path) -> None:
    rig = Rig("mine", (Camera("Front.Wide", Pinhole.from_hfov(64, 36, 1.0), np.eye(4)),))
    with pytest.raises(UserError, match=r"'Front\.Wide'.*lower-case"):
        write_clip(street, rig, tmp_path)


@pytest.mark.parametrize(("rig", "camera_type"), [("six_views", "pinhole"), ("six_views_ftheta", "ftheta")])
def test_a_carla_clip_is_drawn_as_its_scene_is(rig: str, camera_type: str, carla: Scene, tmp_path: Path) -> None:
    """Not a pixel of difference where objects are sampled, read as raw layers and read as a scene."""
    given = rig_of(rig, (1280, 720))
    clip = RdsHqClip(tmp_path, write_clip(carla, given, tmp_path))
    hdmap, objects = HdMap(clip.layers()), at_frames(average_static_objects(clip.objects()), (0, 3, 60))
    direct, again, same_rig = Renderer(carla), Renderer(load_rds_hq_scene(tmp_path)), clip_rig(clip, camera_type)
    drawn = 0
    for camera in given.cameras[::2]:
        name = f"camera_{camera.name}"
        model, poses = clip.model(camera_type, name), clip.camera_poses(name)
        for frame, t in zip(objects, carla.start + np.array(list(objects)) / 30):
            expected = direct.hdmap(camera, float(t))
            boxes = [Box(key, hdmap_class(o.type), cuboid_corners(o.pose, o.size)) for key, o in objects[frame].items()]
            assert np.array_equal(hdmap.draw(model, poses[frame], boxes), expected)
            assert np.array_equal(again.hdmap(same_rig.camera(camera.name), frame / 30), expected)
            drawn += np.count_nonzero(expected)
    assert drawn > 10000
    assert any(objects.values())


def test_between_samples_a_recorded_object_is_within_a_centimetre(carla: Scene, tmp_path: Path) -> None:
    write_clip(carla, rig_of("front"), tmp_path)
    (found,) = load_rds_hq_scene(tmp_path).tracks
    (given,) = carla.tracks
    times = clip_times(carla)
    offsets = [
        np.linalg.norm((found.trajectory.at(t - carla.start) - given.trajectory.at(t))[:3, 3])
        for t in map(float, times)
    ]
    assert max(offsets[::3]) < TOLERANCE
    assert 1e-4 < max(offsets) < 0.01
