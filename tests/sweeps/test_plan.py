"""A plan says what a run then does."""

from __future__ import annotations

from collections import Counter
from io import StringIO
from pathlib import Path

import pytest
from helpers.forked import run_forked

from cosmos_exp.common.errors import UserError
from cosmos_exp.pipeline.run import run
from cosmos_exp.runs.cost_history import REST, Cost, History
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.runs.states import DONE
from cosmos_exp.sweeps.plan import Plan, free_bytes, make_plan, swept_keys

SMALL = ("model.num_frames=9", "sampler.num_steps=2", "scene.num_vehicles=2", "metrics.names=[blur_ssim]")


@pytest.fixture
def cells(configure, tmp_path: Path):
    """A function: the configs of cells with these overrides each, sharing an empty cache."""
    place = (f"paths.outputs={tmp_path}", "tracking=disabled")
    return lambda *each: [configure(*SMALL, *place, *overrides.split()) for overrides in each]


def to_make(plan: Plan) -> Counter:
    return Counter({stage.stage: stage.to_make for stage in plan.stages if stage.to_make and stage.stage != REST})


def test_a_run_makes_what_the_plan_said(cells, tmp_path: Path) -> None:
    configs = cells("views=six", "views=single sampler.guidance=2", "views=six sampler.guidance=2")
    plan = make_plan(configs)
    done = sum((Counter(run(cfg, tmp_path / str(i)).misses) for i, cfg in enumerate(configs)), Counter())
    del done["captions"]  # of which the plan has made its own
    assert to_make(plan) == {stage: count for stage, count in done.items() if count}
    again = make_plan(configs)
    assert to_make(again) == {}
    assert [stage.cached for stage in again.stages if stage.stage != REST] == [
        stage.wanted for stage in again.stages if stage.stage != REST
    ]


def test_cells_whose_weights_come_to_the_same_are_one(cells) -> None:
    pair = "views=single controls.hdmap.weight={0} controls.seg.weight={0}"
    plan = make_plan(cells(pair.format(0.5), pair.format(0.25), pair.format(1)))
    assert [cell.same_as for cell in plan.cells] == [None, None, 0]
    assert plan.cells[2].new == []
    assert to_make(plan)["single_view"] == 2


def test_time_is_known_once_it_was_measured(cells, tmp_path: Path) -> None:
    first, other = cells("views=single", "views=single sampler.seed=1")
    before = make_plan([first, other])
    assert before.seconds is None and "single_view" in before.unknown
    run(first, tmp_path / "first")
    after = make_plan([first, other])
    assert after.unknown == []
    assert 0 < after.cells[0].seconds < after.cells[1].seconds < after.seconds
    assert after.gpu_seconds == 0
    assert after.bytes > 9 * 32 * 48 * 3  # one clip at least


def test_time_on_a_gpu_is_counted_per_gpu_and_needs_none_here(cells, tmp_path: Path) -> None:
    configs = cells("views=single hardware=gpu", "views=single hardware=gpu sampler.seed=1")
    history, cell = History(configs[0].paths.cache), make_plan(configs).cells[0]
    for wanted in (*cell.wanted.values(), cell.rest):
        seconds = 1800.0 if wanted.stage == "single_view" else 0.0
        history.add(Cost(wanted.stage, wanted.setting, wanted.size, wanted.passes, seconds, 10))
    plan = make_plan(configs)
    assert plan.gpu_seconds == pytest.approx(2 * 1800)
    configs[1].hardware.processes = 2
    assert make_plan(configs).gpu_seconds == pytest.approx(1800)  # what two GPUs take was never measured


def test_free_space_of_a_folder_to_be_made(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "not" / "there") > 0


def test_what_differs_between_cells() -> None:
    assert swept_keys([["a=1", "+b.c=2"], ["a=1", "+b.c=x=y"]]) == [{"b.c": "2"}, {"b.c": "x=y"}]


@pytest.fixture
def plan_command(tiny_model_folder, tmp_path: Path, capsys):
    """A function: `cosmos-exp plan` with these arguments; returns what it prints."""
    from cosmos_exp.cli.commands.plan import main

    own = (
        *SMALL,
        f"model.weights={tiny_model_folder}",
        "views=single",
        "tracking=disabled",
        f"paths.outputs={tmp_path}",
    )

    def command(*arguments: str) -> str:
        main([*own, *arguments])
        return capsys.readouterr().out

    return command


def test_the_command_shows_cells_stages_and_totals(plan_command) -> None:
    shown = plan_command("+sweep=control_weights")
    assert "the same as 4" in shown
    assert "9, 8 of them different" in shown
    assert "time:     unknown: " in shown
    assert "free" in shown
    assert "cell" not in plan_command().split("cells:")[0]


def test_the_command_takes_what_a_run_takes(plan_command) -> None:
    assert "cells:    2" in plan_command("-m", "sampler.guidance=1,2")
    assert "cells:    1" in plan_command("hardware=gpu")
    with pytest.raises(UserError, match="multirun"):
        plan_command("sampler.guidance=1,2")
    with pytest.raises(UserError, match=r"cell 1: sampler\.guidance=-1"):
        plan_command("-m", "sampler.guidance=1,-1")
    with pytest.raises(UserError, match="'--yes'"):
        plan_command("--yess")


def test_what_costs_too_much_or_nobody_knows_what_is_not_run_unasked(plan_command, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", StringIO())
    with pytest.raises(UserError, match="time unknown: give --yes"):
        plan_command("--run")
    assert not (tmp_path / "runs").exists()


def test_a_plan_that_is_agreed_to_is_run(tmp_path: Path) -> None:
    own = [*SMALL, "model=render", "views=single", "tracking=disabled", "name=planned"]
    run_forked("plan", "--run", "--yes", *own, cwd=tmp_path).check_returncode()
    assert RunFolder(tmp_path / "outputs" / "runs" / "planned").read_status().state == DONE
