"""Clips larger than the network makes, blended from tiles."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.tensors import draw

from cosmos_exp.models.dit.regional import Region
from cosmos_exp.models.transfer1.single_view import sample_single_view
from cosmos_exp.models.transfer1.tiles import Tile, blend_tiles, tile_weights, tiles_of
from cosmos_exp.sampling.sampler_params import SamplerParams

PARAMS = SamplerParams(num_steps=1, guidance=2.0)
TILE = (32, 48)  # pixels: 4 x 6 latents
GRID = (2, 8, 12)


@pytest.mark.parametrize("size", [(264, 480), (88, 160), (90, 200), (8, 12)])
def test_tiles_cover_everything_and_share_out_to_one(size):
    tile = (704, 1280) if size[0] > 80 else TILE
    tiles = tiles_of(*size, tile)
    total = torch.zeros(size)
    for own, share in zip(tiles, tile_weights(tiles, *size), strict=True):
        assert own.top % 2 == own.left % 2 == 0 and share.min() > 0
        own.of(total).add_(share)
    torch.testing.assert_close(total, torch.ones(size))


def test_the_released_upscaler_makes_sixteen_tiles_that_overlap():
    tiles = tiles_of(264, 480, (704, 1280))
    assert len(tiles) == 16
    assert [tile.top for tile in tiles[::4]] == [0, 58, 118, 176]  # of 88 rows each
    assert tiles_of(88, 160, (704, 1280)) == tiles_of(88, 160, None) == (Tile(0, 0, 88, 160),)


def test_what_tiles_agree_on_is_the_blend():
    x = draw(1, 16, *GRID)
    tiles = tiles_of(*GRID[1:], TILE)
    torch.testing.assert_close(blend_tiles(tiles, [lambda x, sigma: x * sigma] * len(tiles), *GRID[1:])(x, 3.0), 3 * x)


@pytest.fixture
def sample(tiny_model, monkeypatch):
    """A function: sample 64 x 96 pixels in tiles of 32 x 48. corner: added to the control in its last corner."""

    def sampled(tile=TILE, corner=0.0, **options):
        monkeypatch.setattr(tiny_model, "contract", replace(tiny_model.contract, tile=tile))
        hint = draw(16, *GRID, seed=1)
        hint[:, :, -2:, -2:] += corner
        text, negative = tiny_model.encode_text("Snow"), tiny_model.encode_text("Bad")
        weights = {"hdmap": options.pop("weight", 0.5)}
        return sample_single_view(tiny_model, {"hdmap": hint}, weights, text, negative, PARAMS, 0, **options)

    return sampled


def test_a_tile_sees_its_own_part_alone(sample):
    latents, changed = sample(), sample(corner=2.0)
    assert latents.shape == (16, *GRID)
    assert torch.equal(latents[:, :, :2, :4], changed[:, :, :2, :4])  # two tiles away in each direction
    assert not torch.allclose(latents[:, :, -2:, -2:], changed[:, :, -2:, -2:], atol=1e-3)
    whole = sample(tile=None), sample(tile=None, corner=2.0)
    assert not torch.equal(*(x[:, :, :2, :4] for x in whole))


def test_maps_and_regions_are_cut_with_the_tiles(sample, tiny_model):
    weight = torch.full((1, 1, 2, 4, 6), 0.5)
    torch.testing.assert_close(sample(weight=weight), sample(), rtol=1e-4, atol=1e-4)
    mask = torch.zeros(1, 1, 2, 4, 6, dtype=torch.bool)
    mask[..., -1, -1] = True
    changed = sample(regions=[Region(tiny_model.encode_text("Night")[None], mask)]) - sample()
    assert changed[:, :, -2:, -2:].abs().mean() > 1e-4 and not changed[:, :, :2, :4].any()
