"""The video tokenizer: diffusers' AutoencoderKLWan and the normalisation of its latents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch import Tensor, nn

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.transfer25.sizes import SPATIAL, latent_frame_count


def to_signed(frames: np.ndarray | Tensor) -> Tensor:
    """uint8 [...,F,H,W,3] -> float32 [...,3,F,H,W] in [-1, 1], rounded to bfloat16 as in the reference
    implementation."""
    pixels = torch.as_tensor(frames).movedim(-1, -4)
    return (pixels.to(torch.bfloat16) / 127.5 - 1).float()


class VideoTokenizer(nn.Module):
    """Pixels to latents and back, 4x8x8 smaller in frames, rows, columns. config: arguments of AutoencoderKLWan."""

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        self.vae = AutoencoderKLWan(**config)

    def encode(self, pixels: Tensor) -> Tensor:
        """[B,3,1+4k,H,W] in [-1,1] -> normalised latents [B,16,1+k,H/8,W/8]: the mode, not a sample."""
        latent_frame_count(pixels.shape[2])
        height, width = pixels.shape[-2:]
        if height % (2 * SPATIAL) or width % (2 * SPATIAL):
            raise UserError(f"video of {width}x{height} pixels: width and height must be multiples of {2 * SPATIAL}")
        latents = self.vae.encode(pixels.to(self.vae.dtype)).latent_dist.mode().float()
        mean, std = self._statistics(latents)
        return (latents - mean) / std

    def decode(self, latents: Tensor) -> Tensor:
        """Normalised latents [B,16,T,h,w] -> pixels [B,3,1+4(T-1),8h,8w] in [-1,1]."""
        mean, std = self._statistics(latents)
        return self.vae.decode((latents.float() * std + mean).to(self.vae.dtype)).sample.clamp(-1, 1)

    def _statistics(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        values = self.vae.config.latents_mean, self.vae.config.latents_std
        mean, std = (torch.tensor(v, device=latents.device).reshape(1, -1, 1, 1, 1) for v in values)
        return mean, std
