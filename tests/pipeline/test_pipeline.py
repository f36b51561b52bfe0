"""The end-to-end pipeline with a tiny model: what lies in the run folder, what is computed again, what stops a run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from helpers.command_line import run_here
from helpers.pipeline_context import after, context_of, generation_of, transfer1
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file

from cosmos_exp.common.errors import UserError, ValidationErrors
from cosmos_exp.common.single_entry_cache import SingleEntryCache
from cosmos_exp.common.stored_arrays import load_arrays
from cosmos_exp.common.video import read_video
from cosmos_exp.common.views import VIEWS
from cosmos_exp.config.run_spec import num_threads
from cosmos_exp.controls import CONTROLS
from cosmos_exp.metrics.gate import SanityError
from cosmos_exp.models.dit import weights_folder
from cosmos_exp.pipeline import scene_loading
from cosmos_exp.pipeline.run import run
from cosmos_exp.rendering.types import OUTPUTS
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.runs.states import DONE, FAILED
from cosmos_exp.sampling.seeds import item_seed
from cosmos_exp.tracking.wandb.file import read_run, run_files

SMALL = ("model.num_frames=9", "sampler.num_steps=2", "scene.num_vehicles=2", "metrics.names=[blur_ssim,edge_f1,psnr]")
STYLES = ("Sunny", "Golden hour")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Holds the outputs and the cache that the runs of this module share."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def run_small(configure, root: Path):
    """A function: run the pipeline with these overrides, into the folder of this name."""

    def run_with(name: str, *overrides: str, **options):
        cfg = configure(*SMALL, f"paths.outputs={root}", f"paths.cache={root}/cache", *overrides)
        return run(cfg, root / name, **options)

    return run_with


BOTH_STYLES = f"captions.styles=[{','.join(STYLES)}]"
EVERY_PREVIEW = "previews.names=[rgb,depth,semantic,instance,normals,sky,hdmap,lidar,wsm]"


@pytest.fixture(scope="module")
def first(run_small):
    """Status of one run with everything on: six views, two styles, every control, W&B."""
    return run_small("first", BOTH_STYLES, EVERY_PREVIEW)


@pytest.fixture(scope="module")
def folder(first, root: Path) -> RunFolder:
    return RunFolder(root / "first")


@pytest.fixture(scope="module")
def clip(folder: RunFolder) -> str:
    (clip,) = folder.clips()
    return clip


def test_the_status_says_how_it_went(first, folder: RunFolder) -> None:
    written = json.loads(folder.status.read_text())
    assert (written["state"], written["error"]) == (DONE, "")
    stages = ["captions", "render", "controls", "videos", "hints", "single_view", "multi_view", "metrics", "tracking"]
    assert list(written["seconds"]) == stages
    assert written["misses"]["single_view"] == len(STYLES)
    assert written["misses"]["render"] == len(VIEWS) * (1 + 2 * len(STYLES)), "and a foreign scene in each style"
    assert written["weights"] == {"single_view": {"hdmap": 0.5, "seg": 0.5}, "multi_view": {"hdmap": 1.0}}


def test_the_config_is_resolved(folder: RunFolder) -> None:
    assert "${" not in folder.config.read_text()
    assert OmegaConf.load(folder.config).sampler.num_steps == 2


def test_the_record_has_the_numbers_that_the_config_leaves_to_the_model(folder: RunFolder) -> None:
    config = OmegaConf.load(folder.config)
    assert (config.sampler.sigma_min, config.model.multi_view_steps, config.model.multi_view_guidance) == (None,) * 3
    assert folder.require_status().in_effect == {
        "sampler.num_steps": 2,
        "sampler.sigma_min": 0.4,
        "model.multi_view_steps": 2,
        "model.multi_view_guidance": 1.0,
    }
    (file,) = run_files(folder.path)
    logged = read_run(file).config
    assert logged["sampler"]["sigma_min"] == 0.4
    assert (logged["model"]["multi_view_steps"], logged["model"]["multi_view_guidance"]) == (2, 1.0)


@pytest.mark.parametrize("control", [*CONTROLS, *OUTPUTS, "sky"])
def test_every_control_has_a_video_per_camera(control: str, folder: RunFolder, clip: str) -> None:
    assert sorted(p.name for p in (folder.path / control).iterdir()) == sorted(VIEWS)
    for view in VIEWS:
        assert read_video(folder.path / control / view / f"{clip}_0.mp4").shape == (9, 32, 48, 3)


def test_captions_name_the_styles(folder: RunFolder, clip: str) -> None:
    captions = json.loads((folder.path / "captions" / f"{clip}.json").read_text())
    assert list(captions) == list(STYLES)
    assert len(set(captions.values())) == len(STYLES)


@pytest.mark.parametrize("style", STYLES)
def test_results_lie_where_drive_dreams_puts_them(style: str, folder: RunFolder, clip: str) -> None:
    assert read_video(folder.path / "single_view" / f"{clip}_{style}.mp4").shape == (9, 32, 48, 3)
    multi = folder.path / "multi_view" / f"{clip}_{style}"
    assert sorted(p.name for p in multi.iterdir()) == [*(f"{i}.mp4" for i in range(6)), "grid.mp4", "prompt.json"]
    assert read_video(multi / "grid.mp4").shape == (9, 64, 144, 3)
    prompts = json.loads((multi / "prompt.json").read_text())
    assert tuple(prompts) == VIEWS
    assert "facing to the left" in prompts["cross_left_120fov"]
    with av.open(str(multi / "3.mp4")) as container:
        assert container.streams.video[0].average_rate == 24


def test_the_grid_shows_the_views(folder: RunFolder, clip: str) -> None:
    multi = folder.multi_view(clip, STYLES[0])
    grid, rear = read_video(multi / "grid.mp4").astype(int), read_video(multi / "3.mp4").astype(int)
    assert np.abs(grid[:, 32:, 48:96] - rear).mean() < 12


def test_metrics_of_every_style(folder: RunFolder) -> None:
    metrics = json.loads(folder.metrics.read_text())
    assert list(metrics) == list(STYLES)
    for values in metrics.values():
        assert {"blur_ssim", "edge_f1", "psnr", "psnr/rear_tele_30fov"} <= set(values)
        assert all(np.isfinite(value) for value in values.values())


def test_an_offline_wandb_run_is_there(folder: RunFolder) -> None:
    (wandb_run,) = folder.wandb.glob("offline-run-*")
    assert len(list(wandb_run.rglob("*.mp4"))) >= 2 + 2 * 8


def test_no_file_is_half_written(folder: RunFolder, root: Path) -> None:
    assert list(folder.path.rglob("*.partial")) + list((root / "cache").rglob("*.partial")) == []


def test_a_second_run_computes_nothing(first, run_small, root: Path) -> None:
    before = (root / "first" / "metrics.json").read_bytes()
    status = run_small("first", BOTH_STYLES, EVERY_PREVIEW)
    assert (status.state, status.misses) == (DONE, {})
    assert status.hits == {**first.hits, **{k: first.hits.get(k, 0) + n for k, n in first.misses.items()}}
    assert (root / "first" / "metrics.json").read_bytes() == before


def test_the_infrastructure_changes_no_key(first, run_small) -> None:
    assert run_small("first", BOTH_STYLES, EVERY_PREVIEW, "hardware.threads=1", "tracking=disabled").misses == {}
    assert cv2.getNumThreads() == 1


def test_guidance_renders_and_encodes_nothing_again(first, run_small, root: Path) -> None:
    status = run_small("guided", BOTH_STYLES, EVERY_PREVIEW, "sampler.guidance=6", "tracking=disabled")
    assert set(status.misses) == {"single_view", "multi_view", "metrics"}
    (clip,) = RunFolder(root / "guided").clips()
    ours, theirs = (read_video(RunFolder(root / n).single_view(clip, STYLES[0])) for n in ("first", "guided"))
    assert not np.array_equal(ours, theirs)


def test_weights_that_come_to_the_same_shares_are_one_result(first, run_small) -> None:
    ones = ("controls.hdmap.weight=1", "controls.seg.weight=1", "views=single", "tracking=disabled")
    run_small("halves", "controls.hdmap.weight=0.5", "controls.seg.weight=0.5", *ones[2:])
    assert run_small("ones", *ones).misses == {}
    assert "single_view" in run_small("more", *ones, "controls.hdmap.weight=1.5").misses


def test_a_process_that_has_made_other_things_makes_the_same(run_small, root: Path, monkeypatch) -> None:
    run_small("warm", "views=single", "controls=all", "sampler.seed=4", "tracking=disabled")
    run_small("warm2", "views=single", "sampler.seed=5", "tracking=disabled")
    for module, kept in ((weights_folder, "_models"), (scene_loading, "_scenes"), (scene_loading, "_renderers")):
        monkeypatch.setattr(module, kept, SingleEntryCache())
    run_small("cold", "views=single", "sampler.seed=5", "tracking=disabled", f"paths.cache={root}/other")
    warm, cold = (json.loads(RunFolder(root / name).provenance.read_text())["results"] for name in ("warm2", "cold"))
    assert warm == cold and f"single_view/{STYLES[0]}" in cold


def test_the_frame_rate_reaches_the_networks(first, configure, root: Path) -> None:
    ours, theirs = (
        after(context_of(configure(*SMALL, f"model.fps={fps}"), root / "cache"), "controls") for fps in (24, 12)
    )
    render, hdmap = ours.scene_renders(), ours.state.controls["hdmap"]
    made = []
    for context in (ours, theirs):
        model, generation = transfer1(context), generation_of(context)
        (chunk,) = model.videos.single_view.chunks
        hint = generation.hint(hdmap[model.front], model.videos.single_view, chunk)
        text = generation.embedding("A street.")
        inputs = (chunk, {"hdmap": hint}, text, None, None, lambda done, total: None)
        made.append(generation.single_view(*inputs, render=render[model.front]))
    assert made[0].key != made[1].key
    assert not np.allclose(*(load_arrays(entry)["latents"] for entry in made), atol=1e-4)


def test_controls_that_guide_nothing_can_be_left_out(run_small, root: Path) -> None:
    weights = ("controls.hdmap.weight=0.5", "controls.seg.weight=0.5")
    status = run_small("few", *weights, "previews=none", "tracking=disabled")
    assert status.hits["controls"] + status.misses["controls"] == len(VIEWS) + 1
    drawn = {name: sorted(p.name for p in (root / "few" / name).iterdir()) for name in ("hdmap", "seg")}
    assert drawn == {"hdmap": sorted(VIEWS), "seg": [VIEWS[0]]}
    assert not any((root / "few" / name).exists() for name in ("edge", "depth", "vis", "rgb", "semantic"))

    run_small("fewer", "controls=edge", "previews=none", "tracking=disabled")
    assert [p.parent.name for p in (root / "fewer").rglob("*_0.mp4")] == [VIEWS[0]]
    assert len(list((root / "fewer" / "multi_view").rglob("?.mp4"))) == len(VIEWS)


def test_one_view_has_no_grid(first, run_small, root: Path) -> None:
    status = run_small("single", BOTH_STYLES, EVERY_PREVIEW, "views=single", "tracking=disabled")
    assert set(status.misses) <= {"metrics"}
    assert not (root / "single" / "multi_view").exists()
    assert len(list((root / "single" / "single_view").glob("*.mp4"))) == len(STYLES)


def test_a_prompt_of_ones_own(run_small, root: Path) -> None:
    run_small("prompt", "captions.prompt='A quiet lane.'", "views=single", "tracking=disabled")
    (captions,) = (root / "prompt" / "captions").glob("*.json")
    assert json.loads(captions.read_text())["Sunny"].endswith(" A quiet lane.")


def test_a_folder_holds_one_config(first, run_small) -> None:
    with pytest.raises(UserError, match="choose another name"):
        run_small("first", BOTH_STYLES, "sampler.guidance=9")


def test_an_impossible_config_starts_nothing(run_small, root: Path) -> None:
    with pytest.raises(ValidationErrors) as caught:
        run_small("impossible", "sampler.guidance=-1", "captions.styles=[Sunnny]")
    assert len(caught.value.errors) == 2
    assert not (root / "impossible").exists()


def test_a_clip_longer_than_the_scene_is_refused(run_small) -> None:
    with pytest.raises(ValidationErrors, match="need 1 s"):
        run_small("long", "model.fps=8", "scene.duration=0.5")


def test_a_frozen_or_flat_result_fails_the_run(run_small, tiny_model_folder: Path, tmp_path: Path, root: Path) -> None:
    broken = shutil.copytree(tiny_model_folder, tmp_path / "model")
    tensors = load_file(broken / "tokenizer.safetensors")
    zeroed = {k: torch.zeros_like(v) if "decoder.conv_out" in k else v for k, v in tensors.items()}
    save_file(zeroed, broken / "tokenizer.safetensors")
    with pytest.raises(SanityError, match="sanity gate"):
        run_small("flat", f"model.weights={broken}", "views=single", "tracking=disabled")
    status = RunFolder(root / "flat").read_status()
    assert (status.state, status.stage) == (FAILED, "metrics")
    assert "sanity gate" in status.error
    assert not RunFolder(root / "flat").metrics.exists()


def test_item_seeds() -> None:
    assert item_seed(0, "single_view", "a") == item_seed(0, "single_view", "a")
    others = [item_seed(1, "single_view", "a"), item_seed(0, "multi_view", "a"), item_seed(0, "single_view", "b")]
    assert len({item_seed(0, "single_view", "a"), *others}) == 4
    assert all(0 <= seed < 2**32 for seed in others)


def test_threads_follow_the_environment(monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert (num_threads(None), num_threads(3)) == (1, 3)


def test_a_run_whose_results_are_all_there_loads_no_torch(tiny_model_folder: Path, tmp_path: Path) -> None:
    own = f"model.weights={tiny_model_folder} views=single tracking=disabled name=again hydra.run.dir=run"
    words = [*SMALL, *own.split()]
    first = run_here(*words, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    code = (
        "import sys; from cosmos_exp.sweeps.job import main;"
        f"sys.argv[1:] = {words!r}; main(); print('torch' in sys.modules)"
    )
    again = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert again.stdout.splitlines()[-1] == "False", again.stderr
