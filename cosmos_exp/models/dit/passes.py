"""The guidance passes over a clip: what is computed for each, by which rank, and what is reused."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from cosmos_exp.common.threads import side_by_side, torch_threads
from cosmos_exp.models.dit.layout import fits
from cosmos_exp.models.dit.parallel import ParallelContext, RankPartition
from cosmos_exp.models.dit.regional import Region
from cosmos_exp.models.dit.residuals import Weight
from cosmos_exp.models.dit.stack import BlockStack
from cosmos_exp.models.dit.step_cache import StepCache
from cosmos_exp.models.kernels.fused import EAGER

log = logging.getLogger(__name__)

PassText = tuple[Tensor | None, Sequence[Region]]  # text of one guidance pass and its regional prompts

# Up to so many tokens the two passes run as one batch. A longer clip saturates the GPU alone: a batch would only double
# the memory.
BATCHED_TOKENS = 4096
CPU_THREADS = 2
"""Of torch on a CPU where passes do not run side by side: in what they share, and in one without guidance. So many on
every machine, as results depend on it."""


class Guidance(Protocol):
    """Of a run down the noise levels: where there is guidance, and how much a level may differ from the last one
    computed in full."""

    @property
    def guidance(self) -> float: ...

    @property
    def guidance_interval(self) -> tuple[float, float] | None: ...

    @property
    def cache_threshold(self) -> float: ...

    @property
    def levels(self) -> list[float]: ...

    def guidance_at(self, sigma: float) -> float: ...


class Clip(Protocol):
    """Inputs of a network that are constant over the steps of a clip."""

    @property
    def num_tokens(self) -> int: ...

    @property
    def device(self) -> torch.device: ...

    def local(self, sequence: Any) -> Any: ...


class Denoiser(Protocol):
    """A network with a way to predict, for each prompt, what a solver asks for."""

    def prepare_text(self, text: Tensor | None, clip: Any, regions: Sequence[Region]) -> Any: ...

    def branches(
        self,
        x: Tensor,
        sigma: float,
        prompts: Sequence[Any],
        clip: Any,
        weights: Mapping[str, Weight],
        *,
        condition: Any = None,
        batched: bool = True,
        cache: StepCache | None = None,
    ) -> list[Tensor]: ...

    def divisible(self, clip: Any) -> tuple[int, int, int]:
        """Views, token frames of a view, and attention heads: what the ranks must divide."""
        ...


class GuidedPasses:
    """Both passes at the levels with guidance, elsewhere the conditional pass alone."""

    def __init__(
        self,
        denoiser: Denoiser,
        clip: Clip,
        texts: Sequence[PassText],
        weights: Mapping[str, Weight],
        guidance: Guidance,
        parallel: ParallelContext | None,
    ):
        """clip, weights: of all frames. texts: of the conditional pass and, with guidance, of the unconditional one."""
        self.guidance = guidance
        views, frames, heads = denoiser.divisible(clip)
        with torch.inference_mode():

            def passes(count: int) -> Passes:
                part = RankPartition() if parallel is None else parallel.partition(count, views, frames, heads)
                return Passes(denoiser, clip, texts[:count], weights, part, guidance.cache_threshold)

            self.both = self.alone = passes(len(texts))
            split = self.both.partition.branches is not None
            if guidance.guidance_interval and parallel and split and fits(parallel.size, 1, frames, heads):
                self.alone = passes(1)
        levels = guidance.levels
        self.first, self.last = levels[0], levels[-1]
        self.caches = [each.cache for each in {self.both, self.alone} if each.cache]
        self._count_before: int | None = None

    def at(self, sigma: float) -> tuple[float, Callable[..., list[Tensor]]]:
        """g at a level, and what evaluates its passes: the `Passes.predictions` of (x, level, condition).

        To be called once a level, in their order. The first level, the last, and those where guidance begins or ends
        are computed in full, whatever the step cache.
        """
        scale = self.guidance.guidance_at(sigma)
        passes, count = (self.both, 2) if scale else (self.alone, 1)
        in_full, self._count_before = sigma in (self.first, self.last) or count != self._count_before, count
        if sigma == self.last:
            self._log_cache_hits()
        return scale, partial(passes.predictions, count=count, in_full=in_full)

    def _log_cache_hits(self) -> None:
        if self.caches:
            reused = sum(cache.reused for cache in self.caches)
            total = reused + sum(cache.full for cache in self.caches) + 1  # the last level is computed in full
            log.info("step cache: %d of %d evaluations reused the residual of an earlier one", reused, total)


class Passes:
    """The guidance passes over a clip that one rank evaluates."""

    def __init__(
        self,
        denoiser: Denoiser,
        clip: Clip,
        texts: Sequence[PassText],
        weights: Mapping[str, Weight],
        partition: RankPartition,
        cache_threshold: float,
    ):
        """clip, weights: of all frames. texts: of each pass, with its regions."""
        self.denoiser = denoiser
        self.partition = partition
        self.clip = clip.local(partition.sequence)
        self.weights: dict[str, Weight] = {
            name: partition.local_frames(weight).to(clip.device) if isinstance(weight, Tensor) else weight
            for name, weight in weights.items()
        }
        self.prompts: dict[int, Any] = {}
        for i in partition.local_passes(range(len(texts))):
            text, regions = texts[i]
            local = [region._replace(mask=partition.local_frames(region.mask)) for region in regions]
            self.prompts[i] = denoiser.prepare_text(text, self.clip, local)
        self.batched = self.clip.num_tokens <= BATCHED_TOKENS
        self.cache = StepCache(cache_threshold, partition.sequence) if cache_threshold else None

    def predictions(self, x: Tensor, sigma: float, condition: Any = None, *, count: int, in_full: bool) -> list[Tensor]:
        """What the denoiser predicts in the first `count` passes, on every rank. in_full: without the step cache."""
        if self.cache and in_full:
            self.cache.reset()
        prompts = [self.prompts[i] for i in self.partition.local_passes(range(count))]
        local = [torch.empty_like(x)]
        if prompts:
            alone = x.device.type == "cpu" and self.partition.sequence is None
            with torch_threads(CPU_THREADS) if alone else nullcontext():
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


def evaluated(
    net: BlockStack, finish: Callable[[Sequence[Any]], Tensor], prompts: Sequence[Any], *, sequence: bool, batched: bool
) -> list[Tensor]:
    """finish([prompt]) for each of the prompts: as one batch where `batched`; in inference mode on a CPU side by side,
    a single one in CPU_THREADS.

    net: whose blocks `finish` runs. sequence: whether other ranks hold a part of the clip.
    """

    @torch.inference_mode()
    def finish_alone(prompt: Any) -> Tensor:
        return finish([prompt])

    on_cpu = torch.is_inference_mode_enabled() and not net.blocks[0].norm1.linear_1.weight.is_cuda
    alone = not sequence and net.offload is None  # no ranks, nor blocks that take turns
    if on_cpu and alone and net.blocks[0].fused is EAGER:  # and no compiler
        with torch_threads(CPU_THREADS if len(prompts) == 1 else 1):
            return side_by_side([partial(finish_alone, prompt) for prompt in prompts])
    if batched and not on_cpu:
        return list(finish(prompts).chunk(len(prompts)))
    return [finish([prompt]) for prompt in prompts]
