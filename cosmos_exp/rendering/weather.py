"""Weather and lighting parameters, one set for each caption style."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.styles import STYLES

RGB = tuple[float, float, float]


@dataclass(frozen=True)
class Weather:
    """Colours are linear RGB; light and sky values are radiances before exposure (1 = a white card in full daylight).

    sun_elevation, sun_azimuth: degrees; azimuth counter-clockwise from the initial heading of the ego.
    sun: light of the sun or moon. ambient: from above; bounce: from below. zenith, horizon: the sky's gradient.
    glow: brightness of the halo around the sun. clouds: cover 0..1. fog: colour; fog_density: 1/metres.
    wetness, snow: cover of the ground 0..1. rain, flakes: falling particles 0..1. night_lights: 0..1, brightness of
    windows, street lamps and headlights. shadows: 0..1, darkness of cast shadows. exposure, saturation: of the image.
    """

    sun_elevation: float
    sun_azimuth: float
    sun: RGB
    ambient: RGB
    bounce: RGB
    zenith: RGB
    horizon: RGB
    fog: RGB
    fog_density: float
    glow: float = 0.0
    clouds: float = 0.0
    wetness: float = 0.0
    snow: float = 0.0
    rain: float = 0.0
    flakes: float = 0.0
    night_lights: float = 0.0
    shadows: float = 0.0
    exposure: float = 1.0
    saturation: float = 1.0

    @property
    def sun_direction(self) -> np.ndarray:
        """[3] unit vector towards the sun, in the frame of the ego's first pose (FLU)."""
        elevation, azimuth = np.radians([self.sun_elevation, self.sun_azimuth])
        return np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])


WEATHERS: dict[str, Weather] = {
    "Original": Weather(
        sun_elevation=55, sun_azimuth=60, sun=(0.25, 0.25, 0.24), ambient=(0.62, 0.64, 0.66),
        bounce=(0.24, 0.24, 0.23), zenith=(0.60, 0.65, 0.70), horizon=(0.80, 0.82, 0.83), fog=(0.76, 0.78, 0.80),
        fog_density=0.0015, clouds=0.75, shadows=0.35, saturation=0.95,
    ),
    "Golden hour": Weather(
        sun_elevation=11, sun_azimuth=38, sun=(2.90, 1.50, 0.50), ambient=(0.27, 0.25, 0.33),
        bounce=(0.17, 0.11, 0.07), zenith=(0.24, 0.32, 0.56), horizon=(1.35, 0.72, 0.30), fog=(1.05, 0.62, 0.33),
        fog_density=0.0022, glow=1.0, clouds=0.35, shadows=0.90, exposure=1.15, saturation=1.12,
    ),
    "Morning": Weather(
        sun_elevation=20, sun_azimuth=-55, sun=(1.25, 1.10, 0.85), ambient=(0.38, 0.45, 0.57),
        bounce=(0.17, 0.19, 0.21), zenith=(0.36, 0.52, 0.78), horizon=(0.88, 0.90, 0.92), fog=(0.74, 0.82, 0.92),
        fog_density=0.0036, glow=0.5, clouds=0.15, shadows=0.75, exposure=1.0, saturation=0.85,
    ),
    "Night": Weather(
        sun_elevation=40, sun_azimuth=120, sun=(0.012, 0.014, 0.022), ambient=(0.016, 0.019, 0.030),
        bounce=(0.006, 0.006, 0.007), zenith=(0.004, 0.006, 0.014), horizon=(0.035, 0.034, 0.042),
        fog=(0.028, 0.027, 0.033), fog_density=0.0030, night_lights=1.0, shadows=0.3, exposure=1.45, saturation=1.0,
    ),
    "Rainy": Weather(
        sun_elevation=60, sun_azimuth=60, sun=(0.04, 0.04, 0.04), ambient=(0.34, 0.37, 0.41),
        bounce=(0.12, 0.13, 0.14), zenith=(0.30, 0.34, 0.39), horizon=(0.50, 0.54, 0.58), fog=(0.44, 0.48, 0.53),
        fog_density=0.0075, clouds=1.0, wetness=1.0, rain=1.0, night_lights=0.18, exposure=0.95, saturation=0.8,
    ),
    "Snowy": Weather(
        sun_elevation=50, sun_azimuth=60, sun=(0.10, 0.10, 0.10), ambient=(0.66, 0.69, 0.74),
        bounce=(0.42, 0.44, 0.47), zenith=(0.62, 0.66, 0.71), horizon=(0.80, 0.83, 0.86), fog=(0.78, 0.81, 0.85),
        fog_density=0.0080, clouds=0.9, snow=1.0, flakes=1.0, night_lights=0.08, saturation=0.75,
    ),
    "Sunny": Weather(
        sun_elevation=58, sun_azimuth=35, sun=(1.80, 1.70, 1.48), ambient=(0.44, 0.50, 0.60),
        bounce=(0.28, 0.26, 0.22), zenith=(0.12, 0.29, 0.72), horizon=(0.62, 0.80, 1.05), fog=(0.62, 0.76, 0.96),
        fog_density=0.0008, glow=0.35, clouds=0.30, shadows=1.0, exposure=0.95, saturation=1.12,
    ),
    "Foggy": Weather(
        sun_elevation=50, sun_azimuth=60, sun=(0.05, 0.05, 0.05), ambient=(0.58, 0.60, 0.61),
        bounce=(0.26, 0.27, 0.27), zenith=(0.68, 0.70, 0.71), horizon=(0.70, 0.72, 0.73), fog=(0.70, 0.72, 0.73),
        fog_density=0.038, clouds=0.0, wetness=0.25, night_lights=0.12, saturation=0.65,
    ),
}  # fmt: skip
assert tuple(WEATHERS) == STYLES


def weather_of(style: str) -> Weather:
    """The weather of a caption style. Raises UserError on an unknown name."""
    if style not in WEATHERS:
        raise UserError(unknown_name("style", style, WEATHERS))
    return WEATHERS[style]
