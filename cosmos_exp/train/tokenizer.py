"""Training of the video tokenizer: an autoencoder with a fixed-variance Gaussian bottleneck.

Loss = MSE + l1_weight * L1 + gradient_weight * MSE of the first differences along frames, rows and columns
+ kl_weight * |z|^2 / 2, with noise of standard deviation `latent_noise` added to z: the KL term of a posterior whose
variance is fixed. The squared error dominates: under L1 alone the thin bright lines on black of control videos vanish,
as the median is black. Afterwards the latents' mean and standard deviation per channel are measured, which
the diffusion networks need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_cosmos import AutoencoderKLCosmos

from cosmos_exp.common.styles import STYLES
from cosmos_exp.train.clips import read_clip
from cosmos_exp.train.loop import LoopParams, StepProgress, run_loop

CONTROL_SHARE = 0.25


@dataclass
class TokenizerLoss:
    """Weights of the terms besides the squared error, and the noise on the latents."""

    l1_weight: float = 0.1
    gradient_weight: float = 0.5
    kl_weight: float = 1e-5
    latent_noise: float = 0.1


class VideoBank:
    """The videos of the clips in a folder, uint8 [N,F,H,W,3] each, kept on `device`; `refresh` picks up new clips."""

    def __init__(self, folder: Path, max_videos: int, device: torch.device | str):
        self.folder = folder
        self.max_videos = max_videos
        self.device = torch.device(device)
        self.styles: list[torch.Tensor] = []
        self.controls: list[torch.Tensor] = []
        self._seen: set[Path] = set()

    def refresh(self) -> int:
        """Number of videos held after reading what has been rendered since the last call."""
        for path in sorted(self.folder.glob("*.json")):
            if path in self._seen or len(self) >= self.max_videos:
                continue
            self._seen.add(path)
            clip = read_clip(path)
            for key, video in zip(clip.keys, torch.from_numpy(np.array(clip.videos)).to(self.device)):
                (self.styles if key.name in STYLES else self.controls).append(video)
        return len(self)

    def __len__(self) -> int:
        return len(self.styles) + len(self.controls)

    @property
    def num_clips(self) -> int:
        return len(self._seen)

    def sample(self, generator: torch.Generator, batch_size: int, *, crop: int = 0) -> torch.Tensor:
        """[B,3,F,H,W] in [-1,1]: a quarter control videos, the rest styles; each mirrored with probability one half.

        crop: side of a random square cut out of the batch, 0 for whole frames.
        """
        batch = []
        for control, pick, mirror in torch.rand(batch_size, 3, generator=generator, device=self.device).tolist():
            videos = self.controls if control < CONTROL_SHARE and self.controls else self.styles
            video = videos[int(pick * len(videos))]
            batch.append(video.flip(2) if mirror < 0.5 else video)
        x = torch.stack(batch)
        if crop:
            corner = torch.rand(2, generator=generator, device=self.device).tolist()
            top, left = (int(u * (size - crop + 1)) for u, size in zip(corner, x.shape[2:4]))
            x = x[:, :, top : top + crop, left : left + crop]
        return x.permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def difference_loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """MSE between the first differences of two videos along frames, rows and columns."""
    error = x - y
    columns, rows, frames = (error.diff(dim=d).square().mean() for d in (-1, -2, -3))
    return columns + rows + frames


def tokenizer_loss(
    autoencoder: AutoencoderKLCosmos,
    x: torch.Tensor,
    generator: torch.Generator,
    weights: TokenizerLoss,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """x: [B,3,F,H,W] in [-1,1]."""
    with torch.autocast(x.device.type, torch.bfloat16, enabled=x.device.type == "cuda"):
        z = autoencoder.encode(x).latent_dist.mode()
        noise = torch.randn(z.shape, generator=generator, device=z.device, dtype=z.dtype)
        y = autoencoder.decode(z + weights.latent_noise * noise).sample
    y, z = y.float(), z.float()
    mse, l1 = (x - y).square().mean(), (x - y).abs().mean()
    gradient = difference_loss(x, y)
    kl = 0.5 * z.square().mean()
    loss = mse + weights.l1_weight * l1 + weights.gradient_weight * gradient + weights.kl_weight * kl
    return loss, {"mse": mse, "l1": l1, "gradient": gradient, "kl": kl, "psnr": -10 * torch.log10(mse / 4)}


def train_tokenizer(
    autoencoder: AutoencoderKLCosmos,
    bank: VideoBank,
    loop: LoopParams,
    folder: Path,
    weights: TokenizerLoss,
    *,
    crop: int = 0,
    encoder: bool = True,
    progress: StepProgress | None = None,
    refresh: Callable[[], object] | None = None,
) -> bool:
    """Train in place on the bank's videos. True when all steps are done.

    encoder: train it too, not the decoder alone. refresh: called now and then, in place of that of the bank.
    """
    for part in (autoencoder.encoder, autoencoder.quant_conv):
        part.requires_grad_(encoder)
    steps_seen = 0

    def loss_function(generator: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        nonlocal steps_seen
        if steps_seen % 200 == 0:
            (refresh or bank.refresh)()
        steps_seen += 1
        return tokenizer_loss(autoencoder, bank.sample(generator, loop.batch_size, crop=crop), generator, weights)

    return run_loop(autoencoder, loss_function, loop, folder, progress=progress)


@torch.no_grad()
def latent_statistics(
    autoencoder: AutoencoderKLCosmos, bank: VideoBank, num_videos: int, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation [16] of the latents over `num_videos` videos."""
    device = next(autoencoder.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    latents = []
    for _ in range(max(1, num_videos // 16)):
        x = bank.sample(generator, 16)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            latents.append(autoencoder.encode(x).latent_dist.mode().float())
    z = torch.cat(latents)
    return z.mean(dim=(0, 2, 3, 4)), z.std(dim=(0, 2, 3, 4))
