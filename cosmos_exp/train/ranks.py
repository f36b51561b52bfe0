"""Training on several GPUs of a machine: a process for each, as torchrun starts them, with the same weights in all.

Each rank draws batches of its own and the gradients are averaged, so N ranks make steps of N times the batch size. Rank
0 renders, encodes, logs and saves; the others read what it has put into the folder. One process is rank 0 of one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

_joined = False  # the default group of this process may also be another's: that of sampling on several GPUs
LONGEST_WAIT = timedelta(hours=2)  # for rank 0 to render and encode the first clips


def join() -> None:
    """Join the processes that torchrun has started, if it has."""
    global _joined
    if number() > 1 and not _joined:
        backend = "gloo"
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
            backend = "cpu:gloo,cuda:nccl"
        dist.init_process_group(backend, timeout=LONGEST_WAIT)
        _joined = True


def number() -> int:
    """Of processes that torchrun has started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    return dist.get_rank() if _joined else 0


def local_device(name: str) -> str:
    """`cuda` as the GPU of this rank."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if name == "cuda" and _joined else name


def wait() -> None:
    """For all ranks to come here."""
    if _joined:
        dist.all_reduce(torch.zeros(()))  # on the CPU, so that no GPU is waited for


def of_rank_0(value: float) -> float:
    """The value that rank 0 has."""
    if not _joined:
        return value
    shared = torch.tensor(value, dtype=torch.float64)
    dist.broadcast(shared, 0)
    return float(shared)


def share_weights(module: nn.Module) -> None:
    """Give all ranks the parameters and buffers that rank 0 has."""
    if _joined:
        for value in module.state_dict().values():
            dist.broadcast(value, 0)


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Over the ranks, in place; one that a rank has no gradient of has a zero there."""
    if not _joined:
        return
    flat = torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in parameters])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for parameter, gradient in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = gradient.view_as(parameter)
