"""Training objectives of the diffusion networks on encoded clips: EDM (arXiv 2206.00364, section 5).

ln(sigma) ~ N(p_mean, p_std^2); loss = (sigma^2 + sd^2) / (sigma sd)^2 * |D(x0 + sigma eps) - x0|^2, sd = sigma_data.
Guidance needs an unconditional branch: the single-view net sees the negative prompt in place of the caption, the
multi-view net all-zero text.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cosmos_exp.captions.views import view_prompt
from cosmos_exp.train.latents import LatentSet
from cosmos_exp.world.edm import Denoiser, FrameCondition, training_loss_weight
from cosmos_exp.world.multiview import given_frames, stack_views
from cosmos_exp.world.text import TextEncoder


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

    shuffle_captions trains the ablation that a caption is worth nothing to: each clip gets another clip's caption.
    """

    def __init__(
        self,
        text_encoder: TextEncoder,
        denoiser: Denoiser,
        latents: LatentSet,
        *,
        negative_prompt: str,
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
        self.negative = tuple(t.to(device) for t in text_encoder.tokenize([negative_prompt]))

    def text(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Embeddings [B,S,D] of the captions of targets `rows`, some replaced by the negative prompt's."""
        if self.shuffle_captions:
            count = len(self.tokens[0])
            rows = torch.randint(count, rows.shape, generator=generator, device=rows.device)
        drop = torch.rand(len(rows), 1, generator=generator, device=rows.device) < self.text_dropout
        ids, mask = (torch.where(drop, n, t[rows]) for n, t in zip(self.negative, self.tokens))
        return self.text_encoder(ids, mask)

    def forward(self, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        device = generator.device
        targets = self.latents.targets
        num_clips, num_styles = targets.shape[:2]
        n = torch.randint(num_clips, (self.batch_size,), generator=generator, device=device)
        k = torch.randint(num_styles, (self.batch_size,), generator=generator, device=device)
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

    The front view that the net will be given is generated, not true: `front_noise` is the largest standard deviation
    of the noise that training adds to it.
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
    ):
        super().__init__()
        self.denoiser = denoiser
        self.latents = latents
        self.noise = noise
        self.batch_size = batch_size
        self.text_dropout = text_dropout
        self.front_noise = front_noise
        self.views = views
        self.texts = self._encode_prompts(text_encoder)
        self.given = given_frames(len(views), latents.targets.shape[4]).to(latents.targets.device)

    @torch.no_grad()
    def _encode_prompts(self, text_encoder: TextEncoder) -> Tensor:
        """float16 [N*K, V*S, D]: the text encoder is not trained here, so its output is computed once."""
        device = self.latents.targets.device
        texts = []
        for prompt in flat_prompts(self.latents):
            ids, mask = text_encoder.tokenize([view_prompt(view, prompt) for view in self.views])
            texts.append(text_encoder(ids.to(device), mask.to(device)).half().flatten(0, 1))
        return torch.stack(texts)

    def forward(self, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        device = generator.device
        num_clips, num_styles = self.latents.targets.shape[:2]
        n = torch.randint(num_clips, (self.batch_size,), generator=generator, device=device)
        k = torch.randint(num_styles, (self.batch_size,), generator=generator, device=device)
        x0 = stack_views(self.latents.targets[n, k].float())
        hints = {"hdmap": stack_views(self.latents.hints["hdmap"][n].float())}
        weights = draw_weights(["hdmap"], self.batch_size, generator)
        sigma = self.noise.draw(self.batch_size, generator)
        x = x0 + sigma[:, None, None, None, None] * torch.randn(x0.shape, generator=generator, device=device)
        strength = self.front_noise * torch.rand(self.batch_size, 1, 1, 1, 1, generator=generator, device=device)
        front = x0 + strength * torch.randn(x0.shape, generator=generator, device=device)
        keep = torch.rand(self.batch_size, 1, 1, generator=generator, device=device) >= self.text_dropout
        text = self.texts[n * num_styles + k].float() * keep
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            condition = FrameCondition(front, self.given)
            predicted = self.denoiser(x, sigma, text, hints, weights, condition=condition)
        free = 1 - self.given
        squares = (free * (predicted.float() - x0)).square().flatten(1).mean(dim=1) / free.mean()
        return (training_loss_weight(sigma) * squares).mean(), {"x0_mse": squares.detach().mean()}
