"""Figures, column groups, effective weights and references on the page, in a browser; and the data that they draw."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
from helpers.browser import browser, require_browser
from helpers.sweep_folder import write_run

from cosmos_exp.runs.sweep_cells import Cell, read_cells
from cosmos_exp.sampling.weight_normalization import normalized_weights, weights_read
from cosmos_exp.tracking.comparison.compare import page_data, render_page
from cosmos_exp.tracking.comparison.weights import acting, effective_weights

GUIDANCE, WEIGHTS, SCENES = (0, 1, 3, 5), (0.25, 1), (11, 12, 13)
KEYS = ("sampler.guidance", "controls.hdmap.weight", "scene.seed")
STYLE_SCORE = {0: 0.9, 1: 0.7, 3: 0.2, 5: -0.8}
ETA2 = {0: 0.2, 1: 0.3, 3: 0.25, 5: 0.5}  # guidance 1 beats 3 in both
CEILING, FLOOR = 0.6, 0.1


def cells_of() -> list[Cell]:
    """hdmap beside seg 0.5; a weight of 1 gives a little more semantic eta squared."""
    cells = []
    for guidance, weight, scene in product(GUIDANCE, WEIGHTS, SCENES):
        noise = np.random.default_rng([guidance, scene]).standard_normal() * 0.01
        metrics = {
            "style_score": STYLE_SCORE[guidance] + noise,
            "style_match": float(guidance < 5),
            "semantic_eta2": ETA2[guidance] + 0.02 * weight + noise,
            "flicker": 5.0 + guidance,
            "psnr": 20.0 - guidance,
            "tse_matches": 100.0,
        }
        references = {
            "semantic_eta2": {"ceiling": CEILING, "floor": FLOOR},
            "flicker": {"ceiling": 4.0, "floor": 14.0},
            "psnr": {"ceiling": float("inf"), "floor": 10.0},
        }
        given = {"hdmap": weight, "seg": 0.5}
        multi_view = normalized_weights(weights_read(given, ("hdmap",)))
        weights = {"single_view": normalized_weights(given), "multi_view": multi_view}
        axes = dict(zip(KEYS, (guidance, weight, scene)))
        cells.append(Cell("r", axes, "done", "Snowy", metrics=metrics, references=references, weights=weights))
    return cells


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    require_browser()
    folder = tmp_path_factory.mktemp("figures")
    (folder / "compare.html").write_text(render_page(page_data(folder, cells_of())))
    with browser(folder) as opened:
        opened.folder = folder
        yield opened


@pytest.fixture(autouse=True)
def fresh(request):
    if "page" in request.fixturenames:
        page = request.getfixturevalue("page")
        page.open(page.folder / "compare.html")


def choose(page, menu: str, value: str) -> None:
    page.run(f"$('{menu}').value = '{value}'; $('{menu}').onchange()")


def test_weights_act_as_the_sampler_divides_them():
    """Beside 0.5, 1 is 0.667 of what the single-view net sees; the multi-view net reads it with the weight of both."""
    cells = cells_of()
    found = effective_weights(cells)
    names = ["hdmap weight, effective", "seg weight, effective", "hdmap weight, effective in multi view"]
    assert list(found) == names and set(found[names[2]].values()) == {0.75, 1.0}
    assert set(found["hdmap weight, effective"].values()) == {0.25, 0.667}
    assert set(found["seg weight, effective"].values()) == {0.5, 0.333}
    assert acting(cells[-1]) == {"controls.hdmap.weight": "0.667 in single view, 1 in multi view"}
    assert acting(cells[0]) == {"controls.hdmap.weight": "0.25 in single view, 0.75 in multi view"}
    cells[0].weights.pop("multi_view")
    assert acting(cells[0]) == {}
    cells[-1].weights.pop("multi_view")
    assert acting(cells[-1]) == {"controls.hdmap.weight": "0.667"}


def test_a_control_that_a_cell_leaves_out_counts_nothing_and_one_without_a_record_is_left_out():
    cells = [Cell("", {"controls.seg.weight": w}, "done", weights={"single_view": {"hdmap": 1 - w}}) for w in (0, 0.5)]
    cells[1].weights["single_view"]["seg"] = 0.5
    cells.append(Cell("", {"controls.seg.weight": 1}, "missing"))
    assert effective_weights(cells) == {"hdmap weight, effective": {0: 1.0, 1: 0.5}}, "seg: as swept"


def test_cells_have_the_weights_and_references_of_their_run(tmp_path):
    weights = {"single_view": {"hdmap": 0.667, "seg": 0.333}}
    write_run(tmp_path / "a", ["controls.hdmap.weight=1"], styles=("Night", "Foggy"), weights=weights)
    references = {"Night": {"psnr": {"ceiling": 60.0}}}
    (tmp_path / "a" / "references.json").write_text(json.dumps(references))
    write_run(tmp_path / "b", ["controls.hdmap.weight=0.25"], styles=("Night", "Foggy"))
    found = {(cell.run, cell.style): cell for cell in read_cells(tmp_path)}
    assert found["a", "Night"].references == references["Night"] and found["a", "Night"].weights == weights
    assert found["a", "Foggy"].references == found["b", "Night"].references == found["b", "Night"].weights == {}
    shown = page_data(tmp_path, read_cells(tmp_path))
    assert [axis["values"] for axis in shown["derived"]] == [], "one run alone recorded its weights"


def test_effective_weights_are_an_axis_and_a_colour_and_said_where_they_differ(page):
    assert "0.25" in page.run("return $('table').innerText")
    assert "1 (acts as 0.667 in single view, 1 in multi view)" in page.run("return $('table').innerText")
    assert "hdmap.weight 1 (acts as 0.667" in page.run("return $('sentences').textContent")
    choose(page, "x", "hdmap weight, effective")
    labels = "return [...document.querySelector('#plots svg').querySelectorAll('text')].map(t => t.textContent)"
    assert {"0.25", "0.667"} <= set(page.run(labels))
    assert page.run("return $('baseline').options.length") == 1, "no pairs: the swept weight differs with it"
    choose(page, "colour", "seg weight, effective")
    assert page.run("return $('legend').innerText.match(/[.0-9]+/g)") == ["0.333", "0.5"]


def test_the_scatter_shows_style_against_scene_with_the_front_of_what_keeps_the_style(page):
    assert page.run("return [state.scatter.x, state.scatter.y]") == ["style_score", "semantic_eta2"]
    assert page.run("return document.querySelectorAll('#scatter .spot').length") == len(GUIDANCE) * len(WEIGHTS)
    assert page.run("return document.querySelectorAll('#scatter .whisker').length") == 2 * len(GUIDANCE) * len(WEIGHTS)
    ends = page.run("""
        const [x, y] = ['style_score', 'semantic_eta2'].map(metricNamed);
        const points = front(pointsOf(settingsOf(data.cells), x, y), x, y);
        return points.map(p => Object.values(p.cells[0].axes).slice(0, 2));""")
    assert ends == [[1, 1], [0, 1]], "guidance 3 is worse than 1 in both, guidance 5 lost the style"
    hollow = "return document.querySelectorAll('#scatter .spot[fill=\"var(--panel)\"]').length"
    assert page.run(hollow) == len(WEIGHTS)
    choose(page, "constraint", "")
    assert page.run(hollow) == 0


def test_the_front_turns_where_lower_is_better(page):
    choose(page, "scatter-x", "flicker")
    words = page.run("return document.querySelector('#scatter svg').getAttribute('aria-label')")
    assert words.startswith("Semantic η² against Flicker. On the front: guidance 0, hdmap.weight 1")
    assert "guidance 1" in words and "guidance 3" not in words


def test_intervals_lie_inside_their_plot_and_have_caps(page):
    """One scene far off: its intervals go beyond the plot and end in an arrow at its edge."""
    page.run("data.cells.forEach(c => { if (c.axes['scene.seed'] === 11) c.metrics.semantic_eta2 += 0.1 }); draw()")
    inside = page.run("""
        return ['#plots svg', '#scatter svg'].map(name => [...document.querySelectorAll(name)].every(chart => {
            const edge = chart.getBoundingClientRect();
            const bars = [...chart.querySelectorAll('.whisker')].map(bar => bar.getBoundingClientRect());
            return bars.length && bars.every(b =>
                b.top >= edge.top && b.bottom <= edge.bottom && b.left >= edge.left && b.right <= edge.right);
        }))""")
    assert inside == [True, True]
    drawn = page.run("""
        return whisker(100, {mean: 0.5, half: 0.2}, v => 100 * v, 0.35, 0.8, 'red').getAttribute('d')""")
    assert drawn.count("L") == 5, "a line and two ends"
    assert "M96,40L100,35" in drawn and "M96,70L100,70L104,70" in drawn, "an arrow at the edge, a cap within"


def test_the_heat_map_marks_the_best_and_hatches_what_lost_the_style(page):
    assert page.run("return [state.heat.x, state.heat.y]") == ["sampler.guidance", "controls.hdmap.weight"]
    rows = page.run("""
        return [...document.querySelectorAll('#heat tbody tr')].map(r => [...r.cells].map(c => c.innerText.trim()))""")
    assert [row[0] for row in rows] == ["0.25", "1"]
    assert rows[1][2].startswith("★ 0.3") and not any("★" in text for text in rows[0])
    lost = page.run("return [...document.querySelectorAll('#heat td.lost')].map(td => td.getAttribute('aria-label'))")
    assert len(lost) == 2 and all("guidance 5" in text and text.endswith("lost the style") for text in lost)
    assert "95 % over 3 scenes" in lost[0] and "3 cells" in lost[0]
    choose(page, "heat-x", "controls.hdmap.weight")
    assert page.run("return $('heat-y').value") == "sampler.guidance", "the axes change places"


def test_the_keyboard_reads_intervals_and_ticks_settings(page):
    page.run("document.querySelector('#heat tbody td').focus()")
    assert "95 % over 3 scenes" in page.run("return $('tip').textContent")
    page.run("document.activeElement.blur()")
    assert page.run("return $('tip').hidden")
    page.click("#tick-none")
    page.run("""
        const spot = document.querySelector('#scatter .spot');
        spot.focus();
        spot.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true}));""")
    assert page.run("return data.cells.filter(c => c.ticked).length") == len(SCENES)


def test_there_is_no_heat_map_of_a_single_axis(page):
    cells = [cell for cell in cells_of() if cell.axes["controls.hdmap.weight"] == 1]
    (page.folder / "one.html").write_text(render_page(page_data(page.folder, cells)))
    page.open(page.folder / "one.html")
    assert page.run("return [$('heat').hidden, $('to-heat').hidden]") == [True, True]


def test_columns_come_in_groups_that_buttons_toggle(page):
    heads = "return [...document.querySelectorAll('#table th.group')].map(th => th.textContent)"
    keys = "return [...document.querySelectorAll('#table th[data-key]')].map(th => th.dataset.key)"
    assert page.run(heads) == ["style", "map", "consistency", "quality"]
    assert page.run(keys)[3:] == ["style_score", "semantic_eta2", "flicker", "psnr"], "of each group the first ones"
    page.click("[data-group=consistency]")
    assert page.run(heads) == ["style", "map", "quality"]
    assert page.run("return document.activeElement.dataset.group") == "consistency"
    page.click("[data-group=consistency]")
    assert page.run(keys)[3:] == ["style_score", "semantic_eta2", "flicker", "tse_matches", "psnr"], "all of it"
    page.click("#table-menu summary")
    page.run("""
        const boxes = [...document.querySelectorAll('#table-menu label')];
        boxes.find(label => label.textContent.startsWith('Style match')).click();""")
    assert "style_match" in page.run(keys)


def test_ceiling_and_floor_are_lines_and_the_ends_of_a_scale(page):
    def lines() -> list[str]:
        return page.run("return [...document.querySelectorAll('#plots .of-reference')].map(t => t.textContent)")

    assert lines().count("floor") + lines().count("ceiling") >= 3
    assert any(text.startswith("ceiling") for text in lines())
    assert page.run("return $('values-label').hidden") is False
    choose(page, "values", "normalised")
    eta2 = page.run("return metricOf(data.cells[0], 'semantic_eta2')")
    assert eta2 == pytest.approx((cells_of()[0].metrics["semantic_eta2"] - FLOOR) / (CEILING - FLOOR), rel=1e-4)
    assert page.run("return metricOf(data.cells[0], 'flicker')") == pytest.approx(0.9), "lower is better: up is better"
    keys = page.run("return [...document.querySelectorAll('#table th.num')].map(th => th.dataset.key)")
    assert keys == ["semantic_eta2", "flicker"], "what has no ceiling has no such value"
    assert "Flicker ↑ (norm.)" in page.run("return $('table').innerText")
    assert "0.3" in page.run("return $('sentences').textContent"), "the answer is of values as measured"
    choose(page, "baseline", "1")
    assert lines() == []


def test_without_references_nothing_is_shown_of_them(page):
    cells = cells_of()
    for cell in cells:
        cell.references = {}
    (page.folder / "plain.html").write_text(render_page(page_data(page.folder, cells)))
    page.open(page.folder / "plain.html")
    assert page.run("return [$('values-label').hidden, document.querySelectorAll('.reference').length]") == [True, 0]


def test_metrics_of_cameras_and_of_kinds_of_objects_are_apart(page):
    cells = cells_of()
    for cell in cells:
        cell.metrics |= {"object_recall": 0.5, "object_recall/far": 0.1, "object_recall/large_vehicle": 0.6}
        cell.metrics |= {"flicker/front_wide_120fov": 3.0}
    (page.folder / "parts.html").write_text(render_page(page_data(page.folder, cells)))
    page.open(page.folder / "parts.html")
    groups = "return [...$('part').querySelectorAll('optgroup')].map(g => [g.label, g.innerText.trim()])"
    assert page.run(groups) == [
        ["Cameras", "front_wide_120fov"],
        ["Object classes", "large vehicle"],
        ["Object distances", "far"],
    ]
    choose(page, "part", "large_vehicle")
    assert page.run("return measured().map(m => [m.key, metricOf(data.cells[0], m.key)])") == [["object_recall", 0.6]]
    menus = "return [...['objective', 'scatter-y', 'heat-metric'].map(id => $(id).value), $('scatter').hidden]"
    assert page.run(menus) == ["object_recall", "object_recall", "object_recall", True]
    assert "best Object recall, large vehicle among" in page.run("return $('sentences').textContent")
    choose(page, "part", "")
    assert page.run(menus) == ["semantic_eta2", "semantic_eta2", "semantic_eta2", False]


@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_fits_its_window(page, width: int):
    page.set_width(width)
    page.open(page.folder / "compare.html")
    assert page.run("return document.documentElement.scrollWidth") <= width
    shown = page.run(
        "return [...document.querySelectorAll('#table th.num')].map(th => th.getBoundingClientRect().right)"
    )
    if width == 1400:
        assert max(shown) < width, "no column is off the screen"


def test_what_is_chosen_survives_a_constraint_that_nothing_meets(page):
    page.run("$('bound').value = 5; $('bound').oninput()")
    assert "No setting of the settings with Style score above 5" in page.run("return $('sentences').textContent")
    assert page.run("return document.querySelectorAll('#heat td.lost').length") == len(GUIDANCE) * len(WEIGHTS)
    assert page.run("return document.querySelector('#scatter .front').getAttribute('d')") in ("", None)
