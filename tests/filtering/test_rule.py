"""Which candidate is kept, what is recorded of the others, and which seeds they have."""

from __future__ import annotations

import json

import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.filtering.rule import FAVOURED, MEASURES, Candidate, Choice, candidate_seed, measured, sentences
from cosmos_exp.metrics.info import METRIC_INFO


def choice(*scores: float | None, black: tuple[int, ...] = ()) -> Choice:
    problems = {number: ["black"] for number in black}
    candidates = [Candidate(i, 100 + i, {}, score, problems.get(i, ())) for i, score in enumerate(scores)]
    return Choice("measures", candidates)


def test_the_best_score_wins_and_of_equal_ones_the_first():
    assert choice(0.2, 0.7, 0.5).winner.number == 1
    assert choice(0.7, 0.7, 0.5).winner.number == 0
    assert "0.700, before 0.500" in choice(0.2, 0.7, 0.5).why
    assert "as others: the first of them" in choice(0.7, 0.7).why


def test_what_fails_the_sanity_gate_wins_only_where_all_do():
    found = choice(0.1, 0.9, 0.2, black=(1,))
    assert found.winner.number == 2 and found.why.startswith("2 of 3 passed the sanity gate")
    assert choice(0.1, 0.9, black=(0, 1)).why == "none of 2 passed the sanity gate"


def test_without_any_score_the_first_sane_one_is_kept():
    found = choice(None, None, None, black=(0,))
    assert found.winner.number == 1 and "none has a score" in found.why
    assert choice(None, 0.1).winner.number == 1


def test_the_score_is_the_mean_of_four_shares():
    best = {"style_regions": 1.0, "object_survival": 1.0, "lane_survival": 1.0, "flicker": 0.0}
    assert measured(best | {"psnr": 9.0}) == 1.0
    middle = {"style_regions": 0.0, "object_survival": 0.25, "lane_survival": 0.75, "flicker": 10.0}
    assert measured(middle) == pytest.approx(0.5)
    assert measured({"style_regions": -7.0}) == 0.0, "no worse than another style"
    assert measured({"lane_survival": 0.4}) == 0.4 and measured({"psnr": 30.0}) is None


def test_the_first_candidate_has_the_seed_of_the_config_and_no_two_configs_share_one():
    """Else cells of a sweep over seeds would be the best of some of the same videos."""
    seeds = [candidate_seed(seed, number) for seed in range(100) for number in range(16)]
    assert [candidate_seed(seed, 0) for seed in (-5, 0, 7)] == [-5, 0, 7]
    assert len(set(seeds)) == len(seeds)
    others = {candidate_seed(seed, number) for seed in range(100) for number in range(1, 16)}
    assert others.isdisjoint(range(100_000)) and max(others) < 2**32


def test_a_choice_is_read_back_as_it_was_recorded():
    found = choice(0.2, None, 0.5, black=(0,))
    again = Choice.of_record(json.loads(json.dumps(found.record())))
    assert again.record() == found.record() and again.winner == found.winner


@pytest.mark.parametrize("damage", [{"seed": 5}, {"by": "chance"}, {"candidates": []}, {"candidates": 3}])
def test_another_record_is_refused(damage):
    with pytest.raises(UserError, match="no choice among candidates"):
        Choice.of_record(choice(0.2, 0.5).record() | damage)


def test_a_metric_that_chose_is_known_with_its_parts_and_relatives():
    assert set(MEASURES) < set(FAVOURED["measures"]) <= set(METRIC_INFO)
    found = choice(0.2, 0.5, 0.1)
    assert found.among("object_survival/car") == found.among("object_recall") == 3
    assert found.among("psnr") == 1
    (told,) = sentences([found, found])
    assert "better by the choice itself" in told
