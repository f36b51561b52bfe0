"""Scalar and map weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.transfer1.control_weights import (
    control_weight_maps,
    normalize_scalar_weights,
    normalize_weight_maps,
    to_patch_grid,
)


def test_scalars_are_scaled_down_only_when_they_exceed_one():
    assert normalize_scalar_weights({"hdmap": 0.3, "edge": 0.4}) == {"hdmap": 0.3, "edge": 0.4}
    assert normalize_scalar_weights({"hdmap": 2.0}) == {"hdmap": 1.0}
    normalized = normalize_scalar_weights({"hdmap": 0.9, "edge": 0.6, "seg": 0.5})
    assert normalized == pytest.approx({"hdmap": 0.45, "edge": 0.3, "seg": 0.25})
    assert normalize_scalar_weights({"hdmap": 0.3}, reference_compat=True)["hdmap"] == 0.30078125  # nearest bfloat16


@pytest.mark.parametrize("weight", [-0.1, float("nan")])
def test_weights_must_be_zero_or_more(weight):
    with pytest.raises(UserError, match=r"'edge'.*0 or more"):
        normalize_scalar_weights({"edge": weight})
    with pytest.raises(UserError, match=r"'edge'.*0 or more"):
        normalize_weight_maps({"edge": weight, "hdmap": np.ones((2, 2))}, (9, 2, 2))


def test_maps_are_normalized_at_every_pixel():
    left = np.zeros((4, 6), np.float32)
    left[:, :3] = 0.8
    normalized = normalize_weight_maps({"hdmap": left, "edge": 0.6}, (9, 4, 6))
    torch.testing.assert_close(normalized["hdmap"][:, :, :3], torch.full((9, 4, 3), 0.8 / 1.4))
    torch.testing.assert_close(normalized["edge"][:, :, :3], torch.full((9, 4, 3), 0.6 / 1.4))
    torch.testing.assert_close(normalized["edge"][:, :, 3:], torch.full((9, 4, 3), 0.6))
    assert normalize_weight_maps({"hdmap": -left}, (9, 4, 6))["hdmap"].abs().max() == 0
    assert normalize_weight_maps({"hdmap": left}, (9, 8, 12))["hdmap"].shape == (9, 8, 12)


def test_the_first_frame_has_its_own_latent_frame():
    weight = torch.zeros(17, 32, 32)
    weight[0] = 1
    weight[9:] = 0.5
    grid = to_patch_grid(weight, (3, 2, 2))
    assert grid.shape == (1, 1, 3, 2, 2)
    assert (grid[0, 0, 0] == 1).all() and (grid[0, 0, 1] == 0).all() and (grid[0, 0, 2] == 0.5).all()
    assert to_patch_grid(weight[:1], (1, 2, 2)).shape == (1, 1, 1, 2, 2)


def test_what_the_network_takes():
    size = {"frames": 17, "height": 32, "width": 48}
    mixed = control_weight_maps({"hdmap": np.full((32, 48), 0.25, np.float32), "edge": 0.5}, **size)
    for name, value in {"hdmap": 0.25, "edge": 0.5}.items():
        torch.testing.assert_close(mixed[name], torch.full((1, 1, 3, 2, 3), value))
    with pytest.raises(UserError, match=r"\(2, 3, 4, 5\)"):
        control_weight_maps({"hdmap": np.zeros((2, 3, 4, 5))}, **size)
