"""Weight maps, ready control videos, prompts of regions and views: whole runs with a tiny model, keys, mistakes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.video import read_video
from cosmos_exp.common.views import VIEWS
from cosmos_exp.config.schema import typed
from cosmos_exp.config.validate import validate
from cosmos_exp.models.clip_shapes import Shape
from cosmos_exp.models.transfer1.spatial_conditioning import SpatialConditioning
from cosmos_exp.pipeline.run import run
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.sampling.chunks import split
from cosmos_exp.sampling.frame_rule import FrameRule

SMALL = (
    *("model.num_frames=9", "sampler.num_steps=1", "scene.num_vehicles=2", "metrics.names=[]", "metrics.gate=false"),
    *("tracking=disabled", "captions.prompt='A quiet lane.'"),
)
FRONT, LEFT = VIEWS[:2]
NINE = FrameRule(least=9, most=9)
RULE = ("controls.hdmap.weight_map.classes=[road]", "controls.hdmap.weight_map.outside=0.2")
REGION = "captions.regions=[{prompt: A wall of bricks., box: [0,0,0.5,1]}]"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def run_small(configure, root: Path):
    """A function: run the pipeline with these overrides, into the folder of this name."""

    def run_with(name: str, *overrides: str):
        cfg = configure(*SMALL, f"paths.outputs={root}", f"paths.cache={root}/cache", *overrides)
        return run(cfg, root / name)

    return run_with


@pytest.fixture(scope="module")
def plain(run_small, root: Path) -> RunFolder:
    """Six views without any of it."""
    run_small("plain")
    return RunFolder(root / "plain")


@pytest.fixture
def problems(configure):
    return lambda *overrides: validate(configure(*SMALL, *overrides))


def computed(status) -> dict[str, int]:
    """{stage: results made}, but for the metrics, which follow from all."""
    return {stage: count for stage, count in status.misses.items() if stage != "metrics"}


def single(folder: RunFolder) -> np.ndarray:
    (clip,) = folder.clips()
    return read_video(folder.single_view(clip, "Sunny"))


def test_a_weight_map_acts_in_every_view_and_is_shown(plain: RunFolder, run_small, root: Path) -> None:
    status = run_small("map", *RULE)
    assert computed(status) == {"single_view": 1, "multi_view": 1}
    folder, (clip,) = RunFolder(root / "map"), plain.clips()
    assert not np.array_equal(single(folder), single(plain))
    for view in VIEWS:
        heat = read_video(folder.control("hdmap_weight", view, clip))
        road = read_video(folder.control("semantic", view, clip))
        assert heat.shape == road.shape
        if view != FRONT:  # there the HD map is alone: its whole weight, 0.5, on the road and a fifth of it beside
            brightness = heat.astype(int).sum(axis=-1)
            on_road = np.abs(road.astype(int) - (128, 64, 128)).max(axis=-1) < 12
            assert brightness[on_road].mean() > 2 * brightness[~on_road].mean()
    assert folder.control("seg_weight", FRONT, clip).exists() and not folder.control("seg_weight", LEFT, clip).exists()
    assert not (plain.path / "hdmap_weight").exists()
    assert run_small("map", *RULE).misses == {}


def test_the_same_everywhere_is_a_scalar(run_small, root: Path) -> None:
    apart = ("views=single", f"paths.cache={root}/apart")
    run_small("scalar", *apart)
    run_small("even", *apart, "controls.hdmap.weight_map.box=[0,0,1,1]")
    scalar, even = (load_file(file)["video"] for file in (root / "apart" / "single_view").glob("*/*.safetensors"))
    assert np.abs(scalar.astype(int) - even).max() <= 2


def test_a_map_is_cut_into_the_chunks_of_a_long_video(configure, tmp_path: Path) -> None:
    ramp = np.arange(20, dtype=np.float32)[:, None, None] * np.ones((1, 16, 32), np.float32) / 20
    np.save(tmp_path / "ramp.npy", ramp)
    cfg = configure(f"controls.hdmap.weight_map.mask={tmp_path}/ramp.npy", "controls.seg.weight=0")
    config = typed(cfg)
    places = SpatialConditioning(config.controls, config.captions)
    renders, shape = {FRONT: Entry("render", tmp_path, hit=True)}, Shape(20, 16, 32)
    parts = [places.shared_weights(["hdmap"], renders, shape, chunk)["hdmap"] for chunk in split(20, NINE, 1)]
    assert [part.shape for part in parts] == [(1, 1, 2, 1, 2)] * 3
    starts = [part[0, 0, 0, 0, 0].item() for part in parts]
    assert starts == pytest.approx([0.5 * frame / 20 for frame in (0, 8, 16)])  # half is the control's weight
    assert parts[2][0, 0, 1, 0, 0].item() == pytest.approx(0.5 * 19 / 20)  # after the end the last frame stands


def test_a_mask_counts_by_content(run_small, root: Path, tmp_path: Path) -> None:
    mask = np.zeros((32, 48), np.float32)
    mask[:, :24] = 1
    np.save(root / "mask.npy", mask)
    run_small("mask", f"controls.hdmap.weight_map.mask={root}/mask.npy", "views=single")
    shutil.copy(root / "mask.npy", tmp_path / "moved.npy")
    moved = run_small("moved", f"controls.hdmap.weight_map.mask={tmp_path}/moved.npy", "views=single")
    assert moved.misses == {}
    np.save(root / "other.npy", 1 - mask)
    other = run_small("other", f"controls.hdmap.weight_map.mask={root}/other.npy", "views=single")
    assert computed(other) == {"single_view": 1}


def test_a_mask_of_the_front_view_leaves_the_others_alone(plain, run_small, root: Path, caplog) -> None:
    np.save(root / "front.npy", np.full((32, 48), 0.5, np.float32))
    with caplog.at_level("INFO"):
        run_small("front", f"controls.hdmap.weight_map.mask={root}/front.npy")
    assert "is one file, of the front view: in all views together hdmap weighs the same" in caplog.text
    assert not (root / "front" / "hdmap_weight" / LEFT).exists()


def test_a_regional_prompt_changes_its_region_most(plain: RunFolder, run_small, root: Path, caplog) -> None:
    with caplog.at_level("INFO"):
        run_small("region", REGION)
    assert "captions.regions guide the single view only" in caplog.text
    changed = np.abs(single(RunFolder(root / "region")).astype(int) - single(plain)).mean(axis=(0, 1, 3))
    assert changed[:24].mean() > changed[24:].mean() > 0
    moved = run_small("moved_region", REGION.replace("0.5", "0.6"), "views=single")
    assert computed(moved) == {"single_view": 1}
    with caplog.at_level("WARNING"):
        run_small("nowhere", "captions.regions=[{prompt: A train., classes: [train]}]", "views=single")
    assert "'A train.' changes nothing" in caplog.text


def test_prompts_of_views(plain: RunFolder, run_small, root: Path) -> None:
    def prompts(name: str) -> dict[str, str]:
        folder = RunFolder(root / name)
        return folder.read_prompts(folder.clips()[0], "Sunny")

    run_small("views", f"captions.view_prompts.{LEFT}=Red houses.", "captions.other_views=bare")
    usual, own = prompts("plain"), prompts("views")
    assert own[FRONT] == usual[FRONT] and own[FRONT].endswith(" A quiet lane.")
    assert own[LEFT] == usual[LEFT].replace("A quiet lane.", "Red houses.")
    for view in VIEWS[2:]:
        assert own[view].endswith(".") and own[view].startswith("The video is captured from a camera mounted on a car")
        assert usual[view].startswith(own[view]) and "lane" not in own[view]
    run_small("front_text", f"captions.view_prompts.{FRONT}=A bridge.", "views=single")
    folder = RunFolder(root / "front_text")
    assert folder.read_captions(folder.clips()[0])["Sunny"].endswith(" A bridge.")


def test_a_negative_prompt_is_for_the_single_view(plain: RunFolder, run_small, root: Path, caplog) -> None:
    with caplog.at_level("INFO"):
        status = run_small("negative", "captions.negative_prompt=A dark blur.")
    assert computed(status) == {"text": 1, "single_view": 1, "multi_view": 1}  # all views follow the front view
    assert "captions.negative_prompt is for the single view only" in caplog.text
    assert not np.array_equal(single(RunFolder(root / "negative")), single(plain))


def test_ready_videos_take_a_controls_place(plain: RunFolder, run_small, root: Path, caplog) -> None:
    (clip,) = plain.clips()
    with caplog.at_level("INFO"):
        status = run_small("ready", f"controls.hdmap.file={plain.path / 'hdmap'}")
    assert "hdmap from files: metrics still compare with the pictures of the scene" in caplog.text
    assert computed(status) == {"controls": 6, "videos": 6, "hints": 6, "single_view": 1, "multi_view": 1}
    for view in VIEWS:
        ours, theirs = (read_video(f.control("hdmap", view, clip)) for f in (RunFolder(root / "ready"), plain))
        assert np.abs(ours.astype(int) - theirs).mean() < 3
    one = plain.control("seg", FRONT, clip)
    status = run_small("ready_front", f"controls.seg.file={one}")
    assert computed(status) == {"controls": 1, "videos": 1, "hints": 1, "single_view": 1, "multi_view": 1}
    assert [p.name for p in (root / "ready_front" / "seg").iterdir()] == [FRONT]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "controls.hdmap.weight_map.classes=[rode]",
            "controls.hdmap.weight_map: unknown class 'rode': did you mean 'r",
        ),
        ("controls.hdmap.weight_map.outside=0.5", "has no effect without an area"),
        (
            "controls.hdmap.weight_map={classes: [road], inside: -1}",
            "controls.hdmap.weight_map.inside=-1: a weight is 0",
        ),
        ("controls.seg.weight_map.mask=none.npy", "controls.seg.weight_map.mask: no file or folder 'none.npy'"),
        ("controls.seg.weight_map.mask=README.md", "controls.seg.weight_map.mask: map README.md: needed is one of .pt"),
        ("controls.hdmap.file=none", "controls.hdmap.file: no file or folder 'none'"),
        ("controls.hdmap.file=pyproject.toml", "all views read hdmap: give a folder with a video for each camera"),
        ("controls.seg.file=pyproject.toml", "cannot read the video pyproject.toml: it is none of mp4"),
        ("controls.keypoint.weight=1", "unknown control of this model 'keypoint'"),
        ("captions.regions=[{prompt: A.}]", r"captions.regions[0] is everywhere"),
        ("captions.regions=[{classes: [car]}]", "captions.regions[0].prompt is empty"),
        ("captions.regions=[{prompt: A., box: [0,0,2,1]}]", "captions.regions[0]: box=[0.0, 0.0, 2.0, 1.0]"),
        ("captions.other_views=bar", "did you mean 'bare'"),
        (f"captions.view_prompts.{LEFT}=' '", f"captions.view_prompts.{LEFT} is empty"),
    ],
)
def test_mistakes_are_named_before_any_work(override: str, message: str, problems) -> None:
    found = problems(override)
    assert any(message in problem for problem in found), found
    assert len(found) == len(set(found))


def test_a_map_is_read_before_any_work(problems, tmp_path: Path) -> None:
    np.save(tmp_path / "short.npy", np.ones((5, 8, 8), np.float32))
    torch.save(torch.ones(9, 8, 8), tmp_path / "cut.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "cut.pt").read_bytes()[:600])
    for name, message in (("short.npy", "has 5 frames, the clip has 9"), ("cut.pt", "may be truncated")):
        for key in ("controls.hdmap.weight_map", "captions.regions"):
            mask = f"mask: {tmp_path}/{name}"
            (problem,) = problems(f"{key}={{{mask}}}" if "map" in key else f"{key}=[{{prompt: A., {mask}}}]")
            assert message in problem and key in problem


def test_a_text_for_a_view_that_is_not_made(problems) -> None:
    (problem,) = problems("views=single", f"captions.view_prompts.{LEFT}=Houses.")
    assert f"unknown view of this run '{LEFT}'" in problem


def test_keypoint_needs_a_ready_video(problems, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("COSMOS_EXP_MODELS", str(tmp_path))
    overrides = ("model=transfer1_7b", "model.weights=null", "views=single", "controls.keypoint.weight=1")
    assert any("no scene draws it: give controls.keypoint.file" in problem for problem in problems(*overrides))
