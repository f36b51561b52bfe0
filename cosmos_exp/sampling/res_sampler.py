"""The RES "2ab" sampler of Cosmos-Transfer1: a second-order multistep exponential integrator on the x0 prediction."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

Denoise = Callable[[Tensor, float], Tensor]  # (x, sigma) -> x0
Progress = Callable[[int, int], None]  # (evaluations done, evaluations in all)


def initial_noise(shape: Sequence[int], seed: int) -> Tensor:
    """Standard normal float32 from numpy's RandomState(seed): the same on every device."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(tuple(shape)).astype(np.float32))


def res_sample(denoise: Denoise, x: Tensor, sigmas: Sequence[float], progress: Progress | None = None) -> Tensor:
    """Integrate from x at sigmas[0] down to sigmas[-1] and return the x0 predicted there.

    x: noisy latent; `denoise` sees it in this dtype while the state is kept in float64. len(sigmas) evaluations.
    With lambda = -ln(sigma), h the step in it and d the x0 prediction, one step is
    x <- e^-h x + h (b1 d + b2 d_previous), the first step with d alone.
    """
    dtype, total = x.dtype, len(sigmas)
    x = x.double()
    lambdas = [-math.log(sigma) for sigma in sigmas]
    previous = None
    for i in range(total - 1):
        d = denoise(x.to(dtype), sigmas[i]).double()
        h = lambdas[i + 1] - lambdas[i]
        decay = math.exp(-h)
        if previous is None:
            x = decay * x + (1 - decay) * d
        else:
            c2 = (lambdas[i - 1] - lambdas[i]) / h
            phi1 = (1 - decay) / h
            phi2 = (1 - phi1) / h
            b2 = phi2 / c2
            b1 = phi1 - b2
            x = decay * x + h * (b1 * d + b2 * previous)
        previous = d
        if progress:
            progress(i + 1, total)
    result = denoise(x.to(dtype), sigmas[-1])
    if progress:
        progress(total, total)
    return result
