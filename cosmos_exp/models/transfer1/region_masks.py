"""Token masks of regional prompts."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from cosmos_exp.controls.area import Area
from cosmos_exp.models.dit.area_maps import area_map
from cosmos_exp.models.dit.weight_maps import to_patch_grid
from cosmos_exp.models.transfer1.tokenizer import latent_frame_count

LATENT_SIDE = 8  # pixels per latent row and column


def token_mask(area: Area, size: tuple[int, int, int], *, patch: int = 2, **inputs: Any) -> Tensor:
    """bool [1,1,T,h,w]: the patch tokens inside an area. size: frames, height, width of the clip in pixels.

    As Cosmos-Transfer1 reduces the masks of its regional prompts: at the latents' rows and columns in every frame, then
    frame 0 and groups of 8 frames to the patch grid, more than one half. patch: latent pixels per token side. inputs:
    as in `area_map`.
    """
    frames, rows, columns = size[0], size[1] // LATENT_SIDE, size[2] // LATENT_SIDE
    values = area_map(area, (frames, rows, columns), **inputs)
    return to_patch_grid(values, (latent_frame_count(frames), rows // patch, columns // patch)) > 0.5
