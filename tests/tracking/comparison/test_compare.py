from __future__ import annotations

import csv
import functools
import http.server
import json
import re
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers.browser import browser, require_browser
from helpers.sweep_folder import CLIP, moving_square, write_run, write_sweep
from PIL import Image
from pyarrow import parquet

from cosmos_exp.cli.main import _dispatch
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video import frame_rate, read_video, write_video
from cosmos_exp.runs.sweep_cells import Cell, read_cells
from cosmos_exp.tracking.comparison.compare import (
    page_data,
    write_grid_image,
    write_grid_video,
    write_page,
    write_parquet,
)
from cosmos_exp.tracking.comparison.contact_sheet import GAP, TILE_WIDTH, ContactSheet, layout


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = write_sweep(tmp_path_factory.mktemp("sweeps") / "gw", styles=("Golden hour", "Night"))
    write_page(folder)
    return folder


def test_page_is_one_file_with_relative_quoted_videos(sweep):
    page = (sweep / "compare.html").read_text()
    assert set(re.findall(r"https?://[^\"' ]*", page)) == {"http://www.w3.org/2000/svg"}  # a name, nothing to fetch
    assert not re.search(r"<link|@import|src=[\"']", page)
    data = json.loads(re.search(r"const data = (.*);\n", page).group(1))
    assert data["title"] == "gw"
    done = [cell for cell in data["cells"] if cell["state"] == "done"]
    assert done[0]["videos"]["grid"] == f"0_0abc/multi_view/{CLIP}_Golden%20hour/grid.mp4"
    assert "<b>" not in page.split("const data")[1].split("\n")[0]  # prompts cannot end the script


def test_page_data_orders_metrics_and_lists_parts(sweep):
    data = page_data(sweep, read_cells(sweep))
    assert [(m["key"], m["group"]) for m in data["metrics"]] == [("tse", "consistency"), ("blur_ssim", "quality")]
    assert [m["direction"] for m in data["metrics"]] == ["down", "up"]
    camera = {"key": "rear_tele_30fov", "label": "rear_tele_30fov"}
    assert data["parts"] == [{"kind": "Cameras", "parts": [camera]}]
    assert [a["key"] for a in data["axes"]] == ["sampler.guidance", "sampler.num_steps", "style"]


def test_nothing_to_compare(tmp_path):
    with pytest.raises(UserError, match="no run folders"):
        write_page(tmp_path)


def test_picture_lays_cells_out_by_their_axes(tmp_path):
    folder = write_sweep(tmp_path / "gw")
    column, values, rows = layout(read_cells(folder))
    assert (column, values) == ("sampler.guidance", [1, 3, 5])
    assert list(rows) == ["sampler.num_steps = 6", "sampler.num_steps = 12"]
    picture = Image.open(write_grid_image(folder))
    assert picture.width == GAP + 3 * (TILE_WIDTH + GAP)
    pixels = np.asarray(picture).astype(int)
    upper, lower = pixels[100:140, :TILE_WIDTH].mean(), pixels[-60:-20, :TILE_WIDTH].mean()
    assert upper < 80 < 200 < lower  # the dark video of the first cell over the empty tile of the failed one


def test_picture_of_runs_at_the_same_place(tmp_path):
    for name in ("a", "b"):
        write_run(tmp_path / name, ["sampler.guidance=3"])
    assert [len(row) for row in layout(read_cells(tmp_path))[2].values()] == [1, 1]
    assert write_grid_image(tmp_path).is_file()


def test_video_shows_every_cell_at_once_and_fits_a_slide(sweep):
    video = read_video(write_grid_video(sweep))
    frames, height, width = video.shape[:3]
    assert (frames, frame_rate(sweep / "compare.mp4")) == (10, 10)
    assert height <= 1080 and width <= 1920 and (height > 1000 or width > 1800)
    moved = np.abs(video[0].astype(int) - video[-1]).max(-1) > 60
    assert moved[:, : width // 3].any() and moved[:, -width // 3 :].any()


def test_command_chooses_cells_columns_and_what_they_show(sweep, capsys):
    choice = ["--where", "style=Night", "--where", "sampler.guidance=1", "--where", "sampler.guidance=5"]
    options = ["--mp4", "--csv", *choice, "--columns", "style", "--show", "single view"]
    assert _dispatch(["compare", str(sweep), *options]) == 0
    said = capsys.readouterr().out.splitlines()
    written = ["compare.html", "compare.png", "compare.mp4", "compare.csv"]
    assert [Path(line).name for line in said[-4:]] == written
    assert "one scene and one seed: what differs may be chance, so nothing is marked as best" in said
    rows = list(csv.DictReader((sweep / "compare.csv").open()))
    assert len(rows) == 12 and rows[0]["style"] == "Golden hour" and rows[0]["tse"] == "1.0"
    assert Image.open(sweep / "compare.png").width == GAP + TILE_WIDTH + GAP
    assert read_video(sweep / "compare.mp4").max() > 200


def test_parquet_has_the_rows_of_the_csv_with_types(sweep, monkeypatch):
    (sweep / "0_0abc" / "references.json").write_text('{"Night": {"tse": {"ceiling": 0.5, "floor": 4.5}}}')
    assert _dispatch(["compare", str(sweep), "--csv", "--parquet"]) == 0
    table = parquet.read_table(sweep / "compare.parquet")
    rows = list(csv.DictReader((sweep / "compare.csv").open()))
    assert table.column_names == list(rows[0])
    assert {"tse", "ceiling/tse", "floor/tse", "normalised/tse"} <= set(rows[0])
    assert table["sampler.guidance"].to_pylist() == [int(row["sampler.guidance"]) for row in rows]
    assert table["normalised/tse"].to_pylist().count(None) == len(rows) - 1
    (sweep / "0_0abc" / "references.json").unlink()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=re.escape("--parquet needs pyarrow: pip install 'cosmos-exp[frame]'")):
        _dispatch(["compare", str(sweep), "--parquet"])


def test_an_axis_of_numbers_and_texts_is_text_in_parquet(tmp_path):
    cells = [Cell(run="", axes={"controls": value}, state="done") for value in (1, "hdmap", None)]
    assert parquet.read_table(write_parquet(tmp_path, cells))["controls"].to_pylist() == ["1", "hdmap", None]


def test_command_shows_differences_to_a_baseline(sweep, capsys):
    assert _dispatch(["compare", str(sweep), "--baseline", "guidance=1,num_steps=6"]) == 0
    said = capsys.readouterr().out
    assert said.count("difference to guidance=1, num_steps=6") == 2
    assert "1 seeds" in said, "one scene and one seed: neither interval nor p"
    assert "what a metric means: cosmos-exp explain METRIC" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--baseline", "guidance=1"], "names 2 settings, and has to name one: give sampler.num_steps too"),
        (["--where", "style"], "'style' is not AXIS=VALUE; axes: sampler.guidance, sampler.num_steps, style"),
        (["--where", "stile=Night"], "unknown axis 'stile': did you mean 'style'"),
        (["--where", "style=Nigth"], "unknown value of style 'Nigth': did you mean 'Night'"),
        (["--columns", "guidance"], "unknown axis 'guidance': did you mean 'sampler.guidance'"),
        (["--show", "grit"], "unknown video 'grit': did you mean 'grid'"),
    ],
)
def test_mistakes_of_the_command(sweep, options, message):
    with pytest.raises(UserError, match=re.escape(message)):
        _dispatch(["compare", str(sweep), *options])


def test_too_many_cells_for_a_slide_are_refused(tmp_path):
    video = write_video(tmp_path / "x.mp4", moving_square(60), 10)
    cells = [Cell(run=str(i), axes={"scene.seed": i}, state="done", videos={"grid": video}) for i in range(40)]
    with pytest.raises(UserError, match="40 columns and 1 rows of videos are too many for 1920 x 1080 pixels"):
        ContactSheet(cells, column="scene.seed", within=(1920, 1080))


@pytest.fixture(scope="module")
def page(sweep, tmp_path_factory):
    require_browser()
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        opened.open(sweep / "compare.html")
        opened.wait("videos().length === 6 && videos().every(v => v.readyState >= 2)")
        yield opened


def column(page, number: int) -> list[str]:
    return page.run(
        f"return [...document.querySelectorAll('#table tbody td:nth-child({number})')].map(td => td.textContent)"
    )


def test_browser_shows_every_cell(page):
    assert page.run("return document.querySelectorAll('#table tbody tr').length") == 12
    assert page.run("return $('counts').textContent") == "12 cells: 6 done, 2 failed, 2 killed, 2 missing"
    assert (
        page.run("return [...document.querySelectorAll('figure .none')].map(n => n.textContent)").count("missing") == 2
    )
    assert page.run("return document.querySelector('#table tbody tr').title") == "A street. <b>Golden hour</b>."


def test_browser_sorts(page):
    page.click("thead th[data-key=tse] button")  # lower is better: ascending first
    values = column(page, 6)
    assert values[:6] == ["0.200", "0.200", "0.333", "0.333", "1.000", "1.000"]
    assert set(values[6:]) == {"–"}
    page.click("thead th[data-key=tse] button")
    assert column(page, 6)[0] == "1.000"


def test_browser_seeks_and_plays_all_videos_together(page):
    page.wait("videos().every(v => v.readyState >= 1)")  # there is nothing to seek in before the durations are known
    page.run("$('scrub').value = 500; $('scrub').oninput()")
    page.wait("videos().every(v => !v.seeking && Math.abs(v.currentTime - 0.5) < 0.02)")
    page.click("#play")
    page.wait("state.time > 0.6 && videos().every(v => Math.abs(v.currentTime - state.time) < 0.3 || v.seeking)")
    page.click("#play")
    page.wait("videos().every(v => v.paused && !v.seeking)")
    times = page.run("return videos().map(v => v.currentTime)")
    assert max(times) - min(times) < 0.02


def test_browser_filters_and_switches_the_video(page):
    page.run("[...document.querySelectorAll('button[data-axis=style]')].find(b => b.textContent === 'Night').click()")
    assert set(column(page, 4)) == {"Golden hour"}
    page.run("$('show').value = 'control hdmap'; $('show').onchange()")
    page.wait("videos().length === 3 && videos().every(v => v.readyState >= 2 && v.src.endsWith('_0.mp4'))")
    page.run("$('part').value = 'rear_tele_30fov'; $('part').onchange()")
    assert sorted(column(page, 6))[:3] == ["0.000", "0.200", "0.400"]
    page.run("[...document.querySelectorAll('button[data-axis=style]')].find(b => b.textContent === 'Night').click()")


def test_browser_over_http(page, sweep):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(sweep))
    handler.log_message = lambda *args: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.open(f"http://127.0.0.1:{server.server_port}/compare.html")
        page.wait("videos().length === 6 && videos().every(v => v.readyState >= 2)")
        server.shutdown()


def test_browser_steps_single_frames_by_key(page, sweep):
    page.open(sweep / "compare.html")
    page.wait("videos().length === 6 && videos().every(v => v.readyState >= 2)")
    for _ in range(3):
        page.run("document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}))")
    page.wait("videos().every(v => !v.seeking && Math.abs(v.currentTime - 0.35) < 0.02)")  # amid the fourth of 10 Hz
    page.run("document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft', bubbles: true}))")
    page.wait("videos().every(v => !v.seeking && Math.abs(v.currentTime - 0.25) < 0.02)")


def test_browser_shows_a_single_run(page, tmp_path):
    write_run(tmp_path / "alone", [], metrics={"tse": 0.5})
    page.open(write_page(tmp_path / "alone"))
    page.wait("videos().length === 1 && videos()[0].readyState >= 2")
    assert page.run("return document.querySelectorAll('#table tbody tr').length") == 1
    assert "Nothing is swept" in page.run("return $('method').textContent")
