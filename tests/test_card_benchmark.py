"""What `benchmarks.card` makes of the rows of its sweeps."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from benchmarks.card import FIGURES, FRONT, of_ceiling, of_every_model, of_scenes, of_views, table_of, told, write_page
from cosmos_exp.common.video import write_video


def test_side_views_count_by_themselves() -> None:
    six = {"psnr": 18.0, f"psnr/{FRONT}": 22.0, "psnr/rear_tele_30fov": 17.0, "psnr/cross_left_120fov": 15.0}
    assert of_views(front=True)(six) == 22 and of_views(front=False)(six) == 16
    assert of_views(front=True)({"psnr": 20.0}) == 20 and of_views(front=False)({"psnr": 20.0}) is None


def test_ratios_are_of_the_metrics_that_have_a_ceiling() -> None:
    value = of_ceiling("object_recall/medium", "object_recall/large")
    row = {"object_recall/medium": 0.2, "object_recall/large": 0.6, "ceiling/object_recall/medium": 0.8}
    assert value(row) == pytest.approx(0.25) and value({"object_recall/medium": 0.2}) is None
    assert value(row | {"ceiling/object_recall/large": 0.8}) == pytest.approx(0.5)


def test_a_scene_is_the_mean_of_its_styles_and_seeds() -> None:
    rows = [{"scene.seed": 1, "psnr": 10.0}, {"scene.seed": 1, "psnr": 20.0}, {"scene.seed": 2, "psnr": 25.0}]
    found = of_scenes(rows, of_views(front=True))
    assert found == {1: 15.0, 2: 25.0}
    assert told(found, 1).startswith("20.0 (") and told({1: 15.0}, 2) == "15.00" and told({}, 2) == ""
    lines = table_of({"nano": rows, "other": []})
    assert [line[0] for line in lines] == [figure.text for figure in FIGURES]
    assert lines[0][1].startswith("20.00 (") and lines[0][2:] == ["", "≥ 23"] and lines[1][1] == ""


def test_the_render_gets_what_every_model_knows() -> None:
    given = ["views=six", "model.num_frames=9", "model.multi_view_steps=5", "sampler.sigma_min=0.2"]
    assert of_every_model(given) == ["views=six", "model.num_frames=9", "sampler.sigma_min=0.2"]


def test_the_page_shows_the_middle_frames_beside_each_other(tmp_path) -> None:
    cells = {}
    for name, levels in (("render", 60), ("nano", 180)):
        video = np.full((9, 32, 64, 3), levels, np.uint8)
        write_video(tmp_path / f"{name}.mp4", video, 24.0)
        cells[name] = [SimpleNamespace(clip="a", style="Golden hour", videos={"single view": tmp_path / f"{name}.mp4"})]
    page = write_page(cells, tmp_path)
    assert 'src="pictures/a_Golden_hour.jpg"' in page.read_text() and "render, nano" in page.read_text()
    made = cv2.imread(str(tmp_path / "pictures" / "a_Golden_hour.jpg"))
    assert made.shape == (288, 2 * 580, 3)
    assert abs(made[100, 200].mean() - 60) < 6 and abs(made[100, 800].mean() - 180) < 6
