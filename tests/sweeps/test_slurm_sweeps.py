"""Sweeps on a real Slurm: twelve cells as one array, of which one fails, one is killed, one preempted; requeueing;
a node that is lost."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace

import pytest
from helpers.sweep_at_work import SAMPLING, is_sampling

from cosmos_exp.runs.states import CANCELLED, DONE, FAILED, PREEMPTED, QUEUED, RUNNING
from cosmos_exp.sweeps.queue import SweepFolder

SAMPLED = {SAMPLING, "metrics"}


@pytest.fixture
def slurm_sweep(sweep, slurm):
    return replace(sweep, environment=slurm)


def call(sweep, *command: str) -> str:
    return subprocess.run(command, env=sweep.environment, capture_output=True, text=True, check=True).stdout


def seeds(count: int) -> str:
    return f"sampler.seed={','.join(map(str, range(count)))}"


def test_twelve_cells_as_one_array_with_every_kind_of_mishap(prepared_sweep, slurm) -> None:
    sweep = replace(prepared_sweep, environment=slurm)
    sweep.release(*range(5))
    held = "hydra.launcher.additional_parameters={hold:true}"
    running = sweep.start("hydra/launcher=slurm", "hydra.launcher.cells_per_job=4", held, seeds(12))
    sweep.until(lambda statuses: len(statuses) == 12 and SweepFolder(sweep.folder).jobs())
    assert set(sweep.states().values()) == {QUEUED}
    (array,) = SweepFolder(sweep.folder).jobs()
    assert len(call(sweep, "squeue", "--noheader", "--array", f"--jobs={array}").splitlines()) == 3
    (broken,) = sweep.folder.glob("0_*")
    (broken / "single_view").write_text("in the way of the folder")
    call(sweep, "scontrol", "release", array)

    sweep.kill_worker(5)
    statuses = sweep.until(lambda s: any(is_sampling(status) and n > 5 for n, status in s.items()))
    number, preempted = next((n, s) for n, s in statuses.items() if n > 5 and is_sampling(s))
    call(sweep, "scancel", "--signal=USR2", preempted.job)
    sweep.until(lambda s: not is_sampling(s[number]))
    sweep.release()

    code, said = sweep.finish(running)
    assert code == 2, said
    assert sweep.states() == {n: FAILED if n in (0, 5) else DONE for n in range(12)}, said
    assert "12 cells: 2 failed, 10 done" in said
    assert "single_view" in sweep.statuses()[0].error
    assert "killed by SIGKILL" in sweep.statuses()[5].error
    resumed = sweep.statuses()[number]
    assert resumed.attempts == 2
    assert set(resumed.misses) <= SAMPLED
    assert "render" in resumed.hits

    (broken / "single_view").unlink()
    before = {n: status.updated for n, status in sweep.statuses().items() if n not in (0, 5)}
    code, said = sweep.run("retry", str(sweep.folder), "hydra/launcher=slurm")
    assert code == 0, said
    assert set(sweep.states().values()) == {DONE}
    assert {n: sweep.statuses()[n].updated for n in before} == before


def test_a_preempted_job_is_begun_again_and_goes_on_with_its_cell(slurm_sweep) -> None:
    sweep = slurm_sweep
    running = sweep.start("hydra/launcher=slurm", "hydra.launcher.cells_per_job=2", seeds(2))
    job = sweep.at_sampling(0).job
    call(sweep, "scancel", "--signal=USR2", job)
    preempted = sweep.until(lambda s: s[0].state == PREEMPTED)
    assert preempted[1].state == QUEUED
    assert "preempted by a signal (SIGUSR2)" in preempted[0].error
    sweep.release()
    sweep.until(lambda s: "PENDING" in call(sweep, "squeue", "--noheader", f"--jobs={job}", "--format=%T"))
    time.sleep(2)  # Slurm cannot begin a job in the second in which it was requeued
    call(sweep, "scontrol", "update", f"jobid={job}", "starttime=now")
    code, said = sweep.finish(running)
    assert (code, sweep.states()) == (0, {0: DONE, 1: DONE}), said
    assert {s.job for s in sweep.statuses().values()} == {job}
    assert [s.attempts for s in sweep.statuses().values()] == [2, 1]
    assert "render" not in sweep.statuses()[0].misses


def test_nobody_waits_and_cancel_ends_what_runs_and_what_waits(prepared_sweep, slurm) -> None:
    sweep = replace(prepared_sweep, environment=slurm)
    few = ("hydra.launcher.wait=false", "hydra.launcher.array_parallelism=1")
    code, said = sweep.finish(sweep.start("hydra/launcher=slurm", *few, seeds(3)))
    assert code == 0, said
    assert "cosmos-exp status" in said
    sweep.at_sampling(0)
    code, said = sweep.run("status", str(sweep.folder))
    assert (code, "3 cells: 1 running, 2 queued" in said) == (0, True), said
    assert "Slurm: 1 RUNNING, 2 PENDING (JobArrayTaskLimit)" in said
    code, said = sweep.run("cancel", str(sweep.folder))
    assert (code, said) == (0, "cells taken out of the queue: 2; running and asked to stop: 1\n")
    sweep.until(lambda s: all(status.state == CANCELLED for status in s.values()))
    sweep.until(lambda s: not call(sweep, "squeue", "--noheader", "--format=%T"))


def test_a_lost_node_costs_no_cell(sweep, two_machines) -> None:
    """Slurm begins the job anew where there is a node, and it goes on with its cell."""
    sweep = replace(sweep, environment=two_machines.environment)
    running = sweep.start("hydra/launcher=slurm", seeds(2))
    lost = both_at_work(sweep)["n2"]
    two_machines.switch_off("n2")
    job = sweep.statuses()[lost].job
    sweep.until(lambda s: "PENDING" in call(sweep, "squeue", "--noheader", f"--jobs={job}", "--format=%T"))
    assert sweep.states()[lost] == RUNNING, "nobody has said otherwise"
    sweep.release()
    call(sweep, "scontrol", "update", f"jobid={job}", "starttime=now")
    code, said = sweep.finish(running)
    assert (code, sweep.states()) == (0, {0: DONE, 1: DONE}), said
    resumed = sweep.statuses()[lost]
    assert (resumed.host, resumed.attempts, resumed.job) == ("n1", 2, job)
    assert set(resumed.misses) <= SAMPLED


def test_a_lost_node_whose_jobs_end_with_it(prepared_sweep, two_machines) -> None:
    """The other cell finishes, the sweep says which one is lost, retry runs it."""
    sweep = replace(prepared_sweep, environment=two_machines.environment)
    once = "hydra.launcher.additional_parameters={no_requeue:true}"
    running = sweep.start("hydra/launcher=slurm", once, seeds(2))
    lost = both_at_work(sweep)["n2"]
    two_machines.switch_off("n2")
    sweep.release()
    code, said = sweep.finish(running)
    assert (code, sweep.states()) == (2, {lost: FAILED, 1 - lost: DONE}), said
    assert f"its job {sweep.statuses()[lost].job} on n2 is gone" in said
    code, said = sweep.run("retry", str(sweep.folder), "hydra/launcher=slurm")
    assert (code, set(sweep.states().values())) == (0, {DONE}), said
    assert [sweep.statuses()[n].attempts for n in (lost, 1 - lost)] == [2, 1]


def both_at_work(sweep) -> dict[str, int]:
    """{machine: its cell} once both are sampling."""
    statuses = sweep.until(lambda s: len(s) == 2 and all(map(is_sampling, s.values())))
    return {status.host: number for number, status in statuses.items()}
