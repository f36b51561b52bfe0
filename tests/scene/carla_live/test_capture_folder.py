"""The folder of a capture: whole or not there, and what was damaged since is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.carla_live.folder import OUTPUTS, CapturedCamera, CaptureWriter, is_finished, open_capture

FRAMES, HEIGHT, WIDTH = 3, 4, 6
CAMERA = CapturedCamera("front", WIDTH, HEIGHT, "a lens", np.eye(4), tuple(OUTPUTS))
ABOUT = {"map": "Town.xodr", "fps": 24.0, "frames": [7, 8, 9], "ego": {"id": 174}}


def picture(output: str, frame: int) -> np.ndarray:
    dtype, last = OUTPUTS[output]
    return np.full((HEIGHT, WIDTH, *last), frame + 1, np.dtype(dtype))


def begun(folder: Path, *, frames: int = FRAMES) -> CaptureWriter:
    writer = CaptureWriter(folder, (CAMERA,), FRAMES)
    for i in range(frames):
        for output in OUTPUTS:
            writer.append("front", output, picture(output, i))
    (writer.partial / "scene.log").write_bytes(b"log")
    (writer.partial / "Town.xodr").write_bytes(b"map")
    return writer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return begun(tmp_path / "capture").finish(ABOUT)


def test_what_was_written_is_read(folder: Path) -> None:
    capture = open_capture(folder)
    capture.verify()
    assert (capture.frames, capture.fps, capture.ego) == (3, 24.0, 174)
    for output in OUTPUTS:
        expected = np.stack([picture(output, i) for i in range(FRAMES)])
        np.testing.assert_array_equal(capture.array("front", output), expected)
        np.testing.assert_array_equal(np.load(folder / f"front.{output}.npy"), expected), "also by NumPy alone"


def test_an_unfinished_capture_is_none(tmp_path: Path) -> None:
    writer = begun(tmp_path / "capture", frames=2)
    assert not is_finished(tmp_path / "capture")
    with pytest.raises(ValueError, match=r"front\.rgb\.npy lacks 1 frames"):
        writer.finish(ABOUT)
    assert not is_finished(tmp_path / "capture")
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_new_capture_replaces_the_old_one(folder: Path) -> None:
    begun(folder).finish({**ABOUT, "fps": 10.0})
    assert open_capture(folder).fps == 10.0 and len(list(folder.parent.iterdir())) == 1


@pytest.mark.parametrize("wrong", [np.zeros((HEIGHT, WIDTH), np.uint8), np.zeros((WIDTH, HEIGHT, 3), np.uint8)])
def test_a_picture_of_another_shape_is_a_bug(wrong: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not its next frame"):
        CaptureWriter(tmp_path / "capture", (CAMERA,), 1).append("front", "rgb", wrong)


def test_a_file_that_lacks_bytes_is_named(folder: Path) -> None:
    path = folder / "front.depth.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"front\.depth\.npy of the capture .* is damaged .* capture again"):
        open_capture(folder)


def test_a_file_that_was_changed_is_named(folder: Path) -> None:
    path = folder / "scene.log"
    path.write_bytes(b"lag")
    with pytest.raises(UserError, match=r"scene\.log of the capture .* is damaged \(its content has changed\)"):
        open_capture(folder).verify()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda about: about | {"format": 99}, "is no capture of format 1"),
        (lambda about: about | {"map": "../else.xodr"}, "is broken"),
        (lambda about: about | {"files": {"../scene.log": {"bytes": 3, "sha256": ""}}}, "is broken"),
        (lambda about: {k: v for k, v in about.items() if k != "frames"}, "is broken: KeyError"),
        (lambda about: [about], "is no capture"),
    ],
)
def test_a_broken_description_is_told(change, message: str, folder: Path) -> None:
    path = folder / "capture.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(UserError, match=message):
        open_capture(folder)


def test_names_that_are_not_there_have_a_nearest_one(folder: Path) -> None:
    capture = open_capture(folder)
    with pytest.raises(UserError, match="unknown camera 'frnot': did you mean 'front'"):
        capture.array("frnot", "rgb")
    with pytest.raises(UserError, match="unknown output 'dept': did you mean 'depth'"):
        capture.array("front", "dept")
    with pytest.raises(UserError, match="holds no finished capture"):
        open_capture(folder.parent)
