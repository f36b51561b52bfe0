"""EDM preconditioning (Karras et al. 2022, arXiv:2206.00364, table 1) around a controlled network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cosmos_exp.models.dit.regional import Region
from cosmos_exp.models.dit.residuals import Weight
from cosmos_exp.models.dit.step_cache import StepCache
from cosmos_exp.models.transfer1.control import ClipInputs, ControlledDiT, PromptInputs
from cosmos_exp.models.transfer1.transformer import BASE_FPS

SIGMA_DATA = 0.5


class EDMCoefficients(NamedTuple):
    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor


def edm_coefficients(sigma: Tensor, sigma_data: float = SIGMA_DATA) -> EDMCoefficients:
    """Coefficients of x0 = c_skip x + c_out F(c_in x, c_noise), in the shape and dtype of sigma."""
    total = sigma**2 + sigma_data**2
    return EDMCoefficients(
        c_skip=sigma_data**2 / total,
        c_out=sigma * sigma_data / total.sqrt(),
        c_in=1 / total.sqrt(),
        c_noise=sigma.log() / 4,
    )


@dataclass(frozen=True)
class FrameCondition:
    """Latent frames that condition the clip and are returned as given.

    latent: [B,16,V*T,H,W]. given: [B or 1,1,V*T,1,1], 1 on given frames. noise: like latent; given frames enter the
    network with `augment_sigma` of it.
    """

    latent: Tensor
    given: Tensor
    noise: Tensor | None = None
    augment_sigma: float = 0.0

    @cached_property
    def noised(self) -> Tensor:
        """latent + augment_sigma * noise."""
        if not self.augment_sigma or self.noise is None:
            return self.latent
        return self.latent + self.augment_sigma * self.noise


class Denoiser(nn.Module):
    """x0 predictor D(x, sigma), for sampling and for training.

    In training, call it directly. In sampling, call `prepare` once per clip and pass the result as `clip`.
    """

    def __init__(self, net: ControlledDiT):
        super().__init__()
        self.net = net

    def prepare(
        self,
        x: Tensor,
        hints: Mapping[str, Tensor],
        *,
        condition: FrameCondition | None = None,
        padding_mask: Tensor | None = None,
        fps: float = BASE_FPS,
        view_ids: Tensor | None = None,
        frame_repeat: Tensor | None = None,
        share_view_embed: bool = False,
    ) -> ClipInputs:
        """Inputs of the network that are constant over the steps, for clips shaped like x [B,16,V*T,H,W]."""
        return self.net.prepare(
            x.to(self.net.dtype),
            hints,
            condition_mask=None if condition is None else condition.given,
            padding_mask=padding_mask,
            fps=fps,
            view_ids=view_ids,
            frame_repeat=frame_repeat,
            share_view_embed=share_view_embed,
        )

    def prepare_text(self, text: Tensor | None, clip: ClipInputs, regions: Sequence[Region] = ()) -> PromptInputs:
        """As `ControlledDiT.prepare_text`."""
        return self.net.prepare_text(text, clip, regions)

    def divisible(self, clip: ClipInputs) -> tuple[int, int, int]:
        """Views, token frames of a view, and attention heads (their GCD over the networks): what the ranks must
        divide."""
        configs = [self.net.network(name).config for name in clip.positions]
        views = configs[0].num_views
        frames = clip.num_frames // (views * configs[0].patch_size[0])
        return views, frames, math.gcd(*(config.num_heads for config in configs))

    def forward(
        self,
        x: Tensor,
        sigma: Tensor,
        text: Tensor | None,
        hints: Mapping[str, Tensor],
        weights: Mapping[str, Weight],
        *,
        condition: FrameCondition | None = None,
        clip: ClipInputs | None = None,
        padding_mask: Tensor | None = None,
        fps: float = BASE_FPS,
        view_ids: Tensor | None = None,
        frame_repeat: Tensor | None = None,
    ) -> Tensor:
        """Predicted clean latent [B,16,V*T,H,W], in the dtype of x.

        x: noisy latent [B,16,V*T,H,W]. sigma: [B]. text: [B, V*S, text_channels], None for all-zero text.
        hints: control latents [B,16,V*T,H,W] by name. weights: scalar, [B] or patch-grid map, by name.
        clip: what `prepare` returned; hints and the arguments after it are then not read again.
        """
        if clip is None:
            clip = self.prepare(
                x,
                hints,
                condition=condition,
                padding_mask=padding_mask,
                fps=fps,
                view_ids=view_ids,
                frame_repeat=frame_repeat,
            )
        sigma = sigma.to(x).reshape(-1, 1, 1, 1, 1).expand(len(x), 1, 1, 1, 1)
        coefficients = edm_coefficients(sigma)
        x, given = with_given_frames(x, sigma, condition)
        text = None if text is None else text.to(self.net.dtype)
        output = self.net(self.scaled(x, coefficients), coefficients.c_noise.flatten().float(), text, clip, weights)
        return predicted(x, output, coefficients, condition, given)

    def branches(
        self,
        x: Tensor,
        sigma: float,
        prompts: Sequence[PromptInputs],
        clip: ClipInputs,
        weights: Mapping[str, Weight],
        *,
        condition: FrameCondition | None = None,
        batched: bool = True,
        cache: StepCache | None = None,
    ) -> list[Tensor]:
        """The clean latent that `forward` predicts for each prompt, all at one noise level; for sampling.

        prompts: what `net.prepare_text` returned. batched: evaluate them as one batch. cache: of the clip.
        With sequence parallelism, clip and weights are this rank's part; x and the results have all frames.
        """
        level = torch.full((1, 1, 1, 1, 1), sigma, dtype=x.dtype, device=x.device)
        coefficients = edm_coefficients(level)
        x, given = with_given_frames(x, level, condition)
        timestep = coefficients.c_noise.flatten().float()
        local = clip.local_frames(self.scaled(x, coefficients))
        outputs = self.net.branches(local, timestep, prompts, clip, weights, batched=batched, cache=cache)
        return [predicted(x, clip.gather_frames(output), coefficients, condition, given) for output in outputs]

    def scaled(self, x: Tensor, coefficients: EDMCoefficients) -> Tensor:
        """c_in x as the network takes it."""
        return (coefficients.c_in * x).to(self.net.dtype)


def with_given_frames(x: Tensor, sigma: Tensor, condition: FrameCondition | None) -> tuple[Tensor, Tensor | None]:
    """x with its given frames inserted, and their mask; below the augmentation's noise level none is inserted."""
    if condition is None:
        return x, None
    given = (condition.given * (condition.augment_sigma < sigma)).to(x)
    return given * augmented(condition, edm_coefficients(sigma).c_in).to(x) + (1 - given) * x, given


def predicted(
    x: Tensor, output: Tensor, coefficients: EDMCoefficients, condition: FrameCondition | None, given: Tensor | None
) -> Tensor:
    """Clean latent from the network's output, with the given frames inserted."""
    x0 = coefficients.c_skip * x + coefficients.c_out * output.to(x)
    return x0 if condition is None or given is None else given * condition.latent.to(x) + (1 - given) * x0


def augmented(condition: FrameCondition, c_in: Tensor) -> Tensor:
    """The given frames as inputs at another noise level: noised with augment_sigma, then rescaled so that c_in maps
    them to the input of that augmentation level."""
    level = torch.as_tensor(condition.augment_sigma, dtype=c_in.dtype, device=c_in.device)
    return condition.noised * (1 / (level**2 + SIGMA_DATA**2).sqrt() / c_in)


def training_loss_weight(sigma: Tensor, sigma_data: float = SIGMA_DATA) -> Tensor:
    """EDM weight of the x0 error: (sigma^2 + sigma_data^2) / (sigma sigma_data)^2."""
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2
