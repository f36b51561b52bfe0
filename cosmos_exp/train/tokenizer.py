"""Training of the video tokenizer: an autoencoder with a fixed-variance Gaussian bottleneck.

Loss = L1 + gradient_weight * L1 of spatial and temporal differences + kl_weight * |z|^2 / 2, with noise of standard
deviation `latent_noise` added to z: the KL term of a posterior whose variance is fixed. Afterwards the latents'
mean and standard deviation per channel are measured, which the diffusion networks need.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from cosmos_exp.train.clips import read_clip
from cosmos_exp.train.loop import LoopParams, run_loop


class VideoBank:
    """The videos of the clips in a folder, uint8 [N,F,H,W,3] each, kept on `device`; `refresh` picks up new clips."""

    def __init__(self, folder: Path, max_videos: int, device: torch.device | str):
        self.folder = folder
        self.max_videos = max_videos
        self.device = torch.device(device)
        self.videos: list[torch.Tensor] = []
        self._seen: set[Path] = set()

    def refresh(self) -> int:
        """Number of videos held after reading what has been rendered since the last call."""
        for path in sorted(self.folder.glob("*.json")):
            if path in self._seen or len(self.videos) >= self.max_videos:
                continue
            self._seen.add(path)
            self.videos.extend(torch.from_numpy(np.array(read_clip(path).videos)).to(self.device))
        return len(self.videos)

    @property
    def num_clips(self) -> int:
        return len(self._seen)

    def sample(self, generator: torch.Generator, batch_size: int) -> torch.Tensor:
        """[B,3,F,H,W] in [-1,1], each video mirrored with probability one half."""
        picks = torch.randint(len(self.videos), (batch_size,), generator=generator, device=self.device)
        flips = torch.rand(batch_size, generator=generator, device=self.device) < 0.5
        batch = torch.stack([self.videos[i] for i in picks.tolist()])
        x = batch.permute(0, 4, 1, 2, 3).float() / 127.5 - 1
        return torch.where(flips[:, None, None, None, None], x.flip(-1), x)


def difference_loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """L1 between the first differences of two videos along frames, rows and columns."""
    error = x - y
    return sum(error.diff(dim=d).abs().mean() for d in (-1, -2, -3))


def tokenizer_loss(
    autoencoder: nn.Module,
    x: torch.Tensor,
    generator: torch.Generator,
    *,
    gradient_weight: float,
    kl_weight: float,
    latent_noise: float,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """x: [B,3,F,H,W] in [-1,1]."""
    with torch.autocast(x.device.type, torch.bfloat16, enabled=x.device.type == "cuda"):
        z = autoencoder.encode(x).latent_dist.mode()
        noise = torch.randn(z.shape, generator=generator, device=z.device, dtype=z.dtype)
        y = autoencoder.decode(z + latent_noise * noise).sample
    y, z = y.float(), z.float()
    l1 = (x - y).abs().mean()
    gradient = difference_loss(x, y)
    kl = 0.5 * z.square().mean()
    loss = l1 + gradient_weight * gradient + kl_weight * kl
    psnr = -10 * torch.log10((x - y).square().mean() / 4)
    return loss, {"l1": l1.detach(), "gradient": gradient.detach(), "kl": kl.detach(), "psnr": psnr.detach()}


def train_tokenizer(
    autoencoder: nn.Module,
    bank: VideoBank,
    loop: LoopParams,
    folder: Path,
    *,
    gradient_weight: float = 0.5,
    kl_weight: float = 1e-4,
    latent_noise: float = 0.1,
    progress=None,
) -> bool:
    """Train in place on the bank's videos. True when all steps are done."""
    steps_seen = 0

    def loss_function(generator: torch.Generator):
        nonlocal steps_seen
        if steps_seen % 200 == 0:
            bank.refresh()
        steps_seen += 1
        x = bank.sample(generator, loop.batch_size)
        return tokenizer_loss(
            autoencoder,
            x,
            generator,
            gradient_weight=gradient_weight,
            kl_weight=kl_weight,
            latent_noise=latent_noise,
        )

    return run_loop(autoencoder, loss_function, loop, folder, progress=progress)


@torch.no_grad()
def latent_statistics(autoencoder: nn.Module, bank: VideoBank, num_videos: int, seed: int = 0):
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
