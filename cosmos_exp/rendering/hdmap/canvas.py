"""The two images an HD map is drawn on: the current layer, and the maximum of all previous layers.

Pixels are 4 bytes (red, green, blue, unused). Only tiles that were drawn on are merged, copied and cleared.
"""

from __future__ import annotations

import numpy as np

from cosmos_exp.rendering.compiled import kernel
from cosmos_exp.rendering.hdmap.thick_lines import tile_shift


class LayerCanvas:
    """layer, mix: uint32 [H,W], black between frames. drawn, mixed: uint64 [H] masks of the tiles that are not.

    rows: int64 [H,2] scratch of `draw_line`.
    """

    def __init__(self, width: int, height: int):
        self.shift = tile_shift(width)
        self.layer, self.mix = np.zeros((2, height, width), np.uint32)
        self.drawn, self.mixed = np.zeros((2, height), np.uint64)
        self.rows = np.tile(np.array([width, -1]), (height, 1))

    @property
    def channels(self) -> np.ndarray:
        """The layer as uint8 [H,W,4]."""
        return self.layer.view(np.uint8).reshape(*self.layer.shape, 4)

    def touch(self, left: int, top: int, right: int, bottom: int) -> None:
        """Mark a rectangle as drawn on; its last column and row included."""
        first, last = left >> self.shift, right >> self.shift
        self.drawn[top : bottom + 1] |= np.uint64((1 << (last + 1)) - (1 << first))

    def merge(self) -> None:
        """Mix the layer in by the maximum of each channel; it is black again afterwards."""
        _merge(self.layer.view(np.uint8), self.mix.view(np.uint8), self.drawn, self.mixed, 4 << self.shift)

    def finish(self, out: np.ndarray) -> None:
        """Write the mix to out, uint8 [H,W,3], and make it black."""
        _finish(self.mix, self.mixed, 1 << self.shift, out)


@kernel()
def _merge(layer, mix, drawn, mixed, tile):
    for y in range(len(layer)):
        bits = drawn[y]
        if bits == 0:
            continue
        above, below = mix[y], layer[y]
        start = 0
        mixed[y] |= bits
        drawn[y] = 0
        while bits:
            if bits & np.uint64(1):
                over, under = above[start : start + tile], below[start : start + tile]
                for i in range(len(under)):
                    over[i] = max(over[i], under[i])
                    under[i] = 0
            bits >>= np.uint64(1)
            start += tile


@kernel()
def _finish(mix, mixed, tile, out):
    for y in range(len(mix)):
        out[y] = 0
        bits = mixed[y]
        mixed[y] = 0
        row, target = mix[y], out[y]
        start = 0
        while bits:
            if bits & np.uint64(1):
                source, pixels = row[start : start + tile], target[start : start + tile]
                for x in range(len(source)):
                    color = source[x]
                    pixels[x, 0], pixels[x, 1], pixels[x, 2] = color, color >> np.uint32(8), color >> np.uint32(16)
                    source[x] = 0
            bits >>= np.uint64(1)
            start += tile
