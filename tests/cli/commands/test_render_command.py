"""`cosmos-exp render rds-hq` from its command line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from cosmos_exp.cli.commands.render import main
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video import read_video
from cosmos_exp.scene.rds_hq.datasets import ALL_LAYERS, Block, Dataset

CLIP = "synth-a_0_1333333"
FRONT, LEFT = "camera_front_wide_120fov", "camera_cross_left_120fov"
SMALL = Dataset(
    name="small",
    cameras=(FRONT, LEFT),
    layers=ALL_LAYERS,
    inference=Block((320, 180), "resize", chunk=3, overlap=0, fps=30, max_chunk=1),
    size=(320, 176),
)


@pytest.fixture
def root(shared: Path, tmp_path: Path) -> Path:
    """The synthetic clip without its LiDAR."""
    folder = tmp_path / "root"
    for source in (shared / "rds_hq" / "golden" / "inputs" / CLIP).iterdir():
        if source.name != "lidar_raw":
            (folder / source.name).mkdir(parents=True)
            (folder / source.name / f"{CLIP}.tar").symlink_to(source / f"{CLIP}.tar")
    return folder


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    path = tmp_path / "dataset_small.json"
    path.write_text(SMALL.to_json())
    return str(path)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_all_cameras_of_all_clips(root: Path, dataset: str, tmp_path: Path, capsys, workers: str) -> None:
    out = tmp_path / "out"
    assert main(["rds-hq", "-i", str(root), "-o", str(out), "--dataset", dataset, "--workers", workers]) == 0
    assert files(out) == [f"hdmap/ftheta_{camera}/{CLIP}_0.mp4" for camera in (LEFT, FRONT)]
    printed = capsys.readouterr()
    assert printed.out.startswith(f"2 files in {out}")
    assert "no lidar_raw: no LiDAR videos" in printed.err


def test_a_broken_clip_leaves_the_others_alone(root: Path, dataset: str, tmp_path: Path, capsys) -> None:
    for name in ("broken", "short"):
        for layer in ("pose", "ftheta_intrinsic", "3d_lanelines"):
            target = root / layer / f"{name}.tar"
            content = (root / layer / f"{CLIP}.tar").read_bytes()
            if (name, layer) == ("broken", "3d_lanelines"):
                content = content[: len(content) // 2]
            target.write_bytes(content)
    out = tmp_path / "out"
    assert main(["rds-hq", "-i", str(root), "-o", str(out), "--dataset", dataset, "--cameras", FRONT]) == 2
    assert files(out) == [f"hdmap/ftheta_{FRONT}/{name}_0.mp4" for name in ("short", CLIP)]
    error = capsys.readouterr().err
    assert f"1 failed:\n- broken hdmap {FRONT}: " in error and "3d_lanelines/broken.tar" in error
    assert "short: no 3d_road_boundaries" in error


def test_frames_as_pictures(root: Path, dataset: str, tmp_path: Path, shared: Path) -> None:
    out = tmp_path / "out"
    golden = shared / "rds_hq" / "golden"
    config = golden / "inputs" / "dataset_synth.json"
    line = ["rds-hq", "-i", str(root), "-o", str(out), "--dataset", str(config), "--cameras", FRONT]
    assert main([*line, "--frames", "8,0", "--png", "--reference-compat", "--workers", "1"]) == 0
    folder = out / "hdmap" / f"ftheta_{FRONT}" / CLIP
    assert files(folder) == ["000000.png", "000000_resize704.png", "000008.png", "000008_resize704.png"]
    for name in ("000000.png", "000008.png", "000008_resize704.png"):
        difference = (cv2.imread(str(folder / name)) != cv2.imread(str(golden / "synth_ftheta" / FRONT / name))).any(2)
        assert difference.sum() <= 20


def test_lossless_pinhole_from_a_list_of_clips(root: Path, dataset: str, tmp_path: Path) -> None:
    (tmp_path / "clips.json").write_text(json.dumps([CLIP]))
    out = tmp_path / "out"
    line = ["rds-hq", "-i", str(root), "-o", str(out), "--dataset", dataset, "--camera-type", "pinhole", "--lossless"]
    assert main([*line, "--clip", str(tmp_path / "clips.json"), "--cameras", FRONT]) == 0
    (file,) = files(out)
    assert file == f"hdmap/pinhole_{FRONT}/{CLIP}_0.mp4"
    video = read_video(out / file)
    assert video.shape == (3, 176, 320, 3) and (video == 0).all(axis=3).mean() > 0.5


def test_resume_makes_what_is_not_there(root: Path, dataset: str, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    there = out / "hdmap" / f"ftheta_{FRONT}" / f"{CLIP}_0.mp4"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"earlier")
    line = ["rds-hq", "-i", str(root), "-o", str(out), "--dataset", dataset, "--workers", "1"]
    assert main([*line, "--resume"]) == 0
    assert there.read_bytes() == b"earlier"
    assert capsys.readouterr().out.startswith("1 files")
    assert main(line) == 0
    assert there.read_bytes() != b"earlier"


def test_novel_poses(root: Path, dataset: str, tmp_path: Path) -> None:
    (root / "moved").symlink_to(root / "pose")
    line = ["rds-hq", "-i", str(root), "-o", str(tmp_path / "out"), "--dataset", dataset, "--cameras", FRONT]
    assert main([*line, "--novel-pose-folder", "moved"]) == 0
    assert files(tmp_path / "out_moved") == [f"hdmap/ftheta_{FRONT}/{CLIP}_0.mp4"]


def test_a_clip_that_is_too_short(root: Path, dataset: str, tmp_path: Path, capsys) -> None:
    line = ["rds-hq", "-i", str(root), "-o", str(tmp_path / "out"), "--dataset", "rds_hq"]
    assert main(line) == 2
    assert "gives 40 frames and dataset rds_hq makes videos of 121" in capsys.readouterr().err
    assert main([*line, "--reference-compat"]) == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--camera-type", "fisheye"], "unknown camera type 'fisheye'"),
        (["--dataset", "rds_hq_mw"], "did you mean 'rds_hq_mv'"),
        (["--frames", "0,x"], "'0,x' is not a list of frame numbers"),
        (["--workers", "0"], "'0' is not a number of processes"),
        (["--skip", "maps"], "unknown kind 'maps'"),
        (["--lossles"], "did you mean '--lossless'"),
        (["--clip", "nowhere.json"], "no such list of clips: nowhere.json"),
        (["--post-training", "--reference-compat"], "given ftheta, rds_hq"),
    ],
)
def test_mistakes_on_the_command_line(tmp_path: Path, options: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        main(["rds-hq", "-i", str(tmp_path), "-o", str(tmp_path / "out"), *options])
    assert message in str(caught.value)


def test_mistakes_about_the_clip(root: Path, dataset: str, tmp_path: Path, capsys) -> None:
    line = ["rds-hq", "-i", str(root), "-o", str(tmp_path / "out"), "--dataset", dataset]
    assert main([*line, "--clip", "synth-a_0_133333"]) == 2
    assert f"did you mean '{CLIP}'" in capsys.readouterr().err
    assert main([*line, "--cameras", "camera_front_wide_120"]) == 2
    assert f"did you mean '{FRONT}'" in capsys.readouterr().err
    assert main([*line, "--frames", "40"]) == 2
    assert "the nearest is 39" in capsys.readouterr().err


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, cosmos_exp.cli.commands.render, cosmos_exp.rendering.clips.jobs; "
        "print([m for m in ('torch', 'scipy', 'diffusers', 'transformers', 'wandb', 'hydra') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_videos_of_one_and_two_processes_are_the_same(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "two_chunks.json"
    block = replace(SMALL.inference, chunk=2, max_chunk=2)
    path.write_text(replace(SMALL, inference=block).to_json())
    for workers in ("1", "2"):
        line = ["rds-hq", "-i", str(root), "-o", str(tmp_path / workers), "--dataset", str(path), "--lossless"]
        assert main([*line, "--workers", workers]) == 0
    names = files(tmp_path / "1")
    assert len(names) == 4 and names == files(tmp_path / "2")
    for name in names:
        assert np.array_equal(read_video(tmp_path / "1" / name), read_video(tmp_path / "2" / name))
