"""Sweeps on this machine whose cells are killed, interrupted, cancelled: the others finish, retry runs the rest."""

from __future__ import annotations

import pytest

from cosmos_exp.tracking.run_folder import DONE, FAILED

LONG = "sampler.num_steps=400"
"""Long enough to meet a cell while it is sampling."""


@pytest.mark.parametrize("launcher", ["local", "joblib"])
def test_a_killed_worker_costs_one_cell_and_retry_runs_it_alone(sweep, launcher: str) -> None:
    running = sweep.start(f"hydra/launcher={launcher}", "sampler.seed=0,1,2", LONG)
    sweep.kill_worker(1)
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
