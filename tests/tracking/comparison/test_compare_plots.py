"""Parallel coordinates and intervals of the comparison page, in a real browser."""

from __future__ import annotations

import re
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from helpers.browser import browser, require_browser

from cosmos_exp.runs.sweep_cells import Cell
from cosmos_exp.tracking.comparison import compare
from cosmos_exp.tracking.comparison.compare import page_data, render_page

GUIDANCE, STEPS, SCENES, SEEDS = (1, 3, 5), (6, 12), (11, 12, 13, 14), (0, 1)
STUDENT = {1: 12.7062, 2: 4.30265, 3: 3.18245, 4: 2.77645, 10: 2.22814, 30: 2.04227}  # printed tables, 97.5 %


def value(guidance: int, steps: int, scene: int, seed: int) -> float:
    """A scene's own level, far larger than what guidance changes, and a little of each seed."""
    return 10.0 * (scene - 10) ** 2 + guidance + 0.1 * steps + 0.25 * seed * (scene - 12) + 0.05 * guidance * scene


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    require_browser()
    folder = tmp_path_factory.mktemp("repeats")
    keys = ("sampler.guidance", "sampler.num_steps", "scene.seed", "sampler.seed")
    cells = [
        Cell(run=str(i), axes=dict(zip(keys, at)), state="done", metrics={"tse": value(*at), "blur_ssim": 0.1 * at[0]})
        for i, at in enumerate(product(GUIDANCE, STEPS, SCENES, SEEDS))
    ]
    cells[-1].state, cells[-1].error, cells[-1].metrics = "failed", "the video is black", {}
    (folder / "compare.html").write_text(render_page(page_data(folder, cells)))
    with browser(folder) as opened:
        opened.open(folder / "compare.html")
        opened.wait("document.querySelectorAll('#plots figure').length === 2")
        yield opened


def student(units: list[float]) -> tuple[float, float]:
    return float(np.mean(units)), STUDENT[len(units) - 1] * float(np.std(units, ddof=1)) / len(units) ** 0.5


def test_quantiles_of_students_t(page):
    found = page.run(f"return {list(STUDENT)}.map(t975)")
    assert found == pytest.approx(list(STUDENT.values()), rel=1e-5)


def test_interval_is_over_scenes_whose_seeds_are_averaged(page):
    found = page.run("""
        const cells = data.cells.filter(c => c.axes['sampler.guidance'] === 3);
        return interval(valuesOf(cells, 'tse'), ['sampler.guidance', '']);""")
    scenes = [np.mean([value(3, steps, scene, seed) for steps, seed in product(STEPS, SEEDS)]) for scene in SCENES]
    assert (found["count"], found["unit"]) == (4, "scenes")
    assert (found["mean"], found["half"]) == pytest.approx(student(scenes), rel=1e-5)


def test_one_scene_leaves_the_seeds_and_one_cell_leaves_no_interval(page):
    found = page.run("""
        const cells = data.cells.filter(c => c.axes['sampler.guidance'] === 1 && c.axes['scene.seed'] === 11);
        return [interval(valuesOf(cells, 'tse')), interval(valuesOf(cells.slice(0, 1), 'tse'))];""")
    seeds = [np.mean([value(1, steps, 11, seed) for steps in STEPS]) for seed in SEEDS]
    assert (found[0]["count"], found[0]["unit"]) == (2, "seeds")
    assert (found[0]["mean"], found[0]["half"]) == pytest.approx(student(seeds), rel=1e-5)
    assert found[1]["count"] == 1 and found[1]["half"] is None


def test_paired_differences_drop_cells_without_a_partner_and_know_no_scene_level(page):
    found = page.run("""
        const pairs = valuesOf(data.cells, 'tse', 'sampler.guidance', '1');
        const at5 = pairs.filter(([cell]) => cell.axes['sampler.guidance'] === 5);
        return [at5.length, interval(at5, ['sampler.guidance'])];""")
    scenes = [4 + 0.05 * 4 * scene for scene in SCENES]
    assert found[0] == len(STEPS) * len(SCENES) * len(SEEDS) - 1
    assert (found[1]["mean"], found[1]["half"]) == pytest.approx(student(scenes), rel=1e-5)


def test_panels_draw_means_and_whiskers_and_name_their_method(page):
    assert page.run("return document.querySelectorAll('#plots figure .whisker').length") == 2 * len(STEPS) * len(
        GUIDANCE
    )
    assert "over 4 scenes, seeds averaged within each first" in page.run("return $('method').textContent")
    page.run("$('baseline').value = '1'; $('baseline').onchange()")
    assert "minus that at guidance 1" in page.run("return document.querySelector('#plots figcaption').textContent")
    page.run("$('baseline').value = ''; $('baseline').onchange()")


def test_means_over_scenes_and_seeds_as_rows(page):
    page.run("$('rows').value = 'means'; $('rows').onchange()")
    assert page.run("return document.querySelectorAll('#table tbody tr').length") == len(GUIDANCE) * len(STEPS)
    first, last = page.run(
        "return ['first', 'last'].map(w => document.querySelector(`#table tbody tr:${w}-child`).innerText)"
    )
    assert "8 done" in first and "±" in first
    assert "7 done, 1 failed" in last
    page.run("$('rows').value = 'cells'; $('rows').onchange()")


def test_a_failed_cell_is_named_and_drawn_dashed(page):
    assert "the video is black" in page.run("return $('without').textContent")
    assert page.run("return document.querySelectorAll('#parallel .cell.failed').length") == 1


def test_ranges_of_the_parallel_coordinates_filter_and_are_worked_by_keys(page):
    grip = "document.querySelector('[data-range=\"sampler.guidance\"]')"
    assert page.run("return document.querySelectorAll('#parallel .cell').length") == 48
    for _ in range(2):
        page.run(f"{grip}.dispatchEvent(new KeyboardEvent('keydown', {{key: 'ArrowUp', bubbles: true}}))")
    assert page.run("return $('shown').textContent") == "32 of 48 cells shown"  # guidance 1 lies below
    assert page.run("return document.querySelectorAll('#table tbody tr').length") == 32
    page.run(f"{grip}.dispatchEvent(new KeyboardEvent('keydown', {{key: 'Escape', bubbles: true}}))")
    assert page.run("return $('shown').textContent") == ""


def test_dragging_along_an_axis_keeps_a_range(page):
    page.run("""
        const grip = document.querySelector('[data-range="tse"]'), box = grip.getBoundingClientRect();
        const at = (type, target, y) =>
            target.dispatchEvent(new PointerEvent(type, {clientX: box.left, clientY: y, bubbles: true}));
        at('pointerdown', grip, box.top);
        at('pointermove', window, box.top + 90);
        at('pointerup', window, box.top + 90);""")
    assert 0 < page.run("return shown().length") < 47  # the failed cell has no value to lie in a range
    page.click("#reset")
    assert page.run("return shown().length") == 48


# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
VISIONS = {
    "common": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour: str) -> np.ndarray:
    share = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB of linear sRGB, white D65."""
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    x, y, z = np.cbrt(np.array(to_xyz) @ np.clip(rgb, 0, 1) / [0.95047, 1, 1.08883])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(a: str, b: str) -> float:
    """Of the Web Content Accessibility Guidelines."""
    dark, bright = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (a, b))
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("vision", VISIONS)
def test_colours_can_be_told_apart(vision):
    style = (Path(compare.__file__).with_name("page") / "page.css").read_text()
    for scheme in re.findall(r":root \{(.*?)\}", style, re.DOTALL):
        colours = re.findall(r"--c\d: (#\w{6})", scheme)
        (panel,) = re.findall(r"--panel: (#\w{6})", scheme)
        seen = [lab(np.array(VISIONS[vision]) @ linear(colour)) for colour in colours]
        assert len(seen) == 6
        assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 30
        assert min(contrast(colour, panel) for colour in colours) >= 3
