"""Finished runs scored in place, and the renderer as the ceiling of every metric."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import cosmos_exp as cx
from cosmos_exp.cli.commands.evaluate import main
from cosmos_exp.common.errors import UserError
from cosmos_exp.pipeline.evaluate import evaluate_run
from cosmos_exp.pipeline.run import run
from cosmos_exp.runs.run_folder import RunFolder

SMALL = ("model.num_frames=9", "sampler.num_steps=1", "views=single", "scene.num_vehicles=3", "tracking=disabled")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("evaluate")


@pytest.fixture(scope="module")
def make_run(configure, root: Path):
    def made(name: str, *overrides: str) -> RunFolder:
        run(configure(*SMALL, f"paths.outputs={root}", f"paths.cache={root}/cache", *overrides), root / name)
        return RunFolder(root / name)

    return made


def test_metrics_are_cached_one_by_one(make_run, configure, root: Path) -> None:
    few = make_run("few", "metrics.names=[psnr,blur_ssim]").require_status()
    assert few.misses["metrics"] == 2 + 1 + 2, "values, the ceiling of the one that has one, floors"
    more = make_run("few", "metrics.names=[blur_ssim,edge_f1,psnr]").require_status()
    assert (more.run_id, more.hits["metrics"], more.misses["metrics"]) == (few.run_id, 5, 3)
    without_targets = make_run("few", "metrics.names=[edge_f1,blur_ssim]").require_status()
    assert without_targets.misses == {}


def test_a_finished_run_gets_further_metrics(make_run) -> None:
    folder = make_run("later", "metrics.names=[blur_ssim]", "sampler.seed=1")
    before = folder.read_metrics()["Sunny"]
    done = evaluate_run(folder.path, ["edge_f1", "psnr"])
    after = folder.read_metrics()["Sunny"]
    assert done.computed == 2 and set(before) < set(after) and {"edge_f1", "psnr"} < set(after)
    assert {key: after[key] for key in before} == before
    assert set(folder.read_frames()["Sunny"]) == {"psnr", "blur_ssim", "edge_f1"}
    again = make_run("anew", "metrics.names=[blur_ssim,edge_f1,psnr]", "sampler.seed=1").read_metrics()["Sunny"]
    assert again == after
    assert evaluate_run(folder.path, ["edge_f1"]).computed == 0


def test_what_the_cache_has_lost_is_not_scored(make_run, root: Path) -> None:
    folder = make_run("lost", "metrics.names=[]", "sampler.seed=2")
    for entry in (root / "cache" / "single_view").iterdir():
        shutil.rmtree(entry, ignore_errors=True)
    with pytest.raises(UserError, match=r"no longer in the cache.*/cache \(single_view\).*run the same command again"):
        evaluate_run(folder.path, ["psnr"])
    assert not folder.read_metrics()["Sunny"]
    make_run("lost", "metrics.names=[]", "sampler.seed=2")
    assert "psnr" in evaluate_run(folder.path, ["psnr"]).metrics["Sunny"]


def test_the_command(make_run, root: Path, tmp_path: Path, capsys) -> None:
    folder = make_run("command", "metrics.names=[blur_ssim]", "sampler.seed=3")
    assert main([str(folder.path), "--metrics", "psnr"]) == 0
    assert "psnr" in json.loads(folder.metrics.read_text())["Sunny"]
    for arguments, message in (
        ([str(tmp_path)], "no run folders"),
        ([str(tmp_path / "no")], "no folder at"),
        ([str(folder.path), "--metrics", "pnsr"], "did you mean 'psnr'"),
    ):
        with pytest.raises(UserError, match=message):
            main(arguments)


def test_the_renderer_is_the_ceiling(root: Path) -> None:
    """In every style, what metrics compare with is its own picture; neither sampler nor the scene's weather matter."""
    places = [f"paths.outputs={root}", f"paths.cache={root}/cache"]
    styles = ["captions.styles=[Original,Rainy]", "model.num_frames=9", "views=single", "tracking=disabled"]
    first = cx.run(["model=render", *places, *styles, "name=ceiling"])
    ceiling = {"blur_ssim": 1.0, "edge_f1": 1.0, "psnr": 99.0, "style_match": 1.0}
    for style in ("Original", "Rainy"):
        assert ceiling.items() <= first.metrics[style].items()
    other = cx.run(["model=render", *places, *styles, "sampler.guidance=4", "controls.hdmap.weight=1", "name=other"])
    assert other.status.misses == {} and other.metrics == first.metrics
    snowy = cx.run(["model=render", *places, *styles, "scene.weather=Snowy", "name=snowy"])
    assert snowy.metrics == first.metrics


def test_the_renderer_without_control_videos_is_logged(root: Path) -> None:
    """It reads no control, so with `previews.controls=used` none is made."""
    places = [f"paths.outputs={root}", f"paths.cache={root}/cache", "metrics.names=[]", "views=single"]
    made = cx.run(["model=render", "model.num_frames=9", "previews=none", "tracking=wandb", *places, "name=bare"])
    assert made.status.state == "done" and list(made.folder.wandb.glob("offline-run-*"))
    assert not (made.path / "hdmap").exists()
