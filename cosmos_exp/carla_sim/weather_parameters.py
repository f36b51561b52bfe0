"""CARLA's weather parameters as a weather of the renderer.

The time of day mixes the renderer's weathers by the sun's altitude; clouds, rain, fog and dust are laid over it. All of
it is continuous, except at the very parameters that stand for a caption style. Without effect, as the renderer has
nothing of the kind: wind, the distance and height of fog, and the three scattering scales. Snow has no parameter in
CARLA.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.rendering.weather import RGB, WEATHERS, Weather


@dataclass(frozen=True)
class WeatherParameters:
    """carla.WeatherParameters, in its order: percent, except the angles in degrees, the distance and the scales."""

    cloudiness: float = 0.0
    precipitation: float = 0.0
    precipitation_deposits: float = 0.0
    wind_intensity: float = 0.0
    sun_azimuth_angle: float = -1.0
    sun_altitude_angle: float = 45.0
    fog_density: float = 0.0
    fog_distance: float = 0.75
    fog_falloff: float = 0.1
    wetness: float = 0.0
    scattering_intensity: float = 1.0
    mie_scattering_scale: float = 0.03
    rayleigh_scattering_scale: float = 0.0331
    dust_storm: float = 0.0

    @classmethod
    def of(cls, values: Iterable[float]) -> WeatherParameters:
        """From the 14 numbers that a client sends. Raises UserError where they are not 14 finite ones."""
        numbers = tuple(float(value) for value in values)
        if len(numbers) != len(fields(cls)) or not all(map(math.isfinite, numbers)):
            raise UserError(f"weather parameters are {len(fields(cls))} finite numbers, not {numbers}")
        return cls(*numbers)

    @property
    def values(self) -> tuple[float, ...]:
        return astuple(self)


def _preset(clouds: float, rain: float, deposits: float, wind: float, altitude: float, fog: float, wet: float = 0.0):
    return WeatherParameters(clouds, rain, deposits, wind, -1.0, altitude, fog, wetness=wet)


NOON, SUNSET, NIGHT = 45.0, 15.0, -90.0  # altitudes of the sun
_CLEAR_NIGHT = replace(_preset(5, 0, 0, 10, NIGHT, 60), fog_distance=75.0, fog_falloff=1.0)
PRESETS: dict[str, WeatherParameters] = {
    "ClearNoon": _preset(5, 0, 0, 10, NOON, 2),
    "CloudyNoon": _preset(60, 0, 0, 10, NOON, 3),
    "WetNoon": _preset(5, 0, 50, 10, NOON, 3),
    "WetCloudyNoon": _preset(60, 0, 50, 10, NOON, 3),
    "SoftRainNoon": _preset(20, 30, 50, 30, NOON, 3),
    "MidRainyNoon": _preset(60, 60, 60, 60, NOON, 3),
    "HardRainNoon": _preset(100, 100, 90, 100, NOON, 7),
    "ClearSunset": _preset(5, 0, 0, 10, SUNSET, 2),
    "CloudySunset": _preset(60, 0, 0, 10, SUNSET, 3),
    "WetSunset": _preset(5, 0, 50, 10, SUNSET, 2),
    "WetCloudySunset": _preset(60, 0, 50, 10, SUNSET, 2),
    "SoftRainSunset": _preset(20, 30, 50, 30, SUNSET, 2),
    "MidRainSunset": _preset(60, 60, 60, 60, SUNSET, 3),
    "HardRainSunset": _preset(100, 100, 90, 100, SUNSET, 7),
    "ClearNight": _CLEAR_NIGHT,
    "CloudyNight": _preset(60, 0, 0, 10, NIGHT, 60),
    "WetNight": replace(_CLEAR_NIGHT, precipitation_deposits=50.0, wetness=60.0),
    "WetCloudyNight": _preset(60, 0, 50, 10, NIGHT, 60, 60),
    "SoftRainNight": _preset(60, 30, 50, 30, NIGHT, 60, 60),
    "MidRainyNight": _preset(80, 60, 60, 60, NIGHT, 60, 80),
    "HardRainNight": _preset(100, 100, 90, 100, NIGHT, 100, 100),
    "DustStorm": replace(_preset(100, 0, 0, 100, NOON, 2), dust_storm=100.0),
}
"""The presets of carla.WeatherParameters 0.9.16."""

STYLE_PARAMETERS: dict[str, WeatherParameters] = {
    "Original": _preset(75, 0, 0, 10, 55, 2),
    "Golden hour": _preset(30, 0, 0, 10, 11, 2),
    "Morning": _preset(15, 0, 0, 10, 22, 3),
    "Night": _preset(0, 0, 0, 10, -40, 5),
    "Rainy": _preset(100, 100, 100, 20, 60, 10, 100),
    "Sunny": _preset(20, 0, 0, 10, 58, 2),
    "Foggy": _preset(0, 0, 0, 10, 50, 100, 25),
}
"""Parameters that stand for the caption styles; exactly these are drawn exactly as the style."""

DARK = -6.0  # degrees of altitude at which the night is complete
HIGH_SUN = 35.0  # degrees from which on it is day
DENSEST = 0.036  # extinction of the densest fog, 1/metres
DUST: RGB = (0.62, 0.46, 0.28)
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
COLOURS = ("sun", "ambient", "bounce", "zenith", "horizon", "fog")
DAY = WEATHERS["Sunny"]
OVERCAST = replace(WEATHERS["Original"], sun=(0.06, 0.06, 0.06), shadows=0.08)
DUSTY = replace(OVERCAST, ambient=DUST, zenith=DUST, horizon=DUST, fog=DUST, bounce=(0.25, 0.18, 0.11))


def weather_of(parameters: WeatherParameters, *, heading: float = 0.0) -> Weather:
    """The renderer's weather. heading: degrees, counter-clockwise from the world's x, that its azimuth counts from.

    CARLA's azimuth is the yaw, in its own frame, at which the sun stands. Below the horizon the moon shines. For the
    parameters of a style it is the style's weather, azimuth included.
    """
    p = parameters
    for style, meant in STYLE_PARAMETERS.items():
        if np.allclose(p.values, meant.values, rtol=1e-6, atol=0.0):
            return WEATHERS[style]
    base = _time_of_day(p.sun_altitude_angle)
    light = _brightness(base.ambient) / _brightness(DAY.ambient)
    cover, rain, fog, dust = (_share(v) for v in (p.cloudiness, p.precipitation, p.fog_density, p.dust_storm))
    weather = base
    for layer, share in (
        (OVERCAST, cover), (WEATHERS["Rainy"], rain), (WEATHERS["Foggy"], fog**2), (DUSTY, dust),
    ):  # fmt: skip
        weather = _mixed(weather, _dimmed(layer, light, base.night_lights), share)
    dry = (1 - rain) * (1 - _share(p.precipitation_deposits)) * (1 - _share(p.wetness))
    extinction = base.fog_density + 0.006 * rain + DENSEST * max(fog**2, dust**2)
    moon = p.sun_altitude_angle < 0
    azimuth = WEATHERS["Night"].sun_azimuth if moon else -p.sun_azimuth_angle
    return replace(
        weather, clouds=cover, rain=rain, wetness=1 - dry, fog_density=extinction, flakes=0.0, snow=0.0,
        sun_elevation=WEATHERS["Night"].sun_elevation if moon else max(p.sun_altitude_angle, 1.0),
        sun_azimuth=(azimuth - heading + 180.0) % 360.0 - 180.0,
    )  # fmt: skip


def parameters_of(style: str) -> WeatherParameters:
    """Parameters for a caption style. Raises UserError for an unknown one and for Snowy, which CARLA does not have."""
    if style not in STYLE_PARAMETERS:
        if style in WEATHERS:
            raise UserError(f"CARLA's weather has no snow, so there is none for style {style!r}")
        raise UserError(unknown_name("style", style, STYLE_PARAMETERS))
    return STYLE_PARAMETERS[style]


def _share(percent: float) -> float:
    return min(max(percent, 0.0), 100.0) / 100


def _brightness(colour: RGB) -> float:
    return float(LUMINANCE @ colour)


def _time_of_day(altitude: float) -> Weather:
    """The cloudless weather of an altitude of the sun, degrees."""
    night, golden = WEATHERS["Night"], WEATHERS["Golden hour"]
    dusk = replace(_mixed(night, golden, 0.35), sun=(0.0, 0.0, 0.0), glow=0.0, shadows=0.0)
    hours = ((DARK, night), (0.0, dusk), (9.0, golden), (15.0, golden), (22.0, WEATHERS["Morning"]), (HIGH_SUN, DAY))
    if altitude <= DARK:
        return night
    for (low, before), (high, after) in pairwise(hours):
        if altitude < high:
            return _mixed(before, after, (altitude - low) / (high - low))
    return DAY


def _mixed(a: Weather, b: Weather, share: float) -> Weather:
    """a where share is 0, b where it is 1; numbers and colours in between linearly."""
    values: dict[str, Any] = {}
    for field in fields(Weather):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, tuple):
            values[field.name] = tuple((1 - share) * u + share * v for u, v in zip(x, y))
        else:
            values[field.name] = (1 - share) * x + share * y
    return Weather(**values)


def _dimmed(weather: Weather, light: float, night_lights: float) -> Weather:
    """A weather of the day in less daylight: `light` of it."""
    colours: dict[str, Any] = {name: tuple(light * value for value in getattr(weather, name)) for name in COLOURS}
    lamps = max(weather.night_lights, night_lights)
    exposure = weather.exposure + (WEATHERS["Night"].exposure - weather.exposure) * night_lights
    return replace(weather, night_lights=lamps, exposure=exposure, **colours)
