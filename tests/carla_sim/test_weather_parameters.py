"""CARLA's weather parameters and the renderer's weathers."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from helpers.carla_clients import require_carla

from cosmos_exp.carla_sim.weather_parameters import (
    PRESETS,
    STYLE_PARAMETERS,
    WeatherParameters,
    parameters_of,
    weather_of,
)
from cosmos_exp.common.errors import UserError
from cosmos_exp.rendering.weather import Weather
from cosmos_exp.rendering.weather import weather_of as weather_of_style

NOON = PRESETS["ClearNoon"]


def light(weather: Weather) -> float:
    """On the ground, from the sun and the sky."""
    sun, sky = (np.array([0.2126, 0.7152, 0.0722]) @ colour for colour in (weather.sun, weather.ambient))
    return float(sun * np.sin(np.radians(weather.sun_elevation)) + sky)


def test_presets_are_those_of_the_client():
    carla = require_carla()
    for name, parameters in PRESETS.items():
        theirs = getattr(carla.WeatherParameters, name)
        for field in fields(WeatherParameters):
            assert getattr(parameters, field.name) == pytest.approx(getattr(theirs, field.name)), (name, field.name)


@pytest.mark.parametrize("style", STYLE_PARAMETERS)
def test_parameters_of_a_style_are_drawn_as_that_style_exactly(style):
    """Also after a client has sent them as float32."""
    sent = WeatherParameters.of(np.float32(parameters_of(style).values))
    assert weather_of(sent, heading=70.0) == weather_of_style(style)
    near = weather_of(replace(sent, cloudiness=sent.cloudiness + 1))
    assert near != weather_of_style(style)


def test_snow_and_unknown_styles_are_refused():
    with pytest.raises(UserError, match="no snow"):
        parameters_of("Snowy")
    with pytest.raises(UserError, match="Sunny"):
        parameters_of("Suny")


def sweep(name: str, values: np.ndarray, base: WeatherParameters = NOON) -> list[Weather]:
    return [weather_of(replace(base, **{name: float(value)})) for value in values]


PERCENT = np.linspace(0, 100, 101)


@pytest.mark.parametrize("preset", ["ClearNoon", "ClearSunset", "ClearNight"])
@pytest.mark.parametrize(
    ("parameter", "field"),
    [
        ("precipitation", "rain"),
        ("precipitation", "wetness"),
        ("precipitation_deposits", "wetness"),
        ("wetness", "wetness"),
        ("cloudiness", "clouds"),
        ("fog_density", "fog_density"),
        ("dust_storm", "fog_density"),
    ],
)
def test_more_of_a_parameter_is_more_of_it_in_the_picture(preset, parameter, field):
    values = [getattr(w, field) for w in sweep(parameter, PERCENT, PRESETS[preset])]
    assert (np.diff(values) >= 0).all() and values[-1] > values[0]


def test_clouds_take_the_sun_and_its_shadows():
    weathers = sweep("cloudiness", PERCENT)
    assert (np.diff([w.sun[1] for w in weathers]) < 0).all() and (np.diff([w.shadows for w in weathers]) < 0).all()
    assert weathers[-1].sun[1] < 0.05 * weathers[0].sun[1]


def test_it_gets_brighter_as_the_sun_rises_and_lamps_go_out():
    weathers = sweep("sun_altitude_angle", np.linspace(0, 90, 361))
    assert (np.diff([light(w) for w in weathers]) > -1e-9).all()
    lamps = [w.night_lights for w in sweep("sun_altitude_angle", np.linspace(-20, 90, 111))]
    assert lamps[0] == pytest.approx(1.0) and lamps[-1] < 0.05 and (np.diff(lamps) <= 1e-9).all()


@pytest.mark.parametrize("parameter", ["sun_altitude_angle", "cloudiness", "precipitation", "fog_density"])
def test_nothing_jumps(parameter):
    """A small step changes colours and numbers little; there is no light when the sun gives way to the moon."""
    low, high = (-20.0, 90.0) if parameter == "sun_altitude_angle" else (0.0, 100.0)
    weathers = sweep(parameter, np.linspace(low, high, 441))
    for field in fields(Weather):
        if field.name in ("sun_azimuth", "sun_elevation"):
            continue
        values = np.array([getattr(w, field.name) for w in weathers]).reshape(len(weathers), -1)
        assert np.abs(np.diff(values, axis=0)).max() < 0.1, field.name
    assert max(weather_of(replace(NOON, sun_altitude_angle=0.0)).sun) < 0.001


def test_the_sun_stands_where_carla_has_it():
    """Yaw 90 in CARLA is its right, -90 degrees in the world frame; relative to a car that heads there, straight on."""
    east = replace(NOON, sun_azimuth_angle=90.0)
    assert weather_of(east).sun_azimuth == pytest.approx(-90.0)
    assert weather_of(east, heading=-90.0).sun_azimuth == pytest.approx(0.0)
    assert weather_of(east).sun_elevation == 45.0
    np.testing.assert_allclose(weather_of(east).sun_direction, [0.0, -(0.5**0.5), 0.5**0.5], atol=1e-12)


def test_numbers_of_a_client_are_fourteen_finite_ones():
    assert WeatherParameters.of(NOON.values) == NOON
    for values in (NOON.values[:13], (*NOON.values[:13], float("nan"))):
        with pytest.raises(UserError, match="14 finite numbers"):
            WeatherParameters.of(values)
