"""Sky, fog and tone mapping of a row of radiances."""

from __future__ import annotations

import numpy as np

from cosmos_exp.rendering.surfaces import (
    BLUE,
    COARSE,
    DISTANCE,
    DX,
    DY,
    DZ,
    EMIT_B,
    EMIT_G,
    EMIT_R,
    FINE,
    GREEN,
    RED,
    UP,
    between,
    f,
    fill,
    noise_at,
    shader,
    smooth,
    u,
)  # fmt: skip


@shader
def sky_rows(buffer, start, end, rx, target, light, noise):
    """Radiance of the sky in the unit directions of three rows from `rx` on, written to three from `target` on.

    Gradient, clouds on a flat layer, halo and disc of the sun. Leaves the directions' z in row UP.
    """
    if light.clouds > f(0):
        _clouds(buffer, start, end, rx, light.clouds, noise)
    else:
        fill(buffer[COARSE], start, end, f(0))
    if light.glow > f(0):
        _halo(buffer, start, end, rx, light)
    else:
        fill(buffer[FINE], start, end, f(0))
    for x in range(u(start), u(end)):
        buffer[UP, x] = buffer[rx + 2, x]
    low, high, sun, ambient = light.horizon, light.zenith, light.sun, light.ambient
    for k in range(3):
        _sky_channel(buffer, start, end, target + k, low[k], high[k], ambient[k], sun[k])


@shader
def _sky_channel(buffer, start, end, target, horizon, zenith, ambient, sun):
    white = f(0.55) * horizon + f(0.45) * ambient + f(0.35) * sun
    for x in range(u(start), u(end)):
        clear = horizon + np.sqrt(max(buffer[UP, x], f(0))) * (zenith - horizon)
        buffer[target, x] = clear + buffer[COARSE, x] * (white - clear) + buffer[FINE, x] * sun


@shader
def _clouds(buffer, start, end, rx, clouds, noise):
    """Cover 0..1 into row COARSE."""
    ry, rz = rx + 1, rx + 2
    for x in range(start, end, 2):
        scale = f(14) / (max(buffer[rz, x], f(0)) + f(0.12))
        buffer[COARSE, x] = noise_at(noise, buffer[rx, x] * scale, buffer[ry, x] * scale)
    between(buffer[COARSE], start, end)
    edge = f(0.75) - f(0.5) * clouds
    for x in range(u(start), u(end)):
        cover = smooth(edge, edge + f(0.30), buffer[COARSE, x])
        buffer[COARSE, x] = f(0.75) * cover * smooth(f(0.02), f(0.20), buffer[rz, x])


@shader
def _halo(buffer, start, end, rx, light):
    """Brightness around the sun into row FINE."""
    ry, rz = rx + 1, rx + 2
    sun, glow = light.sun_direction, light.glow
    sx, sy, sz = sun[0], sun[1], sun[2]
    for x in range(u(start), u(end)):
        t8 = max(buffer[rx, x] * sx + buffer[ry, x] * sy + buffer[rz, x] * sz, f(0.4))  # higher powers stay normal
        disc = f(3) if t8 > f(0.9994) else f(0)
        t8 *= t8
        t8 *= t8
        t8 *= t8
        t64 = t8 * t8
        t64 *= t64
        t64 *= t64
        t512 = max(t64, f(1e-4))
        t512 *= t512
        t512 *= t512
        t512 *= t512
        buffer[FINE, x] = glow * (f(0.10) * t8 + f(0.35) * t64 + f(1.2) * t512 + disc)


@shader
def sky(buffer, start, end, light, noise):
    """The sky, thickening to fog at the horizon: its distance is set so that the fog pass adds just that."""
    sky_rows(buffer, start, end, np.int64(DX), np.int64(RED), light, noise)
    for x in range(u(start), u(end)):
        up = max(buffer[DZ, x], f(0))
        buffer[DISTANCE, x] = f(900) / (f(1) + f(60) * up + f(250) * up * up)


@shader
def fog(buffer, count, light):
    """Blend towards the fog's colour, brighter towards a low sun, then add what shines through it."""
    density = light.fog_density * f(1 / 16)
    sx, sy, sz, glow = light.sun_direction[0], light.sun_direction[1], light.sun_direction[2], light.glow * f(0.25)
    fog_r, fog_g, fog_b = light.fog[0], light.fog[1], light.fog[2]
    sun_r, sun_g, sun_b = light.sun[0], light.sun[1], light.sun[2]
    for x in range(u(count)):
        clear = max(f(1) - density * buffer[DISTANCE, x], f(0))
        clear *= clear
        clear *= clear
        clear *= clear
        through = clear
        clear *= clear
        warm = max(buffer[DX, x] * sx + buffer[DY, x] * sy + buffer[DZ, x] * sz, f(0))
        warm *= warm
        warm *= warm * glow
        r, g, b = fog_r + warm * sun_r, fog_g + warm * sun_g, fog_b + warm * sun_b
        buffer[RED, x] = r + clear * (buffer[RED, x] - r) + through * buffer[EMIT_R, x]
        buffer[GREEN, x] = g + clear * (buffer[GREEN, x] - g) + through * buffer[EMIT_G, x]
        buffer[BLUE, x] = b + clear * (buffer[BLUE, x] - b) + through * buffer[EMIT_B, x]


@shader
def tone_map(buffer, columns, count, light, out, y):
    """Saturation, exposure, tone curve and sRGB transfer to the listed columns of row y of out [H,W,3] uint8.

    Tone: Narkowicz's fit of the ACES filmic curve (2016). The transfer is a sum of square roots within 0.3 % of sRGB.
    """
    exposure, saturation = light.exposure, light.saturation
    for x in range(u(count)):
        r, g, b = buffer[RED, x], buffer[GREEN, x], buffer[BLUE, x]
        grey = (f(0.2126) * r + f(0.7152) * g + f(0.0722) * b) * (f(1) - saturation)
        buffer[RED, x] = _encoded((grey + saturation * r) * exposure)
        buffer[GREEN, x] = _encoded((grey + saturation * g) * exposure)
        buffer[BLUE, x] = _encoded((grey + saturation * b) * exposure)
    for x in range(count):
        column = columns[x]
        out[y, column, 0], out[y, column, 1] = np.int32(buffer[RED, x]), np.int32(buffer[GREEN, x])
        out[y, column, 2] = np.int32(buffer[BLUE, x])


@shader
def _encoded(value):
    """Radiance to an sRGB level 0.5..255.5."""
    v = f(0.6) * max(value, f(0))
    v = min(v * (f(2.51) * v + f(0.03)) / (v * (f(2.43) * v + f(0.59)) + f(0.14)), f(1))
    s1 = np.sqrt(v)
    s2 = np.sqrt(s1)
    s3 = np.sqrt(s2)
    srgb = f(0.662002687) * s1 + f(0.684122060) * s2 - f(0.323583601) * s3 - f(0.0225411470) * v
    return max(srgb, f(0)) * f(255) + f(0.5)
