"""Sweeps on this machine whose cells are killed, interrupted, cancelled: the others finish, retry runs the rest."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from helpers.sweep_at_work import SAMPLING

from cosmos_exp.runs.states import CANCELLED, DONE, FAILED, INTERRUPTED, PREEMPTED, QUEUED, RUNNING


def test_a_killed_worker_costs_one_cell_and_retry_runs_it_alone(prepared_sweep) -> None:
    sweep = prepared_sweep
    running = sweep.start("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "sampler.seed=0,1,2")
    sweep.kill_worker(1)
    sweep.release()
    code, said = sweep.finish(running)
    assert code == 2
    assert sweep.states() == {0: DONE, 1: FAILED, 2: DONE}
    assert "3 cells: 2 done, 1 failed" in said
    assert "killed by SIGKILL" in sweep.statuses()[1].error
    assert sweep.statuses()[1].error in said
    before = {number: status.updated for number, status in sweep.statuses().items() if number != 1}
    code, said = sweep.run("retry", str(sweep.folder))
    assert (code, sweep.states()) == (0, {0: DONE, 1: DONE, 2: DONE}), said
    assert said.startswith("cells to run: 1_")
    assert {number: sweep.statuses()[number].updated for number in before} == before
    assert sweep.statuses()[1].attempts == 2
    assert sweep.run("retry", str(sweep.folder))[1].startswith("nothing to retry")


def test_after_kill_9_of_everything_retries_at_once_share_what_is_left(prepared_sweep) -> None:
    """The command stays a zombie of this test, as the workers do where no init collects them."""
    sweep = prepared_sweep
    running = sweep.start("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "sampler.seed=0,1,2")
    pids = [running.pid, sweep.at_sampling(0).pid, sweep.at_sampling(1).pid]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    sweep.release()
    retries = [sweep.command("retry", str(sweep.folder)) for _ in range(2)]
    said = [sweep.finish(retry) for retry in retries]
    assert [code for code, _ in said] == [0, 0], said
    assert all("comparison:" in text and "to run the rest" not in text for _, text in said)
    assert sweep.states() == {0: DONE, 1: DONE, 2: DONE}
    assert sorted(status.attempts for status in sweep.statuses().values()) == [1, 2, 2]
    left = [path for path in sweep.cwd.rglob(".*") if path.suffix == ".partial" or path.name in (".lock", ".at_work")]
    assert left + list(sweep.cwd.rglob("*.lock")) == []
    running.communicate()


def test_an_interrupted_sweep_goes_on_where_it_was(prepared_sweep) -> None:
    sweep = prepared_sweep
    sweep.release(0)
    running = sweep.start("sampler.seed=0,1,2")
    sweep.at_sampling(1)
    os.killpg(running.pid, signal.SIGINT)  # what a terminal does on Ctrl-C
    code, said = sweep.finish(running)
    assert (code, sweep.states()) == (-signal.SIGINT, {0: DONE, 1: INTERRUPTED, 2: QUEUED}), said
    assert "Traceback" not in said
    sweep.release()
    code, said = sweep.run("retry", str(sweep.folder))
    assert (code, set(sweep.states().values())) == (0, {DONE}), said
    assert set(sweep.statuses()[1].misses) <= {SAMPLING, "metrics"}


def test_jobs_of_submitit_outlive_the_command_and_can_be_watched_and_cancelled(prepared_sweep) -> None:
    sweep = prepared_sweep
    settings = ("hydra/launcher=submitit_local", "hydra.launcher.wait=false", "hydra.launcher.workers=2")
    settings += ("hydra.sweep.subdir=cells/${hydra.job.num}",)
    code, said = sweep.finish(sweep.start(*settings, "sampler.seed=0,1,2,3"))
    assert code == 0, said
    sweep.at_sampling(1)
    code, said = sweep.run("status", str(sweep.folder), "--json")
    assert [cell["state"] for cell in json.loads(said)] == [RUNNING, RUNNING, QUEUED, QUEUED]
    code, said = sweep.finish(sweep.start("sampler.seed=0"))
    assert (code, "is running" in said) == (2, True), said
    sweep.run("cancel", str(sweep.folder))
    sweep.until(lambda statuses: all(status.state == CANCELLED for status in statuses.values()))
    code, said = sweep.run("retry", str(sweep.folder), "--failed")
    assert (code, said) == (0, "nothing to retry: no cell failed\n")


def test_a_worker_that_is_preempted_leaves_the_rest_in_the_queue(prepared_sweep) -> None:
    sweep = prepared_sweep
    running = sweep.start("sampler.seed=0,1")
    os.kill(sweep.at_sampling(0).pid, signal.SIGTERM)
    code, said = sweep.finish(running)
    assert (code, sweep.states()) == (2, {0: PREEMPTED, 1: QUEUED}), said
    assert "preempted by a signal (SIGTERM)" in said


def test_commands_name_what_is_wrong(sweep, tmp_path: Path) -> None:
    for command in ("status", "retry", "cancel"):
        assert sweep.run(command, str(tmp_path / "none")) == (2, f"cosmos-exp: no folder at {tmp_path}/none\n")
        code, said = sweep.run(command, str(tmp_path))
        assert (code, "holds no multirun.yaml" in said) == (2, True), said
