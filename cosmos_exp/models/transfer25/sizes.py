"""Frames and pixels of the video tokenizer's latents. Without torch, for the validation of configs."""

from __future__ import annotations

from cosmos_exp.common.errors import UserError

TEMPORAL, SPATIAL = 4, 8


def latent_frame_count(frames: int) -> int:
    """1 + 4k pixel frames make 1 + k latent frames; another count raises a UserError naming the nearest ones."""
    if frames >= 1 and (frames - 1) % TEMPORAL == 0:
        return 1 + (frames - 1) // TEMPORAL
    below = 1 + max(frames - 1, 0) // TEMPORAL * TEMPORAL
    raise UserError(f"{frames} frames: the tokenizer takes 1 + 4k, nearest {below} or {below + TEMPORAL}")


def given_latent_frames(frames: int) -> int:
    """Latent frames that so many given pixel frames fill: 0 of 0, 1 of 1, 2 of 5."""
    return 0 if frames == 0 else 1 + (frames - 1) // TEMPORAL


def pixel_frames(latents: int) -> int:
    """Pixel frames of one or more latent frames."""
    return 1 + (latents - 1) * TEMPORAL
