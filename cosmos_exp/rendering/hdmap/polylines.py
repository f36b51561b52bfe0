"""Projected polylines as strokes whose colour fades with depth."""

from __future__ import annotations

import numpy as np

from cosmos_exp.rendering.compiled import kernel, part
from cosmos_exp.rendering.hdmap.shapes import RANGE
from cosmos_exp.rendering.hdmap.thick_lines import clip_line, draw_line

FARTHEST = 2.0**28  # pixels


@part()
def _whole(pixel, compat):
    """Pixels beyond the range of int32: see `_truncated`."""
    if compat:
        return np.int64(pixel) if -(2.0**31) <= pixel < 2.0**31 else np.int64(-(2**31))
    return np.int64(min(max(pixel, -FARTHEST), FARTHEST))


@kernel(seconds=2.0)
def draw_polylines(
    layer, drawn, shift, rows, depth, pixels, starts, number, cut, color, thickness, caps, compat
):  # fmt: skip
    """Polylines with vertices pixels [N,2] float64 at camera depths [N]; number, cut: `crossings`, projected."""
    height, width = layer.shape
    for s in range(len(starts) - 1):
        first, last = starts[s], starts[s + 1]
        if compat and not _shown(depth, pixels, first, last, width, height):
            continue
        for i in range(first, last - 1):
            mean = (depth[i] + depth[i + 1]) / 2
            if number[i] >= 0:
                a, b, c, d = cut[number[i], 0], cut[number[i], 1], cut[number[i], 2], cut[number[i], 3]
            elif max(depth[i], depth[i + 1]) < 0 or (not compat and depth[i] <= 0):
                continue
            else:
                a, b, c, d = pixels[i, 0], pixels[i, 1], pixels[i + 1, 0], pixels[i + 1, 1]
                a, b, c, d = np.rint(a), np.rint(b), np.rint(c), np.rint(d)
            if not compat and mean >= RANGE:
                continue
            _, x0, y0, x1, y1 = clip_line(
                width - 1, height - 1, _whole(a, compat), _whole(b, compat), _whole(c, compat), _whole(d, compat)
            )
            weight = 2 * (RANGE - min(max(mean, 0.0), RANGE)) / 255
            packed = np.uint64(0)  # of the type of its sum: draw_line is compiled once
            for k in range(3):
                packed |= np.uint32(weight * color[k]) << np.uint32(8 * k)
            draw_line(layer, drawn, shift, rows, x0, y0, x1, y1, thickness, caps, packed)


@part()
def _shown(depth, pixels, first, last, width, height):
    """Whether the reference draws a polyline: one vertex inside the image, one within range."""
    inside = near = False
    for i in range(first, last):
        u, v = np.rint(pixels[i, 0]), np.rint(pixels[i, 1])
        inside |= 0 <= u < width and 0 <= v < height
        near |= depth[i] <= RANGE
    return inside and near
