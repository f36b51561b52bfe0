"""Frames larger than a network generates, in overlapping tiles whose predictions are blended at every noise level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cosmos_exp.sampling.res_sampler import Denoise

LATENT_SIDE, PATCH = 8, 2  # pixels per latent row and column, latents per token side
OVERLAP = 1 / 8  # of neighbouring tiles, at least, as a fraction of their side


@dataclass(frozen=True)
class Tile:
    """Rows top to top + height - 1 and columns left to left + width - 1 of a latent; all even."""

    top: int
    left: int
    height: int
    width: int

    def of(self, x: Tensor) -> Tensor:
        """Of latents [..., rows, columns]."""
        return x[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def tokens(self, values: Tensor) -> Tensor:
        """Of values on the patch grid [..., rows/2, columns/2]."""
        sides = (side // PATCH for side in (self.top, self.left, self.height, self.width))
        return Tile(*sides).of(values)


def tiles_of(rows: int, columns: int, tile: tuple[int, int] | None) -> tuple[Tile, ...]:
    """Tiles that cover a latent, evenly spread. tile: height and width in pixels; None: one tile of everything."""
    height, width = (rows, columns) if tile is None else (side // LATENT_SIDE for side in tile)
    height, width = min(height, rows), min(width, columns)
    return tuple(Tile(y, x, height, width) for y in starts(rows, height) for x in starts(columns, width))


def starts(length: int, tile: int) -> list[int]:
    """Offsets of the tiles along one axis: the fewest with an overlap of OVERLAP or more."""
    if tile == length:
        return [0]
    overlap = max(PATCH, round(OVERLAP * tile / PATCH) * PATCH)
    count = -(-(length - overlap) // (tile - overlap))
    return [round(i * (length - tile) / (count - 1) / PATCH) * PATCH for i in range(count)]


def blend_tiles(tiles: Sequence[Tile], parts: Sequence[Denoise], rows: int, columns: int) -> Denoise:
    """The x0 [..., rows, columns] blended from the predictions of the tiles' denoisers."""
    if len(tiles) == 1:
        return parts[0]
    weights = tile_weights(tiles, rows, columns)

    def denoise(x: Tensor, sigma: float) -> Tensor:
        x0 = torch.zeros_like(x)
        for tile, part, weight in zip(tiles, parts, weights):
            tile.of(x0).add_(part(tile.of(x), sigma) * weight.to(x))
        return x0

    return denoise


def tile_weights(tiles: Sequence[Tile], rows: int, columns: int) -> list[Tensor]:
    """Blending weights [height, width] of each tile, falling linearly to its borders; they sum to 1 everywhere."""
    total = torch.zeros(rows, columns)
    for tile in tiles:
        tile.of(total).add_(_pyramid(tile))
    return [_pyramid(tile) / tile.of(total) for tile in tiles]


def _pyramid(tile: Tile) -> Tensor:
    rows, columns = (
        1 + torch.minimum(torch.arange(n), torch.arange(n).flip(0)).float() for n in (tile.height, tile.width)
    )
    return rows[:, None] * columns
