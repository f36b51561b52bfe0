"""The RES "2ab" sampler of Cosmos-Transfer1: a second-order multistep exponential integrator on the x0 prediction."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.contract import SIGMA_MAX

Denoise = Callable[[Tensor, float], Tensor]  # (x, sigma) -> x0
Progress = Callable[[int, int], None]  # (evaluations done, evaluations in all)

RHO = 7.0


@dataclass(frozen=True)
class SamplerParams:
    """guidance: g of cond + g*(cond - uncond); 0 runs the conditional pass alone.

    sigma_max, sigma_min: noise levels to start from and to end at. num_steps + 1 denoiser calls are made.
    guidance_interval: lowest and highest noise level with an unconditional pass (Kynkaanniemi et al. 2024,
    arXiv:2404.07724); elsewhere the conditional pass stands alone. None: at every level.
    cache_threshold: of `StepCache`; 0 computes every evaluation in full.
    reference_compat: with the numerics of the reference pipelines: noise levels as the networks see them rounded to
    bfloat16, the tile merging of Transfer1-7B, torch's noise on an input video, view embeddings borrowed by several
    multi-view controls.
    """

    num_steps: int = 35
    guidance: float = 5.0
    sigma_max: float = SIGMA_MAX
    sigma_min: float = 0.002
    guidance_interval: tuple[float, float] | None = None
    cache_threshold: float = 0.0
    reference_compat: bool = False

    def __post_init__(self):
        if self.num_steps < 1:
            raise UserError(f"num_steps={self.num_steps}: at least 1")
        if self.guidance < 0:
            raise UserError(f"guidance={self.guidance}: 0 (conditional only) or more, nearest is 0")
        if not 0 < self.sigma_min < self.sigma_max:
            raise UserError(f"noise levels need 0 < sigma_min < sigma_max, given {self.sigma_min=}, {self.sigma_max=}")
        if self.guidance_interval is not None and not 0 <= self.guidance_interval[0] < self.guidance_interval[1]:
            raise UserError(
                f"guidance_interval={list(self.guidance_interval)}: [lowest, highest] noise level, 0 or more"
            )

    @property
    def levels(self) -> list[float]:
        return noise_levels(self.num_steps, self.sigma_max, self.sigma_min)

    def guidance_at(self, sigma: float) -> float:
        """g at a noise level: 0 outside the interval."""
        low, high = self.guidance_interval or (0.0, math.inf)
        return self.guidance if low <= sigma <= high else 0.0


def noise_levels(num_steps: int, sigma_max: float = 80.0, sigma_min: float = 0.002) -> list[float]:
    """num_steps + 1 levels, evenly spaced in sigma^(1/7) from sigma_max down to sigma_min."""
    high, low = sigma_max ** (1 / RHO), sigma_min ** (1 / RHO)
    return [(high + i / num_steps * (low - high)) ** RHO for i in range(num_steps + 1)]


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
