"""Training objectives of the diffusion networks on encoded clips: EDM (arXiv 2206.00364, section 5).

ln(sigma) ~ N(p_mean, p_std^2); loss = (sigma^2 + sd^2) / (sigma sd)^2 * |D(x0 + sigma eps) - x0|^2, sd = sigma_data.
Positions that show objects can weigh more, 1 + object_weight * share: the best D is the same, a small network spends
more on them.
Guidance needs an unconditional branch: the single-view net sees the negative prompt in place of the caption, or
all-zero text where its model has none, the multi-view net all-zero text. In a share of the batches D is the guided
prediction cond + g (cond - uncond), so that samples with guidance stay among the training videos.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from cosmos_exp.captions.views import view_prompt
from cosmos_exp.models.dit.view_layout import given_frames, stack_views
from cosmos_exp.models.transfer1.config import DiTConfig
from cosmos_exp.models.transfer1.control import ControlEncoder, ControlledDiT
from cosmos_exp.models.transfer1.edm import Denoiser, FrameCondition, training_loss_weight
from cosmos_exp.models.transfer1.text import TextEncoder
from cosmos_exp.models.transfer1.transformer import Trunk
from cosmos_exp.train.conditioning import Conditioning, uniform
from cosmos_exp.train.latents import LatentSet

SHORT = 2
"""Latent frames of a short clip: 9 frames of video."""


@dataclass
class NoiseParams:
    """ln(sigma) is normal with p_mean and p_std, sigma clamped to [sigma_min, sigma_max]."""

    p_mean: float = 0.0
    p_std: float = 1.6
    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def draw(self, batch: int, generator: torch.Generator) -> Tensor:
        log_sigma = self.p_mean + self.p_std * torch.randn(batch, generator=generator, device=generator.device)
        return log_sigma.exp().clamp(self.sigma_min, self.sigma_max)


def draw_targets(clips: int, styles: int, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Clip and style [B] of each sample of a batch."""
    n, k = (torch.randint(count, (batch,), generator=generator, device=generator.device) for count in (clips, styles))
    return n, k


def flat_prompts(latents: LatentSet) -> list[str]:
    """Captions in the order of targets.flatten(0, 1)."""
    return [prompt for prompts in latents.prompts for prompt in prompts]


class SingleViewObjective(nn.Module):
    """Text encoder, base net and control encoders under one loss.

    train_text: without it the text encoder stays as it is.
    shuffle_captions trains the ablation without caption information: each clip gets the caption of another clip.
    """

    def __init__(
        self,
        text_encoder: TextEncoder,
        denoiser: Denoiser,
        latents: LatentSet,
        *,
        negative_prompt: str | None,
        noise: NoiseParams,
        batch_size: int,
        conditioning: Conditioning | None = None,
        object_weight: float = 0.0,
        train_text: bool = True,
        shuffle_captions: bool = False,
    ):
        super().__init__()
        self.text_encoder = text_encoder.requires_grad_(train_text)
        self.denoiser = denoiser
        self.latents = latents
        self.noise = noise
        self.batch_size = batch_size
        self.conditioning = conditioning or Conditioning()
        self.object_weight = object_weight
        self.shuffle_captions = shuffle_captions
        self.tokens = self._tokens(latents)
        self.negative = None
        if negative_prompt is not None:
            device = latents.targets.device
            self.negative = tuple(t.to(device) for t in text_encoder.tokenize([negative_prompt]))

    def extend(self, latents: LatentSet) -> None:
        """Train on these clips too."""
        self.tokens = tuple(torch.cat(pair) for pair in zip(self.tokens, self._tokens(latents), strict=True))
        self.latents = self.latents.joined(latents)

    def _tokens(self, latents: LatentSet) -> tuple[Tensor, ...]:
        device = self.latents.targets.device
        return tuple(t.to(device) for t in self.text_encoder.tokenize(flat_prompts(latents)))

    def text(self, rows: Tensor, drop: Tensor, generator: torch.Generator) -> Tensor:
        """Embeddings [B,S,D] of the captions of targets `rows`; the negative prompt's or zeros where drop [B]."""
        if self.shuffle_captions:
            count = len(self.tokens[0])
            rows = torch.randint(count, rows.shape, generator=generator, device=rows.device)
        drop = drop[:, None]
        captions = [t[rows] for t in self.tokens]
        if self.negative is None:
            return self.text_encoder(*captions) * ~drop[..., None]
        return self.text_encoder(*(torch.where(drop, n, t) for n, t in zip(self.negative, captions)))

    def forward(self, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        device = generator.device
        targets = self.latents.targets
        num_clips, num_styles = targets.shape[:2]
        guided = uniform(generator) < self.conditioning.guided
        batch = max(1, self.batch_size // 2) if guided else self.batch_size
        n, k = draw_targets(num_clips, num_styles, batch, generator)
        x0 = targets[n, k, 0].float()
        controls = self.conditioning.draw_controls(list(self.latents.hints), generator)
        hints = {c: self.latents.hints[c][n, 0].float() for c in controls}
        grid = patch_grid(self.denoiser, x0)
        weights = self.conditioning.draw_weights(controls, batch, grid, generator)
        sigma = self.noise.draw(batch, generator)
        noise = torch.randn(x0.shape, generator=generator, device=device)
        x = x0 + sigma[:, None, None, None, None] * noise
        rows = n * num_styles + k
        drop = torch.rand(batch, generator=generator, device=device) < self.conditioning.text_dropout
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            if guided:
                drop = torch.arange(2 * batch, device=device) >= batch
                text = self.text(rows.repeat(2), drop, generator)
                passes = self.denoiser(*doubled((x, sigma)), text, doubled(hints), doubled(weights))
                predicted = guided_x0(passes.float(), self.conditioning.most_guidance, generator)
            else:
                predicted = self.denoiser(x, sigma, self.text(rows, drop, generator), hints, weights)
        squares = (predicted.float() - x0).square()
        importance = loss_weights(self.latents.objects[n, 0], self.object_weight)
        error = (importance * squares).flatten(1).mean(dim=1)
        return (training_loss_weight(sigma) * error).mean(), {"x0_mse": squares.detach().mean()}


class MultiViewObjective(nn.Module):
    """The multi-view net under a loss on every view but the first, which is given.

    Each batch has the front view and `views_per_step - 1` random others: the net sees all views at once only in
    sampling. There, the given front view is generated, not ground truth: a share of the samples, `generated_fronts`,
    are given such a one where the latents have them, and `front_noise` is the largest standard deviation of the noise
    that training adds to it. A share of the batches, `short_clips`, has the first SHORT latent frames alone, of twice
    as many clips: attention over all views and frames is most of the cost.
    """

    def __init__(
        self,
        text_encoder: TextEncoder,
        denoiser: Denoiser,
        latents: LatentSet,
        *,
        views: tuple[str, ...],
        noise: NoiseParams,
        batch_size: int,
        conditioning: Conditioning | None = None,
        front_noise: float = 0.1,
        generated_fronts: float = 0.5,
        views_per_step: int | None = None,
        short_clips: float = 0.0,
        object_weight: float = 0.0,
    ):
        super().__init__()
        self.denoiser = denoiser
        self.latents = latents
        self.noise = noise
        self.batch_size = batch_size
        self.conditioning = conditioning or Conditioning()
        self.short_clips = short_clips
        self.object_weight = object_weight
        self.front_noise = front_noise
        self.generated_fronts = generated_fronts
        self.views = views
        self.views_per_step = views_per_step or len(views)
        self._text_encoder = [text_encoder]  # no part of this module: it is not trained here
        self.texts = self._encode_prompts(latents)

    def extend(self, latents: LatentSet) -> None:
        """Train on these clips too."""
        self.texts = torch.cat([self.texts, self._encode_prompts(latents)])
        self.latents = self.latents.joined(latents)

    @torch.no_grad()
    def _encode_prompts(self, latents: LatentSet) -> Tensor:
        """float16 [N*K, V, S, D]: computed once."""
        device = self.latents.targets.device
        (text_encoder,) = self._text_encoder
        texts = []
        for prompt in flat_prompts(latents):
            ids, mask = text_encoder.tokenize([view_prompt(view, prompt) for view in self.views])
            texts.append(text_encoder(ids.to(device), mask.to(device)).half())
        return torch.stack(texts)

    def forward(self, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        device = generator.device
        num_clips, num_styles, num_views = self.latents.targets.shape[:3]
        frames, batch = self.latents.targets.shape[4], self.batch_size
        if self.short_clips and uniform(generator) < self.short_clips:
            frames, batch = min(SHORT, frames), 2 * batch
        guided = uniform(generator) < self.conditioning.guided
        batch = max(1, batch // 2) if guided else batch
        n, k = draw_targets(num_clips, num_styles, batch, generator)
        others = 1 + torch.randperm(num_views - 1, generator=generator, device=device)[: self.views_per_step - 1]
        seen = torch.cat([others.new_zeros(1), others.sort().values])
        x0 = stack_views(self.latents.targets[n, k][:, seen, :, :frames].float())
        controls = self.conditioning.draw_controls(["hdmap"], generator)
        hints = {c: stack_views(self.latents.hints[c][n][:, seen, :, :frames].float()) for c in controls}
        weights = self.conditioning.draw_weights(controls, batch, patch_grid(self.denoiser, x0), generator)
        sigma = self.noise.draw(batch, generator)
        x = x0 + sigma[:, None, None, None, None] * torch.randn(x0.shape, generator=generator, device=device)
        front = self._given(x0, n, k, frames, generator)
        drop = torch.rand(batch, generator=generator, device=device) < self.conditioning.text_dropout
        text = self.texts[n * num_styles + k][:, seen].float().flatten(1, 2)
        given = given_frames(len(seen), frames).to(device)
        view_ids = seen.repeat_interleave(frames)[None]
        with (
            num_views_set_to(self.denoiser, len(seen)),
            torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"),
        ):
            if guided:
                x, sigmas, front, text = doubled((x, sigma, front, text))
                hints, weights = doubled(hints), doubled(weights)
                drop = torch.arange(2 * batch, device=device) >= batch
            else:
                sigmas = sigma
            condition = FrameCondition(front, given)
            text = text * ~drop[:, None, None]
            predicted = self.denoiser(x, sigmas, text, hints, weights, condition=condition, view_ids=view_ids)
            if guided:
                predicted = guided_x0(predicted.float(), self.conditioning.most_guidance, generator)
        free = 1 - given
        squares = (free * (predicted.float() - x0)).square() / free.mean()
        objects = self.latents.objects[n][:, seen, :frames].flatten(1, 2)
        error = (loss_weights(objects, self.object_weight) * squares).flatten(1).mean(dim=1)
        return (training_loss_weight(sigma) * error).mean(), {"x0_mse": squares.detach().mean()}

    def _given(self, x0: Tensor, clips: Tensor, styles: Tensor, frames: int, generator: torch.Generator) -> Tensor:
        """Latents like x0 [B,16,V*T,h,w] whose first view is what the net is given."""
        size = (len(x0), 1, 1, 1, 1)
        strength, choice = torch.rand(2, *size, generator=generator, device=x0.device)
        noised = x0 + self.front_noise * strength * torch.randn(x0.shape, generator=generator, device=x0.device)
        if self.latents.fronts is None:
            return noised
        fronts = self.latents.fronts[clips, styles, :, :frames].float()
        generated = torch.cat([fronts, x0[:, :, frames:]], dim=2)
        return torch.where(choice < self.generated_fronts, generated, noised)


def loss_weights(objects: Tensor, object_weight: float) -> Tensor:
    """[B,1,T,h,w] with a mean of 1 over the batch, from the shares of objects [B,T,h,w]."""
    weights = 1 + object_weight * objects.float()[:, None]
    return weights / weights.mean()


Batch = TypeVar("Batch", tuple[Tensor, ...], dict[str, Tensor])


def doubled(values: Batch) -> Batch:
    """Each tensor twice along its first dimension, for two passes over the same batch."""
    if isinstance(values, dict):
        return {name: torch.cat([value, value]) for name, value in values.items()}
    return tuple(torch.cat([value, value]) for value in values)


def guided_x0(passes: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """cond + g (cond - uncond) with a random g from 0 to `most` of each sample. passes: cond, then uncond [2B,...]."""
    cond, uncond = passes.chunk(2)
    g = most * torch.rand(len(cond), 1, 1, 1, 1, generator=generator, device=cond.device)
    return cond + g * (cond - uncond)


def patch_grid(denoiser: Denoiser, x: Tensor) -> tuple[int, int, int]:
    """Frames, rows and columns of the tokens of latents x [B,16,T,h,w]."""
    frames, rows, columns = (n // p for n, p in zip(x.shape[2:], denoiser.net.config.patch_size, strict=True))
    return frames, rows, columns


def networks(net: ControlledDiT) -> dict[str, Trunk]:
    """The base network under the name "", and the control encoders under theirs."""
    found: dict[str, Trunk] = {"": net.base}
    for name, encoder in net.controls.items():
        assert isinstance(encoder, ControlEncoder)
        found[name] = encoder
    return found


@contextmanager
def num_views_set_to(denoiser: Denoiser, num_views: int) -> Iterator[None]:
    """Context in which the multi-view denoiser takes `num_views` views, identified by the view ids passed to it."""
    nets = networks(denoiser.net).values()
    configs = [net.config for net in nets]
    try:
        for net in nets:
            net.config = replace(net.config, num_views=num_views, view_ids=None)
        yield
    finally:
        for net, config in zip(nets, configs, strict=True):
            net.config = config


@torch.no_grad()
def start_from_single_view(multi: ControlledDiT, single: ControlledDiT) -> None:
    """Give a multi-view net the weights of the single-view net it extends, before training.

    Both must have the same width. Blocks are taken evenly where the multi-view net has fewer; the input channels that
    only the multi-view net has (condition mask, view embedding) start at zero.
    """
    targets = networks(multi)
    for name, source in networks(single).items():
        if name not in targets:
            continue
        target = targets[name]
        values = source.state_dict()
        own = target.state_dict()
        picked = torch.linspace(0, source.config.num_blocks - 1, target.config.num_blocks).round().int().tolist()
        for key in own:
            twin = key
            if key.startswith(("transformer_blocks.", "zero_blocks.")):
                group, index, rest = key.split(".", 2)
                twin = f"{group}.{picked[int(index)]}.{rest}"
            if key == "patch_embed.proj.weight":
                own[key].copy_(_spread_channels(values[key], source.config, target.config))
            elif twin in values and values[twin].shape == own[key].shape:
                own[key].copy_(values[twin])


def _spread_channels(weight: Tensor, source: DiTConfig, target: DiTConfig) -> Tensor:
    """Patch embedder [D, C*p] for the multi-view net's channels: latent, condition mask, padding mask, views."""
    patch = weight.shape[1] // source.in_channels
    latent = source.latent_channels * patch
    spread = weight.new_zeros(len(weight), target.in_channels * patch)
    spread[:, :latent] = weight[:, :latent]
    padding = (target.latent_channels + target.condition_mask) * patch
    spread[:, padding : padding + patch] = weight[:, -patch:]
    return spread
