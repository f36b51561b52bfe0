"""Which setting is best: paired, corrected, never one that lost the style; in Python and on the page, in a browser."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from helpers.browser import browser, require_browser

from cosmos_exp.runs.sweep_cells import Cell
from cosmos_exp.tracking.comparison.compare import page_data, render_page
from cosmos_exp.tracking.comparison.settings import rank, settings_of
from cosmos_exp.tracking.comparison.statistics import chance, student_quantile
from cosmos_exp.tracking.comparison.summary import print_summary

GUIDANCE, SCENES, SEEDS, STYLES = (0, 1, 3, 5), (11, 12, 13, 14, 15, 16), (0, 1), ("Night", "Snowy")
AT_5_PERCENT = {1: 12.7062, 2: 4.30265, 5: 2.57058, 11: 2.20099}  # printed tables of Student's t, two-sided
HOLM = (3.1634, 2.5706)  # of 5 degrees of freedom, for 5 % divided by 2 and 1
KEYS = ("sampler.guidance", "scene.seed", "sampler.seed", "style")


def metrics(guidance: int, scene: int, seed: int, style: str) -> dict[str, float]:
    """psnr: far apart by scene, guidance 1 best by a little in every one, 5 next. edge_f1: noise. style_score: lost at
    guidance 5, at night at 3 too."""
    noise = np.random.default_rng([guidance, scene, seed, STYLES.index(style)])
    gain = {0: 0.1, 1: 0.5, 3: 0.2, 5: 0.4}[guidance] + 10 * (style == "Snowy")
    lost = guidance > (1 if style == "Night" else 3)
    return {
        "psnr": 5.0 * scene + gain + 0.02 * noise.standard_normal(),
        "edge_f1": 0.2 + 0.1 * noise.random(),
        "semantic_eta2": 0.1 * guidance,
        "style_score": -0.4 if lost else 0.7,
    }


def cells_of(scenes=SCENES, seeds=SEEDS, styles=STYLES) -> list[Cell]:
    ats = product(GUIDANCE, scenes, seeds, styles)
    return [
        Cell(run=str(i), axes=dict(zip(KEYS, at)), style=at[3], state="done", metrics=metrics(*at))
        for i, at in enumerate(ats)
    ]


def guidance_of(settings) -> list[int]:
    return [setting.axes["sampler.guidance"] for setting in settings]


def test_quantiles_and_probabilities_are_those_of_the_tables():
    for freedom, t in AT_5_PERCENT.items():
        assert chance(t, freedom) == pytest.approx(0.05, rel=1e-4)
        assert student_quantile(freedom) == pytest.approx(t, rel=1e-4)


def test_what_lost_the_style_wins_nothing():
    settings = settings_of(cells_of())
    assert list(settings) == ["Night", "Snowy"]
    best = {style: rank(of_style, "semantic_eta2") for style, of_style in settings.items()}
    assert guidance_of(ranking.best for ranking in best.values()) == [1, 3]
    assert [(ranking.count, ranking.unit, ranking.ties) for ranking in best.values()] == [(6, "scenes", [])] * 2


def test_the_difficulty_of_scenes_hides_nothing():
    """Scenes differ by 25 dB, settings by a tenth: pairs tell them apart where intervals overlap."""
    (settings,) = settings_of(cells_of(styles=["Snowy"])).values()
    ranking = rank(settings, "psnr")
    assert (guidance_of([ranking.best]), ranking.ties) == ([1], [])
    first, second = (setting.estimate("psnr") for setting in settings[:2])
    assert abs(first.mean - second.mean) < min(first.half, second.half) / 10


def test_the_test_is_paired_over_scenes_and_corrected_after_holm():
    cells = cells_of(styles=["Snowy"])
    ranking = rank(settings_of(cells)["Snowy"], "edge_f1")
    values = {g: [scene_mean(cells, "edge_f1", g, scene) for scene in SCENES] for g in (0, 1, 3)}
    best = max(values, key=lambda g: np.mean(values[g]))
    apart = {g: np.subtract(values[best], values[g]) for g in values if g != best}
    t = {g: d.mean() / (d.std(ddof=1) / len(d) ** 0.5) for g, d in apart.items()}
    order = sorted(t, key=lambda g: -t[g])
    told = next((i for i, g in enumerate(order) if t[g] < HOLM[i]), len(order))
    assert guidance_of([ranking.best, *ranking.ties]) == [best, *order[told:]]


def test_identical_values_tie_and_a_missing_partner_is_left_out():
    cells = [
        Cell(run="", axes=dict(zip(KEYS, (g, scene, 0, "Night"))), style="Night", state="done", metrics={"psnr": 30.0})
        for g, scene in product((1, 2), SCENES)
    ]
    assert guidance_of(rank(settings_of(cells)["Night"], "psnr").ties) == [2]
    cells[0].metrics = {}
    assert rank(settings_of(cells)["Night"], "psnr").count == len(SCENES) - 1
    for cell in cells[: len(SCENES)]:
        cell.metrics = {"psnr": 31.0}
    assert rank(settings_of(cells)["Night"], "psnr").ties == [], "the same difference in every scene"


def test_the_console_has_the_same(capsys):
    print_summary(cells_of())
    said = capsys.readouterr().out
    assert said.count("paired over 6 scenes") == 2
    assert "2 of 4 settings lost the style" in said and "1 of 4 settings lost the style" in said
    print_summary(cells_of([11], [0], ["Snowy"]))
    said = capsys.readouterr().out
    assert "★" not in said and "nothing is marked as best" in said
    cells = cells_of(styles=["Snowy"])
    for cell in (cells[0], cells[-1]):  # of one scene each
        cell.metrics["tse"] = 1.0
    print_summary(cells)
    assert "paired over 6 scenes" in capsys.readouterr().out, "a metric that few have hides nothing"
    print_summary(cells_of()[:1])
    assert capsys.readouterr().out == ""


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A function: the page of these cells, in a browser."""
    require_browser()
    folder = tmp_path_factory.mktemp("best")
    with browser(folder) as chromium:

        def show(cells: list[Cell]):
            (folder / "compare.html").write_text(render_page(page_data(folder, cells)))
            chromium.open(folder / "compare.html")
            chromium.wait("document.querySelectorAll('#sentences p').length > 0")
            return chromium

        yield show


def sentences(page) -> list[str]:
    return page.run("return [...document.querySelectorAll('#sentences p')].map(p => p.textContent)")


def test_each_style_has_its_answer_and_what_lost_the_style_wins_nothing(opened):
    page = opened(cells_of())
    night, snowy = sentences(page)
    assert night.startswith("Night: guidance 1 is best: PSNR ")
    assert "(paired over 6 scenes). 2 of 4 settings lost the style" in night
    assert snowy.startswith("Snowy: guidance 1 is best") and "1 of 4 settings" in snowy
    page.run("$('objective').value = 'semantic_eta2'; $('objective').onchange()")
    assert [s.split(" is best")[0] for s in sentences(page)] == ["Night: guidance 1", "Snowy: guidance 3"]


def test_noise_has_no_winner(opened):
    page = opened(cells_of(styles=["Snowy"]))
    page.run("$('objective').value = 'edge_f1'; $('objective').onchange()")
    (answer,) = sentences(page)
    assert "has the best mean, Edge F1 0.2" in answer and "is not told apart from guidance" in answer
    marked = page.run("return [...document.querySelectorAll('#table td.tied')].map(td => td.textContent)")
    assert len(marked) == 6 and all("±" in value for value in marked)  # three of Edge F1, three equal style scores
    assert (
        page.run("return document.querySelectorAll('#table td.best').length") == 2
    )  # of PSNR, of semantic eta squared


def test_one_scene_and_one_seed_name_no_winner(opened):
    page = opened(cells_of([11], [0], ["Snowy"]))
    (answer,) = sentences(page)
    assert answer.startswith(
        "No winner can be named with one scene and one seed. guidance 1 has the best value, PSNR 65."
    )
    assert page.run("return document.querySelectorAll('#table .best, #table .tied').length") == 0
    assert "nothing is marked as best" in page.run("return $('stars').textContent")
    assert "done, style lost" in page.run("return $('table').innerText")


@pytest.mark.parametrize("metric", ["psnr", "edge_f1", "semantic_eta2"])
def test_the_page_ranks_as_python_does(opened, metric: str):
    cells = cells_of()
    cells[5].metrics = {}
    page = opened(cells)
    found = page.run(f"""
        const at = cells => cells[0].axes['sampler.guidance'];
        return stylesOf(data.cells).map(cells => {{
            const kept = settingsOf(cells).filter(setting => !lostStyle(setting));
            const {{best, ties, count, unit}} = ranking(kept, metricNamed('{metric}'));
            const {{mean, half}} = interval(valuesOf(best, '{metric}'));
            return [at(best), ties.map(at), count, unit, mean, half];
        }});""")
    for row, settings in zip(found, settings_of(cells).values(), strict=True):
        ranking = rank(settings, metric)
        estimate = ranking.best.estimate(metric)
        assert row[:4] == [*guidance_of([ranking.best]), guidance_of(ranking.ties), ranking.count, ranking.unit]
        assert row[4:] == pytest.approx([estimate.mean, estimate.half], rel=1e-4)  # the page has six digits
    ticks = page.run(f"return {[[t, df] for df, t in AT_5_PERCENT.items()]}.map(([t, df]) => chance(t, df))")
    assert ticks == pytest.approx([0.05] * len(AT_5_PERCENT), rel=1e-4)


def scene_mean(cells: list[Cell], metric: str, guidance: int, scene: int) -> float:
    chosen = [c for c in cells if (c.axes["sampler.guidance"], c.axes["scene.seed"]) == (guidance, scene)]
    return float(np.mean([cell.metrics[metric] for cell in chosen]))
