"""Searches: axes from overrides, trials as cells, resumption; through Optuna's real studies and the real command."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.pool import AsyncResult, ThreadPool
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna", reason="the extra `optuna` is not installed")

from helpers.sweep_at_work import Sweep  # noqa: E402

from cosmos_exp.cli.commands import cancel, status  # noqa: E402
from cosmos_exp.common.errors import UserError, ValidationErrors  # noqa: E402
from cosmos_exp.runs.run_folder import RunFolder  # noqa: E402
from cosmos_exp.runs.states import CANCELLED, DONE, FAILED, KILLED, PREEMPTED, QUEUED, RUNNING  # noqa: E402
from cosmos_exp.runs.sweep_cells import read_cells  # noqa: E402
from cosmos_exp.sweeps.queue import RECORD, SweepFolder  # noqa: E402
from cosmos_exp.sweeps.search import open_study, record_search, search  # noqa: E402
from cosmos_exp.sweeps.search_space import Axis, axis_of, split_overrides  # noqa: E402
from cosmos_exp.tracking.wandb.folder import swept_values  # noqa: E402

X = Axis("sampler.guidance", low=0.0, high=7.0)
CHOICE = Axis("controls", choices=("hdmap", "all"))


class Bowl:
    """Workers, as threads, that stand for the pipeline: edge_f1 is best at guidance 2 with all controls.

    fails: numbers of trials that fail. asked: overrides of every trial. most: trials that ran at the same time.
    """

    def __init__(self, root: Path, fails: Callable[[int], bool] = lambda number: False, seconds: float = 0.0):
        (root / RECORD).write_text("{}")
        self.sweep = SweepFolder(root)
        self.fails = fails
        self.seconds = seconds
        self.asked: dict[int, list[str]] = {}
        self.at_work = self.most = self.launches = 0

    def search(self, trials: int, objectives: tuple[str, ...] = ("edge_f1",), **options) -> optuna.Study:
        record_search(self.sweep.path, [X, CHOICE], objectives)
        parts = {"prepare": self.prepare, "launch": self.launch}
        return search(self.sweep, [X, CHOICE], objectives, trials, **parts, **options)

    def prepare(self, number: int, overrides: list[str]) -> tuple[Path, str]:
        self.asked[number] = overrides
        folder = self.sweep.path / f"{number}_run"
        folder.mkdir()
        return folder, "run"

    def launch(self, workers: int, trials: int) -> AsyncResult:
        self.launches += 1
        return ThreadPool(workers).map_async(lambda _: self.work(), range(workers))

    def work(self) -> None:
        while (cell := self.sweep.take("")) or self.sweep.is_fed():
            if cell:
                self.at_work += 1
                self.most = max(self.most, self.at_work)
                self.run(cell)
                self.at_work -= 1
            time.sleep(0.01)

    def run(self, cell: RunFolder) -> None:
        number = int(cell.path.name.partition("_")[0])
        time.sleep(self.seconds)
        if self.fails(number):
            self.sweep.end(cell.path, FAILED, f"no luck with {number}")
            return
        values = dict(text.split("=") for text in self.asked[number])
        score = -((float(values["sampler.guidance"]) - 2) ** 2) + (values["controls"] == "all")
        styles = {"Sunny": score - 1, "Rainy": score + 1}
        metrics = {style: {"edge_f1": value, "flicker": number} for style, value in styles.items()}
        (cell.path / "metrics.json").write_text(json.dumps(metrics))
        self.sweep.end(cell.path, DONE, "")


def trial_states(folder: Path) -> list[str]:
    return [trial.state.name for trial in open_study(folder, ["edge_f1"]).trials]


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
    study = Bowl(tmp_path).search(25)
    assert study.best_params["controls"] == "all"
    assert abs(study.best_params["sampler.guidance"] - 2) < 0.7
    assert study.best_value == pytest.approx(1 - (study.best_params["sampler.guidance"] - 2) ** 2, abs=1e-4)
    assert study.best_trial.user_attrs["run"] == f"{study.best_trial.number}_run"


def test_a_search_goes_on_and_draws_nothing_twice(tmp_path: Path) -> None:
    bowl = Bowl(tmp_path)
    bowl.search(5)
    bowl.search(5)
    assert len(bowl.asked) == 5
    bowl.search(9)
    assert len(bowl.asked) == 9
    assert len({overrides[0] for overrides in bowl.asked.values()}) == 9
    with pytest.raises(UserError, match="over other axes or objectives"):
        bowl.search(12, ("psnr",))


def test_as_many_trials_are_in_flight_as_there_are_workers(tmp_path: Path) -> None:
    bowl = Bowl(tmp_path, seconds=0.5)
    study = bowl.search(6, parallel=3)
    assert (bowl.most, bowl.launches, len(study.trials)) == (3, 1, 6)


def test_several_objectives_keep_the_pareto_front(tmp_path: Path) -> None:
    study = Bowl(tmp_path).search(6, ("edge_f1", "flicker"))
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert 0 in [trial.number for trial in study.best_trials]  # the least flicker, by construction


def test_failures_are_passed_over_until_three_in_a_row(tmp_path: Path) -> None:
    failing = {1, 4, 5}
    bowl = Bowl(tmp_path, failing.__contains__)
    study = bowl.search(4)
    assert [trial.state.name for trial in study.trials].count("FAIL") == 3
    failing |= set(range(7, 100))
    with pytest.raises(UserError, match="3 trials in a row failed, the last with: no luck with 9"):
        bowl.search(9)


def test_a_failed_trial_whose_cell_was_retried_gets_its_value(tmp_path: Path) -> None:
    failing = {1}
    bowl = Bowl(tmp_path, failing.__contains__)
    bowl.search(2)
    assert trial_states(tmp_path) == ["COMPLETE", "FAIL", "COMPLETE"]
    failing.clear()
    bowl.sweep.enqueue([(tmp_path / "1_run", "run")])
    bowl.work()
    for _ in range(2):  # the second one adds nothing
        study = bowl.search(3)
        assert [trial.user_attrs["run"] for trial in study.trials if trial.values] == ["0_run", "2_run", "1_run"]
        assert study.trials[3].params == study.trials[1].params


def test_an_objective_that_nothing_measures_ends_the_search(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no psnr"):
        Bowl(tmp_path).search(3, ("psnr",))


def test_workers_that_end_early_are_replaced_unless_no_trial_came_of_them(tmp_path: Path) -> None:
    class Lazy(Bowl):
        def work(self) -> None:
            """One trial, the third time none."""
            while self.launches < 3 and not (cell := self.sweep.take("")):
                time.sleep(0.01)
            if self.launches < 3:
                self.run(cell)

    bowl = Lazy(tmp_path)
    with pytest.raises(UserError, match=r"the workers have ended, with trials 2 queued: see cosmos-exp status"):
        bowl.search(3)
    assert (bowl.launches, trial_states(tmp_path)) == (3, ["COMPLETE", "COMPLETE", "RUNNING"])
    assert len(Bowl.search(Resumed(tmp_path, bowl), 3).trials) == 3


class Resumed(Bowl):
    """The bowl of a later process."""

    def __init__(self, root: Path, before: Bowl):
        super().__init__(root)
        self.asked |= before.asked


def _killed_in_its_second_trial(folder: Path) -> None:
    class Killed(Bowl):
        def run(self, cell: RunFolder) -> None:
            if cell.path.name == "1_run":
                (folder / "asked.json").write_text(json.dumps(self.asked))
                os.kill(os.getpid(), signal.SIGKILL)
            super().run(cell)

    Killed(folder).search(5)


def test_the_trial_of_a_killed_search_goes_on_in_its_cell(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_killed_in_its_second_trial, args=(tmp_path,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert trial_states(tmp_path) == ["COMPLETE", "RUNNING"]
    assert [status.state for status in SweepFolder(tmp_path).statuses().values()] == [DONE, KILLED]
    bowl = Bowl(tmp_path)
    bowl.asked |= {
        int(number): overrides for number, overrides in json.loads((tmp_path / "asked.json").read_text()).items()
    }
    study = bowl.search(3)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3
    assert study.trials[1].user_attrs["run"] == "1_run"


def test_a_trial_that_never_got_a_cell_is_asked_again(tmp_path: Path) -> None:
    bowl = Bowl(tmp_path)
    lost = open_study(tmp_path, ["edge_f1"], 0).ask()
    values = (X.suggest(lost), CHOICE.suggest(lost))
    study = bowl.search(1)
    assert trial_states(tmp_path) == ["FAIL", "COMPLETE"]
    assert bowl.asked[1] == [f"{axis.key}={value}" for axis, value in zip((X, CHOICE), values)]
    assert study.best_trial.user_attrs["run"] == "1_run"


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    bowl = Bowl(tmp_path)
    with bowl.sweep.feeding(), pytest.raises(UserError, match="another process adds cells to"):
        Bowl(tmp_path).search(1)


@pytest.fixture
def search_command(tiny_model_folder: Path, tmp_path: Path):
    """A function: `cosmos-exp search` with these arguments, on the tiny model."""
    from cosmos_exp.cli.commands.search import main

    own = ("model.num_frames=9", "sampler.num_steps=1", "metrics.names=[blur_ssim]", "sensors=front", "views=single")
    place = (f"model.weights={tiny_model_folder}", "tracking=disabled", f"paths.outputs={tmp_path}", "sweep_name=best")
    return lambda *arguments: main([*own, *place, *arguments])


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
    with pytest.raises(UserError, match="keys of hydra cannot be searched"):
        search_command("hydra.launcher.n_jobs=1,2", *objective)
    with pytest.raises(UserError, match="a search needs a launcher with workers"):
        search_command("sampler.seed=0,1", "hydra/launcher=basic", *objective)
    with pytest.raises(UserError, match="its command must wait"):
        search_command("sampler.seed=0,1", "hydra/launcher=submitit_local", "hydra.launcher.wait=false", *objective)
    assert not (tmp_path / "sweeps").exists()


def test_axis_of_an_open_range_counts_its_values() -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parse = OverridesParser.create().parse_override
    assert axis_of(parse("a.b=range(1,4)")) == Axis("a.b", low=1, high=3, whole=True)
    assert axis_of(parse("a.b=range(0.0,1.0,0.5)")).choices == ("0.0", "0.5")


SEARCHED = ("sampler.guidance=interval(0.0,4.0)", "--objective", "blur_ssim")


class SearchAtWork(Sweep):
    """The one search of a test, run through the real command."""

    @property
    def folder(self) -> Path:
        return self.cwd / "out" / "sweeps" / "search_swept"

    def start_search(self, trials: int, *arguments: str):
        return self.command("search", *self.quick, "--trials", str(trials), *SEARCHED, *arguments)

    def trials(self) -> list[str]:
        return [trial.state.name for trial in open_study(self.folder, ["blur_ssim"]).trials]


@pytest.fixture
def at_work(prepared_sweep: Sweep) -> SearchAtWork:
    return SearchAtWork(prepared_sweep.cwd)


def test_trials_are_cells_that_can_be_compared(at_work: SearchAtWork) -> None:
    at_work.release()
    code, said = at_work.finish(at_work.start_search(2, "sampler.seed=0,1"))
    assert code == 0, said
    assert str((at_work.folder / "compare.html").relative_to(at_work.cwd)) in said
    cells = read_cells(at_work.folder)
    assert [cell.state for cell in cells] == ["done", "done"]
    assert all("sampler.guidance" in cell.axes for cell in cells)
    for cell in cells:
        assert set(swept_values(at_work.folder / cell.run)) == {"sampler.guidance", "sampler.seed"}


def test_two_workers_are_watched_killed_and_resumed(at_work: SearchAtWork, capsys) -> None:
    two = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    running = at_work.start_search(3, *two)
    at_work.until(lambda statuses: [s.state for s in statuses.values()] == [RUNNING, RUNNING])
    assert len({status.pid for status in at_work.statuses().values()}) == 2
    assert status.main([str(at_work.folder), "--once"]) == 0
    assert "2 trials: 2 running" in capsys.readouterr().out
    at_work.at_sampling(0)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    at_work.until(lambda statuses: {status.state for status in statuses.values()} <= {PREEMPTED, QUEUED, DONE})
    at_work.release()
    code, said = at_work.finish(at_work.start_search(3, *two))
    assert (code, at_work.states()) == (0, {0: DONE, 1: DONE, 2: DONE}), said
    assert at_work.trials() == ["COMPLETE"] * 3
    assert at_work.statuses()[0].attempts == 2
    assert "trial 3 of 3" in said
    assert (at_work.folder / "compare.html").exists()


def test_a_killed_trial_is_retried_and_a_cancelled_search_goes_on(at_work: SearchAtWork, capsys) -> None:
    running = at_work.start_search(2)
    at_work.kill_worker(0)
    at_work.at_sampling(1)
    assert at_work.states()[0] == FAILED
    assert cancel.main([str(at_work.folder)]) == 0
    assert capsys.readouterr().out == "cells taken out of the queue: 0; running and asked to stop: 1\n"
    code, said = at_work.finish(running)
    assert (code, at_work.states()) == (2, {0: FAILED, 1: CANCELLED}), said
    assert "the search was cancelled; the same command goes on" in said
    assert at_work.trials() == ["FAIL", "RUNNING"]
    at_work.release()
    code, said = at_work.run("retry", str(at_work.folder), "--failed")
    assert (code, at_work.states()) == (2, {0: DONE, 1: CANCELLED}), said
    code, said = at_work.finish(at_work.start_search(2))
    assert (code, at_work.states()) == (0, {0: DONE, 1: DONE}), said
    assert at_work.trials() == ["FAIL", "COMPLETE", "COMPLETE"]
    code, said = at_work.run("retry", str(at_work.folder))
    assert (code, said) == (0, "nothing to retry: every cell is done, running or blocked\n")


def test_an_interrupted_search_goes_on(at_work: SearchAtWork) -> None:
    running = at_work.start_search(1)
    at_work.at_sampling(0)
    os.killpg(running.pid, signal.SIGINT)  # what a terminal does on Ctrl-C
    code, said = at_work.finish(running)
    assert (code, at_work.states()) == (-signal.SIGINT, {0: "interrupted"}), said
    assert "Traceback" not in said
    at_work.release()
    code, said = at_work.finish(at_work.start_search(1))
    assert (code, at_work.states()) == (0, {0: DONE}), said
    assert at_work.statuses()[0].attempts == 2


def test_a_search_on_slurm_is_one_array_and_survives_its_command(at_work: SearchAtWork, slurm: dict[str, str]) -> None:
    at_work = replace(at_work, environment=slurm)
    on_slurm = ("hydra/launcher=slurm", "--parallel", "2")
    running = at_work.start_search(4, *on_slurm)
    at_work.at_sampling(0)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    at_work.release()
    at_work.until(lambda statuses: all(status.state == DONE for status in statuses.values()))
    assert len(SweepFolder(at_work.folder).jobs()) == 1
    code, said = at_work.finish(at_work.start_search(4, *on_slurm))
    assert (code, at_work.states()) == (0, dict.fromkeys(range(4), DONE)), said
    assert at_work.trials() == ["COMPLETE"] * 4
    assert all(status.job for status in at_work.statuses().values())
    assert "2 workers for" in said
