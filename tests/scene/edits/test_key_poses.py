"""Key poses to trajectories: NVIDIA's viewer is the reference."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cosmos_exp.cli.commands.novel_pose import main
from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.edits.key_poses import (
    ground_height,
    grounded,
    interpolate_key_poses,
    quaternion,
    rotation_matrix,
)
from cosmos_exp.scene.edits.pose_file import euler, read_pose_file
from cosmos_exp.scene.rds_hq.clip import RdsHqClip
from cosmos_exp.scene.rds_hq.scene import rig_trajectory

CLIP = "synth-a_0_1333333"


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, np.ndarray]:
    return dict(np.load(shared / "rds_hq" / "golden" / "novel_pose.npz"))


@pytest.fixture
def clip_root(shared: Path, tmp_path: Path) -> Path:
    """The synthetic clip in a folder that can be written to."""
    for folder in (shared / "rds_hq" / "golden" / "inputs" / CLIP).iterdir():
        (tmp_path / folder.name).symlink_to(folder)
    return tmp_path


def pose_at(x: float, y: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    """A level camera, OpenCV axes, at height 1.5 m."""
    pose = np.eye(4)
    pose[:3, :3] = euler(0, 0, yaw) @ np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    pose[:3, 3] = x, y, 1.5
    return pose


@pytest.mark.parametrize(("keys", "result"), [("key_poses", "poses_free"), ("grounded_h1p37", "poses_grounded")])
def test_the_spline_is_the_reference_s(golden, keys: str, result: str) -> None:
    poses = interpolate_key_poses(golden["key_frames"], golden[keys], len(golden[result]))
    assert np.abs(poses - golden[result]).max() < 1e-7


def test_grounding_is_the_reference_s(golden, shared: Path) -> None:
    for pose, fixed, kept in zip(golden["key_poses"], golden["grounded_h1p37"], golden["grounded_keep_z"]):
        np.testing.assert_allclose(grounded(pose, 1.37), fixed, atol=1e-12)
        np.testing.assert_allclose(grounded(pose), kept, atol=1e-12)
    clip = RdsHqClip(shared / "rds_hq" / "golden" / "inputs" / CLIP, CLIP)
    lane_lines = clip.layers(["lanelines"])["lanelines"]
    heights = [ground_height(pose, lane_lines) for pose in golden["key_poses"]]
    np.testing.assert_allclose(heights, golden["ground_heights"], atol=1e-9)


def test_the_curve_goes_through_its_keys_and_never_leaves_their_range() -> None:
    frames, y = [0, 10, 14, 30], [0.0, 5.0, 5.2, -3.0]
    poses = interpolate_key_poses(frames, np.stack([pose_at(f, v) for f, v in zip(frames, y)]), 31)
    np.testing.assert_allclose(poses[frames, 1, 3], y, atol=1e-12)
    assert poses[:, 1, 3].max() <= 5.2 + 1e-12 and poses[:, 1, 3].min() >= -3.0 - 1e-12
    assert np.abs(poses[:, :3, :3] @ poses[:, :3, :3].transpose(0, 2, 1) - np.eye(3)).max() < 1e-12


def test_the_order_of_keys_does_not_matter_and_a_long_turn_takes_the_short_way() -> None:
    keys = np.stack([pose_at(0, yaw=3.0), pose_at(5, yaw=-3.0), pose_at(9, yaw=-2.5)])
    poses = interpolate_key_poses([0, 5, 9], keys, 10)
    np.testing.assert_array_equal(interpolate_key_poses([9, 0, 5], keys[[2, 0, 1]], 10), poses)
    yaw = np.unwrap(np.arctan2(poses[:, 1, 2], poses[:, 0, 2]))
    assert (np.diff(yaw) > -1e-9).all() and yaw[-1] - yaw[0] == pytest.approx(2 * np.pi - 5.5)


def test_a_handle_is_at_most_five_times_as_long_as_the_interval_on_its_other_side_allows() -> None:
    keys = np.stack([pose_at(0, 0), pose_at(1, 1), pose_at(2, 1.5), pose_at(3, 9)])
    y = interpolate_key_poses([0, 100, 102, 200], keys, 201)[:, 1, 3]
    slope, length = (0.01 + 0.25) / 2, 5 * 2 / 2.5614  # at frame 100, whose intervals are 100 and 2 frames long
    u = np.linspace(0, 1, 20001)
    weights = np.stack([(1 - u) ** 3, 3 * (1 - u) ** 2 * u, 3 * (1 - u) * u**2, u**3])
    curve_x = np.array([0, 100 / 2.5614, 100 - length, 100]) @ weights
    curve_y = np.array([0, 0, 1 - slope * length, 1]) @ weights
    np.testing.assert_allclose(y[:101], np.interp(np.arange(101), curve_x, curve_y), atol=1e-6)


def test_quaternions_of_every_branch_come_back() -> None:
    rng = np.random.default_rng(0)
    for turns in (*rng.uniform(-np.pi, np.pi, (20, 3)), (np.pi, 0, 0), (0, np.pi, 0), (0, 0, np.pi)):
        rotation = euler(*turns)
        np.testing.assert_allclose(rotation_matrix(quaternion(rotation)), rotation, atol=1e-12)


@pytest.mark.parametrize(
    ("frames", "change", "message"),
    [
        ([0, 5], None, "last frame: 9 is missing"),
        ([3, 9], None, "last frame: 0 is missing"),
        ([0, 12], None, "nearest is 9"),
        ([0, 0], None, "given 2 times"),
        ([0, 9], (1, 0, 3, np.nan), "frame 9 holds numbers that are not finite"),
        ([0, 9], (1, 0, 0, 2.0), "frame 9 is no rigid transform"),
    ],
)
def test_bad_keys_are_named(frames: list[int], change, message: str) -> None:
    poses = np.stack([pose_at(0), pose_at(9)])
    if change:
        poses[change[:3]] = change[3]
    with pytest.raises(UserError, match=message):
        interpolate_key_poses(frames, poses, 10)


def test_a_camera_that_looks_straight_down_cannot_be_grounded() -> None:
    down = np.diag([1.0, -1.0, -1.0, 1.0])
    with pytest.raises(UserError, match="no heading"):
        grounded(down)


def test_the_command_writes_key_poses_for_all_cameras(golden, clip_root: Path, capsys) -> None:
    keys = clip_root / "keys.json"
    keys.write_text(json.dumps({"frames": [0, 12, 25, 39], "poses": golden["key_poses"].tolist()}))
    assert main(["-i", str(clip_root), "--keys", str(keys), "--no-ground", "-o", "keyed"]) == 0
    assert capsys.readouterr().out.strip() == str(clip_root / "keyed" / f"{CLIP}.tar")
    clip = RdsHqClip(clip_root, CLIP)
    assert clip.pose_cameras("keyed") == clip.pose_cameras()
    front = clip.camera_poses("camera_front_wide_120fov", "keyed")
    np.testing.assert_allclose(np.stack(list(front.values())), golden["poses_free"], atol=1e-7)
    main(["-i", str(clip_root), "--keys", str(keys)])
    front = clip.camera_poses("camera_front_wide_120fov", "novel_pose")
    height = clip.camera_poses("camera_front_wide_120fov")[0][2, 3]
    np.testing.assert_allclose([front[f][2, 3] - height for f in (0, 12, 25, 39)], golden["ground_heights"], atol=1e-6)


def test_the_command_writes_edits_that_read_back_as_the_ego_s_poses(clip_root: Path) -> None:
    main(["-i", str(clip_root), "--clip", CLIP, "--edit", "shift=1.5", "--edit", "yaw=5"])
    clip = RdsHqClip(clip_root, CLIP)
    own, novel = rig_trajectory(clip), read_pose_file(clip_root / "novel_pose" / f"{CLIP}.tar", 0.0)
    np.testing.assert_allclose(novel.times, own.times, atol=1e-12)
    moved = np.linalg.inv(own.poses) @ novel.poses
    np.testing.assert_allclose(moved[:, :2, 3], np.tile([0, 1.5], (len(moved), 1)), atol=2e-3)
    np.testing.assert_allclose(np.degrees(np.arctan2(moved[:, 1, 0], moved[:, 0, 0])), 5.0, atol=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --edit"),
        (["--edit", "shfit=1"], "did you mean 'shift'"),
        (["--edit", "shift=nan"], "--edit.shift=nan"),
        (["--edit", "shift=1", "-o", "pose"], "folder 'pose'"),
        (["--edit", "shift=1", "-o", "3d_lanes"], "folder '3d_lanes'"),
        (["--edit", "shift=1", "--clip", "synth-b"], f"did you mean '{CLIP}'"),
        (["--keys", "nowhere.json"], "nowhere.json"),
    ],
)
def test_mistakes_on_the_command_line_are_named(clip_root: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        main(["-i", str(clip_root), *arguments])
