"""Views stacked along time."""

from __future__ import annotations

import pytest
import torch

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.dit.view_layout import given_frames, split_views, stack_views


def test_stacking_puts_views_one_after_the_other():
    latents = torch.arange(3 * 2 * 4).reshape(1, 3, 1, 2, 2, 2).float()
    stacked = stack_views(latents)
    assert stacked.shape == (1, 1, 6, 2, 2)
    torch.testing.assert_close(stacked[0, :, 4], latents[0, 2, :, 0])
    torch.testing.assert_close(split_views(stacked, 3), latents)
    torch.testing.assert_close(split_views(stack_views(latents[0]), 3), latents[0])


def test_given_frames():
    assert given_frames(3, 2).flatten().tolist() == [1, 1, 0, 0, 0, 0]
    both = given_frames(3, 2, location="first_cam_and_first_n", first_frames=1)
    assert both.flatten().tolist() == [1, 1, 1, 0, 1, 0]
    with pytest.raises(UserError, match="did you mean 'first_cam'"):
        given_frames(3, 2, location="firstcam")
