"""The `model` group of the family `transfer1`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cosmos_exp.models.config import ModelConfig
from cosmos_exp.models.contract import Contract
from cosmos_exp.sampling.config import BoundSampler


@dataclass
class Transfer1Config(ModelConfig):
    """Which Cosmos-Transfer1 networks, and the clip to make with them."""

    weights: str | None = None
    """Folder with the model's weights; null takes those that ship with the package, or of a released model
    $COSMOS_EXP_MODELS/<name>, by default below ~/.cache/cosmos-exp/models."""
    multi_view_steps: int | None = None
    """Solver steps of the multi-view network; null: sampler.num_steps."""
    multi_view_guidance: float | None = None
    """Guidance of the multi-view network; null takes the model's own, or sampler.guidance where it has none."""
    reference_compat: bool = False
    """Generate with the quirks of the reference implementation: rounded weights and noise levels among others."""

    def multi_view_sampler(self, sampler: BoundSampler, contract: Contract) -> BoundSampler:
        """The sampler group as the multi-view network takes it."""
        steps, guidance = self.multi_view_steps, self.multi_view_guidance
        if guidance is None:
            guidance = contract.multi_view_guidance
        return replace(
            sampler,
            num_steps=sampler.num_steps if steps is None else steps,
            guidance=sampler.guidance if guidance is None else float(guidance),
        )
