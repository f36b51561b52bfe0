"""Which setting is best: paired, corrected, never one that lost the style; in Python and on the page, in a browser."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from helpers.browser import browser, require_browser

from cosmos_exp.metrics.info import METRIC_INFO
from cosmos_exp.runs.sweep_cells import Cell, axis_values
from cosmos_exp.tracking.comparison.answer import Answer
from cosmos_exp.tracking.comparison.compare import page_data, render_page
from cosmos_exp.tracking.comparison.settings import (
    STYLE_KEPT,
    Constraint,
    default_objective,
    first_columns,
    rank,
    settings_of,
)
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


def test_the_objective_is_adherence_to_the_map_as_far_as_it_was_measured():
    assert default_objective(["style_score", "psnr", "semantic_eta2", "mask_miou"]) in ("mask_miou", "semantic_eta2")
    assert default_objective(["style_score", "tse_matches", "psnr", "edge_f1"]) == "psnr"
    assert default_objective(["style_score", "tse_matches", "flicker"]) == "flicker"
    assert default_objective(["style_score", "tse_matches", "mine"]) == ""


def test_a_table_begins_with_what_settings_are_compared_by():
    measured = ["edge_f1", "blur_ssim", "tse", "flicker", "tse_matches", "psnr", "style_match", "style_score", "mine"]
    assert first_columns(measured) == ["style_score", "tse", "psnr", "mine"], "one of style, consistency, quality"
    assert first_columns(["depth_edge_auc", "semantic_eta2"]) == ["semantic_eta2", "depth_edge_auc"]
    of_groups = ["style_score", "mask_miou", "lane_survival", "object_survival", "object_recall", "flicker", "psnr"]
    assert first_columns(list(METRIC_INFO)) == of_groups


def test_another_condition_or_none_leaves_other_settings():
    (settings,) = settings_of(cells_of(styles=["Snowy"])).values()
    assert guidance_of([rank(settings, "semantic_eta2", None).best]) == [5]
    assert guidance_of([rank(settings, "psnr", Constraint("semantic_eta2", "at least", 0.3)).best]) == [5]
    assert guidance_of([rank(settings, "semantic_eta2", Constraint("semantic_eta2", "at most", 0.25)).best]) == [1]


def test_a_setting_at_the_bound_is_not_above_it():
    cells = cells_of(styles=["Snowy"])
    for cell in cells:
        cell.metrics["style_score"] = 0.0
    assert not any(STYLE_KEPT.holds(setting) for setting in settings_of(cells)["Snowy"])
    assert rank(settings_of(cells)["Snowy"], "psnr") is None


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


def unfinished(scenes: int) -> list[Cell]:
    """A sweep in which guidance 0 has been measured on the last scenes alone, which are easy."""
    cells = cells_of(styles=["Snowy"])
    for cell in cells:
        if cell.axes["sampler.guidance"] == 0 and cell.axes["scene.seed"] not in SCENES[-scenes:]:
            cell.metrics = {}
    return cells


def test_a_setting_of_few_easy_scenes_wins_nothing():
    (settings,) = settings_of(unfinished(2)).values()
    means = [setting.estimate("psnr").mean for setting in settings[:2]]
    assert means[0] > means[1] + 5, "its own mean is the best"
    ranking = rank(settings, "psnr")
    assert guidance_of([ranking.best]) == [1] and 0 not in guidance_of(ranking.ties) and ranking.count == len(SCENES)
    said = Answer(axis_values(unfinished(2)), "psnr").sentence(settings)
    assert "Left out, because measured on less than half of the scenes and seeds: guidance 0." in said


def test_means_are_those_of_the_scenes_that_all_have():
    (settings,) = settings_of(unfinished(4)).values()
    ranking = rank(settings, "psnr")
    assert guidance_of([ranking.best]) == [1] and ranking.count == 4
    assert "Left out" not in Answer(axis_values(unfinished(4)), "psnr").sentence(settings)


@pytest.mark.parametrize("scenes", [2, 4])
def test_the_page_says_the_same_of_a_sweep_that_is_not_complete(opened, scenes: int):
    cells = unfinished(scenes)
    said = Answer(axis_values(cells), "psnr")
    page = opened(cells)
    page.run("state.objective = 'psnr'; drawAnswer()")
    assert sentences(page) == [said.sentence(settings) for settings in settings_of(cells).values()]


def test_the_console_shows_the_cells_of_a_sweep_over_seeds(capsys):
    """All cells make up one setting, of which there is nothing to compare."""
    print_summary(cells_of([11], [0, 1], ["Snowy"])[:2])
    said = capsys.readouterr().out
    assert "seed" in said and len([line for line in said.splitlines() if line.startswith("│")]) == 2


def test_the_console_has_the_same(capsys):
    print_summary(cells_of())
    said = capsys.readouterr().out
    assert said.count("≈ not told apart from the best: paired over 6 scenes") == 2
    assert "guidance 1: best map adherence (Semantic η²) among the settings that keep the style, 0.100 ± 0.000" in said
    assert "2 of 4 settings lost the style: guidance 3 (Style score -0.400); guidance 5 (Style score -0.400)." in said
    assert "1 of 4 settings lost the style: guidance 5 (Style score -0.400)." in said
    print_summary(cells_of([11], [0], ["Snowy"]))
    said = capsys.readouterr().out
    assert "★" not in said and "nothing is marked as best" in said and "No winner can be named" in said
    cells = cells_of(styles=["Snowy"])
    for cell in (cells[0], cells[-1]):  # of one scene each
        cell.metrics["tse"] = 1.0
    print_summary(cells)
    assert "paired over 6 scenes" in capsys.readouterr().out, "a metric that few have hides nothing"
    print_summary(cells_of()[:1])
    assert capsys.readouterr().out == ""


def test_a_table_in_a_file_has_every_value_in_full(capsys):
    cells = cells_of(styles=["Snowy"])
    further = ["mask_miou", "lane_survival", "object_survival", "object_recall", "flicker", "seed_diversity"]
    for cell in cells:
        cell.metrics |= dict.fromkeys(further, 12.345)
    print_summary(cells)
    said = capsys.readouterr().out
    assert "Seed diversity" in said and said.count("12.345") >= 6 * len(GUIDANCE) and "…" not in said


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


def choose(page, menu: str, value: str) -> None:
    page.run(f"$('{menu}').value = '{value}'; $('{menu}').onchange()")


def test_each_style_has_its_answer_and_what_lost_the_style_wins_nothing(opened):
    page = opened(cells_of())
    best = [
        s.split(": best map adherence (Semantic η²) among the settings that keep the style")[0] for s in sentences(page)
    ]
    assert best == ["Night: guidance 1", "Snowy: guidance 3"]
    assert sentences(page)[1].endswith(" 1 of 4 settings lost the style: guidance 5 (Style score -0.400).")
    choose(page, "objective", "psnr")
    night, snowy = sentences(page)
    assert (
        night.startswith("Night: guidance 1: best PSNR among")
        and "better than every other (paired over 6 scenes)" in night
    )
    assert snowy.startswith("Snowy: guidance 1: best PSNR")


def test_noise_has_no_winner(opened):
    page = opened(cells_of(styles=["Snowy"]))
    choose(page, "objective", "edge_f1")
    (answer,) = sentences(page)
    assert "best Edge F1 among the settings that keep the style, 0.2" in answer
    assert "; tied with guidance" in answer and "not told apart (paired over 6 scenes)" in answer
    marked = page.run("return [...document.querySelectorAll('#table td.tied')].map(td => td.textContent)")
    assert len(marked) == 6 and all("±" in value for value in marked)  # three of Edge F1, three equal style scores
    assert (
        page.run("return document.querySelectorAll('#table td.best').length") == 2
    )  # of PSNR, of semantic eta squared


def test_the_condition_decides_what_is_marked(opened):
    page = opened(cells_of(styles=["Snowy"]))
    best = "return [...document.querySelectorAll('#table td.best')].map(td => td.closest('tr').cells[1].textContent)"
    assert set(page.run(best)) == {"3", "1"}  # of semantic eta squared, of PSNR
    choose(page, "constraint", "")
    assert page.run("return $('bounds').hidden")
    assert set(page.run(best)) == {"5", "1"}
    choose(page, "constraint", "semantic_eta2")
    page.run("$('bound').value = 0.25; $('bound').oninput()")
    assert page.run("return [$('relation').value, state.constraint.bound]") == ["at least", 0.25]
    assert set(page.run(best)) == {"5", "3"}  # 3 of the style score
    assert "among the settings with Semantic η² at least 0.25" in sentences(page)[0]


def test_one_scene_and_one_seed_name_no_winner(opened):
    page = opened(cells_of([11], [0], ["Snowy"]))
    (answer,) = sentences(page)
    assert answer.startswith(
        "No winner can be named with one scene and one seed. guidance 3 has the best map adherence"
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


def test_ties_are_named_best_first():
    cells = cells_of(styles=["Snowy"])
    for cell in cells:
        gain = {0: 0.3, 1: 0.1, 3: 0.2, 5: 9.0}[cell.axes["sampler.guidance"]]
        cell.metrics["flicker"] = 5 - gain + np.random.default_rng(int(cell.run)).standard_normal()
        cell.metrics["depth_edge_auc"] = -cell.metrics["flicker"]
    (settings,) = settings_of(cells).values()
    means = {g: s.estimate("flicker").mean for g, s in zip(GUIDANCE, settings) if g != 5}
    order = sorted(means, key=lambda g: means[g])
    for metric in ("flicker", "depth_edge_auc"):
        said = Answer(axis_values(cells), metric).sentence(settings)
        assert said.startswith(f"guidance {order[0]}: best ")
        assert f"; tied with guidance {order[1]}; guidance {order[2]}, not told apart" in said


@pytest.mark.parametrize("metric", ["psnr", "edge_f1"])
@pytest.mark.parametrize(
    "constraint",
    [
        STYLE_KEPT,
        None,
        Constraint("style_score", "above", 0.75),  # none
        Constraint("semantic_eta2", "at least", 0.1),
        Constraint("semantic_eta2", "at most", 0.0),  # one
        Constraint("semantic_eta2", "above", 0.0),  # one is at the bound
        Constraint("psnr", "at least", 68.2),  # within its interval, over scenes
    ],
)
def test_the_page_says_what_python_says(opened, metric: str, constraint: Constraint | None):
    cells = cells_of()
    cells[5].metrics = {}
    said = Answer(axis_values(cells), metric, constraint)
    page = opened(cells)
    asked = "null" if constraint is None else str(vars(constraint))
    page.run(f"state.objective = '{metric}'; state.constraint = {asked}; drawAnswer()")
    assert sentences(page) == [f"{style}: {said.sentence(settings)}" for style, settings in settings_of(cells).items()]


def test_the_answer_says_where_the_best_lies_between_floor_and_ceiling(opened):
    cells = cells_of(styles=["Snowy"])
    for cell in cells:
        cell.references = {"psnr": {"ceiling": 160.0, "floor": 60.0}, "edge_f1": {"ceiling": 0.9}}
    (settings,) = settings_of(cells).values()
    said = Answer(axis_values(cells), "psnr").sentence(settings)
    mean = np.mean([5.0 * scene + 10.5 for scene in SCENES])
    assert f"From another scene (0) to this scene's own picture (1), that is {(mean - 60) / 100:.2f}." in said
    page = opened(cells)
    choose(page, "objective", "psnr")
    assert sentences(page) == [said]
    choose(page, "objective", "edge_f1")
    assert "From another scene" not in sentences(page)[0], "it has no floor"


def test_a_style_that_was_not_measured_is_said(opened):
    cells = cells_of(styles=["Snowy"])
    for cell in cells:
        del cell.metrics["style_score"]
    (answer,) = sentences(opened(cells))
    assert answer == Answer(axis_values(cells), "semantic_eta2").sentence(settings_of(cells)["Snowy"])
    assert "among all settings" in answer and answer.endswith("Whether the style is kept was not measured.")


def scene_mean(cells: list[Cell], metric: str, guidance: int, scene: int) -> float:
    chosen = [c for c in cells if (c.axes["sampler.guidance"], c.axes["scene.seed"]) == (guidance, scene)]
    return float(np.mean([cell.metrics[metric] for cell in chosen]))


@pytest.mark.parametrize("scenes", [SCENES[:1], SCENES[:3]])
def test_the_seeds_of_a_scene_are_one_value_of_their_diversity(opened, scenes):
    """Two seeds have the same difference to each other: an interval over them would be of no width."""
    cells = cells_of(scenes=scenes, styles=["Snowy"])
    for cell in cells:
        cell.metrics["seed_diversity"] = cell.axes["scene.seed"] + cell.axes["sampler.guidance"]
    setting = settings_of(cells)["Snowy"][0]
    found = setting.estimate("seed_diversity")
    assert (found.count, found.half is None) == (len(scenes), len(scenes) == 1)
    page = opened(cells)
    of_setting = "settingsOf(data.cells)[0]"
    mean, half, count = page.run(
        f"const {{mean, half, count}} = interval(valuesOf({of_setting}, 'seed_diversity')); return [mean, half, count]"
    )
    assert (mean, half, count) == (pytest.approx(found.mean), found.half and pytest.approx(found.half), found.count)
    assert rank(settings_of(cells)["Snowy"], "seed_diversity") is None, "more of it is not better"
