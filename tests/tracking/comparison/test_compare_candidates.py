"""Cells whose videos were chosen among candidates: what chose is not compared between other numbers of them, in Python
and on the page, and every candidate's scores are shown."""

from __future__ import annotations

from itertools import product

import numpy as np
from helpers.browser import browser, require_browser

from cosmos_exp.filtering.rule import Candidate, Choice, candidate_seed
from cosmos_exp.runs.sweep_cells import Cell, axis_values
from cosmos_exp.tracking.comparison.answer import CHOSEN, Answer
from cosmos_exp.tracking.comparison.compare import page_data, render_page
from cosmos_exp.tracking.comparison.differences import differences_to, print_differences
from cosmos_exp.tracking.comparison.settings import chosen_unequally, rank, settings_of
from cosmos_exp.tracking.comparison.summary import print_summary

KEYS = ("sampler.best_of", "sampler.guidance", "scene.seed")
BEST_OF, GUIDANCE, SCENES = (1, 4), (1, 3), range(6)


def cells_of(best_of=BEST_OF) -> list[Cell]:
    """More candidates and more guidance are better in every metric, in every scene."""
    cells = []
    for at in product(best_of, GUIDANCE, SCENES):
        gain = 0.1 * at[0] + 0.05 * at[1] + 0.001 * np.random.default_rng(at).random()
        metrics = {"style_score": 0.1 + gain, "object_survival": gain, "mask_miou": gain, "psnr": 20 + gain}
        cells.append(
            Cell(str(len(cells)), dict(zip(KEYS, at)), "done", "Sunny", metrics=metrics, choice=choice_of(at[0]))
        )
    return cells


def choice_of(count: int) -> Choice | None:
    if count == 1:
        return None
    problems = {2: ["4 of 9 frames are black"]}
    return Choice(
        "measures",
        [
            Candidate(i, candidate_seed(0, i), {"object_survival": 0.1 * i}, 0.1 * i, problems.get(i, ()), str(i))
            for i in range(count)
        ],
    )


def test_what_chose_gives_no_star_between_other_numbers_of_candidates():
    settings = settings_of(cells_of())["Sunny"]
    assert rank(settings, "mask_miou").best.axes == {"sampler.best_of": 4, "sampler.guidance": 3}
    for metric in ("style_score", "object_survival"):
        assert chosen_unequally(settings, metric) and rank(settings, metric) is None
        alike = [setting for setting in settings if setting.axes["sampler.best_of"] == 4]
        assert rank(alike, metric).best.axes["sampler.guidance"] == 3, "of as many candidates each"


def test_no_setting_is_named_by_it_and_no_difference_called_better(capsys):
    cells = cells_of()
    settings, axes = settings_of(cells)["Sunny"], axis_values(cells)
    assert CHOSEN in Answer(axes, "object_survival").sentence(settings)
    assert "best_of 4, guidance 3: best map adherence" in Answer(axes, "mask_miou").sentence(settings)
    of_four = [d for d in differences_to(settings, "object_survival", settings[0]) if d.unequal]
    assert [d.setting.axes["sampler.best_of"] for d in of_four] == [4, 4]
    print_differences(cells, "best_of=1,guidance=1")
    rows = [line for line in capsys.readouterr().out.splitlines() if "+0.3" in line or "+0.4" in line]
    assert ["chosen" in row for row in rows].count(True) == 2 + 2, "of two metrics, two settings each"


def test_the_console_says_what_chose(capsys):
    print_summary(cells_of())
    text = capsys.readouterr().out
    assert "style, label survival and flicker chose these videos among candidates" in text
    print_summary(cells_of(best_of=(1,)))
    assert "candidates" not in capsys.readouterr().out


def test_the_page_shows_every_candidate_and_marks_only_what_did_not_choose(tmp_path):
    require_browser()
    (tmp_path / "compare.html").write_text(render_page(page_data(tmp_path, cells_of())))
    with browser(tmp_path) as page:
        page.open(tmp_path / "compare.html")
        page.wait("document.querySelectorAll('#candidates tbody tr').length > 0")
        assert page.run("return document.querySelectorAll('#candidates tbody tr').length") == 4 * 2 * 6
        kept, black = page.run(
            "return ['kept', 'bad'].map(c => document.querySelector(`#candidates .${c}`).textContent)"
        )
        assert str(candidate_seed(0, 3)) in kept and "3 of 4 passed the sanity gate" in kept
        assert "4 of 9 frames are black" in black
        assert "chose these videos among candidates" in page.run("return $('not-measured').textContent")
        marked = page.run("return document.querySelectorAll('#table td.best, #table td.tied').length")
        assert marked == 2, "mask_miou and psnr, not style score and objects shown"
        page.run("$('objective').value = 'object_survival'; $('objective').onchange()")
        sentence = page.run("return document.querySelector('#sentences p').textContent")
        cells = cells_of()
        assert sentence == Answer(axis_values(cells), "object_survival").sentence(settings_of(cells)["Sunny"])
