"""Noise levels of a rectified flow, x = (1 - sigma) x0 + sigma noise, and the parameters of its sampler. Without torch,
for the validation of configs."""

from __future__ import annotations

from dataclasses import dataclass

from cosmos_exp.sampling.sampler_params import GuidanceInterval

FIRST_LEVEL = 0.999  # before the shift
SHIFT = 5.0
TIMESTEPS = 1000


@dataclass(frozen=True)
class FlowParams(GuidanceInterval):
    """num_steps: of the solver, each with one evaluation of the network.

    guidance, guidance_interval: see `GuidanceInterval`; the interval is of noise over signal, sigma / (1 - sigma), the
    noise level of other families. cache_threshold: of `StepCache`; 0 computes every evaluation in full. shift: of the
    noise levels, see `flow_levels`.
    """

    num_steps: int
    guidance: float
    guidance_interval: tuple[float, float] | None = None
    cache_threshold: float = 0.0
    shift: float = SHIFT

    @property
    def levels(self) -> list[float]:
        return flow_levels(self.num_steps, self.shift)

    def guidance_at(self, sigma: float) -> float:
        """g at a level below 1."""
        return super().guidance_at(sigma / (1 - sigma))


def unshifted_levels(num_steps: int) -> list[float]:
    """num_steps levels, evenly spaced from FIRST_LEVEL down to one step above 0."""
    return [FIRST_LEVEL * (1 - i / num_steps) for i in range(num_steps)]


def flow_levels(num_steps: int, shift: float = SHIFT) -> list[float]:
    """The levels at which the network is evaluated; the last step goes from the last of them to 0.

    sigma = s u / (1 + (s - 1) u) of the evenly spaced u (Esser et al. 2024, arXiv:2403.03206, equation 23).
    """
    return [shift * u / (1 + (shift - 1) * u) for u in unshifted_levels(num_steps)]


def timestep_of(sigma: float) -> int:
    """What the network is told of a level: 1000 sigma, truncated."""
    return int(TIMESTEPS * sigma)
