"""Surface detail of each material over a run of samples that show the same triangle.

The kernels read and write rows of a buffer [ROWS, W] float32, one sample per column. Table lookups (noise, shadow map,
ground grid) are scalar code, made at every other sample of a run and interpolated between; all else is straight-line
arithmetic over rows, which the compiler vectorises. Detail depends on the world position alone and fades where a
sample's footprint exceeds it, so textures are stable when the camera moves.
"""

from __future__ import annotations

import numpy as np

from cosmos_exp.rendering.compiled import part

f = np.float32
u = np.uint64  # column index: unsigned, as the wrap-around of negative indices prevents vectorisation
shader = part(fastmath=True)

# Rows of the buffer: position, distance, unit direction, colour (albedo, later radiance), mirror strength, emission,
# received sunlight, contact shade, lamp light, two noises, mirrored direction, elevation.
X, Y, Z, DISTANCE, DX, DY, DZ, RED, GREEN, BLUE, GLOSS, EMIT_R, EMIT_G, EMIT_B, SUN, SHADE, LAMP = range(17)
COARSE, FINE, MX, MY, MZ, UP = range(17, 23)
ROWS = 23

SNOW = (f(0.80), f(0.82), f(0.86))
SHOP_HEIGHT, STOREY = 3.5, 3.1


@shader
def smooth(low, high, x):
    t = min(max((x - low) / (high - low), f(0)), f(1))
    return t * t * (f(3) - f(2) * t)


@shader
def fill(row, start, end, value):
    for x in range(u(start), u(end)):
        row[x] = value


@shader
def between(row, start, end):
    """Fill every second entry of a run, start + 1 and on, from its neighbours."""
    for x in range(start + 1, end - 1, 2):
        row[x] = f(0.5) * (row[x - 1] + row[x + 1])
    if (end - start) % 2 == 0:
        row[end - 1] = row[end - 2]


@shader
def noise_at(noise, s, t):
    """Bilinear lookup in the tileable texture; one unit is one texel."""
    last = np.int32(255)
    fs, ft = np.floor(s), np.floor(t)
    i, j = np.int32(fs) & last, np.int32(ft) & last
    i1, j1 = (i + np.int32(1)) & last, (j + np.int32(1)) & last
    du, dv = s - fs, t - ft
    low = noise[j, i] + du * (noise[j, i1] - noise[j, i])
    high = noise[j1, i] + du * (noise[j1, i1] - noise[j1, i])
    return low + dv * (high - low)


@shader
def coarse_noise(buffer, start, end, noise, ax, ay, az, a0, bx, by, bz, b0):
    """Noise at texel (a . p + a0, b . p + b0) of each position."""
    for x in range(start, end, 2):
        px, py, pz = buffer[X, x], buffer[Y, x], buffer[Z, x]
        buffer[COARSE, x] = noise_at(noise, ax * px + ay * py + az * pz + a0, bx * px + by * py + bz * pz + b0)
    between(buffer[COARSE], start, end)


@shader
def ground_noise(buffer, start, end, noise, scale):
    for x in range(start, end, 2):
        buffer[COARSE, x] = noise_at(noise, buffer[X, x] * scale, buffer[Y, x] * scale)
    between(buffer[COARSE], start, end)


@shader
def grain(buffer, start, end, noise, scale):
    """Nearest texel at the ground position, minus one half."""
    last = np.int32(255)
    for x in range(u(start), u(end)):
        i, j = np.int32(np.floor(buffer[X, x] * scale)) & last, np.int32(np.floor(buffer[Y, x] * scale)) & last
        buffer[FINE, x] = noise[j, i] - f(0.5)


@shader
def plain(buffer, start, end, a, snow, gloss):
    """One colour. a: the triangle's attributes; snow: cover of the face 0..1; gloss: strength of the mirror image."""
    r, g, b = a[3] + snow * (SNOW[0] - a[3]), a[4] + snow * (SNOW[1] - a[4]), a[5] + snow * (SNOW[2] - a[5])
    gloss *= f(1) - snow
    for x in range(u(start), u(end)):
        buffer[RED, x], buffer[GREEN, x], buffer[BLUE, x], buffer[GLOSS, x] = r, g, b, gloss


@shader
def asphalt(buffer, start, end, a, snow, wet, noise, pixel):
    """Patches, grain, the ruts of the wheels along the lane, and puddles in the rain."""
    ground_noise(buffer, start, end, noise, f(1.9))
    grain(buffer, start, end, noise, f(23))
    r, g, b, ux, uy, uz, u0, rutted = a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[14]
    grit = pixel * f(30)
    dark = f(1) - f(0.42) * wet
    for x in range(u(start), u(end)):
        coarse = buffer[COARSE, x]
        fine = buffer[FINE, x] / (f(1) + buffer[DISTANCE, x] * grit)
        across = (abs(ux * buffer[X, x] + uy * buffer[Y, x] + uz * buffer[Z, x] + u0) - f(0.85)) * f(2.6)
        across *= across
        rut = rutted / (f(1) + across * across)
        tone = (f(0.82) + f(0.34) * coarse + f(0.5) * fine) * (f(1) - f(0.14) * rut) * dark
        cover = snow * (f(1) - f(0.85) * rut * smooth(f(0.2), f(0.5), coarse))
        cover *= smooth(f(0.16), f(0.42), coarse + f(0.3) * fine)
        tone *= f(1) - cover
        buffer[RED, x], buffer[GREEN, x], buffer[BLUE, x] = (
            r * tone + cover * SNOW[0],
            g * tone + cover * SNOW[1],
            b * tone + cover * SNOW[2],
        )
        buffer[GLOSS, x] = wet * (f(0.40) + f(0.60) * smooth(f(0.46), f(0.70), coarse)) * (f(1) - cover)


@shader
def paint(buffer, start, end, a, snow, wet, noise):
    """Worn road paint."""
    ground_noise(buffer, start, end, noise, f(1.9))
    grain(buffer, start, end, noise, f(23))
    r, g, b = a[3], a[4], a[5]
    for x in range(u(start), u(end)):
        coarse = buffer[COARSE, x]
        tone = f(1) - f(0.35) * smooth(f(0.75), f(0.95), coarse + f(0.5) * buffer[FINE, x])
        cover = snow * smooth(f(0.30), f(0.62), coarse)
        tone *= (f(1) - f(0.25) * wet) * (f(1) - cover)
        buffer[RED, x], buffer[GREEN, x], buffer[BLUE, x] = (
            r * tone + cover * SNOW[0],
            g * tone + cover * SNOW[1],
            b * tone + cover * SNOW[2],
        )
        buffer[GLOSS, x] = f(0.4) * wet * (f(1) - cover)


@shader
def paving(buffer, start, end, a, snow, wet, noise, pixel, slab):
    """Slabs of `slab` metres with dark joints (0: none)."""
    ground_noise(buffer, start, end, noise, f(2.3))
    r, g, b = a[3], a[4], a[5]
    scale = f(1) / max(slab, f(0.01))
    depth = f(0.22 * 0.025) * min(slab, f(1))
    dark = f(1) - f(0.35) * wet
    for x in range(u(start), u(end)):
        coarse = buffer[COARSE, x]
        width = f(0.025) + buffer[DISTANCE, x] * pixel * scale
        gx, gy = buffer[X, x] * scale, buffer[Y, x] * scale
        gx, gy = abs(gx - np.floor(gx + f(0.5))), abs(gy - np.floor(gy + f(0.5)))
        joint = min(max(f(1) - gx / width, f(0)) + max(f(1) - gy / width, f(0)), f(1))
        cover = snow * smooth(f(0.05), f(0.25), coarse)
        tone = (f(0.86) + f(0.24) * coarse) * dark * (f(1) - joint * depth / width) * (f(1) - cover)
        buffer[RED, x], buffer[GREEN, x], buffer[BLUE, x] = (
            r * tone + cover * SNOW[0],
            g * tone + cover * SNOW[1],
            b * tone + cover * SNOW[2],
        )
        buffer[GLOSS, x] = f(0.30) * wet * (f(1) - cover)


@shader
def grass(buffer, start, end, a, snow, noise, pixel):
    ground_noise(buffer, start, end, noise, f(0.9))
    grain(buffer, start, end, noise, f(17))
    r, g, b = a[3], a[4], a[5]
    grit = pixel * f(25)
    for x in range(u(start), u(end)):
        coarse = buffer[COARSE, x]
        fine = buffer[FINE, x] / (f(1) + buffer[DISTANCE, x] * grit)
        cover = snow * smooth(f(0.08), f(0.30), coarse + f(0.4) * fine)
        tone = (f(0.62) + f(0.62) * coarse + f(0.8) * fine) * (f(1) - cover)
        dry = f(1) + f(0.35) * smooth(f(0.45), f(0.8), coarse)
        buffer[RED, x], buffer[GREEN, x], buffer[BLUE, x] = (
            r * tone * dry + cover * SNOW[0],
            g * tone + cover * SNOW[1],
            b * tone + cover * SNOW[2],
        )
        buffer[GLOSS, x] = f(0)


@shader
def mottled(buffer, start, end, a, snow, noise, low, high, scale, leafy):
    """Roofs, leaves and bark: brightness from low to low + high; leafy: snow lies on what noise turns up."""
    coarse_noise(buffer, start, end, noise, scale, f(0), f(0.6) * scale, f(0), f(0), scale, -scale, f(0))
    r, g, b, tilt = a[3], a[4], a[5], f(0.35) * a[2]
    for x in range(u(start), u(end)):
        n = buffer[COARSE, x]
        cover = snow * (f(1) - leafy + leafy * smooth(f(0.40), f(0.85), n + tilt))
        tone = (low + high * n) * (f(1) - cover)
        buffer[RED, x], buffer[GREEN, x], buffer[BLUE, x] = (
            r * tone + cover * SNOW[0],
            g * tone + cover * SNOW[1],
            b * tone + cover * SNOW[2],
        )
        buffer[GLOSS, x] = f(0)


@shader
def _soft_box(t, low, high, sharpness):
    """1 where low < t < high, with edges 1/sharpness wide."""
    rise = min(max((t - low) * sharpness + f(0.5), f(0)), f(1))
    fall = min(max((high - t) * sharpness + f(0.5), f(0)), f(1))
    return rise * fall


@shader
def facade(buffer, start, end, a, sky_r, sky_g, sky_b, lamps, noise, pixel):
    """Windows in bays (u) and storeys (v, metres) that mirror the sky, shop fronts below; lamps: some are lit."""
    ux, uy, uz, u0, vx, vy, vz, v0 = a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13]
    seed = a[14]
    five, two = f(5), f(2)
    coarse_noise(buffer, start, end, noise, ux * five, uy * five, uz * five, u0 * five, vx * two, vy * two, vz * two,
                 v0 * two)  # fmt: skip
    r, g, b = a[3], a[4], a[5]
    shop = f(1) if seed > f(0.45) else f(0)
    margin = f(0.26) if seed < f(0.7) else f(0.10)
    salt = np.uint32(seed * f(65521)) * np.uint32(2246822519)
    left, top, bottom = f(0.30) - f(0.23) * shop, f(0.75) + f(0.03) * shop, f(0.30) - f(0.18) * shop
    for x in range(u(start), u(end)):
        px, py, pz = buffer[X, x], buffer[Y, x], buffer[Z, x]
        across, v = ux * px + uy * py + uz * pz + u0, vx * px + vy * py + vz * pz + v0
        footprint = buffer[DISTANCE, x] * pixel
        sharpness = f(1) / (f(0.012) + footprint * f(0.37))
        bay = np.floor(across)
        fu = across - bay
        s = (v - f(SHOP_HEIGHT)) * f(1 / STOREY)
        storey = max(np.floor(s), f(-1))
        upper = _soft_box(fu, margin, f(1) - margin, sharpness) * _soft_box(s - storey, f(0.24), f(0.80), sharpness)
        front = _soft_box(fu, left, f(1) - left, sharpness) * _soft_box(v * f(1 / SHOP_HEIGHT), bottom, top, sharpness)
        is_upper = storey >= f(0)
        near = f(1) - smooth(f(0.9), f(2.6), footprint)
        inside = (upper if is_upper else front) * near + f(0.28) * (f(1) - near)
        h = np.uint32(np.int32(bay)) * np.uint32(374761393) + np.uint32(np.int32(storey)) * np.uint32(668265263) + salt
        h = (h ^ (h >> np.uint32(13))) * np.uint32(1274126177)
        h = (h ^ (h >> np.uint32(16))) & np.uint32(0xFFFF)
        chance = f(np.int32(h)) * f(1 / 65536)
        dirt = (f(0.86) + f(0.22) * buffer[COARSE, x]) * (f(0.75) + f(0.25) * smooth(f(0), f(1.6), v))
        wall = dirt * (f(1) - inside)
        pane, mirror = inside * (f(0.03) + f(0.05) * chance), inside * (f(0.16) + f(0.16) * chance)
        buffer[RED, x], buffer[GREEN, x], buffer[BLUE, x] = (
            r * wall + pane + mirror * sky_r,
            g * wall + pane + mirror * sky_g,
            b * wall + pane + mirror * sky_b,
        )
        lit = inside if chance < (f(0.38) if is_upper else f(0.6)) else f(0)
        lit = (lit * near + f(0.06) * (f(1) - near)) * lamps * (f(0.30) + f(1.6) * chance)
        buffer[EMIT_R, x] = lit
        buffer[EMIT_G, x] = lit * (f(0.62) + f(0.5) * chance)
        buffer[EMIT_B, x] = lit * (f(0.30) + f(0.9) * chance)
        buffer[GLOSS, x] = f(0)
