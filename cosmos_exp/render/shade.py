"""Deferred shading: one g-buffer, any weather.

Works in linear light and in the world frame relative to the renderer's origin. Surface detail (asphalt, windows,
leaves, snow) is a function of position alone, so nothing swims when the camera moves.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numba import njit

from cosmos_exp.render.mesh import Material
from cosmos_exp.render.weather import Weather

NOISE_SIZE = 256
TONE_STEPS = 1024
TONE_MAX = 6.0

_ASPHALT, _PAVING, _GRASS = int(Material.ASPHALT), int(Material.PAVING), int(Material.GRASS)
_PAINT, _FACADE, _ROOF, _FOLIAGE = int(Material.PAINT), int(Material.FACADE), int(Material.ROOF), int(Material.FOLIAGE)
_METAL, _GLASS, _HEADLIGHT, _TAILLIGHT = (
    int(Material.METAL), int(Material.GLASS), int(Material.HEADLIGHT), int(Material.TAILLIGHT),
)  # fmt: skip
_LAMP, _SIGNAL, _KERB = int(Material.LAMP), int(Material.SIGNAL), int(Material.KERB)

_kernel = njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
_inline = njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")


class Lighting(NamedTuple):
    """A Weather as the kernel takes it: vectors are float32 arrays in the world frame."""

    sun_direction: np.ndarray
    sun: np.ndarray
    ambient: np.ndarray
    bounce: np.ndarray
    zenith: np.ndarray
    horizon: np.ndarray
    fog: np.ndarray
    fog_density: float
    glow: float
    clouds: float
    wetness: float
    snow: float
    night_lights: float
    shadows: float
    exposure: float
    saturation: float


class ShadowMap(NamedTuple):
    """The scene as the sun sees it: inverse depth [S,S] and world-to-sun rotation, translation, focal length (pixels).

    A 1x1 map means that nothing casts a shadow.
    """

    inverse: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    focal: float


class GroundGrid(NamedTuple):
    """Lamp light and contact shade on the ground. values: [G,G,2] float32 (light, shade), origin: its low corner."""

    values: np.ndarray
    origin: np.ndarray
    cell: float


def lighting(weather: Weather, heading: np.ndarray) -> Lighting:
    """heading: [3,3] rotation of the ego's first pose, which the sun's azimuth refers to."""
    vectors = (weather.sun, weather.ambient, weather.bounce, weather.zenith, weather.horizon, weather.fog)
    return Lighting(
        (heading @ weather.sun_direction).astype(np.float32),
        *[np.asarray(v, np.float32) for v in vectors],
        *[
            float(v)
            for v in (
                weather.fog_density, weather.glow, weather.clouds, weather.wetness, weather.snow,
                weather.night_lights, weather.shadows, weather.exposure, weather.saturation,
            )
        ],
    )  # fmt: skip


@lru_cache(maxsize=1)
def noise_texture() -> np.ndarray:
    """[256,256] float32 in 0..1: tileable value noise of five octaves."""
    rng = np.random.default_rng(20)
    total = np.zeros((NOISE_SIZE, NOISE_SIZE), np.float32)
    for octave in range(5):
        cells = 8 << octave
        values = rng.random((cells, cells), dtype=np.float32)
        wrapped = np.pad(values, 2, mode="wrap")
        scale = NOISE_SIZE // cells
        smooth = cv2.resize(wrapped, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        total += smooth[2 * scale : -2 * scale, 2 * scale : -2 * scale] * 0.6**octave
    total -= total.min()
    return total / total.max()


@lru_cache(maxsize=1)
def tone_curve() -> np.ndarray:
    """[1024] float32 sRGB values 0..255 of linear radiance 0..6, at squared steps.

    Narkowicz's fit of the ACES filmic curve (2016), then the sRGB transfer.
    """
    x = 0.6 * np.linspace(0, 1, TONE_STEPS) ** 2 * TONE_MAX
    mapped = np.clip(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0, 1)
    srgb = np.where(mapped <= 0.0031308, 12.92 * mapped, 1.055 * mapped ** (1 / 2.4) - 0.055)
    return (255 * srgb).astype(np.float32)


@_inline
def _smooth(low, high, x):
    t = min(max((x - low) / (high - low), np.float32(0.0)), np.float32(1.0))
    return t * t * (np.float32(3.0) - np.float32(2.0) * t)


@_inline
def _hash(i, j, seed):
    """0..1 from two integers and a seed."""
    h = np.uint32(i) * np.uint32(374761393) + np.uint32(j) * np.uint32(668265263)
    h += np.uint32(seed * np.float32(65521.0)) * np.uint32(2246822519)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(1274126177)
    return np.float32((h ^ (h >> np.uint32(16))) & np.uint32(0xFFFF)) * np.float32(1.0 / 65536.0)


@_inline
def _noise(noise, x, y):
    """Bilinear lookup; one unit is one texel."""
    fx, fy = np.floor(x), np.floor(y)
    i, j = int(fx) & 255, int(fy) & 255
    u, v = x - fx, y - fy
    i1, j1 = (i + 1) & 255, (j + 1) & 255
    low = noise[j, i] + u * (noise[j, i1] - noise[j, i])
    high = noise[j1, i] + u * (noise[j1, i1] - noise[j1, i])
    return low + v * (high - low)


@_kernel
def _sky(x, y, z, light, noise, out):
    """Radiance of the sky in a direction (z up)."""
    up = max(z, np.float32(0.0))
    blend = np.sqrt(up)
    towards = x * light.sun_direction[0] + y * light.sun_direction[1] + z * light.sun_direction[2]
    halo = np.float32(0.0)
    if light.glow > 0.0 and towards > 0.0:
        t2 = towards * towards
        t8 = t2 * t2 * t2 * t2
        t64 = t8 * t8 * t8 * t8 * t8 * t8 * t8 * t8
        t512 = t64 * t64 * t64 * t64 * t64 * t64 * t64 * t64
        halo = np.float32(light.glow) * (np.float32(0.10) * t8 + np.float32(0.35) * t64 + np.float32(1.2) * t512)
        if towards > 0.9994:
            halo += np.float32(3.0)
    cover = np.float32(0.0)
    if light.clouds > 0.0 and up > 0.02:
        s = np.float32(14.0) / (up + np.float32(0.12))
        n = _noise(noise, x * s, y * s)
        edge = np.float32(0.75) - np.float32(0.5) * np.float32(light.clouds)
        cover = _smooth(edge, edge + np.float32(0.30), n) * _smooth(np.float32(0.02), np.float32(0.20), up)
        cover *= np.float32(0.75)
    for k in range(3):
        clear = light.horizon[k] + blend * (light.zenith[k] - light.horizon[k])
        white = np.float32(0.55) * light.horizon[k] + np.float32(0.45) * light.ambient[k]
        white += np.float32(0.35) * light.sun[k]
        out[k] = clear + cover * (white - clear) + halo * light.sun[k]


@_kernel
def _sunlit(x, y, z, shadow):
    """1 in the sun, 0 in shadow: 2x2 percentage-closer filter."""
    size = shadow.inverse.shape[0]
    if size == 1:
        return np.float32(1.0)
    r, t = shadow.rotation, shadow.translation
    depth = r[2, 0] * x + r[2, 1] * y + r[2, 2] * z + t[2]
    u = shadow.focal * (r[0, 0] * x + r[0, 1] * y + r[0, 2] * z + t[0]) / depth + size * 0.5
    v = shadow.focal * (r[1, 0] * x + r[1, 1] * y + r[1, 2] * z + t[1]) / depth + size * 0.5
    fu, fv = np.floor(u), np.floor(v)
    i, j = int(fu), int(fv)
    if i < 0 or j < 0 or i >= size - 1 or j >= size - 1:
        return np.float32(1.0)
    limit = np.float32(1.0 / (depth - 0.25))
    a, b = np.float32(u - fu), np.float32(v - fv)
    s = shadow.inverse
    one, zero = np.float32(1.0), np.float32(0.0)
    p = one if s[j, i] < limit else zero
    q = one if s[j, i + 1] < limit else zero
    m = one if s[j + 1, i] < limit else zero
    n = one if s[j + 1, i + 1] < limit else zero
    return (p * (one - a) + q * a) * (one - b) + (m * (one - a) + n * a) * b


@_kernel
def _ground(x, y, grid, channel):
    """Bilinear value of the ground grid; 0 outside."""
    u = (x - grid.origin[0]) / np.float32(grid.cell) - np.float32(0.5)
    v = (y - grid.origin[1]) / np.float32(grid.cell) - np.float32(0.5)
    size = grid.values.shape[0]
    fu, fv = np.floor(u), np.floor(v)
    i, j = int(fu), int(fv)
    if i < 0 or j < 0 or i >= size - 1 or j >= size - 1:
        return np.float32(0.0)
    a, b = u - fu, v - fv
    g = grid.values
    low = g[j, i, channel] + a * (g[j, i + 1, channel] - g[j, i, channel])
    high = g[j + 1, i, channel] + a * (g[j + 1, i + 1, channel] - g[j + 1, i, channel])
    return low + b * (high - low)


@_kernel
def shade(ids, inverse, rays, rotation, eye, beam, static, static_codes, moving, moving_codes, light, shadow, grid,
          noise, tone, pixel, out):  # fmt: skip
    """Fill out [H,W,3] uint8.

    ids, inverse: of the rasteriser; triangles from len(static) on are moving. rays: [H,W,3] camera-frame directions.
    rotation: [3,3] camera to world, eye: [3]; beam: [4,4] world to the ego's rig frame, for its headlights.
    static, moving: [N,16] = normal, linear colour, texture frame (8), seed. codes: [N,3] material, tag, instance.
    pixel: angle of one sample, radians.
    """
    height, width = ids.shape
    count = len(static)
    color, sky = np.empty(3, np.float32), np.empty(3, np.float32)
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    lamps = np.float32(light.night_lights)
    wet, snow_cover = np.float32(light.wetness), np.float32(light.snow)
    density, exposure = np.float32(light.fog_density), np.float32(light.exposure)
    saturation = np.float32(light.saturation)
    tone_scale = np.float32((TONE_STEPS - 1) / np.sqrt(TONE_MAX))
    for row in range(height):
        for column in range(width):
            rx, ry, rz = rays[row, column, 0], rays[row, column, 1], rays[row, column, 2]
            dx = rotation[0, 0] * rx + rotation[0, 1] * ry + rotation[0, 2] * rz
            dy = rotation[1, 0] * rx + rotation[1, 1] * ry + rotation[1, 2] * rz
            dz = rotation[2, 0] * rx + rotation[2, 1] * ry + rotation[2, 2] * rz
            norm = one / np.sqrt(dx * dx + dy * dy + dz * dz)
            number = ids[row, column]
            if number < 0:
                _sky(dx * norm, dy * norm, dz * norm, light, noise, color)
                haze = np.exp(np.float32(-14.0) * max(dz * norm, zero)) * (one - np.exp(-density * np.float32(600.0)))
                if density > 0.02:
                    haze = max(haze, one - max(dz * norm, zero) * np.float32(0.5))
                for k in range(3):
                    color[k] += haze * (light.fog[k] - color[k])
            else:
                far = one / inverse[row, column]
                px, py, pz = eye[0] + far * dx, eye[1] + far * dy, eye[2] + far * dz
                distance = far / norm
                dx *= norm
                dy *= norm
                dz *= norm
                if number < count:
                    a, material = static[number], static_codes[number, 0]
                else:
                    a, material = moving[number - count], moving_codes[number - count, 0]
                nx, ny, nz = a[0], a[1], a[2]
                if nx * dx + ny * dy + nz * dz > zero:
                    nx, ny, nz = -nx, -ny, -nz
                ar, ag, ab = a[3], a[4], a[5]
                seed = a[14]
                footprint = distance * np.float32(pixel)
                glossy, emission, emission_tint = zero, zero, one
                snowy = snow_cover * _smooth(np.float32(0.35), np.float32(0.75), nz)
                grounded = False
                if material == _ASPHALT or material == _PAINT:
                    grounded = True
                    coarse = _noise(noise, px * np.float32(1.9), py * np.float32(1.9))
                    fine = _noise(noise, px * np.float32(23.0), py * np.float32(23.0)) - half
                    fine *= one / (one + footprint * np.float32(30.0))
                    if material == _ASPHALT:
                        m = np.float32(0.80) + np.float32(0.34) * coarse + np.float32(0.5) * fine
                        if seed > half:
                            u = abs(a[6] * px + a[7] * py + a[8] * pz + a[9])
                            rut = (u - np.float32(0.85)) * np.float32(2.6)
                            rut = one / (one + rut * rut * rut * rut)
                            m *= one - np.float32(0.14) * rut
                            snowy *= one - np.float32(0.85) * rut * _smooth(np.float32(0.2), np.float32(0.5), coarse)
                        snowy *= _smooth(np.float32(0.16), np.float32(0.42), coarse + np.float32(0.3) * fine)
                    else:
                        wear = _smooth(np.float32(0.75), np.float32(0.95), coarse + np.float32(0.5) * fine)
                        m = one - np.float32(0.35) * wear
                        snowy *= _smooth(np.float32(0.30), np.float32(0.62), coarse)
                    ar, ag, ab = ar * m, ag * m, ab * m
                    puddle = _smooth(np.float32(0.50), np.float32(0.72), coarse)
                    glossy = wet * (np.float32(0.45) + np.float32(0.55) * puddle)
                elif material == _PAVING or material == _KERB:
                    grounded = True
                    coarse = _noise(noise, px * np.float32(2.3) + np.float32(9.0), py * np.float32(2.3))
                    m = np.float32(0.86) + np.float32(0.24) * coarse
                    if footprint < 0.25 and material == _PAVING:
                        gx, gy = px * np.float32(1.25), py * np.float32(1.25)
                        gx -= np.floor(gx)
                        gy -= np.floor(gy)
                        if gx < 0.05 or gy < 0.05:
                            m *= np.float32(0.82) + np.float32(0.18) * min(footprint * np.float32(4.0), one)
                    ar, ag, ab = ar * m, ag * m, ab * m
                    glossy = wet * np.float32(0.35)
                elif material == _GRASS:
                    grounded = True
                    coarse = _noise(noise, px * np.float32(0.9), py * np.float32(0.9))
                    fine = _noise(noise, px * np.float32(17.0), py * np.float32(17.0)) - half
                    fine *= one / (one + footprint * np.float32(25.0))
                    m = np.float32(0.62) + np.float32(0.62) * coarse + np.float32(0.8) * fine
                    dry = np.float32(0.35) * _smooth(np.float32(0.45), np.float32(0.8), coarse)
                    ar, ag, ab = ar * m * (one + dry), ag * m, ab * m
                elif material == _FACADE:
                    u = a[6] * px + a[7] * py + a[8] * pz + a[9]
                    v = a[10] * px + a[11] * py + a[12] * pz + a[13]
                    bay = np.floor(u)
                    fu = u - bay
                    if v < np.float32(3.5):
                        storey = np.float32(-1.0)
                        fv = v / np.float32(3.5)
                        shop = seed > np.float32(0.45)
                        inside = (
                            (fu > 0.08 and fu < 0.92 and fv > 0.12 and fv < 0.78)
                            if shop
                            else (fu > 0.30 and fu < 0.70 and fv > 0.30 and fv < 0.75)
                        )
                    else:
                        s = (v - np.float32(3.5)) / np.float32(3.1)
                        storey = np.floor(s)
                        fv = s - storey
                        margin = np.float32(0.26) if seed < 0.7 else np.float32(0.10)
                        inside = fu > margin and fu < one - margin and fv > 0.24 and fv < 0.80
                    sharp = one - _smooth(np.float32(0.9), np.float32(2.6), footprint)
                    dirt = np.float32(0.86) + np.float32(0.22) * _noise(noise, u * np.float32(5.0), v * np.float32(2.0))
                    dirt *= np.float32(0.75) + np.float32(0.25) * _smooth(zero, np.float32(1.6), v)
                    cover = (one if inside else zero) * sharp + np.float32(0.28) * (one - sharp)
                    h = _hash(int(bay), int(storey), seed)
                    pane = np.float32(0.025) + np.float32(0.05) * h
                    shine = np.float32(0.30) + np.float32(0.25) * h
                    ar = ar * dirt * (one - cover) + cover * (pane + shine * np.float32(0.5) * light.zenith[0])
                    ag = ag * dirt * (one - cover) + cover * (pane + shine * np.float32(0.5) * light.zenith[1])
                    ab = ab * dirt * (one - cover) + cover * (pane + shine * np.float32(0.5) * light.zenith[2])
                    if lamps > zero:
                        lit_share = np.float32(0.38) if storey >= zero else np.float32(0.6)
                        lit = one if h < lit_share else zero
                        lit = lit * (one if inside else zero) * sharp + np.float32(0.1) * (one - sharp)
                        emission = lit * lamps * (np.float32(0.30) + np.float32(1.1) * h)
                        emission_tint = np.float32(0.35) + np.float32(0.9) * h
                elif material == _ROOF:
                    m = np.float32(0.8) + np.float32(0.35) * _noise(noise, px * np.float32(6.0), py * np.float32(6.0))
                    ar, ag, ab = ar * m, ag * m, ab * m
                elif material == _FOLIAGE:
                    n = _noise(noise, (px + np.float32(0.6) * pz) * np.float32(9.0), (py - pz) * np.float32(9.0))
                    m = np.float32(0.35) + np.float32(1.2) * n
                    ar, ag, ab = ar * m, ag * m, ab * m
                    snowy = snow_cover * _smooth(np.float32(-0.1), np.float32(0.5), nz + n - half) * np.float32(0.85)
                elif material == _HEADLIGHT:
                    emission = np.float32(5.0) * lamps
                elif material == _TAILLIGHT:
                    emission = np.float32(1.6) * min(lamps * np.float32(2.0), one)
                elif material == _LAMP:
                    emission = np.float32(7.0) * _smooth(np.float32(0.3), one, lamps)
                elif material == _SIGNAL:
                    emission = seed * np.float32(1.6)

                shine = zero
                if material == _GLASS:
                    shine = np.float32(0.42)
                    snowy *= np.float32(0.3)
                elif material == _METAL:
                    shine = np.float32(0.10)
                if wet > zero and grounded:
                    darker = one - np.float32(0.42) * wet
                    ar, ag, ab = ar * darker, ag * darker, ab * darker
                if snowy > zero:
                    ar += snowy * (np.float32(0.80) - ar)
                    ag += snowy * (np.float32(0.82) - ag)
                    ab += snowy * (np.float32(0.86) - ab)
                    glossy *= one - snowy
                    shine *= one - snowy

                facing = nx * light.sun_direction[0] + ny * light.sun_direction[1] + nz * light.sun_direction[2]
                if material == _FOLIAGE:
                    facing = np.float32(0.35) + np.float32(0.65) * facing
                direct = zero
                if facing > zero:
                    dark = one - _sunlit(px + nx * half * np.float32(0.3), py + ny * np.float32(0.15),
                                         pz + nz * np.float32(0.15), shadow)  # fmt: skip
                    direct = facing * (one - dark * np.float32(light.shadows))
                up = half + half * nz
                shade_here = zero
                lamp = zero
                if grounded:
                    shade_here = _ground(px, py, grid, 1)
                if lamps > np.float32(0.3):
                    reach = one / (one + max(pz - eye[2], zero) * np.float32(0.35))
                    lamp = (
                        _ground(px, py, grid, 0) * lamps * (np.float32(0.25) + np.float32(0.75) * max(nz, half)) * reach
                    )
                    bx = beam[0, 0] * px + beam[0, 1] * py + beam[0, 2] * pz + beam[0, 3] - np.float32(3.5)
                    by = beam[1, 0] * px + beam[1, 1] * py + beam[1, 2] * pz + beam[1, 3]
                    bz = beam[2, 0] * px + beam[2, 1] * py + beam[2, 2] * pz + beam[2, 3]
                    if bx > zero:
                        slope = by / (bx + np.float32(1.5))
                        cone = one / (one + np.float32(6.0) * slope * slope * slope * slope + slope * slope)
                        lift = max(bz - np.float32(0.5), zero) / (bx + np.float32(4.0))
                        cut = one / (one + np.float32(220.0) * lift * lift)
                        fall = bx / np.float32(16.0)
                        lamp += lamps * np.float32(0.55) * cone * cut / (one + fall * fall) * min(bx * half, one)
                open_sky = one - np.float32(0.75) * shade_here
                for k in range(3):
                    albedo = ar if k == 0 else (ag if k == 1 else ab)
                    ambient = light.bounce[k] + up * (light.ambient[k] - light.bounce[k])
                    received = ambient * open_sky + direct * light.sun[k] * (one - half * shade_here)
                    tint = one if k == 0 else (np.float32(0.82) if k == 1 else np.float32(0.58))
                    color[k] = albedo * (received + lamp * tint)
                if shine > zero or glossy > zero:
                    facing = -(nx * dx + ny * dy + nz * dz)
                    mx, my, mz = dx + 2 * facing * nx, dy + 2 * facing * ny, dz + 2 * facing * nz
                    c = one - max(facing, zero)
                    fresnel = c * c * c * c * c
                    amount = shine + (one - shine) * fresnel * (np.float32(0.5) if shine > zero else zero)
                    amount += glossy * (np.float32(0.05) + np.float32(0.85) * fresnel)
                    amount = min(amount, np.float32(0.92)) * open_sky
                    _sky(mx, my, max(mz, np.float32(0.04)), light, noise, sky)
                    below = _smooth(np.float32(-0.05), np.float32(0.06), mz) if shine > zero else one
                    for k in range(3):
                        mirrored = light.bounce[k] * np.float32(0.35) + below * (
                            sky[k] - light.bounce[k] * np.float32(0.35)
                        )
                        color[k] += amount * (mirrored - color[k])
                if emission > zero:
                    if material == _FACADE:
                        color[0] += emission
                        color[1] += emission * (np.float32(0.55) + np.float32(0.25) * emission_tint)
                        color[2] += emission * (np.float32(0.22) + np.float32(0.4) * emission_tint)
                    else:
                        color[0] += emission * a[3]
                        color[1] += emission * a[4]
                        color[2] += emission * a[5]
                clear = np.exp(-density * distance)
                if emission > one:
                    clear = np.sqrt(clear)
                towards = dx * light.sun_direction[0] + dy * light.sun_direction[1] + dz * light.sun_direction[2]
                warm = zero
                if light.glow > 0.0 and towards > zero:
                    t4 = towards * towards * towards * towards
                    warm = np.float32(light.glow) * np.float32(0.25) * t4 * t4
                for k in range(3):
                    color[k] = (
                        light.fog[k] + warm * light.sun[k] + clear * (color[k] - light.fog[k] - warm * light.sun[k])
                    )
            grey = np.float32(0.2126) * color[0] + np.float32(0.7152) * color[1] + np.float32(0.0722) * color[2]
            for k in range(3):
                value = max(grey + saturation * (color[k] - grey), zero) * exposure
                step = min(np.sqrt(value) * tone_scale, np.float32(TONE_STEPS - 1))
                out[row, column, k] = np.uint8(tone[int(step)])
