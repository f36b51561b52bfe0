"""What the page lays over a playing video and beside it: HD map, label verdicts, controls; in a browser."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.browser import browser, require_browser
from helpers.sweep_folder import CLIP, moving_square, write_run

from cosmos_exp.common.video import compose_grid, write_video
from cosmos_exp.common.views import ALL_VIEWS, VIEWS, grid_rows
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.runs.sweep_cells import read_cells
from cosmos_exp.tracking.comparison.compare import page_data, write_page

SIDE, REAR = VIEWS[1], "rear_tele_30fov"
WEIGHTS = {"single_view": {"hdmap": 1.0}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs: HD maps of the front and one side view, labels of the front and the rear view in the first run alone;
    seg is a control without a weight."""
    folder = tmp_path_factory.mktemp("overlays")
    for guidance in (0, 1):
        run = RunFolder(folder / f"{guidance}_ab")
        write_run(run.path, [f"sampler.guidance={guidance}"], weights=WEIGHTS)
        config = run.read_config()
        config["controls"]["seg"] = {"weight": 0.0}
        run.config.write_text(json.dumps(config))
        write_video(run.control("hdmap", SIDE, CLIP), moving_square(0), 10)
        write_video(run.control("seg", VIEWS[0], CLIP), moving_square(90), 10)
    for view in (VIEWS[0], REAR):
        green = np.zeros((10, 36, 64, 3), np.uint8)
        green[:, 20:30, 30:50] = (0, 255, 0)
        write_video(RunFolder(folder / "0_ab").labels("Night") / f"{view}.mp4", green, 10)
    write_page(folder)
    return folder


@pytest.fixture(scope="module")
def page(folder):
    require_browser()
    with browser(folder) as opened:
        yield opened


@pytest.fixture(autouse=True)
def fresh(request):
    if "page" in request.fixturenames:
        page = request.getfixturevalue("page")
        page.open(request.getfixturevalue("folder") / "compare.html")
        page.wait("videos().length === 2 && videos().every(v => v.readyState >= 2)")


def choose(page, menu: str, value: str) -> None:
    page.run(f"$('{menu}').value = '{value}'; $('{menu}').onchange()")


def overlays(page) -> list[str]:
    """Ends of the sources that lie over the videos."""
    return page.run("return [...document.querySelectorAll('.overlay video')].map(v => v.getAttribute('src'))")


def test_page_data_has_relative_paths(folder):
    cell = page_data(folder, read_cells(folder))["cells"][0]
    assert cell["controls"]["hdmap"][SIDE] == f"0_ab/hdmap/{SIDE}/{CLIP}_0.mp4"
    assert cell["labels"] == {view: f"0_ab/labels/Night/{view}.mp4" for view in (VIEWS[0], REAR)}
    assert cell["used"] == list(cell["controls"]) == ["hdmap"] and cell["views"] == list(VIEWS)


def test_the_hd_map_of_the_shown_view_lies_over_it(page):
    choose(page, "show", SIDE)
    choose(page, "overlay", "hdmap")
    assert overlays(page) == [f"{run}_ab/hdmap/{SIDE}/{CLIP}_0.mp4" for run in (0, 1)]
    choose(page, "show", REAR)
    assert overlays(page) == [], "this view has none"
    choose(page, "overlay", "labels")
    assert overlays(page) == [f"0_ab/labels/Night/{REAR}.mp4"]
    choose(page, "overlay", "")
    assert overlays(page) == [] and page.run("return $('opacity-label').hidden")


def boxes(page):
    """Of the grid's video, then of what lies over it, in page coordinates."""
    return page.run("""
        const figure = document.querySelector('#videos figure'), box = node => node.getBoundingClientRect().toJSON();
        return [figure.querySelector('.stage > video'), ...figure.querySelectorAll('.overlay > *')].map(box);""")


def test_over_the_grid_every_view_has_its_place(page):
    choose(page, "show", "grid")
    choose(page, "overlay", "labels")
    page.wait("videos().every(v => v.readyState >= 2)")
    grid, *tiles = boxes(page)
    assert len(tiles) == 6
    for number, tile in enumerate(tiles):
        assert tile["left"] == pytest.approx(grid["left"] + number % 3 * grid["width"] / 3, abs=1)
        assert tile["top"] == pytest.approx(grid["top"] + number // 3 * grid["height"] / 2, abs=1)
    names = [view for row in grid_rows(VIEWS) for view in row]
    places = page.run("""
        return [...document.querySelector('.overlay').children].map(node => node.getAttribute('src'))""")
    assert [bool(source) for source in places] == [name in (VIEWS[0], REAR) for name in names]


@pytest.fixture(scope="module")
def seven(tmp_path_factory):
    """One run of seven views, an HD map of each."""
    folder = tmp_path_factory.mktemp("seven")
    run = RunFolder(folder / "0_ab")
    write_run(run.path, [], weights=WEIGHTS)
    run.config.write_text(json.dumps(run.read_config() | {"views": {"names": list(ALL_VIEWS)}}))
    views = {view: moving_square(20 * number) for number, view in enumerate(ALL_VIEWS)}
    write_video(run.grid(CLIP, "Night"), compose_grid(views), 10)
    for number, (view, video) in enumerate(views.items()):
        write_video(run.view(CLIP, "Night", number), video, 10)
        write_video(run.control("hdmap", view, CLIP), video, 10)
    return folder


def test_page_data_has_all_seven_views(seven):
    (cell,) = page_data(seven, read_cells(seven))["cells"]
    assert cell["grid"] == grid_rows(ALL_VIEWS) and len(cell["grid"]) == 3
    assert set(ALL_VIEWS) <= set(cell["videos"]) and list(cell["controls"]["hdmap"]) == list(ALL_VIEWS)


def test_over_the_grid_seven_views_lie_as_in_their_video(seven):
    require_browser()
    write_page(seven)
    with browser(seven) as opened:
        opened.open(seven / "compare.html")
        opened.wait("videos().length === 1")
        choose(opened, "show", "grid")
        choose(opened, "overlay", "hdmap")
        opened.wait("videos().every(v => v.readyState >= 2)")
        grid, *tiles = boxes(opened)
        assert len(tiles) == len(overlays(opened)) == 7
        for number, tile in enumerate(tiles):
            row, column = divmod(number + 2, 3) if number else (0, 1)
            assert tile["left"] == pytest.approx(grid["left"] + column * grid["width"] / 3, abs=1)
            assert tile["top"] == pytest.approx(grid["top"] + row * grid["height"] / 3, abs=1)


def test_the_slider_fades_what_lies_over(page):
    choose(page, "show", VIEWS[0])
    choose(page, "overlay", "labels")
    page.wait("videos().length === 3 && videos().every(v => v.readyState >= 2 && !v.seeking)")
    greens = []
    for share in (0, 50, 100):
        page.run(f"$('opacity').value = {share}; $('opacity').oninput(); $('videos').scrollIntoView()")
        greens.append(green_at(page, 40 / 64, 25 / 36))
    assert greens[0] < 60 < greens[1] < greens[2] and greens[2] > 180
    assert green_at(page, 0.1, 0.9) < 60, "black hides nothing and lights nothing"


def green_at(page, x: float, y: float) -> int:
    """Green over red at a place of the first video, as it is on the screen."""
    box = page.run("return document.querySelector('.stage').getBoundingClientRect().toJSON()")
    place = int(box["left"] + x * box["width"]), int(box["top"] + y * box["height"])
    red, green, _ = page.screenshot().getpixel(place)
    return green - red


def test_the_control_stands_beside_its_result(page):
    choose(page, "show", VIEWS[0])
    page.click("#beside")
    assert page.run("return $('beside').getAttribute('aria-pressed')") == "true"
    page.wait("videos().length === 4 && videos().every(v => v.readyState >= 2)")
    named = page.run("return [...document.querySelectorAll('.of-control')].map(n => n.textContent)")
    assert named == ["hdmap", "hdmap"], "seg has no weight"
    result, control = page.run("""
        const played = document.querySelector('#videos figure').querySelectorAll('video');
        return [...played].map(v => v.getBoundingClientRect().toJSON());""")
    assert control["left"] >= result["right"] and control["top"] == pytest.approx(result["top"], abs=1)
    choose(page, "show", "control hdmap")
    assert page.run("return document.querySelectorAll('.beside').length") == 0


def test_overlays_and_controls_are_on_the_same_clock(page):
    choose(page, "show", VIEWS[0])
    choose(page, "overlay", "hdmap")
    page.click("#beside")
    page.wait("videos().length === 6 && videos().every(v => v.readyState >= 2)")
    page.run("$('scrub').value = 500; $('scrub').oninput()")
    page.wait("videos().every(v => !v.seeking && Math.abs(v.currentTime - 0.5) < 0.02)")
    page.click("#play")
    page.wait("state.time > 0.6 && videos().every(v => Math.abs(v.currentTime - state.time) < 0.3 || v.seeking)")
    page.click("#play")
    page.wait("videos().every(v => v.paused && !v.seeking)")
    times = page.run("return videos().map(v => v.currentTime)")
    assert max(times) - min(times) < 0.02


def test_no_more_videos_are_played_than_a_browser_takes(page):
    """Over the grid, and beside it, each cell has two HD maps: five videos with its own."""
    page.run("data.cells.push(...Array.from({length: 18}, (_, i) => ({...data.cells[i % 2], index: i + 2})))")
    page.run("state.beside = true; state.overlay = 'hdmap'; state.show = 'grid'; drawVideos()")
    assert page.run("return videos().length") == 9 * 5
    assert page.run("return $('played').textContent") == "the first 9 of 20 ticked cells"


def test_what_there_is_none_of_is_not_offered(page, tmp_path):
    write_run(tmp_path / "alone", [])
    (tmp_path / "alone" / "hdmap" / VIEWS[0] / f"{CLIP}_0.mp4").unlink()
    page.open(write_page(tmp_path))
    assert page.run("return [$('overlay-label').hidden, $('beside').hidden, $('opacity-label').hidden]") == [True] * 3
