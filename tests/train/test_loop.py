"""The training loop resumes exactly, logs, and refuses another run's checkpoint."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
import torch
from torch import nn

from cosmos_exp.common.errors import UserError
from cosmos_exp.train.loop import LoopParams, is_finished, learning_rate, run_loop

PARAMS = LoopParams(num_steps=30, batch_size=8, lr=0.2, warmup_steps=5, ema=0.5, log_every=10, save_every=10)


def linear_problem():
    torch.manual_seed(0)
    module = nn.Linear(3, 1)
    truth = torch.tensor([[1.0, -2.0, 0.5]])

    def loss_function(generator):
        x = torch.randn(PARAMS.batch_size, 3, generator=generator)
        error = module(x) - x @ truth.T
        return error.square().mean(), {"abs": error.abs().mean()}

    return module, loss_function


def test_learns_and_logs(tmp_path):
    module, loss_function = linear_problem()
    assert run_loop(module, loss_function, PARAMS, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows] == [0, 10, 20, 29]
    assert rows[-1]["loss"] < 0.3 * rows[0]["loss"]
    assert {"loss", "lr", "grad_norm", "abs", "seconds"} <= rows[0].keys()


def test_interrupted_run_ends_where_an_uninterrupted_one_does(tmp_path):
    whole, loss_function = linear_problem()
    run_loop(whole, loss_function, PARAMS, tmp_path / "whole")

    class Killed(BaseException):
        pass

    module, loss_function = linear_problem()
    calls = 0

    def dies_at_step_14(generator):
        nonlocal calls
        calls += 1
        if calls == 15:
            raise Killed
        return loss_function(generator)

    with pytest.raises(Killed):
        run_loop(module, dies_at_step_14, PARAMS, tmp_path / "cut")
    resumed, loss_function = linear_problem()
    assert run_loop(resumed, loss_function, PARAMS, tmp_path / "cut")
    torch.testing.assert_close(resumed.weight, whole.weight, rtol=0, atol=0)


def test_checkpoint_of_another_run_is_refused(tmp_path):
    module, loss_function = linear_problem()
    run_loop(module, loss_function, PARAMS, tmp_path)
    other = LoopParams(num_steps=30, batch_size=8, lr=0.01, warmup_steps=5, ema=0.9)
    with pytest.raises(UserError, match=r"other lr.*0\.2"):
        run_loop(module, loss_function, other, tmp_path)


def test_time_limit_stops_and_saves(tmp_path):
    module, loss_function = linear_problem()
    limited = LoopParams(num_steps=30, batch_size=8, lr=0.05, warmup_steps=5, ema=0.9, max_seconds=1e-9)
    assert not run_loop(module, loss_function, limited, tmp_path)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 1


def test_learning_rate_rises_then_falls_to_zero():
    rates = [learning_rate(PARAMS, s) for s in range(31)]
    assert max(rates) == pytest.approx(PARAMS.lr) and rates.index(max(rates)) in (4, 5)
    assert rates[30] == pytest.approx(0, abs=1e-12)


def test_learning_rate_follows_the_budget_where_that_is_used_faster():
    params = replace(PARAMS, num_steps=1_000_000, budget_seconds=10.0)
    assert learning_rate(params, 20, 0.0) == pytest.approx(PARAMS.lr, rel=1e-4)
    assert learning_rate(params, 20, 5.0) == pytest.approx(PARAMS.lr / 2)
    assert learning_rate(params, 20, 11.0) == pytest.approx(0, abs=1e-12)
    assert learning_rate(replace(params, num_steps=20), 20, 1.0) == pytest.approx(0, abs=1e-12)


def test_a_budget_ends_the_training_also_over_several_parts(tmp_path):
    module, quick = linear_problem()

    def slow(generator):
        time.sleep(0.02)
        return quick(generator)

    budget = replace(PARAMS, num_steps=1_000_000, budget_seconds=0.2, max_seconds=0.1, save_every=1)
    assert not run_loop(module, slow, budget, tmp_path) and not is_finished(tmp_path, budget)
    before = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert 0.1 <= before["seconds"] < 0.2 or before["step"] == 1  # a step on a busy machine may take all of it
    while not run_loop(module, slow, budget, tmp_path):
        pass
    after = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert after["seconds"] >= 0.2 and before["step"] < after["step"] <= 10 and is_finished(tmp_path, budget)
    assert run_loop(module, slow, budget, tmp_path)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == after["step"]


def test_parameters_without_gradient_stay(tmp_path):
    module, loss_function = linear_problem()
    weight, bias = module.weight.detach().clone(), module.bias.detach().clone()
    module.weight.requires_grad_(False)
    run_loop(module, loss_function, PARAMS, tmp_path)
    assert torch.equal(module.weight, weight) and not torch.equal(module.bias, bias)
