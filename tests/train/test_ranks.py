"""Training on several ranks: two processes over gloo, as torchrun starts them."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from cosmos_exp.common.errors import UserError
from cosmos_exp.sensors.rigs import build_rig
from cosmos_exp.train import main as train_main
from cosmos_exp.train import ranks
from cosmos_exp.train.clips import ClipSize, ClipSpec
from cosmos_exp.train.latents import LatentParts
from cosmos_exp.train.loop import LoopParams, run_loop
from cosmos_exp.train.rendering import ClipFeed

PARAMS = LoopParams(num_steps=12, batch_size=4, lr=0.1, warmup_steps=2, ema=0.5, log_every=5, save_every=5)
SIZE = ClipSize(num_frames=9, fps=24.0, height=32, width=48)
VIEW = "front_wide_120fov"


class Problem(nn.Module):
    """Two linear maps: the second has a gradient in odd batches alone."""

    def __init__(self, seed: int):
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.second = nn.Linear(3, 1), nn.Linear(3, 1)

    def forward(self, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        x = torch.randn(PARAMS.batch_size, 3, generator=generator)
        found = self.first(x)
        if torch.rand((), generator=generator) < 0.5:
            found = found + self.second(x)
        return (found - x.sum(dim=1, keepdim=True)).square().mean(), {}


class BothRanks:
    """What two ranks make together, in one process: the mean of the losses of both."""

    def __init__(self, problem: Problem):
        self.problem, self.step = problem, 0

    def __call__(self, _: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        seeds = [PARAMS.seed * 1_000_003 + self.step + rank * 1_000_000_007 for rank in range(2)]
        losses = [self.problem(torch.Generator().manual_seed(seed))[0] for seed in seeds]
        unused = 0.0 * self.problem.second.weight.sum() + 0.0 * self.problem.second.bias.sum()  # a gradient of zero
        self.step += 1
        return (losses[0] + losses[1]) / 2 + unused, {}


def _rank(rank: int, port: int, folder: str) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    ranks.join()
    problem = Problem(seed=rank)  # the weights of rank 0 count
    assert run_loop(problem, problem, PARAMS, Path(folder) / "run")
    limited = replace(PARAMS, num_steps=1_000_000, budget_seconds=0.1)
    time.sleep(0.1 * rank)  # clocks differ; that of rank 0 counts
    other = Problem(seed=0)
    assert run_loop(other, other, limited, Path(folder) / "budget")
    latents = _latents(Path(folder))
    state = {"weights": problem.state_dict(), "seeds": latents, "error": _error()}
    torch.save(state, Path(folder) / f"rank{rank}.pt")
    ranks.wait()
    dist.destroy_process_group()


def _latents(folder: Path) -> list[int]:
    rig = build_rig("one", {VIEW: {"hfov": 120, "position": [1.7, 0, 1.4], "rotation": [0, 0, 0]}}, size=(48, 32))

    def feed(there: set[int]) -> ClipFeed:
        specs = [ClipSpec(seed, (VIEW,), 1, ("hdmap",), SIZE) for seed in range(2) if ranks.rank() == 0]
        return ClipFeed(specs, rig, folder / "clips", 1)

    def encode(videos: torch.Tensor) -> torch.Tensor:
        assert ranks.rank() == 0
        return videos[:, ::8, ::8, ::8].float().mean(dim=-1)[:, None]

    with LatentParts(folder / "latents", feed, encode, (VIEW,), ("hdmap",), made_of={}) as parts:
        return parts.first(None).seeds


def _error() -> str:
    try:
        train_main.check_ranks(["single_view", "rewriter"])
    except UserError as error:
        return str(error)
    return ""


def test_two_ranks_train_as_one_process_on_both_batches(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_rank, args=(port, str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    alone = Problem(seed=0)
    run_loop(alone, BothRanks(alone), PARAMS, tmp_path / "alone")
    for name, value in alone.state_dict().items():
        assert torch.equal(first["weights"][name], second["weights"][name]), name
        torch.testing.assert_close(first["weights"][name], value, rtol=1e-5, atol=1e-6)
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 4  # of rank 0 alone
    assert first["seeds"] == second["seeds"] == [0, 1]
    assert first["error"] == second["error"] == "stages=rewriter train in one process: start them without torchrun"


def test_one_process_is_rank_0_and_waits_for_nobody() -> None:
    ranks.join()
    ranks.wait()
    assert ranks.rank() == 0 and ranks.number() == 1 and ranks.of_rank_0(2.5) == 2.5
    assert ranks.local_device("cuda") == "cuda"
    net = nn.Linear(2, 1)
    net(torch.ones(1, 2)).sum().backward()
    ranks.average_gradients(list(net.parameters()))
    assert net.weight.grad is not None and net.weight.grad.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("stages", [["evaluator"], ["rewriter"]])
def test_stages_of_one_process_are_not_refused_there(stages: list[str]) -> None:
    train_main.check_ranks(stages)
