"""Training objectives of the diffusion networks on encoded clips: EDM (arXiv 2206.00364, section 5).

ln(sigma) ~ N(p_mean, p_std^2); loss = (sigma^2 + sd^2) / (sigma sd)^2 * |D(x0 + sigma eps) - x0|^2, sd = sigma_data.
Guidance needs an unconditional branch: the single-view net sees the negative prompt in place of the caption, or
all-zero text where its model has none, the multi-view net all-zero text.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from cosmos_exp.captions.views import view_prompt
from cosmos_exp.models.dit.view_layout import given_frames, stack_views
from cosmos_exp.models.transfer1.config import DiTConfig
from cosmos_exp.models.transfer1.control import ControlEncoder, ControlledDiT
from cosmos_exp.models.transfer1.edm import Denoiser, FrameCondition, training_loss_weight
from cosmos_exp.models.transfer1.text import TextEncoder
from cosmos_exp.models.transfer1.transformer import Trunk
from cosmos_exp.train.latents import LatentSet


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


def draw_controls(names: list[str], generator: torch.Generator) -> list[str]:
    """The controls of one batch: one (60 %), two (30 %) or three (10 %) of them, the HD map in half of all batches."""
    u = float(torch.rand((), generator=generator, device=generator.device))
    count = min(1 if u < 0.6 else 2 if u < 0.9 else 3, len(names))
    order = torch.randperm(len(names), generator=generator, device=generator.device).tolist()
    picked = [names[i] for i in order]
    if "hdmap" in picked and float(torch.rand((), generator=generator, device=generator.device)) < 0.4:
        picked.sort(key=lambda name: name != "hdmap")
    return sorted(picked[:count])


def draw_weights(names: list[str], batch: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Random control weights [B] each: a lone control in (0.3, 1], several on the simplex."""
    u = torch.rand(len(names), batch, generator=generator, device=generator.device)
    w = 0.3 + 0.7 * u if len(names) == 1 else (0.1 + u) / (0.1 + u).sum(dim=0)
    return dict(zip(names, w))


def flat_prompts(latents: LatentSet) -> list[str]:
    """Captions in the order of targets.flatten(0, 1)."""
    return [prompt for prompts in latents.prompts for prompt in prompts]


class SingleViewObjective(nn.Module):
    """Text encoder, base net and control encoders under one loss.

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
        text_dropout: float = 0.15,
        shuffle_captions: bool = False,
    ):
        super().__init__()
        self.text_encoder = text_encoder
        self.denoiser = denoiser
        self.latents = latents
        self.noise = noise
        self.batch_size = batch_size
        self.text_dropout = text_dropout
        self.shuffle_captions = shuffle_captions
        device = latents.targets.device
        self.tokens = tuple(t.to(device) for t in text_encoder.tokenize(flat_prompts(latents)))
        self.negative = None
        if negative_prompt is not None:
            self.negative = tuple(t.to(device) for t in text_encoder.tokenize([negative_prompt]))

    def text(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Embeddings [B,S,D] of the captions of targets `rows`, some replaced by the negative prompt's or by zeros."""
        if self.shuffle_captions:
            count = len(self.tokens[0])
            rows = torch.randint(count, rows.shape, generator=generator, device=rows.device)
        drop = torch.rand(len(rows), 1, generator=generator, device=rows.device) < self.text_dropout
        captions = [t[rows] for t in self.tokens]
        if self.negative is None:
            return self.text_encoder(*captions) * ~drop[..., None]
        return self.text_encoder(*(torch.where(drop, n, t) for n, t in zip(self.negative, captions)))

    def forward(self, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        device = generator.device
        targets = self.latents.targets
        num_clips, num_styles = targets.shape[:2]
        n, k = draw_targets(num_clips, num_styles, self.batch_size, generator)
        x0 = targets[n, k, 0].float()
        controls = draw_controls(list(self.latents.hints), generator)
        hints = {c: self.latents.hints[c][n, 0].float() for c in controls}
        weights = draw_weights(controls, self.batch_size, generator)
        sigma = self.noise.draw(self.batch_size, generator)
        noise = torch.randn(x0.shape, generator=generator, device=device)
        x = x0 + sigma[:, None, None, None, None] * noise
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            text = self.text(n * num_styles + k, generator)
            predicted = self.denoiser(x, sigma, text, hints, weights)
        error = (predicted.float() - x0).square().flatten(1).mean(dim=1)
        return (training_loss_weight(sigma) * error).mean(), {"x0_mse": error.detach().mean()}


class MultiViewObjective(nn.Module):
    """The multi-view net under a loss on every view but the first, which is given.

    Each batch has the front view and `views_per_step - 1` random others: the net sees all views at once only in
    sampling. There, the given front view is generated, not ground truth: `front_noise` is the largest standard
    deviation of the noise that training adds to it.
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
        text_dropout: float = 0.15,
        front_noise: float = 0.1,
        views_per_step: int | None = None,
    ):
        super().__init__()
        self.denoiser = denoiser
        self.latents = latents
        self.noise = noise
        self.batch_size = batch_size
        self.text_dropout = text_dropout
        self.front_noise = front_noise
        self.views = views
        self.views_per_step = views_per_step or len(views)
        self.texts = self._encode_prompts(text_encoder)

    @torch.no_grad()
    def _encode_prompts(self, text_encoder: TextEncoder) -> Tensor:
        """float16 [N*K, V, S, D]: the text encoder is not trained here, so its output is computed once."""
        device = self.latents.targets.device
        texts = []
        for prompt in flat_prompts(self.latents):
            ids, mask = text_encoder.tokenize([view_prompt(view, prompt) for view in self.views])
            texts.append(text_encoder(ids.to(device), mask.to(device)).half())
        return torch.stack(texts)

    def forward(self, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        device = generator.device
        num_clips, num_styles, num_views = self.latents.targets.shape[:3]
        n, k = draw_targets(num_clips, num_styles, self.batch_size, generator)
        others = 1 + torch.randperm(num_views - 1, generator=generator, device=device)[: self.views_per_step - 1]
        seen = torch.cat([others.new_zeros(1), others.sort().values])
        x0 = stack_views(self.latents.targets[n, k][:, seen].float())
        hints = {"hdmap": stack_views(self.latents.hints["hdmap"][n][:, seen].float())}
        weights = draw_weights(["hdmap"], self.batch_size, generator)
        sigma = self.noise.draw(self.batch_size, generator)
        x = x0 + sigma[:, None, None, None, None] * torch.randn(x0.shape, generator=generator, device=device)
        strength = self.front_noise * torch.rand(self.batch_size, 1, 1, 1, 1, generator=generator, device=device)
        front = x0 + strength * torch.randn(x0.shape, generator=generator, device=device)
        keep = torch.rand(self.batch_size, 1, 1, generator=generator, device=device) >= self.text_dropout
        text = self.texts[n * num_styles + k][:, seen].float().flatten(1, 2) * keep
        frames = x0.shape[2] // len(seen)
        given = given_frames(len(seen), frames).to(device)
        view_ids = seen.repeat_interleave(frames)[None]
        with (
            num_views_set_to(self.denoiser, len(seen)),
            torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"),
        ):
            condition = FrameCondition(front, given)
            predicted = self.denoiser(x, sigma, text, hints, weights, condition=condition, view_ids=view_ids)
        free = 1 - given
        squares = (free * (predicted.float() - x0)).square().flatten(1).mean(dim=1) / free.mean()
        return (training_loss_weight(sigma) * squares).mean(), {"x0_mse": squares.detach().mean()}


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
