"""The UniPC solver of Cosmos-Transfer2.5, by diffusers' scheduler (Zhao et al. 2023, arXiv:2302.04867): second order,
B(h) = e^h - 1, first order in the first and in the last step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor

from cosmos_exp.sampling.flow import SHIFT, flow_levels, unshifted_levels
from cosmos_exp.sampling.res_sampler import Progress

Velocity = Callable[[Tensor, float], Tensor]  # (x, sigma) -> noise - x0


def unipc_sample(
    velocity: Velocity, x: Tensor, num_steps: int, *, shift: float = SHIFT, progress: Progress | None = None
) -> Tensor:
    """Integrate from noise x down the levels of `flow_levels` to 0; num_steps evaluations. The state is float32."""
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=shift,
        solver_order=2,
        solver_type="bh2",
        final_sigmas_type="zero",
    )
    scheduler.set_timesteps(sigmas=torch.tensor(unshifted_levels(num_steps), dtype=torch.float64).numpy())
    scheduler.set_begin_index(0)
    x = x.float()
    for i, sigma in enumerate(flow_levels(num_steps, shift)):
        x = scheduler.step(velocity(x, sigma).float(), scheduler.timesteps[i], x, return_dict=False)[0]
        if progress:
            progress(i + 1, num_steps)
    return x
