"""Guidance: the x0 a sampler asks for, from a conditional and an unconditional pass."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from cosmos_exp.models.transfer1.control import ClipInputs, PromptInputs, Weight
from cosmos_exp.models.transfer1.edm import Denoiser, FrameCondition
from cosmos_exp.models.transfer1.layout import fits
from cosmos_exp.models.transfer1.parallel import ParallelContext, RankPartition
from cosmos_exp.models.transfer1.regional import Region
from cosmos_exp.models.transfer1.step_cache import StepCache
from cosmos_exp.sampling.res_sampler import Denoise
from cosmos_exp.sampling.sampler_params import SamplerParams

log = logging.getLogger(__name__)

PassText = tuple[Tensor | None, Sequence[Region]]  # text of one guidance pass and its regional prompts

KeepFirst = Callable[[Callable[[], np.ndarray]], Tensor]
"""Caches x0 [passes, *x.shape] of the first noise level, which depends neither on guidance nor on later levels.

Takes the function that computes it.
"""

# Up to so many tokens the two passes run as one batch. A longer clip saturates the GPU alone: a batch would only double
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
    with torch.inference_mode():
        both = Passes(denoiser, clip, texts, weights, partition(parallel, denoiser, clip, len(texts)), sampler)
        alone = both
        split = both.partition.branches is not None
        if sampler.guidance_interval and parallel and split and can_split(parallel, denoiser, clip, 1):
            alone = Passes(denoiser, clip, texts[:1], weights, partition(parallel, denoiser, clip, 1), sampler)
    first, last = sampler.levels[0], sampler.levels[-1]
    count_before: int | None = None

    @torch.inference_mode()
    def denoise(x: Tensor, sigma: float) -> Tensor:
        nonlocal count_before
        guidance = sampler.guidance_at(sigma)
        passes, count = (both, 2) if guidance else (alone, 1)
        in_full, count_before = sigma in (first, last) or count != count_before, count
        level = torch.tensor(sigma).bfloat16().item() if sampler.reference_compat else sigma

        def evaluate() -> list[Tensor]:
            return passes.x0s(x, level, count, condition, in_full=in_full)

        if keep_first and sigma == first and parallel is None and not passes.cache:
            branches = list(keep_first(lambda: torch.stack(evaluate()).cpu().numpy()).to(x.device))
        else:
            branches = evaluate()
        if sigma == last:
            log_cache_hits({both, alone})
        x0 = branches[0]
        if guidance:
            x0 = x0 + guidance * (x0 - branches[1])
        return x0 * tile_gain(*x0.shape[-2:]).to(x0) if merge_gain else x0

    return denoise


class Passes:
    """The guidance passes over a clip that one rank evaluates."""

    def __init__(
        self,
        denoiser: Denoiser,
        clip: ClipInputs,
        texts: Sequence[PassText],
        weights: Mapping[str, Weight],
        partition: RankPartition,
        sampler: SamplerParams,
    ):
        """clip, weights: of all frames. texts: of each pass, with its regions."""
        self.denoiser = denoiser
        self.partition = partition
        self.clip = clip.local(partition.sequence)
        self.weights: dict[str, Weight] = {
            name: partition.local_frames(weight).to(clip.device) if isinstance(weight, Tensor) else weight
            for name, weight in weights.items()
        }
        self.prompts: dict[int, PromptInputs] = {}
        for i in partition.local_passes(range(len(texts))):
            text, regions = texts[i]
            local = [region._replace(mask=partition.local_frames(region.mask)) for region in regions]
            self.prompts[i] = denoiser.net.prepare_text(text, self.clip, local)
        self.batched = self.clip.num_tokens <= BATCHED_TOKENS
        self.cache = StepCache(sampler.cache_threshold, partition.sequence) if sampler.cache_threshold else None

    def x0s(
        self, x: Tensor, sigma: float, count: int, condition: FrameCondition | None, *, in_full: bool
    ) -> list[Tensor]:
        """Predictions of the first `count` passes, on every rank. in_full: do not reuse the step cache."""
        if self.cache and in_full:
            self.cache.reset()
        prompts = [self.prompts[i] for i in self.partition.local_passes(range(count))]
        local = [torch.empty_like(x)]
        if prompts:
            local = self.denoiser.branches(
                x,
                sigma,
                prompts,
                self.clip,
                self.weights,
                condition=condition,
                batched=self.batched,
                cache=self.cache,
            )
        return self.partition.gather_passes(local)[:count]


def log_cache_hits(passes: Iterable[Passes]) -> None:
    caches = [each.cache for each in passes if each.cache]
    if caches:
        reused, full = sum(cache.reused for cache in caches), sum(cache.full for cache in caches)
        log.info("step cache: %d of %d evaluations reused the residual of an earlier one", reused, reused + full)


def partition(parallel: ParallelContext | None, denoiser: Denoiser, clip: ClipInputs, passes: int) -> RankPartition:
    """What this rank computes of a clip."""
    views = denoiser.net.config.num_views
    return RankPartition() if parallel is None else parallel.partition(passes, views, *divisible(denoiser, clip))


def can_split(parallel: ParallelContext, denoiser: Denoiser, clip: ClipInputs, passes: int) -> bool:
    return fits(parallel.size, passes, *divisible(denoiser, clip))


def divisible(denoiser: Denoiser, clip: ClipInputs) -> tuple[int, int]:
    """What the ranks must divide: token frames of a view, and attention heads (their GCD over the networks)."""
    configs = [denoiser.net.network(name).config for name in clip.positions]
    frames = clip.num_frames // (configs[0].num_views * configs[0].patch_size[0])
    return frames, math.gcd(*(config.num_heads for config in configs))


def tile_gain(height: int, width: int) -> Tensor:
    """[height, width] factor that the reference's tile merging leaves on a single tile: m / (m + 1e-6), where m is 1
    but 0.01 on the first row and column and 1e-4 at their crossing."""
    mask = torch.ones(height, width)
    mask[0, :] *= 0.01
    mask[:, 0] *= 0.01
    return mask / (mask + 1e-6)
