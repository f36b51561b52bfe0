"""Guidance and given frames around a Cosmos-Transfer2.5 network: the velocity that the solver asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cosmos_exp.models.dit.parallel import ParallelContext
from cosmos_exp.models.dit.passes import GuidedPasses, PassText
from cosmos_exp.models.dit.regional import Region
from cosmos_exp.models.dit.residuals import Weight
from cosmos_exp.models.dit.step_cache import StepCache
from cosmos_exp.models.transfer25.network import ClipInputs, ControlledNet, PromptInputs
from cosmos_exp.sampling.flow import FlowParams, timestep_of
from cosmos_exp.sampling.unipc import Velocity


@dataclass(frozen=True)
class GivenFrames:
    """Latent frames that condition the clip.

    latent: [B,16,V*T,H,W]. given: [B or 1,1,V*T,1,1] or broadcastable, 1 on given frames. noise: the initial noise,
    like latent. In every evaluation the network reads the given frames in place of the solver's state, at the same
    timestep, and their velocity is noise - latent.
    """

    latent: Tensor
    given: Tensor
    noise: Tensor

    def inserted(self, x: Tensor) -> Tensor:
        return self.given * self.latent + (1 - self.given) * x

    def velocity(self, velocity: Tensor) -> Tensor:
        return self.given * (self.noise - self.latent) + (1 - self.given) * velocity


class VelocityDenoiser:
    """What `GuidedPasses` evaluates."""

    def __init__(self, net: ControlledNet):
        self.net = net

    def prepare_text(self, text: Tensor | None, clip: ClipInputs, regions: Sequence[Region] = ()) -> PromptInputs:
        return self.net.prepare_text(text, clip, regions)

    def divisible(self, clip: ClipInputs) -> tuple[int, int, int]:
        """Views, token frames of a view, and attention heads: what the ranks must divide."""
        config = self.net.config
        return clip.views, clip.num_frames // (clip.views * config.patch_size[0]), config.num_heads

    def branches(
        self,
        x: Tensor,
        sigma: float,
        prompts: Sequence[PromptInputs],
        clip: ClipInputs,
        weights: Mapping[str, Weight],
        *,
        condition: GivenFrames | None = None,
        batched: bool = True,
        cache: StepCache | None = None,
    ) -> list[Tensor]:
        """The velocity of each prompt, float32 [B,16,V*T,H,W] like x. With sequence parallelism, clip and weights are
        this rank's part; x and the results have all frames."""
        seen = x if condition is None else condition.inserted(x)
        timestep = torch.tensor([timestep_of(sigma)], device=x.device)
        local = clip.local_frames(seen.to(self.net.dtype))
        outputs = self.net.branches(local, timestep, prompts, clip, weights, batched=batched, cache=cache)
        velocities = [clip.gather_frames(output.to(x.dtype)) for output in outputs]
        return velocities if condition is None else [condition.velocity(velocity) for velocity in velocities]


def guided_velocity(
    net: ControlledNet,
    clip: ClipInputs,
    *,
    text: Tensor,
    negative_text: Tensor,
    sampler: FlowParams,
    weights: Mapping[str, Weight],
    condition: GivenFrames | None = None,
    parallel: ParallelContext | None = None,
) -> Velocity:
    """v = cond + guidance * (cond - uncond) as a function of (x, sigma), for one run down the levels of `sampler`.

    The scale of the other convention is guidance + 1; at 0 the conditional pass runs alone. Both passes see the
    controls and the given frames. text, negative_text: [B, V*S, text_width]. parallel: the ranks that evaluate it
    together, each with the same arguments and calls; all return the same.
    """
    texts: list[PassText] = [(text, ()), (negative_text, ())] if sampler.guidance else [(text, ())]
    passes = GuidedPasses(VelocityDenoiser(net), clip, texts, weights, sampler, parallel)

    @torch.inference_mode()
    def velocity(x: Tensor, sigma: float) -> Tensor:
        guidance, evaluate = passes.at(sigma)
        branches = evaluate(x, sigma, condition)
        return branches[0] + guidance * (branches[0] - branches[1]) if guidance else branches[0]

    return velocity
