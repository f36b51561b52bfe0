"""`cosmos-exp verify render` with frames of World Scenario maps: what passes and what must not."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from cosmos_exp.cli.commands.verify import main
from cosmos_exp.verify.check import Check
from cosmos_exp.verify.condition_videos import verify_render
from cosmos_exp.verify.wsm_frames import Difference

pytest.importorskip("pyarrow", reason="pyarrow (the clipgt extra) is not installed")
SMALL = ("424x240_ms4", "320x180_ms1", "480x270_ms4", "wsm-rds-e_0_1000000/640x360_ms4/camera_front_tele")


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    return shared / "wsm" / "golden"


def part_of(golden: Path, folder: Path, *parts: str) -> list[dict]:
    """Frames whose file has one of these parts, as a folder of reference data; pictures are copies."""
    frames = json.loads((golden / "manifest.json").read_text())["frames"]
    chosen = [frame for frame in frames if any(part in frame["file"] for part in parts)]
    for frame in chosen:
        target = folder / frame["file"]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((golden / frame["file"]).read_bytes())
    for name in ("clips", "rds_hq"):
        (folder / name).symlink_to(golden / name)
    write(folder, chosen)
    return chosen


def write(folder: Path, frames: list) -> None:
    (folder / "manifest.json").write_text(json.dumps({"frames": frames}))


def checks_of(folder: Path) -> list[Check]:
    return list(verify_render(folder))


def test_reference_frames_of_every_layer_format_and_sampling_pass(golden: Path, tmp_path: Path, capsys) -> None:
    frames = part_of(golden, tmp_path, *SMALL)
    assert len(frames) == 10 + 6 + 3 + 4
    assert main(["render", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{len(frames)} of {len(frames)} checks passed"


def test_wrong_pictures_fail(golden: Path, tmp_path: Path) -> None:
    frames = part_of(golden, tmp_path, "424x240_ms4_obstacle")
    path = tmp_path / frames[0]["file"]
    shifted = np.roll(cv2.imread(str(path)), 1, axis=1)
    cv2.imwrite(str(path), shifted)
    first, second = checks_of(tmp_path)
    assert not first.passed and "its SHA-256 differs" in first.found
    assert second.passed
    del frames[0]["sha256_rgb"]
    write(tmp_path, frames)
    first, second = checks_of(tmp_path)
    assert not first.passed and "% by > 8" in first.found
    assert second.passed


def test_a_flat_area_of_another_colour_fails_whatever_its_edges() -> None:
    golden = np.zeros((100, 100, 3), np.uint8)
    golden[20:40, 20:40] = 200
    assert str(Difference.of(golden, golden)) == "0.0000 % by > 8, 0.0000 % off edges, inf dB"
    ours = golden.copy()
    ours[30, 30] = 0  # one of 10 000 pixels, in the middle of the square
    assert Difference.of(ours, golden) == Difference(0.01, 0.01, pytest.approx(42.1, abs=0.1))
    ours[60:63, 60] = 9
    assert not Difference.of(ours, golden).allowed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame": 1000}, "frame 1000 is outside the clip's 0 to 60"),
        ({"camera": "camera_front_wide_120fo"}, "did you mean 'camera_front_wide_120fov'"),
        ({"clip": "clips/none"}, "no folder clips/none in"),
        ({"layers": "some"}, "layers is 'all' or a list of tables, not 'some'"),
        ({"size": [424]}, r"size is [width, height], not [424]"),
        ({"size": [420, 240]}, "420x240, not 424x240"),
        ({"msaa": 8}, "8 samples per pixel: allowed are 1 and 4"),
    ],
)
def test_entries_that_cannot_be_drawn_say_why(golden: Path, tmp_path: Path, change: dict, message: str) -> None:
    frames = part_of(golden, tmp_path, "424x240_ms4_obstacle/camera_front_wide")
    write(tmp_path, [frames[0] | change])
    (check,) = checks_of(tmp_path)
    assert not check.passed and message in check.found
