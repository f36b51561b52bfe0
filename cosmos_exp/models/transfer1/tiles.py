"""A picture larger than a network makes, in tiles that overlap; what they predict is blended at every noise level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cosmos_exp.sampling.res_sampler import Denoise

LATENT_SIDE, PATCH = 8, 2  # pixels per latent row and column, latents per token side
OVERLAP = 1 / 8  # of a tile's side that neighbours share at least


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
    """Where tiles begin along one axis: as few as share OVERLAP of their length or more."""
    if tile == length:
        return [0]
    shared = max(PATCH, round(OVERLAP * tile / PATCH) * PATCH)
    count = -(-(length - shared) // (tile - shared))
    return [round(i * (length - tile) / (count - 1) / PATCH) * PATCH for i in range(count)]


def blended(tiles: Sequence[Tile], parts: Sequence[Denoise], rows: int, columns: int) -> Denoise:
    """The x0 [..., rows, columns] that the tiles' denoisers predict together."""
    if len(tiles) == 1:
        return parts[0]
    shares = tile_shares(tiles, rows, columns)

    def denoise(x: Tensor, sigma: float) -> Tensor:
        x0 = torch.zeros_like(x)
        for tile, part, share in zip(tiles, parts, shares):
            tile.of(x0).add_(part(tile.of(x), sigma) * share.to(x))
        return x0

    return denoise


def tile_shares(tiles: Sequence[Tile], rows: int, columns: int) -> list[Tensor]:
    """[height, width] of each tile: its part in the blend, falling linearly to its borders; 1 in sum everywhere."""
    total = torch.zeros(rows, columns)
    for tile in tiles:
        tile.of(total).add_(_pyramid(tile))
    return [_pyramid(tile) / tile.of(total) for tile in tiles]


def _pyramid(tile: Tile) -> Tensor:
    rows, columns = (
        1 + torch.minimum(torch.arange(n), torch.arange(n).flip(0)).float() for n in (tile.height, tile.width)
    )
    return rows[:, None] * columns
