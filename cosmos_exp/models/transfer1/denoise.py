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
from cosmos_exp.models.transfer1.parallel import Share, Team
from cosmos_exp.models.transfer1.regional import Region
from cosmos_exp.models.transfer1.step_cache import StepCache
from cosmos_exp.sampling.res_sampler import Denoise, SamplerParams

log = logging.getLogger(__name__)

KeepFirst = Callable[[Callable[[], np.ndarray]], Tensor]
"""From what computes it to x0 [passes, *x.shape] of the first level, which no guidance and no further level changes."""

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
    team: Team | None = None,
    keep_first: KeepFirst | None = None,
) -> Denoise:
    """x0 = cond + guidance * (cond - uncond) as a function of (x, sigma), for one run down the levels of `sampler`.

    text, negative_text: [B, V*S, channels], None for all-zero text. Both passes see the controls and the given frames.
    The first level, the last, and those where guidance begins or ends are computed in full, cached or not.
    merge_gain: apply `tile_gain`, as the Transfer1-7B reference pipeline does. regions: read by the conditional pass
    alone. team: the processes that evaluate it together, each with the same arguments and calls; all return the same.
    keep_first: finds what the passes predict at the first level, or has it computed; not asked by a team, nor where
    later evaluations are cached, which take from the first more than its result.
    """
    texts = [(text, regions), (negative_text, ())] if sampler.guidance else [(text, regions)]
    with torch.inference_mode():
        both = Passes(denoiser, clip, texts, weights, own_share(team, denoiser, clip, len(texts)), sampler)
        alone = both
        if sampler.guidance_interval and both.share.branches and can_share(team, denoiser, clip, passes=1):
            alone = Passes(denoiser, clip, texts[:1], weights, own_share(team, denoiser, clip, passes=1), sampler)
    ends, before = (sampler.levels[0], sampler.levels[-1]), None

    @torch.inference_mode()
    def denoise(x: Tensor, sigma: float) -> Tensor:
        nonlocal before
        guidance = sampler.guidance_at(sigma)
        passes, count = (both, 2) if guidance else (alone, 1)
        anew, before = sigma in ends or count != before, count
        level = torch.tensor(sigma).bfloat16().item() if sampler.reference_compat else sigma
        if keep_first and sigma == ends[0] and team is None and not passes.cache:
            kept = keep_first(lambda: torch.stack(passes.x0s(x, level, count, condition, anew=anew)).cpu().numpy())
            branches = list(kept.to(x.device))
        else:
            branches = passes.x0s(x, level, count, condition, anew=anew)
        if sigma == ends[1]:
            say_what_was_reused({both, alone})
        x0 = branches[0]
        if guidance:
            x0 = x0 + guidance * (x0 - branches[1])
        return x0 * tile_gain(*x0.shape[-2:]).to(x0) if merge_gain else x0

    return denoise


class Passes:
    """What one process computes of the passes of guidance over a clip, and with whom."""

    def __init__(
        self,
        denoiser: Denoiser,
        clip: ClipInputs,
        texts: Sequence[tuple[Tensor | None, Sequence[Region]]],
        weights: Mapping[str, Weight],
        share: Share,
        sampler: SamplerParams,
    ):
        """clip, weights: whole. texts: of each pass, with its regions."""
        self.denoiser = denoiser
        self.share = share
        self.clip = clip.own(share.sequence)
        self.weights = {n: share.frames(w).to(clip.device) if isinstance(w, Tensor) else w for n, w in weights.items()}
        self.prompts: dict[int, PromptInputs] = {}
        for i in share.passes(range(len(texts))):
            text, regions = texts[i]
            own = [region._replace(mask=share.frames(region.mask)) for region in regions]
            self.prompts[i] = denoiser.net.prepare_text(text, self.clip, own)
        self.together = self.clip.num_tokens <= BATCHED_TOKENS
        self.cache = StepCache(sampler.cache_threshold, share.sequence) if sampler.cache_threshold else None

    def x0s(self, x: Tensor, sigma: float, count: int, condition: FrameCondition | None, *, anew: bool) -> list[Tensor]:
        """What the first `count` passes predict, on every process. anew: not from the cache."""
        if self.cache and anew:
            self.cache.forget()
        options = {"condition": condition, "together": self.together, "cache": self.cache}
        prompts = [self.prompts[i] for i in self.share.passes(range(count))]
        own = self.denoiser.branches(x, sigma, prompts, self.clip, self.weights, **options) if prompts else []
        return self.share.all_passes(own or [torch.empty_like(x)])[:count]


def say_what_was_reused(every: Iterable[Passes]) -> None:
    caches = [passes.cache for passes in every if passes.cache]
    if caches:
        reused, full = sum(cache.reused for cache in caches), sum(cache.full for cache in caches)
        log.info("%d of %d evaluations took all but the first attention from an earlier one", reused, reused + full)


def own_share(team: Team | None, denoiser: Denoiser, clip: ClipInputs, passes: int) -> Share:
    """What this process computes of a whole clip."""
    views = denoiser.net.config.num_views
    return Share() if team is None else team.share(passes, views, *parts_of(denoiser, clip))


def can_share(team: Team, denoiser: Denoiser, clip: ClipInputs, passes: int) -> bool:
    return fits(team.size, passes, *parts_of(denoiser, clip))


def parts_of(denoiser: Denoiser, clip: ClipInputs) -> tuple[int, int]:
    """Frames of a view in tokens, and attention heads that all networks have: both are shared out evenly."""
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
