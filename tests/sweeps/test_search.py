"""Axes from overrides, and searches that go on where they were."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna", reason="the extra `optuna` is not installed")

from cosmos_exp.common.errors import UserError, ValidationErrors  # noqa: E402
from cosmos_exp.runs.sweep_cells import read_cells  # noqa: E402
from cosmos_exp.sweeps.search import Axis, axis_of, open_study, search, split_overrides  # noqa: E402
from cosmos_exp.tracking.wandb.folder import swept_values  # noqa: E402

X = Axis("sampler.guidance", low=0.0, high=7.0)
CHOICE = Axis("controls", choices=("hdmap", "all"))


class Bowl:
    """Stands for the pipeline: edge_f1 is best at guidance 2 with all controls. asked: overrides of every trial."""

    def __init__(self, root: Path):
        self.root = root
        self.asked: list[list[str]] = []

    def __call__(self, number: int, overrides: list[str]) -> Path:
        self.asked.append(overrides)
        values = dict(text.split("=") for text in overrides)
        score = -((float(values["sampler.guidance"]) - 2) ** 2) + (values["controls"] == "all")
        folder = self.root / f"{number}_run"
        folder.mkdir(parents=True)
        styles = {
            "Sunny": {"edge_f1": score - 1, "flicker": number},
            "Rainy": {"edge_f1": score + 1, "flicker": number},
        }
        (folder / "metrics.json").write_text(json.dumps(styles))
        return folder


def test_axes_are_written_as_hydra_writes_sweeps() -> None:
    axes, fixed = split_overrides(
        [
            *("sampler.guidance=interval(0.0,7.0)", "views=single", "controls=hdmap,all", "sampler.seed=range(0,9,4)"),
            *(
                "sampler.num_steps=tag(log,int(interval(4,35)))",
                "captions.styles=[Sunny],[Rainy]",
                "model.fps=choice(8,24)",
            ),
        ]
    )
    assert fixed == ["views=single"]
    assert axes == [
        X,
        CHOICE,
        Axis("sampler.seed", low=0, high=8, step=4, whole=True),
        Axis("sampler.num_steps", low=4, high=35, whole=True, log=True),
        Axis("captions.styles", choices=("[Sunny]", "[Rainy]")),
        Axis("model.fps", choices=("8", "24")),
    ]
    assert axes[2].corners == ("0", "8")


def test_an_empty_interval_is_refused() -> None:
    with pytest.raises(UserError, match="needs low < high"):
        split_overrides(["sampler.guidance=interval(3.0,3.0)"])
    with pytest.raises(UserError, match="log 0 < low"):
        split_overrides(["sampler.guidance=tag(log,interval(0.0,3.0))"])


def test_a_search_comes_near_the_best_and_values_are_means_over_styles(tmp_path: Path) -> None:
    bowl = Bowl(tmp_path)
    study = search(tmp_path, [X, CHOICE], ["edge_f1"], 30, bowl)
    assert study.best_params["controls"] == "all"
    assert abs(study.best_params["sampler.guidance"] - 2) < 0.7
    assert study.best_value == pytest.approx(1 - (study.best_params["sampler.guidance"] - 2) ** 2, abs=1e-4)
    assert study.best_trial.user_attrs["run"] == f"{study.best_trial.number}_run"


def test_a_search_goes_on_and_draws_nothing_twice(tmp_path: Path) -> None:
    bowl = Bowl(tmp_path)
    search(tmp_path, [X, CHOICE], ["edge_f1"], 5, bowl)
    search(tmp_path, [X, CHOICE], ["edge_f1"], 5, bowl)
    assert len(bowl.asked) == 5
    search(tmp_path, [X, CHOICE], ["edge_f1"], 12, bowl)
    assert len(bowl.asked) == 12
    assert len({overrides[0] for overrides in bowl.asked}) == 12
    with pytest.raises(UserError, match="over other axes or objectives"):
        search(tmp_path, [X, CHOICE], ["psnr"], 12, bowl)


def test_several_objectives_keep_the_compromises(tmp_path: Path) -> None:
    study = search(tmp_path, [X, CHOICE], ["edge_f1", "flicker"], 6, Bowl(tmp_path))
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert 0 in [trial.number for trial in study.best_trials]  # the least flicker, by construction


def test_failures_are_passed_over_until_three_in_a_row(tmp_path: Path) -> None:
    bowl, failing = Bowl(tmp_path), {1, 4, 5}

    def run(number: int, overrides: list[str]) -> Path:
        if number in failing:
            raise RuntimeError(f"no luck with {number}")
        return bowl(number, overrides)

    study = search(tmp_path, [X, CHOICE], ["edge_f1"], 4, run)
    assert [trial.state.name for trial in study.trials].count("FAIL") == 3
    failing |= set(range(7, 100))
    with pytest.raises(UserError, match="3 trials in a row failed, the last with: no luck with 9"):
        search(tmp_path, [X, CHOICE], ["edge_f1"], 9, run)


def test_an_objective_that_nothing_measures_ends_the_search(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no psnr"):
        search(tmp_path, [X, CHOICE], ["psnr"], 3, Bowl(tmp_path))


def _killed_in_its_second_trial(folder: Path) -> None:
    def run(number: int, overrides: list[str]) -> Path:
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return Bowl(folder)(number, overrides)

    search(folder, [X, CHOICE], ["edge_f1"], 5, run)


def test_the_trial_of_a_killed_search_is_tried_again(tmp_path: Path) -> None:
    worker = multiprocessing.get_context("spawn").Process(target=_killed_in_its_second_trial, args=(tmp_path,))
    worker.start()
    worker.join(60)
    assert worker.exitcode == -signal.SIGKILL
    left = open_study(tmp_path, [X, CHOICE], ["edge_f1"], 0).trials
    assert [trial.state.name for trial in left] == ["COMPLETE", "RUNNING"]
    bowl = Bowl(tmp_path)
    study = search(tmp_path, [X, CHOICE], ["edge_f1"], 3, bowl)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[2].params == left[1].params


def _search_slowly(folder: Path) -> None:
    bowl = Bowl(folder)

    def run(number: int, overrides: list[str]) -> Path:
        time.sleep(0.2)
        return bowl(number, overrides)

    search(folder, [X, CHOICE], ["edge_f1"], 8, run)


def test_searches_at_once_share_the_trials(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_search_slowly, args=(tmp_path,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    trials = open_study(tmp_path, [X, CHOICE], ["edge_f1"], 0).trials
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    assert len({trial.params["sampler.guidance"] for trial in trials}) == len(trials)
    assert 8 <= len(trials) <= 9  # the second worker may end the trial it is at


@pytest.fixture
def search_command(tiny_model_folder: Path, tmp_path: Path):
    """A function: `cosmos-exp search` with these arguments, on the tiny model."""
    from cosmos_exp.cli.commands.search import main

    own = ("model.num_frames=9", "sampler.num_steps=1", "metrics.names=[blur_ssim]", "sensors=front", "views=single")
    place = (f"model.weights={tiny_model_folder}", "tracking=disabled", f"paths.outputs={tmp_path}", "sweep_name=best")
    return lambda *arguments: main([*own, *place, *arguments])


def test_trials_are_cells_that_can_be_compared(search_command, tmp_path: Path, capsys) -> None:
    searched = ("sampler.guidance=interval(0.0,4.0)", "sampler.seed=0,1", "--objective", "blur_ssim", "--trials", "2")
    assert search_command(*searched) == 0
    folder = tmp_path / "sweeps" / "search_best"
    assert str(folder / "compare.html") in capsys.readouterr().out
    cells = read_cells(folder)
    assert [cell.state for cell in cells] == ["done", "done"]
    assert all("sampler.guidance" in cell.axes for cell in cells)
    for cell in cells:
        assert set(swept_values(folder / cell.run)) == {"sampler.guidance", "sampler.seed"}


def test_mistakes_are_told_before_any_trial(search_command, tmp_path: Path) -> None:
    objective = ("--objective", "blur_ssim")
    with pytest.raises(UserError, match="give --objective"):
        search_command("sampler.seed=0,1")
    with pytest.raises(UserError, match="did you mean 'blur_ssim'"):
        search_command("sampler.seed=0,1", "--objective", "blur_sim")
    with pytest.raises(UserError, match="nothing to search"):
        search_command(*objective)
    with pytest.raises(UserError, match=r"unknown config key 'sampler\.guidanse'"):
        search_command("sampler.guidanse=interval(0.0,1.0)", *objective)
    with pytest.raises(ValidationErrors, match=r"sampler\.guidance=-1"):
        search_command("sampler.guidance=interval(-1.0,1.0)", *objective)
    with pytest.raises(UserError, match="could not be converted to Integer"):
        search_command("sampler.num_steps=interval(4,8)", *objective)
    with pytest.raises(UserError, match="cannot read the override"):
        search_command("sampler.guidance=interval(1.0", *objective)
    assert not (tmp_path / "sweeps").exists()


def test_axis_of_an_open_range_counts_its_values() -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parse = OverridesParser.create().parse_override
    assert axis_of(parse("a.b=range(1,4)")) == Axis("a.b", low=1, high=3, whole=True)
    assert axis_of(parse("a.b=range(0.0,1.0,0.5)")).choices == ("0.0", "0.5")
