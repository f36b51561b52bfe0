"""Control videos that users bring."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video import write_video
from cosmos_exp.controls.user_videos import camera_file, check_video, read_user_video

VIEW = "front_wide_120fov"


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """12 frames of 48x32: the left half red, in frame i by 20 i levels."""
    frames = np.zeros((12, 32, 48, 3), np.uint8)
    frames[:, :, :24, 0] = 20 * np.arange(12)[:, None, None]
    return write_video(tmp_path / "video.mp4", frames, 24)


def folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    "name", [f"{VIEW}.mp4", f"{VIEW}/any.mp4", f"ftheta_camera_{VIEW}/uuid_0.mp4", f"pinhole_camera_{VIEW}.mp4"]
)
def test_the_file_of_a_camera(name: str, tmp_path: Path) -> None:
    root = folder(tmp_path, name, "ftheta_camera_cross_left_120fov/uuid_0.mp4")
    assert camera_file(root, VIEW) == root / name
    assert camera_file(root / name, VIEW) == root / name


def test_of_several_clips_the_runs_own_counts(tmp_path: Path) -> None:
    root = folder(tmp_path, *(f"ftheta_camera_{VIEW}/{name}.mp4" for name in ("a_0", "a_1", "b_0")))
    assert camera_file(root, VIEW, "b").name == "b_0.mp4"
    with pytest.raises(UserError, match=r"several files for front.*, none is c_0: a_0.mp4, a_1.mp4, b_0.mp4"):
        camera_file(root, VIEW, "c")


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file or folder"):
        camera_file(tmp_path / "none", VIEW)
    with pytest.raises(UserError, match=r"nothing for front_wide_120fov.*it holds cross_left_120fov.mp4"):
        camera_file(folder(tmp_path, "cross_left_120fov.mp4"), VIEW)


def test_the_first_frames_are_used(video: Path) -> None:
    frames = read_user_video(video, "hdmap", frames=9, height=32, width=48)
    assert frames.shape == (9, 32, 48, 3)
    assert abs(int(frames[8, 16, 10, 0]) - 160) < 8


@pytest.mark.parametrize(("control", "mixed"), [("hdmap", True), ("seg", False)])
def test_another_size_is_resized_and_classes_are_not_mixed(control: str, mixed: bool, tmp_path: Path) -> None:
    half = np.zeros((9, 32, 48, 3), np.uint8)
    half[:, :, 23:] = 255
    path = write_video(tmp_path / "half.mp4", half, 24, lossless=True)
    row = read_user_video(path, control, frames=9, height=64, width=96)[0, 30, :, 0]
    assert len(row) == 96
    assert (len(np.unique(row)) > 2) == mixed


def test_a_video_too_short_or_cut_off(video: Path) -> None:
    check_video(video, 12)
    for read in (
        check_video,
        lambda path, frames: read_user_video(path, "seg", frames=frames, height=32, width=48),
    ):
        with pytest.raises(UserError, match="has 12 frames, the clip has 17"):
            read(video, 17)
    video.write_bytes(video.read_bytes()[:-500])
    with pytest.raises(UserError, match="truncated"):
        read_user_video(video, "hdmap", frames=9, height=32, width=48)
    video.write_bytes(b"no video")
    with pytest.raises(UserError, match="cannot read the video"):
        check_video(video, 9)
