"""Kernels of World Scenario maps: lines and triangles in image coordinates, with depth, several samples per pixel.

As a graphics card draws the reference's triangles after projection: everything between vertices is affine in the image.
Coverage and depth are those of each sample, the colour that of the pixel's centre; a sample takes what is nearer than
all before it, and the first of what is equally near. Depths count in 24 bits up to RANGE.

The samples of an image row lie on `samples` lines of their own, each with its offset in x, so that samples are stored
line by line: depth int32 and color uint32 (red, green, blue, unused) [samples H, W]. `used` int32 [samples H, 2] is the
first and one after the last column of each line that was drawn on since the last `resolve`.
"""

from __future__ import annotations

import numpy as np

from cosmos_exp.rendering.compiled import kernel, part
from cosmos_exp.rendering.raster_kernels import ftheta_pixel

RANGE = 200.0  # metres of depth, at which colours have faded to black
DEPTHS = float((1 << 24) - 1)
EMPTY = (1 << 24) - 1
FARTHEST = 2e9  # of a depth: fits in 32 bits
SNAP = 256.0  # to which part of a pixel vertices are rounded
MERGED_DEPTH, MERGED_TURN = 3.0, 0.03  # metres and radians between parts that are drawn as one
ARCS = 8  # triangles of the half disc at either end of a line
COS, SIN = np.cos(np.pi * np.arange(ARCS + 1) / ARCS), np.sin(np.pi * np.arange(ARCS + 1) / ARCS)
CORNERS = 2 * (ARCS + 1)


@part()
def _to_image(x, y, z, rotation, translation, lens, out):
    """A point of the world as pixel and depth; out: [3]. The image's left upper corner is (0, 0)."""
    cx = rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z + translation[0]
    cy = rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z + translation[1]
    cz = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z + translation[2]
    u, v = ftheta_pixel(cx, cy, cz, lens)
    out[0], out[1], out[2] = u, v, cz


@part()
def _fade(z):
    return min(max(1.0 - z / RANGE, 0.0), 1.0)


@part()
def _depth(z):
    """Of a vertex, 0 to DEPTHS; in float32 between -1 and 1, as OpenGL has it."""
    clip = np.float32(np.float32(z) * np.float32(2.0 / RANGE) - np.float32(1.0))
    return float(np.float32(clip * np.float32(0.5) + np.float32(0.5))) * DEPTHS


@part()
def _packed(r, g, b):
    """A colour of 0..255, rounded to whole levels."""
    return _level(r) | (_level(g) << np.uint32(8)) | (_level(b) << np.uint32(16))


@part()
def _level(value):
    return np.uint32(np.int32(min(max(value, 0.0), 255.0) + 0.5))


@kernel(seconds=4.0)
def draw_strips(
    points, joined, starts, colors, widths, spheres, rotation, translation, lens, merge, samples, offsets, bounds,
    depth, color, used,
):  # fmt: skip
    """The parts of `Strips`. rotation, translation: world to camera; lens: [14] of an f-theta camera.

    merge: pixels up to which parts that follow each other straight on are drawn as one. offsets: [samples] of each line
    of samples in x.
    bounds: scratch float64 [samples H, 2].
    """
    width, height = depth.shape[1], len(depth) // samples
    a, b, c = np.empty(3), np.empty(3), np.empty(3)
    corners = np.empty((CORNERS, 2))
    for k in range(len(starts) - 1):
        if not _in_sight(spheres[k], rotation, translation, lens, widths[k]):
            continue
        red, green, blue = float(colors[k, 0]), float(colors[k, 1]), float(colors[k, 2])
        i = starts[k]
        fresh = True
        while i < starts[k + 1]:
            if not joined[i]:
                i += 1
                fresh = True
                continue
            if fresh:
                _to_image(points[i, 0], points[i, 1], points[i, 2], rotation, translation, lens, a)
            i += 1
            _to_image(points[i, 0], points[i, 1], points[i, 2], rotation, translation, lens, b)
            ahead_x, ahead_y = b[0] - a[0], b[1] - a[1]
            while merge > 0.0 and i < starts[k + 1] and joined[i]:
                _to_image(points[i + 1, 0], points[i + 1, 1], points[i + 1, 2], rotation, translation, lens, c)
                if not _continues(a, b, c, ahead_x, ahead_y, merge):
                    break
                b[:] = c
                i += 1
            _draw_part(
                a, b, red, green, blue, widths[k], width, height, samples, offsets, corners, bounds, depth, color, used
            )
            a[:] = b
            fresh = False


@part()
def _continues(a, b, c, ahead_x, ahead_y, merge):
    """Whether the part from b to c goes on as the line from a did, in the direction `ahead`, up to a length."""
    x, y = c[0] - b[0], c[1] - b[1]
    aside = abs(ahead_x * y - ahead_y * x)
    along = ahead_x * x + ahead_y * y
    return (
        abs(c[0] - a[0]) + abs(c[1] - a[1]) <= merge
        and abs(c[2] - a[2]) <= MERGED_DEPTH
        and min(a[2], c[2]) > 1.0
        and along >= 0.0
        and aside <= MERGED_TURN * along
    )


@part()
def _in_sight(sphere, rotation, translation, lens, width):
    """Whether a sphere of the world may reach into the image, with the width of its lines."""
    x = rotation[0, 0] * sphere[0] + rotation[0, 1] * sphere[1] + rotation[0, 2] * sphere[2] + translation[0]
    y = rotation[1, 0] * sphere[0] + rotation[1, 1] * sphere[1] + rotation[1, 2] * sphere[2] + translation[1]
    z = rotation[2, 0] * sphere[0] + rotation[2, 1] * sphere[1] + rotation[2, 2] * sphere[2] + translation[2]
    r = sphere[3]
    if z + r < 0.0 or z - r > RANGE:
        return False
    distance = np.sqrt(x * x + y * y + z * z)
    if distance <= r:
        return True
    margin = 2.0 * width / lens[8]
    return np.arccos(z / distance) - np.arcsin(r / distance) - margin <= lens[6]


@part()
def _draw_part(a, b, red, green, blue, stroke, width, height, samples, offsets, corners, bounds, depth, color, used):
    """A part with a half disc at either end.

    Widths are measured in the image stretched to a square, as the reference does: vertical lines are `stroke` pixels
    wide, horizontal ones less by the ratio of the sides. The depth is affine along the part and constant in the discs.
    """
    z0, z1 = a[2], b[2]
    if (z0 < 0.0 and z1 < 0.0) or (z0 > RANGE and z1 > RANGE):
        return
    ratio = width / height
    dx, dy = b[0] - a[0], (b[1] - a[1]) * ratio
    length = np.sqrt(dx * dx + dy * dy)
    half = 0.5 * stroke * _fade(0.5 * (z0 + z1))
    if length == 0.0 or half == 0.0 or not np.isfinite(length):
        return
    if (
        max(a[0], b[0]) + half < 0.0
        or min(a[0], b[0]) - half > width
        or max(a[1], b[1]) + half < 0.0
        or min(a[1], b[1]) - half > height
    ):
        return
    ex, ey = dx / length, dy / length
    low, high = 1e30, -1e30
    for i in range(ARCS + 1):
        ox = half * (-COS[i] * ey + SIN[i] * ex)
        oy = half * (COS[i] * ex + SIN[i] * ey) / ratio
        for end in range(2):
            j = i + end * (ARCS + 1)
            sign = 1.0 - 2.0 * end
            p = b if end == 0 else a
            corners[j, 0] = np.rint((p[0] + sign * ox) * SNAP) / SNAP
            corners[j, 1] = np.rint((p[1] + sign * oy) * SNAP) / SNAP
            low, high = min(low, corners[j, 1]), max(high, corners[j, 1])
    first, last = max(_first(low * samples - 0.5), 0), min(_first(high * samples - 0.5), samples * height)
    if first >= last:
        return
    _edges(corners, CORNERS, samples, first, last, bounds)
    # along = slope x + rise y + start: 0 at a, 1 at b
    slope, rise = ex / length, ey * ratio / length
    start = -(slope * a[0] + rise * a[1])
    f0, f1 = _fade(z0), _fade(z1)
    far = max(max(red, green), blue)
    constant = abs(f1 - f0) * far < 0.5
    f = 0.5 * (f0 + f1)
    flat = _packed(red * f, green * f, blue * f)
    clipped = min(z0, z1) < 0.0 or max(z0, z1) > RANGE
    d0, d1 = _depth(z0), _depth(z1)
    nearest, farthest = min(d0, d1), max(d0, d1)
    for row in range(first, last):
        offset = offsets[row % samples]
        x0, x1 = max(_first(bounds[row, 0] - offset), 0), min(_first(bounds[row, 1] - offset), width)
        if x0 >= x1:
            continue
        used[row, 0], used[row, 1] = min(used[row, 0], x0), max(used[row, 1], x1)
        at = slope * offset + rise * ((row + 0.5) / samples) + start
        depths, colors = depth[row, x0:x1], color[row, x0:x1]
        d = d0 + (d1 - d0) * (at + slope * x0)
        step = (d1 - d0) * slope
        if constant and not clipped:
            for x in range(x1 - x0):
                z = np.int32(min(max(d + step * x, nearest), farthest) + 0.5)
                closer = z < depths[x]
                depths[x] = z if closer else depths[x]
                colors[x] = flat if closer else colors[x]
            continue
        middle = slope * 0.5 + rise * (row // samples + 0.5) + start
        for x in range(x1 - x0):
            value = min(max(d + step * x, nearest), farthest)
            z = np.int32(value + 0.5)
            if value < 0.0 or value > DEPTHS or z >= depths[x]:
                continue
            f = f0 + (f1 - f0) * min(max(middle + slope * (x0 + x), 0.0), 1.0)
            depths[x] = z
            colors[x] = _packed(red * f, green * f, blue * f)


@part()
def _first(value):
    """The first whole number that is not less."""
    return int(np.ceil(value))


@part()
def _edges(corners, count, samples, first, last, bounds):
    """Where the border of a convex polygon crosses each line of samples: bounds[row], left and right."""
    for row in range(first, last):
        bounds[row, 0], bounds[row, 1] = 1e30, -1e30
    for i in range(count):
        j = i + 1 if i + 1 < count else 0
        x0, y0, x1, y1 = corners[i, 0], corners[i, 1], corners[j, 0], corners[j, 1]
        if y0 == y1:
            continue
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        slope = (x1 - x0) / (y1 - y0)
        begin, end = max(_first(y0 * samples - 0.5), first), min(_first(y1 * samples - 0.5), last)
        for row in range(begin, end):
            x = x0 + ((row + 0.5) / samples - y0) * slope
            bounds[row, 0], bounds[row, 1] = min(bounds[row, 0], x), max(bounds[row, 1], x)


@kernel()
def project(points, rotation, translation, lens, out):
    """Points of the world [N,3] as pixel and depth, out [N,3]."""
    for i in range(len(points)):
        _to_image(points[i, 0], points[i, 1], points[i, 2], rotation, translation, lens, out[i])


@kernel(seconds=4.0)
def draw_bodies(points, tints, faces, edges, edge_tint, stroke, samples, offsets, bounds, depth, color, used):
    """Bodies with the same faces and edges, one after the other, its faces and then its edges.

    points: [B,K,3], pixel, pixel, depth; tints: [B,K,3] of 0..255, before they fade. faces [T,3], edges [E,2]: numbers
    of points. edge_tint: [3]; stroke: pixels at depth 0.
    """
    width, height = depth.shape[1], len(depth) // samples
    outline, planes, ring = np.empty((3, 2)), np.empty((4, 3)), np.empty((CORNERS, 2))
    for n in range(len(points)):
        for t in range(len(faces)):
            i, j, k = faces[t]
            _draw_triangle(
                points[n, i], points[n, j], points[n, k], tints[n, i], tints[n, j], tints[n, k],
                width, height, samples, offsets, outline, planes, bounds, depth, color, used,
            )  # fmt: skip
        for e in range(len(edges)):
            _draw_part(
                points[n, edges[e, 0]], points[n, edges[e, 1]], edge_tint[0], edge_tint[1], edge_tint[2], stroke,
                width, height, samples, offsets, ring, bounds, depth, color, used,
            )  # fmt: skip


@part()
def _draw_triangle(
    a, b, c, tint_a, tint_b, tint_c, width, height, samples, offsets, corners, planes, bounds, depth, color, used
):  # fmt: skip
    nearest, farthest = min(min(a[2], b[2]), c[2]), max(max(a[2], b[2]), c[2])
    if farthest < 0.0 or nearest > RANGE:
        return
    if max(max(a[0], b[0]), c[0]) < 0.0 or min(min(a[0], b[0]), c[0]) > width:
        return
    for k in range(2):
        corners[0, k], corners[1, k], corners[2, k] = (
            np.rint(a[k] * SNAP) / SNAP,
            np.rint(b[k] * SNAP) / SNAP,
            np.rint(c[k] * SNAP) / SNAP,
        )
    low = min(min(corners[0, 1], corners[1, 1]), corners[2, 1])
    high = max(max(corners[0, 1], corners[1, 1]), corners[2, 1])
    first, last = max(_first(low * samples - 0.5), 0), min(_first(high * samples - 0.5), samples * height)
    if first >= last or not _planes(a, b, c, tint_a, tint_b, tint_c, planes):
        return
    _edges(corners, 3, samples, first, last, bounds)
    step, red_step, green_step, blue_step = planes[0, 0], planes[1, 0], planes[2, 0], planes[3, 0]
    for row in range(first, last):
        offset = offsets[row % samples]
        x0, x1 = max(_first(bounds[row, 0] - offset), 0), min(_first(bounds[row, 1] - offset), width)
        if x0 >= x1:
            continue
        used[row, 0], used[row, 1] = min(used[row, 0], x0), max(used[row, 1], x1)
        start = planes[0, 0] * (x0 + offset) + planes[0, 1] * ((row + 0.5) / samples) + planes[0, 2]
        x, y = x0 + 0.5, row // samples + 0.5
        red = planes[1, 0] * x + planes[1, 1] * y + planes[1, 2]
        green = planes[2, 0] * x + planes[2, 1] * y + planes[2, 2]
        blue = planes[3, 0] * x + planes[3, 1] * y + planes[3, 2]
        depths, colors = depth[row, x0:x1], color[row, x0:x1]
        for i in range(x1 - x0):
            value = min(start + step * i, FARTHEST)
            z = np.int32(value + 0.5)
            closer = (z < depths[i]) & (value >= 0.0)
            tint = _packed(red + red_step * i, green + green_step * i, blue + blue_step * i)
            depths[i] = z if closer else depths[i]
            colors[i] = tint if closer else colors[i]


@part()
def _planes(a, b, c, tint_a, tint_b, tint_c, planes):
    """Depth (in DEPTHS) and faded colours as x, y and constant parts [4,3]; False for a triangle without an area."""
    area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
    if area == 0.0 or not np.isfinite(area):
        return False
    for k in range(4):
        if k == 0:
            p, q, r = _depth(a[2]), _depth(b[2]), _depth(c[2])
        else:
            p, q, r = tint_a[k - 1] * _fade(a[2]), tint_b[k - 1] * _fade(b[2]), tint_c[k - 1] * _fade(c[2])
        planes[k, 0] = ((q - p) * (c[1] - a[1]) - (r - p) * (b[1] - a[1])) / area
        planes[k, 1] = ((r - p) * (b[0] - a[0]) - (q - p) * (c[0] - a[0])) / area
        planes[k, 2] = p - planes[k, 0] * a[0] - planes[k, 1] * a[1]
    return True


@kernel()
def resolve(samples, depth, color, used, out):
    """The mean of each pixel's samples, out uint8 [H,W,3]; afterwards nothing is drawn on depth and color."""
    height, width = len(depth) // samples, depth.shape[1]
    even = np.uint32(0x00FF00FF)
    half, shift = np.uint32(samples // 2), np.uint32(2 if samples == 4 else 0)
    rounding = half | (half << np.uint32(16))
    for y in range(height):
        x0, x1 = width, 0
        for row in range(samples * y, samples * (y + 1)):
            x0, x1 = min(x0, used[row, 0]), max(x1, used[row, 1])
            used[row, 0], used[row, 1] = width, 0
        out[y, :x0] = 0
        out[y, max(x0, x1) :] = 0
        for x in range(x0, x1):
            red_blue, green = rounding, rounding
            for row in range(samples * y, samples * (y + 1)):
                value = color[row, x]
                red_blue += value & even
                green += (value >> np.uint32(8)) & even
            red_blue, green = (red_blue >> shift) & even, (green >> shift) & even
            out[y, x, 0], out[y, x, 1] = red_blue & np.uint32(255), green & np.uint32(255)
            out[y, x, 2] = red_blue >> np.uint32(16)
        for row in range(samples * y, samples * (y + 1)):
            depth[row, x0:x1] = EMPTY
            color[row, x0:x1] = 0
