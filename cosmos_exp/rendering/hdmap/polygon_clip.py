"""Convex polygons with integer corners, clipped to the image rectangle."""

from __future__ import annotations

import numpy as np

from cosmos_exp.rendering.compiled import kernel, part

BORDERS = 4  # x = 0, x = width, y = 0, y = height


def clip_to_image(corners: np.ndarray, width: int, height: int) -> np.ndarray:
    """The part of a convex polygon [N,2] within (0,0)-(width,height), corners rounded down: int32 [M,2], M = 0 or >= 3.

    A corner on the rectangle's border is rounded from its exact place on the edge that it was cut from.
    """
    if corners.min() >= 0 and (corners <= (width, height)).all():
        return corners
    whole, area = _clip(corners.astype(np.int64), width, height)
    return whole.astype(np.int32) if area > 0 else np.zeros((0, 2), np.int32)


@kernel()
def _clip(corners, width, height):
    """Sutherland-Hodgman. Besides its place, a corner knows the line of the edge to the next one: the number of an edge
    of the polygon, or that of a border less BORDERS."""
    size = len(corners) + BORDERS + 1
    place, whole, line = np.empty((2, size, 2)), np.empty((2, size, 2), np.int64), np.empty((2, size), np.int64)
    count = len(corners)
    for i in range(count):
        for k in range(2):
            place[0, i, k] = whole[0, i, k] = corners[i, k]
        line[0, i] = i
    now = 0
    for border in range(BORDERS):
        axis, at = border >> 1, (0, width, 0, height)[border]
        sign = 1 if border & 1 == 0 else -1
        made, new = 0, 1 - now
        for i in range(count):
            j = (i + 1) % count
            inside = sign * (place[now, i, axis] - at) >= 0
            if inside:
                for k in range(2):
                    place[new, made, k], whole[new, made, k] = place[now, i, k], whole[now, i, k]
                line[new, made] = line[now, i]
                made += 1
            if inside != (sign * (place[now, j, axis] - at) >= 0):
                _cross(corners, line[now, i], axis, at, width, height, place[new, made], whole[new, made])
                line[new, made] = border - BORDERS if inside else line[now, i]
                made += 1
        now, count = new, made
        if count == 0:
            break
    area = 0.0
    for i in range(count):
        j = (i + 1) % count
        area += place[now, i, 0] * place[now, j, 1] - place[now, j, 0] * place[now, i, 1]
    return whole[now, :count], abs(area)


@part()
def _cross(corners, line, axis, at, width, height, place, whole):
    """Where a line of the polygon, or a border (a negative number), meets the border at the given x or y."""
    other = 1 - axis
    place[axis] = whole[axis] = at
    if line < 0:
        place[other] = whole[other] = (0, width, 0, height)[line + BORDERS]
        return
    a, b = corners[line], corners[(line + 1) % len(corners)]
    run, rise = b[axis] - a[axis], b[other] - a[other]
    if run < 0:
        run, rise = -run, -rise
    product = (at - a[axis]) * rise
    whole[other] = a[other] + product // run
    place[other] = a[other] + product / run
