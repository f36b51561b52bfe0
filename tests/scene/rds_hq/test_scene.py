"""Clips as scenes: NVIDIA's example, and what a clip may lack."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from cosmos_exp.captions.describe import describe
from cosmos_exp.common.errors import UserError
from cosmos_exp.rendering.hdmap.drawing import Box, HdMap
from cosmos_exp.rendering.renderer import Renderer
from cosmos_exp.scene.map_layers import cuboid_corners, map_layers
from cosmos_exp.scene.rds_hq.clip import RdsHqClip
from cosmos_exp.scene.rds_hq.layers import Label, labels_json
from cosmos_exp.scene.rds_hq.map import cuboid_pose, map_of_labels
from cosmos_exp.scene.rds_hq.objects import ObjectRecord, at_frames, average_static_objects, hdmap_class
from cosmos_exp.scene.rds_hq.rig import clip_rig
from cosmos_exp.scene.rds_hq.scene import EGO_SIZE, load_rds_hq_scene, tracks_of
from cosmos_exp.scene.rds_hq.tars import SampleTar, write_tar
from cosmos_exp.scene.types import ActorClass, LaneType, Scene

LANES = "3d_lanes"


@pytest.fixture(scope="module")
def example(shared: Path) -> Path:
    return shared / "rds_hq" / "example"


@pytest.fixture(scope="module")
def scene(example: Path) -> Scene:
    return load_rds_hq_scene(example)


def clip_without(example: Path, root: Path, *folders: str) -> Path:
    """The example with links to all its folders but some."""
    for folder in (p for p in example.iterdir() if p.is_dir() and p.name not in folders):
        (root / folder.name).symlink_to(folder)
    return root


def with_vehicle_poses(example: Path, root: Path, change) -> Path:
    """The example with other vehicle poses: `change` makes a pose of a pose."""
    clip_without(example, root, "vehicle_pose")
    clip = RdsHqClip(example, next((example / "pose").glob("*.tar")).stem)
    poses = {f"{f:06d}.vehicle_pose.npy": _npy(change(pose)) for f, pose in clip.vehicle_poses().items()}
    write_tar(root / "vehicle_pose" / f"{clip.clip_id}.tar", clip.clip_id, poses)
    return root


def _npy(array: np.ndarray) -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_the_example_is_a_motorway_with_traffic(scene: Scene) -> None:
    assert (scene.start, scene.end) == (0.0, pytest.approx(299 / 30))
    assert scene.facts["road"] == "straight_4lane" and scene.facts["area"] == "rural"
    assert "missing" not in scene.facts
    assert [track.id for track in scene.tracks] == [str(i) for i in range(1, 10)]
    kinds = {track.id: track.actor_class for track in scene.tracks}
    assert (kinds["4"], kinds["6"], kinds["8"]) == (ActorClass.TRUCK, ActorClass.PEDESTRIAN, ActorClass.OTHER)
    assert describe(scene).startswith("Driving along a rural four-lane road past trees with a car ahead")


def test_the_ego_is_a_car_on_the_rig(scene: Scene) -> None:
    assert np.abs(scene.rig_trajectory.poses[0] - np.eye(4)).max() < 1e-6
    assert np.allclose(scene.ego.trajectory.poses[0][:3, 3], (1.4, 0.0, EGO_SIZE[2] / 2), atol=1e-6)


def test_the_map_has_what_the_labels_say(scene: Scene) -> None:
    lines = scene.map.lane_lines
    assert len(lines) == 85
    assert {(line.style, line.color) for line in lines} >= {
        ("broken", "white"),
        ("solid", "white"),
        ("solid", "yellow"),
    }
    assert all(0.1 <= line.width <= 0.5 for line in lines)
    kinds = [lane.type for lane in scene.map.lanes]
    assert (kinds.count(LaneType.SHOULDER), kinds.count(LaneType.DRIVING)) == (67, 277)
    assert sum(lane.junction for lane in scene.map.lanes) == 36
    assert sum("STOP" in sign.kind for sign in scene.map.traffic_signs) == 7
    assert all(pole.base[2] < pole.top[2] for pole in scene.map.poles)


def test_scenery_adds_no_stroke_to_the_hd_map(example: Path, scene: Scene) -> None:
    layers = RdsHqClip(example, scene.clip_id).layers()
    assert {name: len(elements) for name, elements in map_layers(scene.map).items()} == {
        name: len(elements) for name, elements in layers.items()
    }
    assert scene.map.buildings and len(scene.map.trees) > 10


def test_signs_stand_upright_and_look_at_the_traffic(scene: Scene) -> None:
    ahead = [s for s in scene.map.traffic_signs if abs(s.pose[1, 3]) < 25 and 0 < s.pose[0, 3] < 400]
    facing = [float(s.pose[:3, 0] @ scene.rig_trajectory.poses[0][:3, 0]) for s in ahead]
    assert len(ahead) >= 5 and np.mean(np.array(facing) < -0.7) > 0.8
    assert all(np.linalg.det(sign.pose[:3, :3]) == pytest.approx(1.0) for sign in scene.map.traffic_signs)
    assert sum(sign.pose[2, 2] > 0.7 for sign in scene.map.traffic_signs) == 28  # one of 29 lies on its back


def test_the_example_is_drawn_as_its_layers_are(example: Path, scene: Scene) -> None:
    clip, renderer = RdsHqClip(example, scene.clip_id), Renderer(scene)
    hdmap, boxes = HdMap(clip.layers()), at_frames(average_static_objects(clip.objects()), (30, 31))
    camera = clip_rig(clip, "ftheta").camera("front_wide_120fov")
    small = camera.model.scaled(1 / 3)
    for frame, records in boxes.items():
        shown = [Box(k, hdmap_class(r.type), cuboid_corners(r.pose, r.size)) for k, r in records.items()]
        pose = clip.camera_poses("camera_front_wide_120fov", frames=[frame])[frame].astype(np.float64)
        raw = hdmap.draw(small, pose, shown)
        by_scene = renderer.hdmap(type(camera)(camera.name, small, camera.camera_to_rig), frame / 30)
        assert np.count_nonzero(raw) > 10000
        # the camera's mounting is constant here, but float32 noise in the clip
        assert np.mean((raw != by_scene).any(axis=2)) < 0.002


@pytest.mark.parametrize("folder", ["3d_poles", "3d_traffic_signs", "all_object_info"])
def test_a_missing_layer_is_reported(folder: str, example: Path, tmp_path: Path, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        scene = load_rds_hq_scene(clip_without(example, tmp_path, folder))
    assert scene.facts["missing"] == folder
    assert f"no {folder}: read as empty" in caplog.text
    assert not {"3d_poles": scene.map.poles, "3d_traffic_signs": scene.map.traffic_signs}.get(folder, scene.tracks)


def test_without_lanes_there_is_a_scene_without_scenery(example: Path, tmp_path: Path, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        scene = load_rds_hq_scene(clip_without(example, tmp_path, LANES))
    assert "no road surface" in caplog.text
    assert not scene.map.lanes and not scene.map.buildings and scene.map.lane_lines


def test_without_vehicle_poses_the_front_camera_says_where_the_car_is(
    example: Path, scene: Scene, tmp_path: Path, caplog
) -> None:
    with caplog.at_level(logging.WARNING):
        found = load_rds_hq_scene(clip_without(example, tmp_path, "vehicle_pose")).rig_trajectory
    assert "no vehicle poses" in caplog.text
    known = scene.rig_trajectory
    assert np.abs(found.poses[:, :3, 3] - known.poses[:, :3, 3]).max() < 0.1
    assert np.abs(found.poses[:, :3, :3] - known.poses[:, :3, :3]).max() < 0.02
    rig = clip_rig(RdsHqClip(tmp_path, scene.clip_id), "ftheta")
    assert len(rig.cameras) == 6


def test_the_rig_is_the_one_fitted_to_the_pictures(example: Path, scene: Scene) -> None:
    rig = clip_rig(RdsHqClip(example, scene.clip_id), "ftheta")
    position = {camera.name: camera.camera_to_rig[:3, 3] for camera in rig.cameras}
    assert np.allclose(position["front_wide_120fov"], (1.745, -0.032, 1.327), atol=1e-3)
    assert np.allclose(position["cross_right_120fov"], (2.464, -0.915, 0.810), atol=1e-3)
    assert {(c.model.width, c.model.height) for c in rig.cameras} == {(1920, 1080)}


def test_a_window_is_cut_from_the_clip(example: Path) -> None:
    scene = load_rds_hq_scene(example, start=2.0, duration=1.5)
    assert (scene.start, scene.end) == (2.0, 3.5)


@pytest.mark.parametrize("window", [{"start": 9.97}, {"duration": 20.0}, {"start": -1.0}, {"start": float("nan")}])
def test_a_window_outside_the_clip_is_refused(window: dict, example: Path) -> None:
    with pytest.raises(UserError, match=r"no time window of clip .*, which is 9\.967 s long"):
        load_rds_hq_scene(example, **window)


def test_a_left_handed_clip_is_refused(example: Path, tmp_path: Path) -> None:
    mirror = np.diag([1.0, -1.0, 1.0, 1.0])
    with pytest.raises(UserError, match=r"left-handed .*determinant -1"):
        load_rds_hq_scene(with_vehicle_poses(example, tmp_path, lambda pose: mirror @ pose))


def test_a_pose_that_is_no_rotation_is_refused(example: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"vehicle pose of frame 0 is no rigid motion"):
        load_rds_hq_scene(with_vehicle_poses(example, tmp_path, lambda pose: pose @ np.diag([2.0, 2.0, 2.0, 1.0])))


def record(x: float, moving: bool = True, length: float = 4.0) -> ObjectRecord:
    pose = np.eye(4)
    pose[0, 3] = x
    return ObjectRecord(pose, (length, 2.0, 1.5), moving, "Automobile")


def test_an_object_that_is_away_for_a_key_frame_is_two_tracks() -> None:
    objects = {0: {"7": record(0)}, 3: {"7": record(1)}, 6: {}, 9: {"7": record(3)}, 12: {"7": record(4)}}
    first, second = tracks_of(objects, 0.0, 14 / 30)
    assert (first.id, second.id) == ("7", "7_1")
    shown = {f: [t.id for t in (first, second) if t.exists_at(f / 30)] for f in range(15)}
    expected = {f: list(at_frames(objects, [f])[f]) for f in range(15)}
    assert {f: bool(ids) for f, ids in shown.items()} == {f: bool(ids) for f, ids in expected.items()}
    assert second.trajectory.at(14 / 30)[0, 3] == 4.0  # held after the last key frame
    assert first.trajectory.at(1 / 30)[0, 3] == pytest.approx(1 / 3)


def test_a_size_that_changes_becomes_its_mean(caplog) -> None:
    with caplog.at_level(logging.INFO):
        (track,) = tracks_of({0: {"7": record(0, length=4.0)}, 3: {"7": record(1, length=4.4)}}, 0.0, 0.1)
    assert track.size == pytest.approx((4.2, 2.0, 1.5))
    assert "changes its size" in caplog.text


def test_a_cuboid_is_read_whatever_way_its_axes_turn() -> None:
    pose = np.eye(4)
    pose[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    corners = cuboid_corners(pose, (0.1, 0.8, 0.5))
    mirrored = corners[[1, 0, 3, 2, 5, 4, 7, 6]]  # NVIDIA's: left-handed
    upside_down = corners[[5, 4, 7, 6, 1, 0, 3, 2]]
    for vertices in (corners, mirrored, upside_down):
        found, size = cuboid_pose(vertices)
        assert np.allclose(found, pose) and np.allclose(size, (0.1, 0.8, 0.5))


def test_a_flat_cuboid_has_a_pose() -> None:
    pose, size = cuboid_pose(cuboid_corners(np.eye(4), (0.0, 0.8, 0.5)))
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0) and size == (0.0, 0.8, 0.5)


def test_a_lane_known_by_its_centre_line_has_a_width() -> None:
    centre = np.array([[0.0, 0, 0], [10, 0, 0], [20, 0, 1]])
    (lane,) = map_of_labels("x", {"lanes": [Label((centre,))]}).lanes
    assert np.allclose(lane.left[:, 1], 1.8) and np.allclose(lane.right[:, 1], -1.8)


def test_lane_edges_of_unlike_stations_are_matched() -> None:
    left, right = np.array([[0.0, 2, 0], [10, 2, 0]]), np.array([[0.0, -2, 0], [4, -2, 0], [10, -2, 0]])
    (lane,) = map_of_labels("x", {"lanes": [Label((left, right))]}).lanes
    assert np.allclose(lane.left[:, 0], [0, 4, 10]) and np.allclose(lane.right, right)


def test_the_written_layer_reads_back(tmp_path: Path) -> None:
    label = Label((np.array([[0.0, 0, 0], [1, 0, 0]]),), ({"name": "width", "double": 0.2},))
    write_tar(tmp_path / "3d_lanelines" / "c.tar", "c", {"lanelines.json": labels_json("lanelines", [label])})
    assert SampleTar(tmp_path / "3d_lanelines" / "c.tar").keys == ("lanelines.json",)


@pytest.mark.parametrize(
    ("layer", "attribute", "message"),
    [
        ("lanelines", {"name": "width", "double": float("nan")}, "attribute width of a label is nan: .* finite number"),
        ("poles", {"name": "radius", "double": "thick"}, "attribute radius of a label is 'thick'"),
        ("poles", {"name": "radius", "double": -1.0}, "attribute radius of a label is -1.0"),
        (
            "traffic_lights",
            {"name": "states", "enumsList": {"enumsList": ["PINK"]}},
            "states and state_times are as many",
        ),
        ("traffic_lights", {"name": "state_times", "textList": {"textList": ["inf"]}}, "finite times that ascend"),
    ],
)
def test_attributes_that_are_no_finite_numbers_are_refused(layer, attribute, message):
    vertices = cuboid_corners(np.eye(4), (0.1, 0.6, 0.6)) if layer == "traffic_lights" else np.eye(3)[:2]
    with pytest.raises(UserError, match=message):
        map_of_labels("clip", {layer: [Label((vertices,), (attribute,))]})
