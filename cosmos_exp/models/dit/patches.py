"""Latents as patches: the order in which the head writes them, and the padding mask beside them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def unpatchify(patches: Tensor, grid: tuple[int, int, int], patch_size: tuple[int, int, int]) -> Tensor:
    """[B, L, pt*ph*pw*C] of the head as a latent [B, C, frames, rows, columns]. grid: token frames, rows, columns.

    The head orders a patch (row, column, frame, channel), which is not the order the embedder reads.
    """
    pt, ph, pw = patch_size
    x = patches.unflatten(2, (ph, pw, pt, -1)).unflatten(1, grid)
    x = x.permute(0, 7, 1, 6, 2, 4, 3, 5)
    return x.flatten(6, 7).flatten(4, 5).flatten(2, 3)


def resize_padding(mask: Tensor, x: Tensor) -> Tensor:
    """Padding mask [B,1,rows,columns] nearest-resized to the latent x: [B,1,1,H,W]."""
    return F.interpolate(mask.to(x), size=x.shape[-2:], mode="nearest")[:, :, None]
