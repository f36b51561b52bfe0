"""Videos that others can play, and files that are no videos."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import av
import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video import compose_grid, middle_frame, read_video, write_video
from cosmos_exp.common.views import ALL_VIEWS, VIEWS


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """A bright square that moves over a gradient, [17,48,64,3]."""
    x, y = np.meshgrid(np.arange(64), np.arange(48))
    frames = np.stack([np.stack([x * 3, y * 4, x + y], axis=-1).astype(np.uint8)] * 17)
    for i, frame in enumerate(frames):
        frame[10:20, 2 * i : 2 * i + 10] = (250, 220, 40)
    return frames


def test_the_file_is_what_browsers_play(tmp_path: Path, frames: np.ndarray) -> None:
    path = write_video(tmp_path / "clip.mp4", frames, 24)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.frames, stream.average_rate) == (17, 24)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_what_is_read_is_close_to_what_was_written(tmp_path: Path, frames: np.ndarray) -> None:
    read = read_video(write_video(tmp_path / "clip.mp4", frames, 24))
    assert read.shape == frames.shape
    assert np.abs(read.astype(int) - frames).mean() < 4


def test_lossless_is_exact_even_at_odd_sizes(tmp_path: Path, frames: np.ndarray) -> None:
    odd = frames[:, :47, :63]
    assert np.array_equal(read_video(write_video(tmp_path / "clip.mp4", odd, 10, lossless=True)), odd)


PAN = """
import hashlib, sys, cv2, numpy as np
from cosmos_exp.common.video import write_video
base = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (128, 288, 3)).astype(np.uint8), (0, 0), 3)
frames = np.stack([base[2 * i : 2 * i + 64, 3 * i : 3 * i + 144] for i in range(12)])
print(hashlib.sha256(write_video(sys.argv[1], frames, 24.0).read_bytes()).hexdigest())
"""


def test_the_same_frames_are_the_same_file_whatever_memory_held_before(tmp_path: Path) -> None:
    """glibc fills new memory with a byte of MALLOC_PERTURB_; x264 with AVX-512 wrote three files."""
    written = set()
    for byte in ("0", "77", "200"):
        command = [sys.executable, "-c", PAN, str(tmp_path / f"{byte}.mp4")]
        environment = os.environ | {"MALLOC_PERTURB_": byte}
        written.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(written) == 1


def test_odd_sizes_are_refused(tmp_path: Path, frames: np.ndarray) -> None:
    with pytest.raises(ValueError, match="47x64"):
        write_video(tmp_path / "clip.mp4", frames[:, :47], 24)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, frames: np.ndarray, monkeypatch) -> None:
    path = write_video(tmp_path / "clip.mp4", frames, 24)
    before = path.read_bytes()

    def broken(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cosmos_exp.common.video.sync_to_disk", broken)
    with pytest.raises(OSError):
        write_video(path, frames[:3], 24)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.95])
def test_a_truncated_file_is_an_error(tmp_path: Path, frames: np.ndarray, share: float) -> None:
    content = write_video(tmp_path / "clip.mp4", frames, 24).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=r"cut\.mp4"):
        read_video(cut)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no video"):
        read_video(tmp_path / "none.mp4")


def test_the_grid_has_left_front_right_over_the_rear() -> None:
    views = {view: np.full((2, 4, 6, 3), 40 * i, np.uint8) for i, view in enumerate(VIEWS)}
    grid = compose_grid(views)
    assert grid.shape == (2, 8, 18, 3)
    assert grid[0, ::4, ::6, 0].tolist() == [[40, 0, 80], [160, 120, 200]]


def numbered(views) -> dict[str, np.ndarray]:
    return {view: np.full((2, 4, 6, 3), 10 * (1 + ALL_VIEWS.index(view)), np.uint8) for view in views}


@pytest.mark.parametrize("count", range(1, len(ALL_VIEWS) + 1))
def test_every_view_is_in_the_grid_once(count: int) -> None:
    for views in combinations(ALL_VIEWS, count):
        grid = compose_grid(numbered(views))
        values, pixels = np.unique(grid[0, ..., 0], return_counts=True)
        shown = {value: n for value, n in zip(values.tolist(), pixels.tolist()) if value}
        assert shown == {10 * (1 + ALL_VIEWS.index(view)): 4 * 6 for view in views}


def test_seven_views_have_the_far_one_in_the_middle_above() -> None:
    grid = compose_grid(numbered(ALL_VIEWS))
    assert grid.shape == (2, 12, 18, 3)
    assert grid[0, ::4, ::6, 0].tolist() == [[0, 70, 0], [20, 10, 30], [50, 40, 60]]


def test_a_shorter_row_stands_in_the_middle() -> None:
    five = compose_grid(numbered(view for view in VIEWS if view != "rear_tele_30fov"))
    assert five[0, 4, ::3, 0].tolist() == [0, 50, 50, 60, 60, 0]
    two = compose_grid(numbered(VIEWS), rows=[VIEWS[:1], [None, VIEWS[1]]])
    assert two[0, ::4, ::3, 0].tolist() == [[0, 10, 10, 0], [0, 0, 20, 20]]


def test_labels_are_drawn_on_a_copy() -> None:
    views = {view: np.zeros((1, 96, 160, 3), np.uint8) for view in VIEWS}
    assert compose_grid(views, labels=True).any()
    assert not any(video.any() for video in views.values())


def test_the_middle_frame_is_that_of_the_whole_video(tmp_path):
    frames = np.repeat(np.arange(0, 250, 50, np.uint8), 32 * 48 * 3).reshape(5, 32, 48, 3)
    path = write_video(tmp_path / "steps.mp4", frames, 10.0)
    np.testing.assert_array_equal(middle_frame(path), read_video(path)[2])
    assert middle_frame(path, size=(24, 16)).shape == (16, 24, 3)
    with pytest.raises(UserError, match="no video"):
        middle_frame(tmp_path / "gone.mp4")
