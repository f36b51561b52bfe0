"""Layout of several views in one latent: concatenated along time, view by view."""

from __future__ import annotations

import torch
from torch import Tensor

from cosmos_exp.common.errors import UserError, unknown_name

CONDITION_LOCATIONS = ("first_cam", "first_cam_and_first_n")


def stack_views(latents: Tensor) -> Tensor:
    """[..., V, C, T, H, W] -> [..., C, V*T, H, W]."""
    return latents.movedim(-5, -4).flatten(-4, -3)


def split_views(latents: Tensor, num_views: int) -> Tensor:
    """[..., C, V*T, H, W] -> [..., V, C, T, H, W]."""
    return latents.unflatten(-3, (num_views, -1)).movedim(-4, -5)


def given_frames(num_views: int, frames_per_view: int, *, location: str = "first_cam", first_frames: int = 0) -> Tensor:
    """Indicator [1, 1, V*T, 1, 1] of the latent frames that are given: all of view 0, and the first of each view.

    first_frames: latent frames given at the start of every view, used by first_cam_and_first_n.
    """
    if location not in CONDITION_LOCATIONS:
        raise UserError(unknown_name("condition location", location, CONDITION_LOCATIONS))
    given = torch.zeros(num_views, frames_per_view)
    given[0] = 1
    if location == "first_cam_and_first_n":
        given[:, :first_frames] = 1
    return given.reshape(1, 1, -1, 1, 1)
