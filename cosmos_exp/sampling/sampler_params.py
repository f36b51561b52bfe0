"""Parameters of the sampler, their valid ranges, and its noise levels. Without torch, for the validation of configs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cosmos_exp.common.errors import ValidationErrors

SIGMA_MAX = 80.0  # noise level at which nothing is left of a video
SIGMA_MIN = 0.002  # of the released models
MAX_STEPS = 1000
DEFAULT_STEPS = 8  # of a model that has no number of its own
RHO = 7.0


class GuidanceInterval:
    """guidance: g of cond + g*(cond - uncond); 0 runs the conditional pass alone.

    guidance_interval: lowest and highest noise level with an unconditional pass (Kynkaanniemi et al. 2024,
    arXiv:2404.07724); elsewhere only the conditional pass runs. None: at every level.
    """

    guidance: float
    guidance_interval: tuple[float, float] | None

    def guidance_at(self, sigma: float) -> float:
        """g at a noise level: 0 outside the interval."""
        low, high = self.guidance_interval or (0.0, math.inf)
        return self.guidance if low <= sigma <= high else 0.0


@dataclass(frozen=True)
class SamplerParams(GuidanceInterval):
    """num_steps: of the solver; the network is evaluated at num_steps + 1 noise levels.

    guidance, guidance_interval: see `GuidanceInterval`. sigma_max, sigma_min: first and last noise level.
    cache_threshold: of `StepCache`; 0 computes every evaluation in full.
    reference_compat: with the numerics of the reference pipelines: noise levels as the networks see them rounded to
    bfloat16, the tile merging of Transfer1-7B, torch's noise on an init video, one view embedding for all multi-view
    controls.
    """

    num_steps: int
    guidance: float
    sigma_max: float = SIGMA_MAX
    sigma_min: float = SIGMA_MIN
    guidance_interval: tuple[float, float] | None = None
    cache_threshold: float = 0.0
    reference_compat: bool = False

    def __post_init__(self) -> None:
        problems = list(
            sampler_problems(
                num_steps=self.num_steps,
                guidance=self.guidance,
                sigma_max=self.sigma_max,
                sigma_min=self.sigma_min,
                guidance_interval=self.guidance_interval,
                cache_threshold=self.cache_threshold,
            )
        )
        if problems:
            raise ValidationErrors(problems)

    @property
    def levels(self) -> list[float]:
        return noise_levels(self.num_steps, self.sigma_max, self.sigma_min)

    @property
    def passes(self) -> int:
        """Of the network, to sample a clip."""
        return (self.num_steps + 1) * (2 if self.guidance else 1)


def steps_problems(key: str, num_steps: int) -> Iterator[str]:
    if not 1 <= num_steps <= MAX_STEPS:
        yield f"{key}={num_steps}: must be 1 to {MAX_STEPS}"


def guidance_problems(key: str, guidance: float) -> Iterator[str]:
    if not math.isfinite(guidance) or guidance < 0:
        yield f"{key}={guidance:g}: must be 0 (no guidance) or more"


def sampler_problems(
    *,
    num_steps: int,
    guidance: float,
    sigma_max: float,
    sigma_min: float,
    guidance_interval: Sequence[float] | None = None,
    cache_threshold: float = 0.0,
    own_sigma_min: float = SIGMA_MIN,
    left_to_model: bool = False,
) -> Iterator[str]:
    """What is out of range, one message per problem under the names of the config's keys.

    own_sigma_min: the model's own. left_to_model: whether sigma_min is that one because the config has null.
    """
    yield from steps_problems("sampler.num_steps", num_steps)
    yield from guidance_problems("sampler.guidance", guidance)
    if not 0 < sigma_min < sigma_max < math.inf:
        given = f"null, which is the model's own {sigma_min:g}" if left_to_model else f"{sigma_min:g}"
        yield (
            f"sampler.sigma_min={given}, sampler.sigma_max={sigma_max:g}: must satisfy "
            f"0 < sigma_min < sigma_max; the usual pair is {own_sigma_min:g} and {SIGMA_MAX:g}"
        )
    if guidance_interval is not None and not (
        len(guidance_interval) == 2 and 0 <= guidance_interval[0] < guidance_interval[1]
    ):
        yield (
            f"speed.guidance_interval={list(guidance_interval)}: give [lowest, highest] noise level, 0 or more, or "
            f"null; noise levels go from sampler.sigma_max={sigma_max:g} to sampler.sigma_min={sigma_min:g}"
        )
    if not 0 <= cache_threshold < 1:
        yield (
            f"speed.cache_threshold={cache_threshold:g}: must be 0 (off) or more and less than 1; usual are 0.05 to 0.2"
        )


def noise_levels(num_steps: int, sigma_max: float = SIGMA_MAX, sigma_min: float = SIGMA_MIN) -> list[float]:
    """num_steps + 1 levels, evenly spaced in sigma^(1/7) from sigma_max down to sigma_min."""
    high, low = sigma_max ** (1 / RHO), sigma_min ** (1 / RHO)
    return [(high + i / num_steps * (low - high)) ** RHO for i in range(num_steps + 1)]
