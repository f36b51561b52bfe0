"""Thick lines with round caps, identical to OpenCV's `cv2.line`, on a canvas of 4-byte pixels.

A stroke is the union of the rectangle around the line (scan-converted in 16.16 fixed point), the rectangle's outline
and a disc at either end. On every image row that union is one run of pixels, so that a stroke is written row by row,
each pixel once. Rows are divided into tiles; a bit mask per row marks those that were drawn on.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from cosmos_exp.rendering.compiled import part

ONE = 1 << 16  # of the fixed point
HALF = ONE >> 1
TILES = 64  # per row, one bit each


def tile_shift(width: int) -> int:
    """log2 of the width of a tile: the smallest, from 16 px on, with which a row has at most TILES of them."""
    shift = 4
    while width > TILES << shift:
        shift += 1
    return shift


@lru_cache
def cap(thickness: int) -> np.ndarray:
    """[2 r + 1] half widths of the rows of the disc, of radius r, that ends a line of this thickness."""
    radius = (thickness + 1) // 2
    disc = np.zeros((2 * radius + 1, 2 * radius + 1), np.uint8)
    cv2.circle(disc, (radius, radius), radius, 1, cv2.FILLED)
    return (disc.sum(axis=1).astype(np.int64) - 1) // 2


@part()
def clip_line(right, bottom, x0, y0, x1, y1):
    """Clip to 0..right, 0..bottom as `cv2.clipLine`: whether anything is left, and the ends as far as it moved them."""
    a, b = _outcode(right, bottom, x0, y0), _outcode(right, bottom, x1, y1)
    if a & b or not a | b:
        return a | b == 0, x0, y0, x1, y1
    if a & 12:
        edge = 0 if a < 8 else bottom
        x0 += np.int64(np.float64(edge - y0) * (x1 - x0) / (y1 - y0))
        y0 = edge
        a = (x0 < 0) + 2 * (x0 > right)
    if b & 12:
        edge = 0 if b < 8 else bottom
        x1 += np.int64(np.float64(edge - y1) * (x1 - x0) / (y1 - y0))
        y1 = edge
        b = (x1 < 0) + 2 * (x1 > right)
    if a & b:
        return False, x0, y0, x1, y1
    if a:
        edge = 0 if a == 1 else right
        y0 += np.int64(np.float64(edge - x0) * (y1 - y0) / (x1 - x0))
        x0 = edge
    if b:
        edge = 0 if b == 1 else right
        y1 += np.int64(np.float64(edge - x1) * (y1 - y0) / (x1 - x0))
        x1 = edge
    return True, x0, y0, x1, y1


@part()
def _outcode(right, bottom, x, y):
    return (x < 0) + 2 * (x > right) + 4 * (y < 0) + 8 * (y > bottom)


@part()
def draw_line(canvas, drawn, shift, rows, x0, y0, x1, y1, thickness, caps, color):
    """Draw from (x0, y0) to (x1, y1), int64 pixels, on canvas uint32 [H,W].

    drawn: [H] uint64 tile masks, added to; shift: log2 of the tiles' width. rows: [H,2] int64 scratch that holds
    (W, -1) in every row, before and after. caps: `cap(thickness)`. color: uint32.
    """
    height, width = canvas.shape
    if thickness == 1:
        _thin_line(canvas, drawn, shift, x0, y0, x1, y1, color)
        return
    margin = thickness
    right, bottom = width + 2 * margin - 1, height + 2 * margin - 1
    visible, x0, y0, x1, y1 = clip_line(right, bottom, x0 + margin, y0 + margin, x1 + margin, y1 + margin)
    if not visible:
        return
    x0, y0, x1, y1 = x0 - margin, y0 - margin, x1 - margin, y1 - margin
    radius = len(caps) // 2
    reach = radius + 1
    if x0 != x1 or y0 != y1:
        _band(rows, width, height, x0, y0, x1, y1, thickness)
    for y in range(max(min(y0, y1) - reach, 0), min(max(y0, y1) + reach, height - 1) + 1):
        low, high = rows[y, 0], rows[y, 1]
        rows[y, 0], rows[y, 1] = width, -1
        for cx, cy in ((x0, y0), (x1, y1)):
            if -radius <= y - cy <= radius:
                half = caps[y - cy + radius]
                left, right = max(cx - half, 0), min(cx + half, width - 1)
                if left > right:
                    continue
                if low > high:
                    low, high = left, right
                elif left <= high + 1 and right >= low - 1:
                    low, high = min(low, left), max(high, right)
                else:
                    fill_run(canvas, drawn, shift, y, left, right, color)
        if low <= high:
            fill_run(canvas, drawn, shift, y, low, high, color)


@part()
def _thin_line(canvas, drawn, shift, x0, y0, x1, y1, color):
    """A line one pixel wide, by Bresenham's algorithm from left to right."""
    height, width = canvas.shape
    visible, x0, y0, x1, y1 = clip_line(width - 1, height - 1, x0, y0, x1, y1)
    if not visible:
        return
    if x1 < x0:
        x0, y0, x1, y1 = x1, y1, x0, y0
    dx, dy = x1 - x0, abs(y1 - y0)
    down = 1 if y1 >= y0 else -1
    steep = dy > dx
    longer, shorter = max(dx, dy), min(dx, dy)
    error = longer - 2 * shorter
    x, y = x0, y0
    for _ in range(longer + 1):
        fill_run(canvas, drawn, shift, y, x, x, color)
        both = error < 0
        error += 2 * longer - 2 * shorter if both else -2 * shorter
        if steep:
            y += down
            x += both
        else:
            x += 1
            y += down * both


@part()
def fill_run(canvas, drawn, shift, y, low, high, color):
    """Columns low..high of row y, which lie inside the image."""
    row = canvas[y]
    for x in range(np.uint64(low), np.uint64(high + 1)):
        row[x] = color
    first, last = np.uint64(low >> shift), np.uint64(high >> shift)
    full = np.uint64(0xFFFFFFFFFFFFFFFF)
    drawn[y] |= (full << first) & (full >> (np.uint64(63) - last))


@part()
def _include(rows, width, height, y, low, high):
    if 0 <= y < height and high >= 0 and low < width:
        rows[y, 0] = min(rows[y, 0], max(low, 0))
        rows[y, 1] = max(rows[y, 1], min(high, width - 1))


@part()
def _band(rows, width, height, x0, y0, x1, y1, thickness):
    """The rectangle of the given thickness around the line, outline included."""
    length = np.sqrt(np.float64(x1 - x0) * (x1 - x0) + np.float64(y1 - y0) * (y1 - y0))
    reach = (thickness * HALF + (thickness & 1) * HALF) / length
    across = np.int64(np.rint((y1 - y0) * reach))
    along = np.int64(np.rint((x0 - x1) * reach))
    corners = np.empty((4, 2), np.int64)
    corners[0, 0], corners[0, 1] = x0 * ONE + across, y0 * ONE + along
    corners[1, 0], corners[1, 1] = x0 * ONE - across, y0 * ONE - along
    corners[2, 0], corners[2, 1] = x1 * ONE - across, y1 * ONE - along
    corners[3, 0], corners[3, 1] = x1 * ONE + across, y1 * ONE + along
    first = np.int64(0)
    for i in range(4):
        j = (i + 3) & 3
        _outline(rows, width, height, corners[j, 0], corners[j, 1], corners[i, 0], corners[i, 1])
        if corners[i, 1] < corners[first, 1]:
            first = i  # type: ignore[assignment]  # of one type once compiled
    _fill(rows, width, height, corners, first)


@part()
def _fill(rows, width, height, corners, first):
    """Rows of a convex quadrilateral in fixed point, from its uppermost corner down both chains of edges."""
    bottom = max(max(corners[0, 1], corners[1, 1]), max(corners[2, 1], corners[3, 1]))
    bottom = min((bottom + HALF) >> 16, height - 1)
    y = (corners[first, 1] + HALF) >> 16
    index, end, x, slope = np.empty(2, np.int64), np.empty(2, np.int64), np.empty(2, np.int64), np.empty(2, np.int64)
    for side in range(2):
        index[side], end[side], x[side], slope[side] = first, y, -ONE, 0
    left_over = 4
    while y <= bottom:
        for side in range(2):
            if y >= end[side]:
                turn = 1 if side == 0 else 3
                start, stop = index[side], (index[side] + turn) & 3
                while left_over > 0:
                    left_over -= 1
                    below = (corners[stop, 1] + HALF) >> 16
                    if below > y:
                        span = below - y
                        end[side], index[side], x[side] = below, stop, corners[start, 0]
                        slope[side] = _quotient((corners[stop, 0] - corners[start, 0]) * 2 + span, 2 * span)
                        break
                    start, stop = stop, (stop + turn) & 3
                else:
                    left_over = -1
        if left_over < 0:
            return
        low, high = min(x[0], x[1]), max(x[0], x[1])
        _include(rows, width, height, y, (low + HALF) >> 16, (high + HALF) >> 16)
        for side in range(2):
            x[side] += slope[side]
        y += 1


@part()
def _quotient(a, b):
    """a / b rounded towards zero; b > 0."""
    return a // b if a >= 0 else -(-a // b)


@part()
def _outline(rows, width, height, x0, y0, x1, y1):
    """A line one pixel wide between points in fixed point."""
    inside, x0, y0, x1, y1 = clip_line(width * ONE - 1, height * ONE - 1, x0, y0, x1, y1)
    if not inside:
        return
    dx, dy = x1 - x0, y1 - y0
    flat = abs(dx) > abs(dy)
    if (flat and dx < 0) or (not flat and dy < 0):
        x0, y0, x1, y1, dx, dy = x1, y1, x0, y0, -dx, -dy
    _include(rows, width, height, (y1 + HALF) >> 16, (x1 + HALF) >> 16, (x1 + HALF) >> 16)
    x, y = x0 + HALF, y0 + HALF
    if flat:
        step = _quotient(dy * ONE, dx | 1)
        column = x >> 16
        for _ in range((x1 - x0) >> 16):
            _include(rows, width, height, y >> 16, column, column)
            column += 1
            y += step
        _include(rows, width, height, y >> 16, column, column)
    else:
        step = _quotient(dx * ONE, dy | 1)
        row = y >> 16
        for _ in range(((y1 - y0) >> 16) + 1):
            _include(rows, width, height, row, x >> 16, x >> 16)
            row += 1
            x += step
