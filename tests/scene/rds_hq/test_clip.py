import json
import logging
import time

import numpy as np
import pytest
from helpers.clips import CAMERAS, CLIP_ID, FTHETA, VERTICES, members, npy, npz, pose, record, write_clip

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.map_layers import LAYER_SHAPES
from cosmos_exp.scene.rds_hq.clip import RdsHqClip, clip_ids, find_clip
from cosmos_exp.sensors.ftheta import FTheta
from cosmos_exp.sensors.pinhole import Pinhole

FRONT, REAR = CAMERAS
EXAMPLE = "2d23a1f4-c269-46aa-8e7d-1bb595d1e421_2445376400000_2445396400000"


@pytest.fixture
def folders():
    return members()


def test_every_folder_is_read(tmp_path, folders):
    clip = find_clip(write_clip(tmp_path, folders))
    assert clip.clip_id == CLIP_ID
    assert clip.missing == () and clip.notes == []
    layers = clip.layers()
    assert tuple(layers) == tuple(LAYER_SHAPES)
    for layer, shape in LAYER_SHAPES.items():
        (vertices,) = layers[layer]
        np.testing.assert_array_equal(vertices, VERTICES[shape])
    assert [len(v) for v in clip.layers(["lanes"])["lanes"]] == [3, 3]
    assert clip.pose_cameras() == clip.cameras("ftheta") == clip.cameras("pinhole") == CAMERAS
    assert clip.frames(FRONT) == range(4)
    assert {f: p[0, 3] for f, p in clip.camera_poses(REAR).items()} == {0: 0, 1: 1, 2: 2, 3: 3}
    assert clip.vehicle_poses()[2].dtype == np.float32
    assert list(clip.objects()) == [0, 3]
    assert clip.objects()[3]["7"].pose[0, 3] == 13
    assert clip.model("ftheta", FRONT) == FTheta(1920, 1080, (960, 540), (0, 0.00105, 0, 0, 0, 0), True)
    assert clip.model("pinhole", REAR) == Pinhole(1280, 720, 900, 901, 640, 360)
    assert clip.lidar_frames() == (0,)
    points, lidar_to_world = clip.lidar(0)
    assert points.shape == (5, 3) and lidar_to_world[0, 3] == 1
    assert clip.caption() is None


def test_only_the_frames_asked_for_are_decoded(tmp_path, folders):
    folders["pose"][f"000002.pose.{FRONT}.npy"] = b"broken"
    clip = find_clip(write_clip(tmp_path, folders))
    assert list(clip.camera_poses(FRONT, frames=[3, 1])) == [3, 1]
    with pytest.raises(UserError, match=rf"000002.pose.{FRONT}.npy is not a readable .npy array"):
        clip.camera_poses(FRONT)
    with pytest.raises(UserError, match="no frame 9: allowed 0 to 3"):
        clip.camera_poses(FRONT, frames=[9])


def test_missing_folders_are_tolerated_and_reported(tmp_path, folders):
    for folder in ("3d_poles", "all_object_info", "vehicle_pose", "lidar_raw", "timestamp"):
        del folders[folder]
    folders["3d_bumps"] = {"bumps.json": b"{}"}
    clip = find_clip(write_clip(tmp_path, folders))
    assert clip.missing == ("3d_poles", "all_object_info")
    assert clip.notes == [
        "no 3d_poles, all_object_info: read as empty",
        "3d_bumps is no layer of the format: not read",
    ]
    assert clip.layers()["poles"] == [] and clip.objects() == {} and clip.vehicle_poses() == {}
    assert clip.lidar_frames() == ()


def test_no_such_clip(tmp_path, folders):
    root = write_clip(tmp_path / "set", folders)
    write_clip(root, folders, "other_5")
    assert clip_ids(root) == [CLIP_ID, "other_5"]
    with pytest.raises(UserError, match=rf"no clip 'clip_0_100000'.* did you mean '{CLIP_ID}'.*{CLIP_ID}, other_5"):
        RdsHqClip(root, "clip_0_100000")
    with pytest.raises(UserError, match=f"2 clips: name one of {CLIP_ID}, other_5"):
        find_clip(root)
    with pytest.raises(UserError, match=r"'clip.0' has a dot.*'clip_0'"):
        RdsHqClip(root, "clip.0")
    with pytest.raises(UserError, match=f"no folder 'pose'; did you mean {root}"):
        clip_ids(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        clip_ids(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"no RDS-HQ folder: it has no folder 'pose'$"):
        clip_ids(root / "pose")


def test_unknown_layer(tmp_path, folders):
    clip = find_clip(write_clip(tmp_path, folders))
    with pytest.raises(UserError, match="unknown layer 'lane_lines': did you mean 'lanelines'"):
        clip.layers(["poles", "lane_lines"])


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.full((4, 4), np.nan), f"000001.pose.{FRONT}.npy: the pose has nan or infinite values"),
        (np.eye(3), r"a pose is a 4x4 matrix of floats, not \[3, 3\]"),
        (np.eye(4, dtype=int), "of int64"),
        (np.diag([0.0, 1, 1, 1]), "is singular"),
        (np.ones((4, 4)), "does not end in the row 0 0 0 1"),
    ],
)
def test_broken_poses(tmp_path, folders, matrix, message):
    folders["pose"][f"000001.pose.{FRONT}.npy"] = npy(matrix)
    clip = find_clip(write_clip(tmp_path, folders))
    with pytest.raises(UserError, match=message):
        clip.camera_poses(FRONT)
    assert len(clip.camera_poses(REAR)) == 4


def test_frames_have_no_gaps(tmp_path, folders):
    del folders["pose"][f"000001.pose.{REAR}.npy"]
    del folders["vehicle_pose"]["000000.vehicle_pose.npy"]
    clip = find_clip(write_clip(tmp_path, folders))
    with pytest.raises(UserError, match=f"poses of {REAR}: frames 1 are missing"):
        clip.frames(REAR)
    with pytest.raises(UserError, match="vehicle poses: frames 0 are missing"):
        clip.vehicle_poses()
    assert len(clip.frames(FRONT)) == 4


def test_the_same_frame_in_two_spellings(tmp_path, folders):
    folders["pose"][f"1.pose.{FRONT}.npy"] = npy(pose())
    with pytest.raises(UserError, match=rf"frame 1 of pose.{FRONT}.npy is there twice"):
        find_clip(write_clip(tmp_path, folders)).frames(FRONT)


def test_key_without_a_frame(tmp_path, folders):
    folders["pose"]["pose.front.npy"] = npy(pose())
    with pytest.raises(UserError, match=r"'pose.front.npy' does not start with a frame number"):
        find_clip(write_clip(tmp_path, folders)).pose_cameras()


def test_camera_of_another_name(tmp_path, folders):
    clip = find_clip(write_clip(tmp_path, folders))
    with pytest.raises(UserError, match=rf"unknown camera 'camera_front_wide': did you mean '{FRONT}'.*{REAR}"):
        clip.model("ftheta", "camera_front_wide")
    with pytest.raises(UserError, match=r"pose.*unknown camera 'front'"):
        clip.camera_poses("front")
    with pytest.raises(UserError, match="unknown camera type 'fisheye'"):
        clip.model("fisheye", FRONT)


@pytest.mark.parametrize(
    ("camera_type", "values", "message"),
    [
        ("ftheta", FTHETA[:8], "ftheta intrinsics are 11 or 14 finite numbers"),
        ("ftheta", FTHETA * np.nan, "11 or 14 finite numbers"),
        ("pinhole", FTHETA, "pinhole intrinsics are 6 finite numbers"),
        ("pinhole", np.array([900.0, 900, 640, 360, 0, 720]), "width and height 0 x 720"),
        ("pinhole", np.array([0.0, 900, 640, 360, 1280, 720]), "focal lengths 0, 900"),
        ("pinhole", np.float64(3), "6 finite numbers"),
        ("ftheta", np.array([960.0, 540, 1920, -1, 0, 0.001, 0, 0, 0, 0, 1]), "1920 x -1"),
        ("ftheta", np.array([960.0, 540, 1920, 1080, 0, 1000, 0, -900, 0, 0, 0]), "radius must grow with the angle"),
    ],
)
def test_broken_intrinsics(tmp_path, folders, camera_type, values, message):
    folders[f"{camera_type}_intrinsic"][f"{camera_type}_intrinsic.{FRONT}.npy"] = npy(values)
    with pytest.raises(UserError, match=message):
        find_clip(write_clip(tmp_path, folders)).model(camera_type, FRONT)


def test_default_ftheta_intrinsics(tmp_path, folders):
    del folders["ftheta_intrinsic"]
    write_clip(tmp_path, folders)
    with pytest.raises(UserError, match=r"no ftheta intrinsics.*; it has camera type pinhole, or give"):
        find_clip(tmp_path).model("ftheta", FRONT)
    default = write_clip(tmp_path / "d", {"f": {f"ftheta_intrinsic.{REAR}.npy": npy(FTHETA)}}, "any") / "f" / "any.tar"
    clip = RdsHqClip(tmp_path, CLIP_ID, default_ftheta=default)
    assert clip.cameras("ftheta") == (REAR,)
    assert clip.model("ftheta", "side_left", default_name=REAR).width == 1920
    assert clip.notes == [f"no ftheta_intrinsic: cameras taken from {default}"]
    with pytest.raises(UserError, match=f"unknown camera 'camera_rear_tele_70fov': did you mean '{REAR}'"):
        clip.model("ftheta", "side_left", default_name="camera_rear_tele_70fov")
    assert clip.model("pinhole", FRONT, default_name=REAR).fx == 900  # its own intrinsics need no other name


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"lanelines.json is not JSON: .* line 1, column 2"),
        (b"\xff", "not JSON: not UTF-8"),
        (b"[]", "an object with a list 'labels'"),
        (b'{"labels": [{"vertices": [[0, 0]]}]}', r"label 0: vertices are a list of finite \[x, y, z\]"),
        (b'{"labels": [{"vertices": [[0, 0, NaN]]}]}', "the number NaN in line 1"),
        (b'{"labels": [{"vertices": [[0, 0, 0], [1, 2]]}]}', "label 0: vertices are a list of finite"),
        (b'{"labels": [{"vertices": "none"}]}', "label 0: vertices are a list of finite"),
    ],
)
def test_broken_layers(tmp_path, folders, content, message):
    folders["3d_lanelines"] = {"lanelines.json": content}
    with pytest.raises(UserError, match=message):
        find_clip(write_clip(tmp_path, folders)).layers()


def test_a_layer_under_another_name(tmp_path, folders):
    folders["3d_lanelines"] = {"lanes.json": b'{"labels": []}'}
    with pytest.raises(UserError, match=r"unknown key.*'lanelines.json': did you mean 'lanes.json'"):
        find_clip(write_clip(tmp_path, folders)).layers()


def test_vertices_are_found_anywhere_and_empty_ones_reported(tmp_path, folders):
    line = [[0, 0, 0], [1, 0, 0]]
    labels = [{"vertices": line, "x": [{"y": {"vertices": [[5, 5, 5]]}}]}, {"surface": {"vertices": []}}, {"e": True}]
    folders["3d_crosswalks"] = {"crosswalks.json": json.dumps({"labels": labels}).encode()}
    clip = find_clip(write_clip(tmp_path, folders))
    assert [v.tolist() for v in clip.layers()["crosswalks"]] == [line, [[5, 5, 5]]]
    assert clip.notes == ["3d_crosswalks: 1 of its labels without vertices left out"]
    clip.layers()
    assert len(clip.notes) == 1


def test_cuboids_have_eight_vertices(tmp_path, folders):
    labels = [{"vertices": [[0, 0, 0]] * 6}]
    folders["3d_traffic_signs"] = {"traffic_signs.json": json.dumps({"labels": labels}).encode()}
    with pytest.raises(UserError, match="label 0 has 6 vertices: a cuboid has 8"):
        find_clip(write_clip(tmp_path, folders)).layers()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"object_lwh": [1, 2]}, r"object '7': object_lwh \[1.0, 2.0\] is not three sizes"),
        ({"object_lwh": [1, 2, -3]}, "not three sizes of 0 m to 1000 m"),
        ({"object_lwh": [1, 2, float("nan")]}, "the number NaN in line 1"),
        ({"object_lwh": "big"}, "are lists of numbers"),
        ({"appearance": "red"}, r"an appearance has an actor_class \(car, .*; given: 'red'"),
        ({"appearance": {"actor_class": "car", "number": 0, "color": [1, 2, 0]}}, r"\[1, 2, 0\] .* is not of 0 to 1"),
        ({"object_to_world": [[1, 2], [3]]}, "are lists of numbers"),
        ({"object_to_world": np.eye(3).tolist()}, "frame 0: object '7': a pose is a 4x4"),
        ({"object_to_world": np.full((4, 4), np.inf).tolist()}, "the number Infinity in line 1"),
    ],
)
def test_broken_objects(tmp_path, folders, changes, message):
    content = json.dumps({"7": record(**changes)}).encode()
    folders["all_object_info"] = {"000000.all_object_info.json": content}
    with pytest.raises(UserError, match=message):
        find_clip(write_clip(tmp_path, folders)).objects()


def test_objects_need_their_keys(tmp_path, folders):
    folders["all_object_info"] = {"000000.all_object_info.json": b'{"7": {"object_lwh": [1, 1, 1]}}'}
    with pytest.raises(UserError, match=r"an object has object_to_world, .*; given: object_lwh"):
        find_clip(write_clip(tmp_path, folders)).objects()


def test_boxes_of_zero_size_are_kept_and_reported(tmp_path, folders):
    content = json.dumps({"a": record(object_lwh=[0, 0, 0]), "b": record()}).encode()
    folders["all_object_info"] = {"000000.all_object_info.json": content}
    clip = find_clip(write_clip(tmp_path, folders))
    assert clip.objects()[0]["a"].size == (0, 0, 0)
    assert clip.notes == ["all_object_info: a of zero size kept: drawn as a line or a dot"]


def test_broken_sweeps(tmp_path, folders):
    folders["lidar_raw"] = {
        "000000.lidar_raw.npz": b"zip?",
        "000003.lidar_raw.npz": npz(xyz=np.ones((5, 3))),
        "000006.lidar_raw.npz": npz(xyz=np.ones((5, 4)), lidar_to_world=pose()),
        "000009.lidar_raw.npz": npz(xyz=np.ones((5, 3)), lidar_to_world=np.eye(3)),
    }
    clip = find_clip(write_clip(tmp_path, folders))
    for frame, message in {
        0: "not a readable .npz",
        3: "xyz and lidar_to_world; given: xyz",
        6: r"xyz is \[N, 3\], not \[5, 4\]",
        9: "lidar_to_world: a pose is a 4x4",
        7: "no sweep at frame 7; the nearest is 6",
    }.items():
        with pytest.raises(UserError, match=message):
            clip.lidar(frame)


def test_pickled_arrays_are_refused(tmp_path, folders):
    folders["pose"][f"000000.pose.{FRONT}.npy"] = npy(np.array([print], dtype=object))
    with pytest.raises(UserError, match=r"not a readable .npy"):
        find_clip(write_clip(tmp_path, folders)).camera_poses(FRONT)


def test_the_example_clip(shared):
    folder = shared / "rds_hq" / "example"
    if not folder.is_dir():
        pytest.skip("no RDS-HQ example clip")
    start = time.process_time()
    clip = find_clip(folder)
    layers = clip.layers()
    poses = {camera: clip.camera_poses(camera) for camera in clip.pose_cameras()}
    objects = clip.objects()
    models = [clip.model(kind, camera) for kind in ("ftheta", "pinhole") for camera in clip.cameras(kind)]
    seconds = time.process_time() - start
    logging.getLogger(__name__).info("read in %.3f s of CPU time", seconds)
    assert seconds < 1
    assert clip.clip_id == EXAMPLE and clip.missing == () and clip.notes == []
    assert {layer: len(v) for layer, v in layers.items()} == {
        "lanelines": 85,
        "road_boundaries": 93,
        "crosswalks": 1,
        "road_markings": 6,
        "wait_lines": 34,
        "poles": 28,
        "traffic_signs": 29,
        "traffic_lights": 0,
    }
    assert len(clip.labels(["lanes"])["lanes"]) == 344
    assert len(poses) == 6 and {len(p) for p in poses.values()} == {300}
    assert sorted(objects) == list(range(0, 300, 3)) and len(models) == 14
    np.testing.assert_allclose(clip.vehicle_poses()[0], np.eye(4), atol=1e-12)
