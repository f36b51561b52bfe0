"""Deferred shading of a g-buffer in any weather.

Works row by row in linear light, in the world frame relative to the renderer's origin: positions of all samples of a
row, then surface and lighting for each run of samples of the same triangle, then fog and tone mapping for the row.
"""

from __future__ import annotations

import numpy as np

from cosmos_exp.rendering.atmosphere import fog, sky, sky_rows, tone_map
from cosmos_exp.rendering.compiled import kernel
from cosmos_exp.rendering.mesh import Material
from cosmos_exp.rendering.surfaces import (
    BLUE,
    DISTANCE,
    DX,
    DY,
    DZ,
    EMIT_B,
    EMIT_G,
    EMIT_R,
    GLOSS,
    GREEN,
    LAMP,
    MX,
    MY,
    MZ,
    RED,
    ROWS,
    SHADE,
    SUN,
    UP,
    X,
    Y,
    Z,
    asphalt,
    between,
    f,
    facade,
    fill,
    grass,
    mottled,
    paint,
    paving,
    plain,
    shader,
    smooth,
    u,
)  # fmt: skip

LAMP_TINT = (f(1), f(0.82), f(0.58))
_ASPHALT, _PAVING, _GRASS, _PAINT = (
    int(m) for m in (Material.ASPHALT, Material.PAVING, Material.GRASS, Material.PAINT)
)
_FACADE, _ROOF, _FOLIAGE, _BARK = (int(m) for m in (Material.FACADE, Material.ROOF, Material.FOLIAGE, Material.BARK))
_METAL, _GLASS, _KERB = (int(m) for m in (Material.METAL, Material.GLASS, Material.KERB))
_HEADLIGHT, _TAILLIGHT, _LAMP, _SIGNAL = (
    int(m) for m in (Material.HEADLIGHT, Material.TAILLIGHT, Material.LAMP, Material.SIGNAL)
)
_FARTHEST = 20_000.0


@kernel(fastmath=True, seconds=7.5)
def shade(ids, inverse, rays, static, static_codes, moving, moving_codes, frame, shadow, grid, noise, coarse, out):
    """Fill out [H,W,3] uint8.

    ids, inverse: of the rasteriser; triangles from len(static) on are moving. rays: [3,H,W] camera-frame directions.
    static, moving: [N,16] = normal, linear colour, texture frame (8), seed. codes: [N,3] material, tag, instance.
    frame: [1] SHADING_DTYPE. shadow: [S,S] of the ShadowMap. grid: [2,G,G] of the GroundGrid.
    coarse: shade every second sample of every second row, take the others from neighbours on the same triangle, and
    shade those that have none.
    """
    height, width = ids.shape
    picture = (ids, inverse, rays, static, static_codes, moving, moving_codes, frame[0], shadow, grid, noise, out)
    buffer = np.empty((ROWS, width), np.float32)
    columns = np.empty(width, np.int32)
    if not coarse:
        for x in range(width):
            columns[x] = x
        for y in range(height):
            _row(buffer, columns, width, y, picture)
        return
    half = (width + 1) // 2
    for x in range(half):
        columns[x] = 2 * x
    for y in range(0, height, 2):
        _row(buffer, columns, half, y, picture)
    for y in range(height):
        rest = _spread_even(ids, out, y, columns) if y % 2 == 0 else _spread_odd(ids, out, y, columns)
        if rest:
            _row(buffer, columns, rest, y, picture)


@shader
def _spread_even(ids, out, y, missing):
    """The odd columns of a shaded row, from left and right; columns without a match are listed in `missing`."""
    width, count = ids.shape[1], 0
    for x in range(1, width, 2):
        number = ids[y, x]
        left = ids[y, x - 1] == number
        right = x + 1 < width and ids[y, x + 1] == number
        if left and right:
            for k in range(3):
                out[y, x, k] = (np.int32(out[y, x - 1, k]) + np.int32(out[y, x + 1, k]) + 1) >> 1
        elif left or right:
            near = x - 1 if left else x + 1
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = out[y, near, 0], out[y, near, 1], out[y, near, 2]
        else:
            missing[count] = x
            count += 1
    return count


@shader
def _spread_odd(ids, out, y, missing):
    """A row between two shaded ones: even columns from above and below, odd ones from the diagonal neighbours."""
    height, width = ids.shape
    count = 0
    above = y - 1
    below = y + 1 if y + 1 < height else above
    for x in range(0, width, 2):
        number = ids[y, x]
        a, b = ids[above, x] == number, ids[below, x] == number
        if a and b:
            for k in range(3):
                out[y, x, k] = (np.int32(out[above, x, k]) + np.int32(out[below, x, k]) + 1) >> 1
        elif a or b:
            near = above if a else below
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = out[near, x, 0], out[near, x, 1], out[near, x, 2]
        else:
            missing[count] = x
            count += 1
    for x in range(1, width, 2):
        number = ids[y, x]
        left, right = x - 1, x + 1 if x + 1 < width else x - 1
        a, b = ids[above, left] == number, ids[above, right] == number
        c, d = ids[below, left] == number, ids[below, right] == number
        matches = np.int32(a) + np.int32(b) + np.int32(c) + np.int32(d)
        if matches == 4:
            for k in range(3):
                total = np.int32(out[above, left, k]) + np.int32(out[above, right, k])
                total += np.int32(out[below, left, k]) + np.int32(out[below, right, k])
                out[y, x, k] = (total + 2) >> 2
        elif matches:
            for k in range(3):
                total = np.int32(out[above, left, k]) * a + np.int32(out[above, right, k]) * b
                total += np.int32(out[below, left, k]) * c + np.int32(out[below, right, k]) * d
                out[y, x, k] = total // matches
        else:
            missing[count] = x
            count += 1
    return count


@shader
def _row(buffer, columns, count, y, picture):
    """Shade the listed columns of row y. picture: what `shade` takes, with the frame's light."""
    ids, inverse, rays, static, static_codes, moving, moving_codes, light, shadow, grid, noise, out = picture
    _positions(buffer, columns, count, inverse, rays, y, light)
    start = np.int64(0)  # a plain 0 has a type of its own, for which all below would be compiled once more
    while start < count:
        number = ids[y, columns[start]]
        end = start + 1
        while end < count and ids[y, columns[end]] == number:
            end += 1
        if number < 0:
            sky(buffer, start, end, light, noise)
        elif number < len(static):
            _surface(buffer, start, end, static[number], static_codes[number, 0], light, shadow, grid, noise)
        else:
            number -= len(static)
            _surface(buffer, start, end, moving[number], moving_codes[number, 0], light, shadow, grid, noise)
        start = end
    fog(buffer, count, light)
    tone_map(buffer, columns, count, light, out, y)


@shader
def _positions(buffer, columns, count, inverse, rays, y, light):
    """World positions, distances and unit directions."""
    for x in range(count):
        column = columns[x]
        buffer[DISTANCE, x] = inverse[y, column]
        buffer[DX, x], buffer[DY, x], buffer[DZ, x] = rays[0, y, column], rays[1, y, column], rays[2, y, column]
    r00, r01, r02 = light.rotation[0, 0], light.rotation[0, 1], light.rotation[0, 2]
    r10, r11, r12 = light.rotation[1, 0], light.rotation[1, 1], light.rotation[1, 2]
    r20, r21, r22 = light.rotation[2, 0], light.rotation[2, 1], light.rotation[2, 2]
    ex, ey, ez = light.eye[0], light.eye[1], light.eye[2]
    for x in range(u(count)):
        rx, ry, rz = buffer[DX, x], buffer[DY, x], buffer[DZ, x]
        dx, dy, dz = r00 * rx + r01 * ry + r02 * rz, r10 * rx + r11 * ry + r12 * rz, r20 * rx + r21 * ry + r22 * rz
        far = f(1) / max(buffer[DISTANCE, x], f(1 / _FARTHEST))
        length = np.sqrt(dx * dx + dy * dy + dz * dz)
        norm = f(1) / length
        buffer[X, x], buffer[Y, x], buffer[Z, x] = ex + far * dx, ey + far * dy, ez + far * dz
        buffer[DISTANCE, x] = far * length
        buffer[DX, x], buffer[DY, x], buffer[DZ, x] = dx * norm, dy * norm, dz * norm
        buffer[EMIT_R, x], buffer[EMIT_G, x], buffer[EMIT_B, x] = f(0), f(0), f(0)


@shader
def _surface(buffer, start, end, a, material, light, shadow, grid, noise):
    """Radiance of a run of samples on one triangle, before fog."""
    towards = a[0] * buffer[DX, start] + a[1] * buffer[DY, start] + a[2] * buffer[DZ, start]
    side = f(-1) if towards > f(0) else f(1)
    nx, ny, nz = side * a[0], side * a[1], side * a[2]
    snow = light.snow * smooth(f(0.35), f(0.75), nz)
    wet, lamps, pixel = light.wetness, light.night_lights, light.pixel
    ground = False
    shine = f(0)
    if material == _ASPHALT:
        ground = True
        asphalt(buffer, start, end, a, snow, wet, noise, pixel)
    elif material == _PAINT:
        ground = True
        paint(buffer, start, end, a, snow, wet, noise)
    elif material == _PAVING:
        ground = True
        paving(buffer, start, end, a, snow, wet, noise, pixel, f(0.8))
    elif material == _KERB:
        ground = True
        paving(buffer, start, end, a, snow, wet, noise, pixel, f(0))
    elif material == _GRASS:
        ground = True
        grass(buffer, start, end, a, snow, noise, pixel)
    elif material == _FACADE:
        sky_r = f(0.6) * light.zenith[0] + f(0.4) * light.horizon[0]
        sky_g = f(0.6) * light.zenith[1] + f(0.4) * light.horizon[1]
        sky_b = f(0.6) * light.zenith[2] + f(0.4) * light.horizon[2]
        facade(buffer, start, end, a, sky_r, sky_g, sky_b, lamps, noise, pixel)
    elif material == _ROOF:
        mottled(buffer, start, end, a, snow, noise, f(0.8), f(0.35), f(6), f(0))
    elif material == _FOLIAGE:
        mottled(buffer, start, end, a, light.snow, noise, f(0.35), f(1.2), f(9), f(1))
    elif material == _BARK:
        mottled(buffer, start, end, a, f(0), noise, f(0.6), f(0.8), f(25), f(0))
    else:
        shine = f(0.42) if material == _GLASS else (f(0.10) if material == _METAL else f(0))
        plain(buffer, start, end, a, snow * (f(0.3) if material == _GLASS else f(1)), shine)
        _glow(buffer, start, end, a, material, lamps)

    facing = nx * light.sun_direction[0] + ny * light.sun_direction[1] + nz * light.sun_direction[2]
    if material == _FOLIAGE:
        facing = f(0.35) + f(0.65) * facing
    if facing > f(0):
        _sunlight(buffer, start, end, f(0.15) * nx, f(0.15) * ny, f(0.15) * nz, facing, light, shadow)
    else:
        fill(buffer[SUN], start, end, f(0))
    if ground:
        _from_grid(buffer, buffer[SHADE], start, end, grid[1], light)
    else:
        fill(buffer[SHADE], start, end, f(0))
    if lamps > f(0.3):
        _lamp_light(buffer, start, end, nz, lamps, grid, light)
    else:
        fill(buffer[LAMP], start, end, f(0))
    _lit(buffer, start, end, nz, light)
    if shine > f(0) or (wet > f(0) and ground):
        _mirrored(buffer, start, end, nx, ny, nz, shine > f(0), light, noise)


@shader
def _glow(buffer, start, end, a, material, lamps):
    """Emission of lights; street lamps need the dark, signals are always on (their seed tells which)."""
    strength = f(0)
    if material == _HEADLIGHT:
        strength = f(5) * lamps
    elif material == _TAILLIGHT:
        strength = f(1.6) * min(lamps * f(2), f(1))
    elif material == _LAMP:
        strength = f(7) * smooth(f(0.3), f(1), lamps)
    elif material == _SIGNAL:
        strength = f(1.6) * a[14]
    if strength > f(0):
        fill(buffer[EMIT_R], start, end, strength * a[3])
        fill(buffer[EMIT_G], start, end, strength * a[4])
        fill(buffer[EMIT_B], start, end, strength * a[5])


@shader
def _sunlight(buffer, start, end, ox, oy, oz, facing, light, shadow):
    """Direct light on a face; (ox, oy, oz) lifts the position off its own surface. Bilinear shadow test."""
    if len(shadow) == 2:
        fill(buffer[SUN], start, end, facing)
        return
    r, t, focal, darkness = light.shadow_rotation, light.shadow_translation, light.shadow_focal, light.shadows
    r00, r01, r02, t0 = r[0, 0], r[0, 1], r[0, 2], t[0]
    r10, r11, r12, t1 = r[1, 0], r[1, 1], r[1, 2], t[1]
    r20, r21, r22, t2 = r[2, 0], r[2, 1], r[2, 2], t[2]
    middle, last = f(len(shadow)) * f(0.5), f(len(shadow) - 2)
    for x in range(start, end, 2):
        px, py, pz = buffer[X, x] + ox, buffer[Y, x] + oy, buffer[Z, x] + oz
        depth = r20 * px + r21 * py + r22 * pz + t2
        near = f(1) / depth
        scale = focal * near
        across = (r00 * px + r01 * py + r02 * pz + t0) * scale + middle
        down = (r10 * px + r11 * py + r12 * pz + t1) * scale + middle
        across, down = min(max(across, f(0)), last), min(max(down, f(0)), last)
        i, j = np.int32(across), np.int32(down)
        limit = near + f(0.25) * near * near
        p = f(1) if shadow[j, i] < limit else f(0)
        q = f(1) if shadow[j, i + 1] < limit else f(0)
        m = f(1) if shadow[j + 1, i] < limit else f(0)
        n = f(1) if shadow[j + 1, i + 1] < limit else f(0)
        a, b = across - f(i), down - f(j)
        low, high = p + a * (q - p), m + a * (n - m)
        buffer[SUN, x] = facing * (f(1) - darkness * (f(1) - low - b * (high - low)))
    between(buffer[SUN], start, end)


@shader
def _from_grid(buffer, row, start, end, grid, light):
    """Bilinear values of a layer of the ground grid, clamped to its empty border, into a row of the buffer."""
    scale, last = f(1) / light.grid_cell, f(grid.shape[0] - 2)
    x0, y0 = light.grid_origin[0] * scale + f(0.5), light.grid_origin[1] * scale + f(0.5)
    for x in range(start, end, 2):
        across = min(max(buffer[X, x] * scale - x0, f(0)), last)
        up = min(max(buffer[Y, x] * scale - y0, f(0)), last)
        i, j = np.int32(across), np.int32(up)
        a, b = across - f(i), up - f(j)
        low = grid[j, i] + a * (grid[j, i + 1] - grid[j, i])
        high = grid[j + 1, i] + a * (grid[j + 1, i + 1] - grid[j + 1, i])
        row[x] = low + b * (high - low)
    between(row, start, end)


@shader
def _lamp_light(buffer, start, end, nz, lamps, grid, light):
    """Street lamps and other cars' headlights from the ground grid, the ego's headlights as a beam in its frame."""
    _from_grid(buffer, buffer[LAMP], start, end, grid[0], light)
    upward = f(0.25) + f(0.75) * max(nz, f(0.5))
    beam = light.beam
    b00, b01, b02, b03 = beam[0, 0], beam[0, 1], beam[0, 2], beam[0, 3] - f(3.5)
    b10, b11, b12, b13 = beam[1, 0], beam[1, 1], beam[1, 2], beam[1, 3]
    b20, b21, b22, b23 = beam[2, 0], beam[2, 1], beam[2, 2], beam[2, 3]
    for x in range(u(start), u(end)):
        px, py, pz = buffer[X, x], buffer[Y, x], buffer[Z, x]
        ahead = max(b00 * px + b01 * py + b02 * pz + b03, f(0))
        aside = b10 * px + b11 * py + b12 * pz + b13
        above = b20 * px + b21 * py + b22 * pz + b23
        pool = buffer[LAMP, x] * upward / (f(1) + max(above - f(1.5), f(0)) * f(0.35))
        slope = aside / (ahead + f(1.5))
        slope *= slope
        lift = max(above - f(0.5), f(0)) / (ahead + f(4))
        fall = ahead * f(1 / 16)
        spread = (f(1) + f(6) * slope * slope + slope) * (f(1) + f(220) * lift * lift) * (f(1) + fall * fall)
        buffer[LAMP, x] = lamps * (pool + f(0.55) * min(ahead * f(0.5), f(1)) / spread)


@shader
def _lit(buffer, start, end, nz, light):
    """Albedo to radiance."""
    up = f(0.5) + f(0.5) * nz
    sky, ground, sun = light.ambient, light.bounce, light.sun
    sky_r = ground[0] + up * (sky[0] - ground[0])
    sky_g = ground[1] + up * (sky[1] - ground[1])
    sky_b = ground[2] + up * (sky[2] - ground[2])
    sun_r, sun_g, sun_b = sun[0], sun[1], sun[2]
    for x in range(u(start), u(end)):
        shade = buffer[SHADE, x]
        ambient, direct, lamp = f(1) - f(0.75) * shade, buffer[SUN, x] * (f(1) - f(0.5) * shade), buffer[LAMP, x]
        buffer[RED, x] *= sky_r * ambient + sun_r * direct + LAMP_TINT[0] * lamp
        buffer[GREEN, x] *= sky_g * ambient + sun_g * direct + LAMP_TINT[1] * lamp
        buffer[BLUE, x] *= sky_b * ambient + sun_b * direct + LAMP_TINT[2] * lamp


@shader
def _mirrored(buffer, start, end, nx, ny, nz, polished, light, noise):
    """Blend in the sky's mirror image: by Schlick's Fresnel term on paint and glass, flatter on wet ground."""
    base, rise, clear = (f(0), f(0.5), f(1)) if polished else (f(0.95), f(0.85), f(0))
    for x in range(u(start), u(end)):
        dx, dy, dz = buffer[DX, x], buffer[DY, x], buffer[DZ, x]
        facing = -(nx * dx + ny * dy + nz * dz)
        buffer[MX, x] = dx + f(2) * facing * nx
        buffer[MY, x] = dy + f(2) * facing * ny
        buffer[MZ, x] = dz + f(2) * facing * nz
        c = f(1) - max(facing, f(0))
        fresnel = c * c * c * c * c
        gloss = buffer[GLOSS, x]
        amount = gloss * (f(1) - base + rise * fresnel) + clear * f(0.5) * fresnel * (f(1) - f(2) * gloss)
        buffer[GLOSS, x] = min(amount, f(0.92)) * (f(1) - f(0.75) * buffer[SHADE, x])
    sky_rows(buffer, start, end, np.int64(MX), np.int64(MX), light, noise)
    dark_r, dark_g, dark_b = f(0.35) * light.bounce[0], f(0.35) * light.bounce[1], f(0.35) * light.bounce[2]
    for x in range(u(start), u(end)):
        above = max(smooth(f(-0.05), f(0.06), buffer[UP, x]), f(1) - clear)
        amount = buffer[GLOSS, x]
        buffer[RED, x] += amount * (dark_r + above * (buffer[MX, x] - dark_r) - buffer[RED, x])
        buffer[GREEN, x] += amount * (dark_g + above * (buffer[MY, x] - dark_g) - buffer[GREEN, x])
        buffer[BLUE, x] += amount * (dark_b + above * (buffer[MZ, x] - dark_b) - buffer[BLUE, x])
