"""The video tokenizer: diffusers' AutoencoderKLCosmos and the normalisation of its latents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_cosmos import AutoencoderKLCosmos
from torch import Tensor, nn

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.transfer1 import chunked_vae
from cosmos_exp.models.transfer1.chunked_vae import TEMPORAL
from cosmos_exp.models.transfer1.decoder_layers import Unpatcher, use_temporal_convs
from cosmos_exp.models.transfer1.edm import SIGMA_DATA


def latent_frame_count(frames: int) -> int:
    """1 + 8k pixel frames make 1 + k latent frames; another count raises a UserError naming the nearest ones."""
    if frames >= 1 and (frames - 1) % TEMPORAL == 0:
        return 1 + (frames - 1) // TEMPORAL
    below = 1 + max(frames - 1, 0) // TEMPORAL * TEMPORAL
    raise UserError(f"{frames} frames: the tokenizer takes 1 + 8k, nearest {below} or {below + TEMPORAL}")


def to_signed(frames: np.ndarray | Tensor) -> Tensor:
    """uint8 [...,F,H,W,3] -> float32 [...,3,F,H,W] in [-1, 1]."""
    pixels = torch.as_tensor(frames).movedim(-1, -4)
    return pixels.to(torch.float32) / 255 * 2 - 1


def to_uint8(pixels: Tensor) -> np.ndarray:
    """float [...,3,F,H,W] in [-1, 1] -> uint8 [...,F,H,W,3], clamped and truncated."""
    levels = ((pixels.float() + 1) / 2).clamp(0, 1) * 255
    return levels.to(torch.uint8).movedim(-4, -1).cpu().numpy()


class VideoTokenizer(nn.Module):
    """Pixels to latents and back, 8x8x8 smaller in frames, rows, columns.

    config: arguments of AutoencoderKLCosmos. stat_frames: latent frames of the mean and std tables; 1 for one value per
    channel, else the clip length (the released tables are per channel and latent frame).
    chunk: latent frames to process at a time, None for all; the result is the same.
    """

    chunk: int | None = None
    mean: Tensor
    std: Tensor

    def __init__(self, config: Mapping[str, Any], stat_frames: int = 1):
        super().__init__()
        self.vae = AutoencoderKLCosmos(**config, latents_mean=None, latents_std=None)
        coder = self.vae.decoder.unpatch_embed
        self.vae.decoder.unpatch_embed = Unpatcher(coder.patch_size, coder.patch_method)
        use_temporal_convs(self.vae.decoder)
        channels = self.vae.config.latent_channels
        self.register_buffer("mean", torch.zeros(channels, stat_frames))
        self.register_buffer("std", torch.ones(channels, stat_frames))

    def encode(self, pixels: Tensor) -> Tensor:
        """[B,3,1+8k,H,W] in [-1,1] -> normalised latents [B,C,1+k,H/8,W/8] of standard deviation about sigma_data."""
        frames = latent_frame_count(pixels.shape[2])
        height, width = pixels.shape[-2:]
        if height % 16 or width % 16:
            raise UserError(f"video of {width}x{height} pixels: width and height must be multiples of 16")
        if self.chunk is None:
            latents = self.vae.encode(pixels.to(self.mean.dtype)).latent_dist.mode()
        else:
            latents = chunked_vae.encode(self.vae, pixels, self.chunk)
        mean, std = self._statistics(frames)
        return (latents - mean) / std * SIGMA_DATA

    def decode(self, latents: Tensor) -> Tensor:
        """Normalised latents [B,C,T,h,w] -> pixels [B,3,1+8(T-1),8h,8w], about [-1,1], not clamped."""
        return torch.cat(list(self.decoded(latents)), dim=2)

    def decoded(self, latents: Tensor) -> Iterator[Tensor]:
        """What `decode` returns, in pieces along the frames."""
        mean, std = self._statistics(latents.shape[2])
        raw = latents.to(mean.dtype) / SIGMA_DATA * std + mean
        if self.chunk is None:
            yield self.vae.decode(raw).sample
        else:
            yield from chunked_vae.decode(self.vae, raw, self.chunk)

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Statistics of the raw latents, [C] or [C, stat_frames]."""
        self.mean.copy_(mean.reshape(self.mean.shape))
        self.std.copy_(std.reshape(self.std.shape))

    def make_wavelets(self) -> None:
        """Compute the constants of the patching layers of a tokenizer on the meta device; no weights file has them."""
        coder = self.vae.encoder.patch_embed
        self.vae.encoder.patch_embed = type(coder)(coder.patch_size, coder.patch_method)
        coder = self.vae.decoder.unpatch_embed
        self.vae.decoder.unpatch_embed = type(coder)(coder.patch_size, coder.patch_method)

    def _statistics(self, frames: int) -> tuple[Tensor, Tensor]:
        """mean, std broadcastable to [B,C,T,h,w]."""
        have = self.mean.shape[1]
        if have > 1 and frames > have:
            raise UserError(f"{frames} latent frames in one clip: this tokenizer has statistics for {have}")
        return self.mean[:, :frames, None, None], self.std[:, :frames, None, None]
