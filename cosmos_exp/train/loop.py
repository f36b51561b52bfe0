"""One training loop for every network: AdamW, warm-up and cosine decay, EMA weights, JSON-lines log, safe resume.

The generator of a step is seeded by (seed, step), on several GPUs (`ranks.py`) by (seed, step, rank), so a resumed run
draws the same batches as an uninterrupted one.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cosmos_exp.common.errors import UserError
from cosmos_exp.train import ranks

LossFunction = Callable[[torch.Generator], tuple[torch.Tensor, dict[str, torch.Tensor]]]
StepProgress = Callable[[int, int, dict[str, float]], None]  # step, steps in all, logged scalars


@dataclass
class LoopParams:
    """num_steps optimiser steps at batch_size; lr: peak learning rate after warmup_steps, decayed by a cosine to zero.

    ema: decay of the averaged weights per step. max_seconds: stop (resumable) after this wall time, 0 = no limit.
    budget_seconds: end after this wall time, that of earlier parts of a resumed run included, with the learning rate
    decayed to zero by then; 0 = after num_steps. How many steps it makes then depends on the machine.
    """

    num_steps: int
    batch_size: int
    lr: float
    warmup_steps: int = 100
    weight_decay: float = 0.01
    grad_clip: float = 1.0
    ema: float = 0.999
    log_every: int = 50
    save_every: int = 500
    max_seconds: float = 0.0
    budget_seconds: float = 0.0
    seed: int = 0


def learning_rate(params: LoopParams, step: int, seconds: float = 0.0) -> float:
    """seconds: of the budget that are used."""
    if step < params.warmup_steps:
        return params.lr * (step + 1) / params.warmup_steps
    progress = (step - params.warmup_steps) / max(1, params.num_steps - params.warmup_steps)
    if params.budget_seconds:
        progress = max(progress, seconds / params.budget_seconds)
    return params.lr * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


class Ema:
    """Exponential moving average of a module's parameters, the decay ramped up over the first steps."""

    def __init__(self, module: nn.Module, decay: float):
        self.decay = decay
        self.values = [p.detach().clone() for p in module.parameters()]

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.values, [p.detach() for p in module.parameters()], 1 - decay)

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        for p, value in zip(module.parameters(), self.values, strict=True):
            p.copy_(value)


def run_loop(
    module: nn.Module,
    loss_function: LossFunction,
    params: LoopParams,
    folder: Path,
    *,
    progress: StepProgress | None = None,
) -> bool:
    """Train `module` in place; at the end it holds the averaged weights. True when all steps are done.

    loss_function(generator) draws a batch with the given generator (on the module's device) and returns the loss and
    further scalars to log. Parameters without `requires_grad` stay as they are. folder receives `log.jsonl` and
    `checkpoint.pt`; an existing checkpoint of the same parameters is resumed, one of other parameters is a UserError.
    On several ranks, all have to call it, with the same parameters.
    """
    folder.mkdir(parents=True, exist_ok=True)
    device = next(module.parameters()).device
    decayed = [p for p in module.parameters() if p.requires_grad and p.ndim >= 2]
    plain = [p for p in module.parameters() if p.requires_grad and p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": params.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=params.lr, betas=(0.9, 0.98), fused=device.type == "cuda")
    parameters, rank = [*decayed, *plain], ranks.rank()
    ranks.share_weights(module)
    ema = Ema(module, params.ema)
    step, before = _resume(folder / "checkpoint.pt", params, module, optimizer, ema)
    used, started = before, time.monotonic()
    generator = torch.Generator(device)
    with open(folder / "log.jsonl", "a") as log:
        while step < params.num_steps and not _over(params, used):
            generator.manual_seed(params.seed * 1_000_003 + step + rank * 1_000_000_007)
            rate = learning_rate(params, step, used)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss, scalars = loss_function(generator)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            ranks.average_gradients(parameters)
            norm = nn.utils.clip_grad_norm_(parameters, params.grad_clip)
            optimizer.step()
            ema.update(module, step)
            if rank == 0 and (step % params.log_every == 0 or step == params.num_steps - 1):
                row = {
                    "loss": float(loss.detach()),
                    "grad_norm": float(norm),
                    **{k: float(v.detach()) for k, v in scalars.items()},
                }
                if not math.isfinite(row["loss"]):
                    raise RuntimeError(f"the loss is {row['loss']} at step {step}; log: {folder / 'log.jsonl'}")
                record = {"step": step, "lr": rate, "seconds": time.monotonic() - started, **row}
                log.write(json.dumps({k: round(v, 6) for k, v in record.items()}) + "\n")
                log.flush()
                if progress:
                    progress(step, params.num_steps, row)
            step += 1
            seconds = ranks.of_rank_0(time.monotonic() - started)
            used = before + seconds
            out_of_time = params.max_seconds and seconds > params.max_seconds
            if out_of_time or step % params.save_every == 0:
                _save(folder / "checkpoint.pt", params, module, optimizer, ema, step, used)
            if out_of_time:
                ema.copy_to(module)
                return False
    _save(folder / "checkpoint.pt", params, module, optimizer, ema, step, used)
    ema.copy_to(module)
    return True


def _over(params: LoopParams, seconds: float) -> bool:
    """Whether the budget, where there is one, is used up."""
    return 0 < params.budget_seconds <= seconds


def is_finished(folder: Path, params: LoopParams) -> bool:
    """Whether the training in this folder, with these parameters, has made all its steps."""
    path = folder / "checkpoint.pt"
    if not path.exists():
        return False
    state = _read(path, torch.device("cpu"))
    same = state["params"] == _identity(params)
    return same and (state["step"] >= params.num_steps or _over(params, state["seconds"]))


def _identity(params: LoopParams) -> dict:
    """What must agree between a checkpoint and the run that resumes it."""
    return {k: v for k, v in asdict(params).items() if k not in ("log_every", "save_every", "max_seconds")}


def _save(
    path: Path,
    params: LoopParams,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    ema: Ema,
    step: int,
    seconds: float,
) -> None:
    if ranks.rank():
        return
    partial = path.with_suffix(".partial")
    state = {"params": _identity(params), "step": step, "seconds": seconds, "module": module.state_dict()}
    torch.save({**state, "optimizer": optimizer.state_dict(), "ema": ema.values}, partial)
    os.replace(partial, path)


def _resume(
    path: Path, params: LoopParams, module: nn.Module, optimizer: torch.optim.Optimizer, ema: Ema
) -> tuple[int, float]:
    """Steps made and seconds used by the run in the checkpoint, none where there is no checkpoint."""
    if not path.exists():
        return 0, 0.0
    device = next(module.parameters()).device
    state = _read(path, device)
    if state["params"] != _identity(params):
        changed = [k for k, v in _identity(params).items() if state["params"].get(k) != v]
        raise UserError(
            f"{path} belongs to a run with other {', '.join(changed)}: "
            f"set them back to {', '.join(str(state['params'].get(k)) for k in changed)} or train into another folder"
        )
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    ema.values = [v.to(device) for v in state["ema"]]
    return state["step"], state["seconds"]


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        problem = str(error).split("\n")[0]
        raise UserError(f"checkpoint {path} cannot be read: {problem}; delete it to train this network anew") from error
