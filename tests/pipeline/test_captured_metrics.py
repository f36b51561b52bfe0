"""What the metrics of a captured scene compare with: its own pictures, labels and geometry, never the renderer's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.captures import cameras_of, write_capture

import cosmos_exp as cx
from cosmos_exp.common.cache import StageCache
from cosmos_exp.config.compose import compose
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.metrics import METRICS
from cosmos_exp.metrics.captured_scene import OF_PICTURES, OF_STYLES
from cosmos_exp.pipeline.cached_results import Results
from cosmos_exp.pipeline.context import RunContext
from cosmos_exp.pipeline.evaluate import evaluate_run
from cosmos_exp.pipeline.stages import run_stages
from cosmos_exp.runs.load import load_sweep
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.runs.summary import show
from cosmos_exp.scene.carla_live.folder import Capture
from cosmos_exp.tracking.comparison.compare import page_data
from cosmos_exp.tracking.wandb.file import read_run, run_files

FRONT = "front_wide_120fov"
OWN, DRAWN = "Original", "Night"  # the style that stands for the pictures' weather, and one that the renderer draws
OPTIONS = (
    *("scene=carla_live", "model=render", "views=single", "model.num_frames=9", "previews=none"),
    *(f"captions.styles=[{OWN},{DRAWN}]", "evaluator.every=4"),
)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def capture(root: Path) -> Capture:
    spec = RunSpec.of(compose(OPTIONS))
    return write_capture(root / "capture", cameras_of(spec), frames=9, fps=spec.fps, weather="Golden hour")


@pytest.fixture(scope="module")
def options(root: Path, capture: Capture) -> list[str]:
    return [*OPTIONS, f"scene.folder={capture.folder}", f"paths.cache={root}/cache"]


@pytest.fixture(scope="module")
def folder(root: Path, options: list[str]) -> RunFolder:
    """Of the scene's own pictures: those captured, and in the other style the renderer's."""
    return RunFolder(cx.run(options, root / "run").path)


def keys(values: dict) -> set[str]:
    return {key for key in values if "/" not in key}


def test_in_the_weather_of_the_pictures_they_are_compared_with(folder: RunFolder) -> None:
    values = folder.read_metrics()[OWN]
    assert (values["psnr"], values["edge_f1"], values["sharpness"]) == (99.0, 1.0, 1.0), "the captured rgb itself"
    assert not keys(values) & {"style_score", "style_match", "style_regions", "style_road"}, "of an unknown weather"


def test_in_other_styles_no_picture_is_compared_with_the_renderer_s(folder: RunFolder) -> None:
    values = folder.read_metrics()[DRAWN]
    assert not keys(values) & {*OF_PICTURES, "sharpness_error"}
    of_labels = {"mask_miou", "lane_f1", "depth_si_rmse", "object_recall", "false_objects", "semantic_eta2"}
    assert keys(values) >= of_labels | {"depth_edge_auc", "flicker", "tse", "style_score", "lane_survival"}
    assert keys(folder.read_frames()[DRAWN]) == {"style_score", "flicker"}


def test_ceilings_are_of_the_captured_pictures_whatever_the_style(folder: RunFolder) -> None:
    metrics, references = folder.read_metrics(), folder.read_references()
    for name in ("mask_miou", "lane_f1", "semantic_eta2", "flicker", "tse"):
        assert references[DRAWN][name]["ceiling"] == references[OWN][name]["ceiling"] == metrics[OWN][name], name
        assert "floor" in references[DRAWN][name], name
    assert not keys(references[DRAWN]) & {*OF_PICTURES, *OF_STYLES}
    assert references[OWN]["edge_f1"] == {"ceiling": 1.0}, "a floor that the renderer draws has another look"


def test_label_verdicts_rest_on_the_captured_pictures(options: list[str], capture: Capture, root: Path) -> None:
    spec = RunSpec.of(compose(options))
    context = RunContext(spec, Results(spec, StageCache(root / "cache")))
    run_stages(context, without=("videos", "metrics"))
    for style in (OWN, DRAWN):
        np.testing.assert_array_equal(context.measured(style).clip.targets[FRONT], capture.array(FRONT, "rgb")[:9])


def test_what_is_not_measured_is_told_with_its_reason(folder: RunFolder, capsys, root: Path) -> None:
    found = folder.read_not_measured()
    assert {style: set(reasons) for style, reasons in found.items()} == {
        OWN: set(OF_STYLES),
        DRAWN: set(OF_PICTURES) & set(METRICS),
    }
    show(folder)
    said = capsys.readouterr().out
    assert "No Style score, Style of regions in Original: its pictures have the weather that was captured" in said
    assert "No PSNR, Blur SSIM, Edge F1, Sharpness, Artefacts, Fréchet distance in Night: the scene was" in said
    shown = page_data(root, [cell for cell in load_sweep(root).cells if cell.run == "run"])
    assert len(shown["notMeasured"]) == 2 and shown["notMeasured"][0] in said
    (logged,) = run_files(folder.wandb)
    assert read_run(logged).config["not_measured"][DRAWN]["psnr"].startswith("the scene was captured")


def test_a_run_that_measures_all_has_no_such_file(folder: RunFolder) -> None:
    assert "not_measured.json" in json.loads(folder.provenance.read_text())["written"]
    folder.remove_measurements()
    assert not folder.not_measured.exists()
    folder.write_not_measured({OWN: {}, DRAWN: {}})
    assert not folder.not_measured.exists()


def test_a_metric_asked_for_later_is_told_too(root: Path, options: list[str]) -> None:
    made = cx.run([*options, "metrics.names=[flicker]", "metrics.references=false", "tracking=disabled"], root / "few")
    assert RunFolder(made.path).read_not_measured() == {}
    found = evaluate_run(made.path, ["psnr"])
    assert (found.metrics[OWN]["psnr"], "psnr" in found.metrics[DRAWN]) == (99.0, False)
    assert list(RunFolder(made.path).read_not_measured()[DRAWN]) == ["psnr"]


def test_only_what_the_model_reads_is_drawn_in_other_styles(options: list[str], tmp_path: Path) -> None:
    spec = RunSpec.of(compose([*options, "model=nano", "controls=hdmap"]))
    assert RunContext(spec, Results(spec, StageCache(tmp_path))).target_styles == ()
