"""Control videos that users bring."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video import write_video
from cosmos_exp.controls.user_videos import camera_file, check_video, read_user_video
from tests.helpers.videos import cut_by_edit_list, encode, numbered, numbers

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
    frames = read_user_video(video, "hdmap", frames=9, height=32, width=48, fps=24)
    assert frames.shape == (9, 32, 48, 3)
    assert abs(int(frames[8, 16, 10, 0]) - 160) < 8


@pytest.mark.parametrize(("control", "mixed"), [("hdmap", True), ("seg", False)])
def test_another_size_is_resized_and_classes_are_not_mixed(control: str, mixed: bool, tmp_path: Path) -> None:
    half = np.zeros((9, 32, 48, 3), np.uint8)
    half[:, :, 23:] = 255
    path = write_video(tmp_path / "half.mp4", half, 24, lossless=True)
    row = read_user_video(path, control, frames=9, height=64, width=96, fps=24)[0, 30, :, 0]
    assert len(row) == 96
    assert (len(np.unique(row)) > 2) == mixed


def test_a_video_too_short_or_cut_off(video: Path) -> None:
    check_video(video, 12, 24)
    for read in (
        check_video,
        lambda path, frames, fps: read_user_video(path, "seg", frames=frames, height=32, width=48, fps=fps),
    ):
        with pytest.raises(UserError, match="has 12 frames, the clip has 17"):
            read(video, 17, 24)
    video.write_bytes(video.read_bytes()[:-500])
    with pytest.raises(UserError, match="truncated"):
        read_user_video(video, "hdmap", frames=9, height=32, width=48, fps=24)
    video.write_bytes(b"no video")
    with pytest.raises(UserError, match="cannot read the video"):
        check_video(video, 9, 24)


def test_another_frame_rate_is_refused_with_the_command_that_converts_it(tmp_path: Path) -> None:
    path = encode(tmp_path / "my clip.mp4", numbered(12), fps=30)
    message = r"has 30 frames per second, the clip has 24: give model.fps=30, or convert it, ffmpeg -i '\S+my clip.mp4'"
    with pytest.raises(UserError, match=f"{message} -vf fps=24"):
        check_video(path, 9, 24)
    with pytest.raises(UserError, match=message):
        read_user_video(path, "hdmap", frames=9, height=32, width=48, fps=24)
    check_video(path, 9, 30)


@pytest.mark.parametrize("kind", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("fps", [23.976, 24, 29.97, 60])
def test_rates_that_fit(kind: str, fps: float, tmp_path: Path) -> None:
    """Films of 23.976 Hz count as 24; Matroska rounds times to milliseconds."""
    path = encode(tmp_path / f"film.{kind}", numbered(12), fps=fps)
    for frames in (1, 2, 9):
        assert check_video(path, frames, round(fps)).rate == pytest.approx(fps, rel=1e-3)


def test_a_variable_frame_rate_is_refused(tmp_path: Path) -> None:
    """Three frames are missing after the fifth; those before them are evenly spaced."""
    times = [(i if i < 5 else i + 3) / 24 for i in range(20)]
    path = encode(tmp_path / "phone.mp4", numbered(20), times=times)
    with pytest.raises(UserError, match=r"variable frame rate: frame \d is at 0.\d+ s, .*-vf fps=24"):
        check_video(path, 9, 24)
    check_video(path, 5, 24)


def test_a_frame_left_out_is_noticed_and_a_clock_that_trembles_is_not(tmp_path: Path) -> None:
    left_out = encode(tmp_path / "left_out.mp4", numbered(24), times=[(i + (i > 12)) / 24 for i in range(24)])
    with pytest.raises(UserError, match="variable frame rate"):
        check_video(left_out, 24, 24)
    trembling = encode(tmp_path / "trembling.mp4", numbered(24), times=[i / 24 + 0.004 * (i % 3) for i in range(24)])
    check_video(trembling, 24, 24)


def test_frames_that_an_edit_list_cuts_off_do_not_count(tmp_path: Path) -> None:
    path = cut_by_edit_list(encode(tmp_path / "trimmed.mp4", numbered(24)), 7)
    frames = read_user_video(path, "rgb", frames=9, height=32, width=48, fps=24)
    assert numbers(frames) == list(range(7, 16))
    check_video(path, 17, 24)
    with pytest.raises(UserError, match="has 17 frames, the clip has 18"):
        check_video(path, 18, 24)


def test_what_is_done_to_the_pictures_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = encode(tmp_path / "phone.mp4", numbered(12, 48, 32), matrix=(0, 1, -1, 0))
    with caplog.at_level("INFO"):
        frames = read_user_video(path, "rgb", frames=9, height=32, width=48, fps=24)
    assert frames[0, 2, 45].min() > 200 and frames[0, 2, 2].max() < 60
    assert "phone.mp4: turned right, as its display matrix says" in caplog.text
    assert "phone.mp4: the first 9 frames are used" in caplog.text
    assert "resized" not in caplog.text
    with caplog.at_level("WARNING"):
        read_user_video(path, "rgb", frames=9, height=32, width=96, fps=24)
    assert "resized from 48x32 to 96x32, which makes things 2.00 times as wide; crop it first" in caplog.text


def test_frames_after_the_clip_are_not_decoded(tmp_path: Path) -> None:
    """The second half of the file is overwritten."""
    path = encode(tmp_path / "long.mkv", numbered(24), codec="ffv1", options={})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) // 2))
    assert numbers(read_user_video(path, "rgb", frames=9, height=32, width=48, fps=24)) == list(range(9))
