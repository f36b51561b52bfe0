"""references.json: ceiling and floor of every metric, computed once per clip and style."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import cosmos_exp as cx
from cosmos_exp.pipeline.evaluate import evaluate_run
from cosmos_exp.pipeline.run import run
from cosmos_exp.runs.run_folder import RunFolder

SMALL = ("views=single", "model.num_frames=9", "sampler.num_steps=2", "scene.num_vehicles=2", "tracking=disabled")
NAMES = "metrics.names=[psnr,edge_f1,flicker,style_score]"
STYLES = "captions.styles=[Sunny,Night]"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def run_small(configure, root):
    def run_with(name: str, *overrides: str):
        cfg = configure(*SMALL, f"paths.outputs={root}", f"paths.cache={root}/cache", *overrides)
        return run(cfg, root / name)

    return run_with


@pytest.fixture(scope="module")
def first(run_small):
    return run_small("first", NAMES, STYLES)


def test_every_metric_has_a_ceiling_and_a_floor(first, root):
    found = RunFolder(root / "first").read_references()
    assert list(found) == ["Sunny", "Night"]
    for values in found.values():
        assert values["edge_f1"]["ceiling"] == values["edge_f1/front_wide_120fov"]["ceiling"] == 1.0
        assert 0 <= values["edge_f1"]["floor"] < 0.5
        assert 5 < values["psnr"]["floor"] < 30 and "ceiling" not in values["psnr"], "no picture is too good"
        assert values["flicker"]["ceiling"] < values["flicker"]["floor"]
        assert values["style_score"]["floor"] == -1.0 and values["style_score"]["ceiling"] > 0
        assert values["style_match"] == {"ceiling": 1.0, "floor": 0.0}


def test_a_sweep_pays_them_once(first, run_small, root):
    status = run_small("guided", NAMES, STYLES, "sampler.guidance=6")
    assert first.misses["metrics"] == 2 * (4 + 3 + 3)  # of two styles: values, ceilings, floors
    assert status.misses == {"single_view": 2, "metrics": 2 * 4}
    ours, theirs = (RunFolder(root / name).references.read_text() for name in ("first", "guided"))
    assert ours == theirs


def test_another_scene_is_compared_with_the_same_foreign_one(first, run_small, root):
    status = run_small("other", NAMES, STYLES, "scene.seed=3")
    assert status.misses["render"] == 1 + 2, "the scene alone, in its weather and two styles"
    ours, theirs = (RunFolder(root / name).read_references()["Sunny"] for name in ("first", "other"))
    assert ours["psnr"]["floor"] != theirs["psnr"]["floor"]


def test_with_the_render_as_the_model_the_ceiling_is_the_result(root):
    options = ("views=single", "model.num_frames=9", "previews=none", "tracking=disabled", NAMES, STYLES)
    made = cx.run(["model=render", *options, f"paths.cache={root}/cache"], root / "render")
    folder = RunFolder(made.path)
    for style, values in folder.read_metrics().items():
        limits = folder.read_references()[style]
        ceilings = {key: limit["ceiling"] for key, limit in limits.items() if "ceiling" in limit}
        assert ceilings == {key: value for key, value in values.items() if not key.startswith("psnr")}
    assert folder.require_status().misses["metrics"] == 2 * (4 + 3), "no metric twice"


def test_they_can_be_left_out_and_added_later(first, run_small, root):
    run_small("without", NAMES, STYLES, "metrics.references=false", "sampler.seed=1")
    folder = RunFolder(root / "without")
    assert not folder.references.exists() and folder.read_references() == {}
    evaluate_run(root / "first", ["blur_ssim"])
    added = json.loads((root / "first" / "references.json").read_text())["Night"]
    assert added["blur_ssim"]["ceiling"] == 1.0 and "psnr" in added
