"""`cosmos-exp verify render`: what passes, what must not, and what cannot be run."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from cosmos_exp.cli.commands.verify import main
from cosmos_exp.common.errors import UserError
from cosmos_exp.verify.check import Check
from cosmos_exp.verify.condition_videos import verify_render

PINHOLE = "synth_pinhole"
REAR = "camera_rear_left_70fov"


@pytest.fixture
def golden(shared: Path) -> Path:
    return shared / "rds_hq" / "golden"


@pytest.fixture
def folder(golden: Path, tmp_path: Path) -> Path:
    """One camera of one set, the LiDAR of a pinhole, and all numbers; files that tests may replace."""
    manifest = json.loads((golden / "manifest.json").read_text())
    sets = {name: manifest["sets"][name] for name in (PINHOLE, "lidar", "novel_pose")}
    sets[PINHOLE]["files"] = {k: v for k, v in sets[PINHOLE]["files"].items() if k.startswith(REAR)}
    for file in sets[PINHOLE]["files"]:
        target = tmp_path / PINHOLE / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((golden / PINHOLE / file).read_bytes())
    (tmp_path / "inputs").symlink_to(golden / "inputs")
    (tmp_path / "lidar_pinhole").symlink_to(golden / "lidar_pinhole")
    for file in ("projection.npz", "projection.json", "objects_at_render_frames.json", "novel_pose.npz"):
        (tmp_path / file).write_bytes((golden / file).read_bytes())
    write_manifest(tmp_path, sets)
    return tmp_path


def write_manifest(folder: Path, sets: dict) -> None:
    (folder / "manifest.json").write_text(json.dumps({"sets": sets}))


def read_sets(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())["sets"]


def failed(folder: Path) -> list[Check]:
    return [check for check in verify_render(folder) if not check.passed]


def test_the_public_reference_data_passes(golden: Path, capsys) -> None:
    assert main(["render", str(golden)]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in ("synth_ftheta", "synth_pinhole", "example_ftheta", "lidar_ftheta", "lidar_pinhole"):
        assert sum(f" {name} " in line for line in lines) == len(list((golden / name).glob("*/*.png"))) + (
            not name.startswith("lidar")
        )
    for name in ("projection", "objects_at_render_frames", "novel_pose"):
        assert any(f" {name} " in line for line in lines)
    count = len(lines) - 1
    assert lines[-1] == f"{count} of {count} checks passed"


def test_a_part_of_it_passes_in_another_folder(folder: Path) -> None:
    checks = list(verify_render(folder))
    assert all(check.passed for check in checks)
    assert {check.set for check in checks} == {
        PINHOLE,
        "lidar_pinhole",
        "novel_pose",
        "projection",
        "objects_at_render_frames",
    }


def test_a_picture_that_differs_fails(folder: Path, capsys) -> None:
    path = folder / PINHOLE / REAR / "000013.png"
    image = cv2.imread(str(path))
    image[100:105, 200:205] ^= 40
    cv2.imwrite(str(path), image)
    sets = read_sets(folder)
    del sets[PINHOLE]["files"][f"{REAR}/000013.png"]["sha256_rgb"]
    write_manifest(folder, sets)
    (check,) = failed(folder)
    assert (check.set, check.file) == (PINHOLE, f"{REAR}/000013.png")
    assert check.found == "25 differing pixels, by up to 40" and check.allowed == "20"
    assert main(["render", str(folder)]) == 1
    assert "FAIL  synth_pinhole" in capsys.readouterr().out


def test_pictures_that_are_mostly_near_but_not_exact_fail(folder: Path) -> None:
    sets = read_sets(folder)
    for name, about in sets[PINHOLE]["files"].items():
        image = cv2.imread(str(folder / PINHOLE / name))
        image[0, 0] ^= 1
        cv2.imwrite(str(folder / PINHOLE / name), image)
        del about["sha256_rgb"]
    write_manifest(folder, sets)
    (check,) = failed(folder)
    assert (check.file, check.found, check.allowed) == ("exact pictures", "0 of 4", "2 or more")


def test_pictures_other_than_the_manifest_says_fail(folder: Path) -> None:
    image = cv2.imread(str(folder / PINHOLE / REAR / "000000.png"))
    cv2.imwrite(str(folder / PINHOLE / REAR / "000000.png"), image[::-1])
    (folder / PINHOLE / REAR / "000026.png").unlink()
    messages = [check.found for check in failed(folder)]
    assert any("SHA-256 differs" in message for message in messages)
    assert any("no picture at" in message for message in messages)


def test_numbers_that_differ_fail(folder: Path) -> None:
    for name, key in (("novel_pose.npz", "poses_free"), ("projection.npz", f"pinhole.{REAR}.720.pixels")):
        arrays = dict(np.load(folder / name))
        arrays[key] = arrays[key] + 0.01
        np.savez(folder / name, **arrays)
    objects = json.loads((folder / "objects_at_render_frames.json").read_text())
    first = next(iter(objects["000004"]))
    objects["000004"][first]["object_to_world"][0][3] += 1e-5
    del objects["000005"][next(iter(objects["000005"]))]
    (folder / "objects_at_render_frames.json").write_text(json.dumps(objects))
    assert sorted((check.set, check.file) for check in failed(folder)) == [
        ("novel_pose", "poses_free"),
        ("objects_at_render_frames", "40 frames"),
        ("objects_at_render_frames", "frame 000005"),
        ("projection", f"pinhole.{REAR}.720 pixels"),
    ]


def test_what_has_no_check_is_a_failure(folder: Path) -> None:
    sets = read_sets(folder)
    sets["weather"] = {"note": "rain"}
    sets["sounds"] = {"file": "sounds.npz"}
    sets[PINHOLE]["files"][f"{REAR}/000000.png"]["kind"] = "mirrored"
    write_manifest(folder, sets)
    np.savez(folder / "colors.npz", a=np.zeros(3))
    arrays = dict(np.load(folder / "novel_pose.npz"))
    np.savez(folder / "novel_pose.npz", **arrays, poses_smooth=arrays["poses_free"])
    found = {check.set: check.found for check in failed(folder)}
    assert "no check is known for set 'weather'" in found["weather"]
    assert "no check is known for sounds.npz" in found["sounds"]
    assert "no check is known for pictures of kind 'mirrored'" in found[PINHOLE]
    assert "no check is known for this file" in found["colors"]
    assert "no check is known for this array" in found["novel_pose"]


@pytest.mark.parametrize("key", ["clip", "input", "config", "camera_type"])
def test_a_set_without_a_key_says_which(folder: Path, key: str) -> None:
    sets = read_sets(folder)
    del sets[PINHOLE][key]
    write_manifest(folder, sets)
    assert [check.found for check in failed(folder) if check.set == PINHOLE] == [
        f"set {PINHOLE} of the manifest has no {key!r}"
    ]


def test_a_clip_that_is_not_there_fails_its_set_alone(folder: Path) -> None:
    sets = read_sets(folder)
    sets[PINHOLE]["clip"] = "synth-b"
    write_manifest(folder, {PINHOLE: sets[PINHOLE], "novel_pose": sets["novel_pose"], "lidar": sets["lidar"]})
    assert {check.set for check in failed(folder)} == {PINHOLE, "projection", "objects_at_render_frames", "novel_pose"}


@pytest.mark.parametrize("content", [None, "[", "[]", '{"sets": {}}'])
def test_folders_without_a_manifest_are_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=r"manifest\.json"):
        main(["render", str(tmp_path)])
