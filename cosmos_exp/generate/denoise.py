"""Guidance: the x0 a sampler asks for, from a conditional and an unconditional pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cosmos_exp.generate.sampler import Denoise, SamplerParams
from cosmos_exp.world.control import ClipInputs, Weight
from cosmos_exp.world.edm import Denoiser, FrameCondition
from cosmos_exp.world.regional import Region
from cosmos_exp.world.step_cache import StepCache

# Up to so many tokens the two passes run as one batch. Longer clips occupy the device alone: a batch would only double
# the memory.
BATCHED_TOKENS = 4096


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
) -> Denoise:
    """x0 = cond + guidance * (cond - uncond) as a function of (x, sigma), for one run down the levels of `sampler`.

    text, negative_text: [B, V*S, channels], None for all-zero text. Both passes see the controls and the given frames.
    The first and the last level are computed in full, cached or not. merge_gain: apply `tile_gain`, as the Transfer1-7B
    reference pipeline does. regions: read by the conditional pass alone.
    """
    with torch.inference_mode():
        prompts = [denoiser.net.prepare_text(text, clip, regions)]
        if sampler.guidance:
            prompts.append(denoiser.net.prepare_text(negative_text, clip))
    weights = {name: w.to(clip.device) if isinstance(w, Tensor) else w for name, w in weights.items()}
    cache = StepCache(sampler.cache_threshold) if sampler.cache_threshold else None
    together, ends = clip.num_tokens <= BATCHED_TOKENS, (sampler.levels[0], sampler.levels[-1])
    options = {"condition": condition, "together": together, "cache": cache}

    @torch.inference_mode()
    def denoise(x: Tensor, sigma: float) -> Tensor:
        guidance = sampler.guidance_at(sigma)
        if cache and sigma in ends:
            cache.forget()
        branches = denoiser.branches(x, sigma, prompts if guidance else prompts[:1], clip, weights, **options)
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
