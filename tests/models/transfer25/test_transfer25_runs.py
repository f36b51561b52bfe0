"""Runs of `model=transfer25_auto_multiview` with a small model: chunks, given frames, cache, messages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cosmos_exp.common.video import read_video, write_video
from cosmos_exp.config.validate import validate
from cosmos_exp.pipeline.run import run
from cosmos_exp.runs.states import DONE

pytestmark = pytest.mark.slow

VIEWS = ("front_wide_120fov", "cross_left_120fov", "front_tele_30fov")
FRAMES = 25


@pytest.fixture(scope="module")
def controls(tmp_path_factory) -> Path:
    """A folder with a World Scenario map for each view."""
    folder, rng = tmp_path_factory.mktemp("wsm"), np.random.default_rng(0)
    for view in VIEWS:
        pattern = rng.integers(0, 256, (32, 48, 3), dtype=np.uint8)
        write_video(folder / f"{view}.mp4", np.stack([np.roll(pattern, n, 1) for n in range(FRAMES)]), 10)
    return folder


@pytest.fixture(scope="module")
def configured(model25_folder, controls):
    """A function: the main config for the small model, two chunks of three views."""
    from helpers.composing import Composer

    composer = Composer()
    options = ("model=transfer25_auto_multiview", "controls=wsm", "sensors=nvidia_seven", "views=seven")
    base = (
        *(f"model.weights={model25_folder}", f"model.num_frames={FRAMES}", f"views.names=[{','.join(VIEWS)}]"),
        *(f"controls.wsm.file={controls}", "sampler.num_steps=2", "scene.num_vehicles=2"),
        *("metrics.names=[psnr]", "metrics.references=false", "tracking=disabled", "guardrails=off"),
    )
    return lambda *overrides: composer(*options, *base, *overrides)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def run_small(configured, root):
    def run_with(name: str, *overrides: str):
        return run(configured(f"paths.outputs={root}", f"paths.cache={root}/cache", *overrides), root / name)

    return run_with


@pytest.fixture(scope="module")
def first(run_small):
    return run_small("first", "sampler.first_frames=rgb", "model.given_frames=[1,5,0]")


def test_a_run_makes_every_view(first, root):
    assert first.state == DONE
    (folder,) = (root / "first" / "multi_view").iterdir()
    videos = [read_video(folder / f"{number}.mp4") for number in range(len(VIEWS))]
    assert {video.shape for video in videos} == {(FRAMES, 32, 48, 3)}
    assert first.misses["multi_view"] == 2  # chunks
    assert first.misses["hints"] == 2 * len(VIEWS)
    assert first.misses["text"] == 3  # the prompt, the space of other views, the negative prompt
    assert first.misses["input"] == 1
    metrics = json.loads((root / "first" / "metrics.json").read_text())["Sunny"]
    assert {f"psnr/{view}" for view in VIEWS} <= set(metrics)
    assert first.weights == {"multi_view": {"wsm": 1.0}}
    assert read_video(folder / "grid.mp4").shape == (FRAMES, 2 * 32, 2 * 48, 3)  # front tele over left and front


def test_what_is_the_same_is_not_computed_again(first, run_small):
    again = run_small("again", "sampler.first_frames=rgb", "model.given_frames=[1,5,0]")
    assert not {"hints", "text", "input", "multi_view"} & {name for name, count in again.misses.items() if count}
    other = run_small("seed", "sampler.first_frames=rgb", "model.given_frames=[1,5,0]", "sampler.seed=1")
    assert other.misses["multi_view"] == 2 and not other.misses.get("hints")


def test_one_view_of_one_chunk(run_small, root):
    status = run_small("single", "views.names=[front_tele_30fov]", "model.num_frames=13", "model.captions=each")
    assert status.state == DONE and status.misses["multi_view"] == 1
    (video,) = (root / "single" / "single_view").glob("*.mp4")
    assert read_video(video).shape == (13, 32, 48, 3)


def test_two_processes_make_what_one_makes(run_small, root):
    options = ("views.names=[front_wide_120fov,cross_left_120fov]", "model.num_frames=13", "sampler.guidance=0",
               "controls.wsm.weight_map.box=[0,0,1,0.75]")  # fmt: skip
    videos = []
    for name, processes in (("alone", "null"), ("together", "2")):
        assert run_small(name, *options, f"hardware.processes={processes}").misses["multi_view"] == 1
        (folder,) = (root / name / "multi_view").iterdir()
        videos.append(np.stack([read_video(folder / f"{number}.mp4") for number in range(2)]).astype(int))
    alone, together = videos
    assert alone.std() > 1 and np.abs(alone - together).max() <= 8  # levels, after the encoder


def test_a_weight_map_counts_in_every_view(run_small, root):
    options = ("views.names=[front_wide_120fov,cross_left_120fov]", "model.num_frames=13", "sampler.guidance=0")

    def made(name: str, *overrides: str) -> list[np.ndarray]:
        assert run_small(name, *options, *overrides).misses["multi_view"] == 1
        (folder,) = (root / name / "multi_view").iterdir()
        return [read_video(folder / f"{number}.mp4") for number in range(2)]

    plain = made("plain", "controls.wsm.weight=0.5")
    same = made("same", "controls.wsm.weight_map={box: [0,0,0.5,1], inside: 0.5, outside: 0.5}")
    assert all(np.abs(a.astype(int) - b).max() <= 2 for a, b in zip(plain, same))  # levels, after the encoder
    mapped = made("mapped", "controls.wsm.weight_map.box=[0,0,1,0.5]")
    assert not any(np.array_equal(a, b) for a, b in zip(plain, mapped))
    shown = [read_video(path)[0] for path in sorted((root / "mapped" / "wsm_weight").glob("*/*.mp4"))]
    assert len(shown) == 2 and all(picture[:14].max(axis=-1).min() > 100 > 20 > picture[18:].max() for picture in shown)
    classes = run_small("classes", *options, "controls.wsm.weight_map.classes=[road]")
    assert classes.misses["multi_view"] == 1 and not classes.misses.get("hints")


def test_a_mask_of_each_view(run_small, configured, root, tmp_path):
    for name, value in (("front_wide_120fov", 1.0), ("cross_left_120fov", 0.0)):
        np.save(tmp_path / f"{name}.npy", np.full((8, 12), value, np.float32))
    options = ("views.names=[front_wide_120fov,cross_left_120fov]", "model.num_frames=13", "sampler.guidance=0")
    status = run_small("masks", *options, f"controls.wsm.weight_map.mask={tmp_path}")
    assert status.misses["multi_view"] == 1
    shown = [read_video(path)[0] for path in sorted((root / "masks" / "wsm_weight").glob("*/*.mp4"))]
    assert sorted(int(picture.max()) > 100 for picture in shown) == [False, True]
    mask = f"controls.wsm.weight_map.mask={tmp_path}/front_wide_120fov.npy"
    (error,) = validate(configured(*options, mask))
    assert "is one file, and transfer25_auto_multiview makes 2 views together: give a folder" in error


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("model.num_frames=20",),
            "model.num_frames=20: all views together are of 13, 25 ... 121 frames",
        ),
        (("model.overlap=5", "model.num_frames=25"), "with model.overlap=5; nearest is 21"),
        (("model.given_frames=[2]",), "2 is none of 0, 1 and 5; nearest is 1"),
        (("model.given_frames=[1,1]",), "give one number for all views, or one for each of"),
        (("model.captions=front",), "model.captions: unknown way of captions 'front'"),
        (("sampler.sigma_max=40",), "the noise levels of transfer25_auto_multiview follow from sampler.num_steps"),
        (("sampler.input=rgb",), "transfer25_auto_multiview starts from noise; give sampler.first_frames"),
        (("controls.wsm.weight=1.5",), "takes 0 to 1; nearest is 1"),
        (("controls.wsm.weight_map.box=[0,0,2,0.5]",), "controls.wsm.weight_map: box=[0.0, 0.0, 2.0, 0.5]"),
        (("captions.regions=[{prompt: A house., box: [0,0,1,0.5]}]",), "reads a prompt per view and no regions"),
        (("views.names=[front_wide_120fov,front_wide_120fov]",), "front_wide_120fov"),
        (("sampler.first_frames=nowhere",), "sampler.first_frames: no folder 'nowhere'"),
        (("hardware.processes=3",), "3 processes cannot split 4 latent frames and 2 attention heads"),
    ],
)
def test_a_mistake_is_one_message(configured, overrides, message):
    (error,) = [error for error in validate(configured(*overrides)) if message in error]
    assert "\n" not in error


def test_the_weights_are_missed_by_name(configured, monkeypatch, tmp_path):
    monkeypatch.setenv("COSMOS_EXP_MODELS", str(tmp_path))
    errors = validate(configured("model.weights=null"))
    assert any("cosmos-exp download transfer25_auto_multiview" in error for error in errors)
