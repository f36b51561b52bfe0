"""Samples of NVIDIA's single-view command: checked, made, as a run, and written from one."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from helpers.command_line import run_here

from cosmos_exp.common.errors import ValidationErrors
from cosmos_exp.common.video import read_video, write_video
from cosmos_exp.models.transfer25.sample_json import write_samples
from cosmos_exp.models.transfer25.samples import changed, read_samples

FRAMES, SIZE = 20, (48, 72)
GIVEN = {"name": "street", "prompt": "Rain.", "video_path": "street.mp4", "num_steps": 2, "edge": {}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder, rng = tmp_path_factory.mktemp("general"), np.random.default_rng(0)
    for name, frames in (("street", FRAMES), ("depth", FRAMES), ("short", 5)):
        pattern = np.kron(rng.integers(0, 256, (6, 9, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        write_video(folder / f"{name}.mp4", np.stack([np.roll(pattern, n, 1) for n in range(frames)]), 10)
    np.save(folder / "mask.npy", np.linspace(0, 1, 9 * 6, dtype=np.float32).reshape(6, 9))
    return folder


def given(folder: Path, **changes) -> Path:
    path = folder / "sample.json"
    path.write_text(json.dumps({key: value for key, value in (GIVEN | changes).items() if value != "left out"}))
    return path


def test_defaults_and_what_is_written_is_read_again(folder):
    seg = {"control_path": "depth.mp4", "control_weight": 0.5, "mask_path": "mask.npy", "control_prompt": "cars"}
    vis = {"preset_blur_strength": "high"}
    (sample,) = read_samples([given(folder, edge="left out", seg=seg, vis=vis, num_steps="left out", sigma_max=70)])
    assert (sample.seed, sample.guidance, sample.num_steps, sample.keep_input_resolution) == (2025, 3, 35, True)
    assert list(sample.controls) == ["vis", "seg"] and sample.controls["vis"].strength == "high"
    assert sample.controls["seg"].mask_path == folder / "mask.npy"
    write_samples(folder / "again.json", [sample])
    assert read_samples([folder / "again.json"]) == [sample]
    nulls = {"negative_prompt": None, "depth": None, "image_context_path": None, "guided_generation_mask": None}
    nulls |= {
        "guided_generation_step_threshold": 25,
        "max_frames": None,
        "vis": vis,
        "seg": seg | {"mask_prompt": None},
    }
    assert read_samples([given(folder, edge="left out", num_steps="left out", **nulls)]) == [sample]
    assert changed(sample, {"seed": 7}).seed == 7
    with pytest.raises(ValidationErrors, match="unknown key of street 'fps'"):
        changed(sample, {"fps": 10})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video_path": "left out"}, "video_path is missing"),
        ({"video_path": "stret.mp4"}, "video_path: no file"),
        ({"edge": "left out"}, "no control is given: give one or more of edge, vis, depth, seg"),
        ({"edge": "left out", "depth": {}}, "the network that makes depth of a video is not here"),
        ({"edge": {"preset_edge_treshold": "low"}}, "did you mean 'preset_edge_threshold'"),
        ({"edge": {"preset_edge_threshold": "lo"}}, "one of very_low, low, medium, high, very_high"),
        ({"edge": {"mask_prompt": "cars"}}, "edge.mask_prompt is 'cars': needed is null: this is not offered here"),
        ({"edge": {"control_weight": 2}}, "edge.control_weight is 2: needed is a number above 0, at most 1"),
        ({"edge": {"control_path": 3}}, "edge.control_path is 3: needed is a path, or null"),
        ({"image_context_path": "a.png"}, "image_context_path is 'a.png': needed is null"),
        ({"resolution": "480"}, "resolution is '480': needed is '720'"),
        ({"num_video_frames_per_chunk": 33}, "needed is 93"),
        ({"num_conditional_frames": 5}, "needed is 0, 1 or 2"),
        ({"show_input": True}, "needed is False"),
        ({"front_wide": {}}, "unknown key 'front_wide'"),
    ],
)
def test_a_mistake_is_told_with_its_place(folder, change, message):
    path = given(folder, **change)
    with pytest.raises(ValidationErrors) as raised:
        read_samples([path])
    assert any(message in line and f"{path}: " in line for line in str(raised.value).splitlines())


@pytest.fixture(scope="module")
def command(folder, general25):
    def run(*arguments: str, model: str = "transfer25_edge"):
        return run_here("samples", *arguments, f"model.weights={general25(model)[0]}", cwd=folder)

    return run


@pytest.mark.slow
def test_a_sample_is_made_as_a_run_makes_it_and_written_from_one(folder, command):
    path = given(folder, edge={"preset_edge_threshold": "low"}, keep_input_resolution=False)
    done = command("run", path.name, "-o", "out")
    assert done.returncode == 0, done.stderr
    made = read_video(folder / "out" / "street.mp4")
    assert made.shape == (FRAMES, 32, 48, 3) and made.std() > 1
    assert json.loads((folder / "out" / "street.json").read_text())["edge"]["preset_edge_threshold"] == "low"
    assert command("run", given(folder).name, "-o", "large").returncode == 0
    assert read_video(folder / "large" / "street.mp4").shape == (FRAMES, *SIZE, 3)

    path = given(folder, edge={"preset_edge_threshold": "low"}, keep_input_resolution=False)
    done = command("overrides", path.name, "-o", "prepared")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("cosmos-exp ")]
    more = ("name=one", "metrics.names=[]", "tracking=disabled", "scene.num_vehicles=1", "previews=none")
    assert run_here(*shlex.split(line)[1:], *more, cwd=folder).returncode == 0
    (video,) = (folder / "outputs" / "runs" / "one" / "single_view").glob("*.mp4")
    assert video.read_bytes() == (folder / "out" / "street.mp4").read_bytes()

    assert run_here("samples", "write", "outputs/runs/one", "-o", "back.json", "--lossless", cwd=folder).returncode == 0
    values = json.loads((folder / "back.json").read_text())
    assert values["prompt"] == "Rain." and values["edge"]["control_path"] == "back/edge.mp4"
    assert command("run", "back.json", "-o", "again").returncode == 0
    (again,) = (folder / "again").glob("*.mp4")
    assert again.read_bytes() == video.read_bytes()


@pytest.mark.slow
def test_several_controls_are_of_the_model_that_has_them_all(folder, command):
    depth = {"control_path": "depth.mp4", "control_weight": 0.5, "mask_path": "mask.npy"}
    path = given(folder, vis={"preset_blur_strength": "very_low"}, depth=depth, max_frames=13)
    done = command("run", path.name, "-o", "several", model="transfer25_general")
    assert done.returncode == 0, done.stderr
    assert read_video(folder / "several" / "street.mp4").shape == (13, *SIZE, 3)


@pytest.mark.slow
def test_files_and_config_are_checked_before_anything_is_made(folder, command):
    depth = {"control_path": "short.mp4"}
    done = command("run", given(folder, depth=depth).name, "-o", "none", model="transfer25_general")
    assert done.returncode == 2 and not (folder / "none").exists()
    assert "street: depth.control_path:" in done.stderr and "5 frames, the clip has 20" in done.stderr
    done = command("run", given(folder, num_conditional_frames=0).name, "-o", "none")
    assert "its 20 frames are several chunks, which are continued from 1 or 2" in done.stderr
