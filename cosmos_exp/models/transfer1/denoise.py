"""Guidance: the x0 a sampler asks for, from a conditional and an unconditional pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from cosmos_exp.models.dit.parallel import ParallelContext
from cosmos_exp.models.dit.passes import GuidedPasses, PassText
from cosmos_exp.models.dit.regional import Region
from cosmos_exp.models.dit.residuals import Weight
from cosmos_exp.models.transfer1.control import ClipInputs
from cosmos_exp.models.transfer1.edm import Denoiser, FrameCondition
from cosmos_exp.sampling.res_sampler import Denoise
from cosmos_exp.sampling.sampler_params import SamplerParams

KeepFirst = Callable[[Callable[[], np.ndarray]], Tensor]
"""Caches x0 [passes, *x.shape] of the first noise level, which depends neither on guidance nor on later levels.

Takes the function that computes it.
"""


def guided(
    denoiser: Denoiser,
    clip: ClipInputs,
    *,
    text: Tensor | None,
    negative_text: Tensor | None,
    sampler: SamplerParams,
    weights: Mapping[str, Weight],
    condition: FrameCondition | None = None,
    merge_gain: bool = False,
    regions: Sequence[Region] = (),
    parallel: ParallelContext | None = None,
    keep_first: KeepFirst | None = None,
) -> Denoise:
    """x0 = cond + guidance * (cond - uncond) as a function of (x, sigma), for one run down the levels of `sampler`.

    text, negative_text: [B, V*S, channels], None for all-zero text. Both passes see the controls and the given frames.
    The first level, the last, and those where guidance begins or ends are computed in full, whatever the step cache.
    merge_gain: apply `tile_gain`, as the Transfer1-7B reference pipeline does. regions: for the conditional pass only.
    parallel: the ranks that evaluate it together, each with the same arguments and calls; all return the same.
    keep_first: cache of the predictions at the first level. Not used with `parallel`, nor with a step cache, which
    stores more of the first level than its result.
    """
    texts: list[PassText] = [(text, regions), (negative_text, ())] if sampler.guidance else [(text, regions)]
    passes = GuidedPasses(denoiser, clip, texts, weights, sampler, parallel)
    cached = parallel is None and not sampler.cache_threshold

    @torch.inference_mode()
    def denoise(x: Tensor, sigma: float) -> Tensor:
        guidance, evaluate = passes.at(sigma)
        level = torch.tensor(sigma).bfloat16().item() if sampler.reference_compat else sigma
        if keep_first and sigma == passes.first and cached:
            branches = list(keep_first(lambda: torch.stack(evaluate(x, level, condition)).cpu().numpy()).to(x.device))
        else:
            branches = evaluate(x, level, condition)
        x0 = branches[0]
        if guidance:
            x0 = x0 + guidance * (x0 - branches[1])
        return x0 * tile_gain(*x0.shape[-2:]).to(x0) if merge_gain else x0

    return denoise


def tile_gain(height: int, width: int) -> Tensor:
    """[height, width] factor that the reference's tile merging leaves on a single tile: m / (m + 1e-6), where m is 1
    but 0.01 on the first row and column and 1e-4 at their crossing."""
    mask = torch.ones(height, width)
    mask[0, :] *= 0.01
    mask[:, 0] *= 0.01
    return mask / (mask + 1e-6)
