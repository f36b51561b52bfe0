"""Best of N in a run: known damage never wins, the choice comes again from the cache, and is planned, evaluated and
reproduced."""

from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers.chat_server import ChatServer
from helpers.composing import Composer
from helpers.damaged_model import damaged_model
from helpers.yes_no_answers import frames_shown, says_yes

from cosmos_exp.common.errors import UserError
from cosmos_exp.config.schema import run_id, typed
from cosmos_exp.config.validate import validate
from cosmos_exp.filtering.rule import candidate_seed
from cosmos_exp.metrics import SanityError
from cosmos_exp.pipeline.evaluate import evaluate_run
from cosmos_exp.pipeline.reproduce import compare, read_run, rerun
from cosmos_exp.pipeline.run import run
from cosmos_exp.runs.cost_history import REST
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.sweeps.plan import make_plan

QUIET = ("tracking=disabled", "previews=none", "previews.controls=used", "metrics.references=false")
SMALL = (
    "model.num_frames=9",
    "sampler.num_steps=1",
    "scene.num_vehicles=2",
    "evaluator.every=8",
    "metrics.names=[psnr]",
    *QUIET,
)
DAMAGES = ("blur", "noise", "dark", "none", "shift", "black", "frozen", "grey box", "pale", "colours")
STYLES = "captions.styles=[Sunny,Night]"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("candidates")


@pytest.fixture(scope="module")
def run_damaged(root: Path):
    """A function: a run of a model whose candidates have these damages."""
    with damaged_model():
        composer = Composer()

        def made(name: str, *damages: str, overrides: tuple[str, ...] = ()) -> RunFolder:
            options = ("model=damaged", f"model.damages=[{','.join(damages)}]", f"sampler.best_of={len(damages)}")
            scene = ("views=single", "model.num_frames=5", "scene.seed=1000003", "evaluator.every=4", *QUIET)
            place = (f"paths.outputs={root}", f"paths.cache={root}/cache", "metrics.names=[psnr]")
            run(composer(*options, *scene, *place, *overrides), root / name)
            return RunFolder(root / name)

        yield made


@pytest.fixture(scope="module")
def make(configure, root: Path):
    """A function: a config of the tiny model, and where it runs."""
    return lambda *overrides: configure(*SMALL, f"paths.outputs={root}", f"paths.cache={root}/tiny", *overrides)


def test_a_damaged_candidate_never_wins(run_damaged, root: Path) -> None:
    """The scene's own picture among pictures of it that are damaged, in two styles."""
    choices = run_damaged("damaged", *DAMAGES, overrides=(STYLES,)).read_filter()
    values = json.loads((root / "damaged" / "filter.json").read_text())["Sunny"]
    assert values["by"] == "measures" and "mean of" in values["rule"] and len(values["candidates"]) == len(DAMAGES)
    for style, choice in choices.items():
        scores = {DAMAGES[own.number]: own for own in choice.candidates}
        assert choice.winner is scores["none"], (style, choice.record())
        assert scores["black"].problems and scores["frozen"].problems
        assert choice.winner.score > max(own.score for name, own in scores.items() if name != "none")


def test_a_candidate_that_fails_the_sanity_gate_fails_no_run_unless_all_do(run_damaged, caplog) -> None:
    folder = run_damaged("one_left", "black", "noise", "frozen")
    assert folder.read_filter()["Sunny"].winner.number == 1
    with pytest.raises(SanityError, match=r"none of the 2 candidates of Sunny.*candidate 1 \(seed \d+\): frozen"):
        run_damaged("none_left", "black", "frozen")
    with caplog.at_level(logging.WARNING):
        run_damaged("alike", "none", "none", overrides=("metrics.gate=false",))
    assert "all candidates of Sunny are the same video" in caplog.text


def test_a_vision_language_model_chooses_by_its_answers_and_is_asked_once(run_damaged) -> None:
    """One that likes bright pictures."""
    with ChatServer(answer=lambda body: says_yes((np.mean(frames_shown(body)) + 1) / 258)) as server:
        llm = ("filter=vlm", "llm=endpoint", "llm.model=tiny", f"llm.endpoint={server.url}", "llm.api=vllm")
        options = (*llm, "filter.questions=[Is it well?]", "filter.defects=[]", "filter.repeats=2", "filter.frames=2")
        damages = ("none", "pale", "dark", "black")
        choice = run_damaged("asked", *damages, overrides=options).read_filter()["Sunny"]
        assert choice.winner.number == 1 and choice.among("style_score") == 1
        assert [round(own.score, 1) for own in choice.candidates][3] == 0.0 and choice.candidates[3].problems
        assert len(server.asked) == 4 * 2
        again = run_damaged("asked again", *damages, overrides=options)
        assert len(server.asked) == 4 * 2 and again.read_filter()["Sunny"].record() == choice.record()
    problems = validate(Composer()("views=single", "filter=vlm", "sampler.best_of=2"))
    assert "llm=nano sees no pictures" in "\n".join(problems)


def test_the_same_winner_again_from_the_cache_and_its_video_is_that_of_its_seed(make, root: Path) -> None:
    cfg = make("views=six", "sampler.best_of=2", STYLES)
    plan, status = make_plan([cfg]), run(cfg, root / "first")
    assert made(plan) == Counter({k: n for k, n in status.misses.items() if k != "captions"}), "as it was planned"
    assert status.misses["single_view"] == 2 * 2 and status.misses["multi_view"] == 2, (
        "views are made for winners alone"
    )
    assert status.misses["metrics"] == 2 * (2 * 4 + 1)
    first = RunFolder(root / "first")
    again = run(cfg, root / "again")
    assert again.misses == {} and made(make_plan([cfg])) == Counter()
    assert (root / "again" / "filter.json").read_text() == first.filter.read_text()
    choice = first.read_filter()["Night"]
    assert [own.seed for own in choice.candidates] == [candidate_seed(0, number) for number in range(2)]
    own = make("views=six", "captions.styles=[Night]", f"sampler.seed={choice.winner.seed}")
    assert run(own, root / "alone").misses == {}, "its seed makes it without a choice"
    noise = first.read_provenance()["noise"]
    assert set(noise) == {"Sunny", "Night"} and set(noise["Night"]) == {"single_view", "multi_view"}


def test_cells_share_their_candidates_and_a_plan_of_them_promises_nothing_that_hangs_on_a_choice(make, root) -> None:
    cells = [make("views=six", "scene.seed=3", f"sampler.best_of={count}") for count in (1, 2, 4)]
    plan = make_plan(cells)
    assert [cell.same_as for cell in plan.cells] == [None, None, None]
    assert made(plan)["single_view"] == 4 and made(plan)["multi_view"] == 3
    misses = [run(cfg, root / f"best_of_{i}").misses for i, cfg in enumerate(cells)]
    assert [found["single_view"] for found in misses] == [1, 1, 2]
    two, four = (RunFolder(root / f"best_of_{i}").read_filter()["Sunny"] for i in (1, 2))
    assert [(c.seed, c.frames, c.scores) for c in two.candidates] == [
        (c.seed, c.frames, c.scores) for c in four.candidates[:2]
    ]
    assert four.winner.score >= two.winner.score


def test_a_finished_run_is_evaluated_by_the_candidate_that_it_kept(make, root: Path) -> None:
    cfg = make("views=single", "scene.seed=4", "sampler.best_of=2")
    run(cfg, root / "evaluated")
    folder = RunFolder(root / "evaluated")
    shutil.rmtree(root / "tiny" / "gate")
    before = folder.filter.read_text()
    assert evaluate_run(folder.path, ["edge_f1"]).computed == 1, "and no candidate is scored anew"
    assert folder.filter.read_text() == before
    folder.filter.unlink()
    with pytest.raises(UserError, match="does not say which candidate"):
        evaluate_run(folder.path, ["edge_f1"])


def test_it_is_reproduced_with_the_same_winner(make, root: Path, tmp_path: Path) -> None:
    run(make("views=single", "scene.seed=5", "sampler.best_of=2"), root / "reproduced")
    folder, cfg, record = read_run(root / "reproduced")
    found = compare(folder, rerun(cfg, tmp_path), record, allowed=0)
    assert "filter.json" in [comparison.what for comparison in found]
    assert [comparison.what for comparison in found if not comparison.same] == []


def test_the_run_id_follows_the_choice_where_there_is_one(make) -> None:
    def name(*overrides: str) -> str:
        return run_id(typed(make("views=single", *overrides)))

    one, four = name(), name("sampler.best_of=4")
    assert one == name("filter.repeats=2") == name("evaluator=none") and one != four
    assert four != name("sampler.best_of=4", "evaluator=none"), "with it, other measures choose"


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["sampler.best_of=0"], "sampler.best_of=0: must be 1 (no choice) to 64; nearest is 1"),
        (["model=render", "model.weights=null", "sampler.best_of=4"], "every candidate of model=render is the same"),
        (["filter.name=vml"], "did you mean 'vlm'"),
    ],
)
def test_what_makes_no_sense_is_refused(make, overrides: list[str], problem: str) -> None:
    overrides = [text for text in overrides if text != "model.weights=null"]
    if "model=render" in overrides:
        errors = validate(Composer()("views=single", *overrides))
    else:
        errors = validate(make("views=single", *overrides))
    assert problem in "\n".join(errors)


def made(plan) -> Counter:
    counts = {stage.stage: stage.to_make for stage in plan.stages if stage.stage not in (REST, "captions")}
    return Counter({name: count for name, count in counts.items() if count})
