"""One lens as the other."""

from __future__ import annotations

import numpy as np
import pytest

from cosmos_exp.sensors.ftheta import FTheta, monotone
from cosmos_exp.sensors.lens_conversion import as_ftheta, as_pinhole
from cosmos_exp.sensors.pinhole import Pinhole


def pixels(width: int, height: int) -> np.ndarray:
    v, u = np.mgrid[0:height:30, 0:width:30]
    return np.stack([u.ravel(), v.ravel()], axis=1).astype(float)


@pytest.mark.parametrize(("hfov", "error"), [(30, 0.02), (70, 0.05), (90, 0.25), (120, 2.3)])
def test_a_pinhole_fits_an_ftheta_camera(hfov: float, error: float) -> None:
    pinhole = Pinhole.from_hfov(1920, 1080, np.radians(hfov))
    ftheta = as_ftheta(pinhole)
    grid = pixels(1920, 1080)
    assert monotone(ftheta)
    assert np.abs(ftheta.project(pinhole.unproject(grid)) - grid).max() < error


def test_oblong_pixels_and_an_off_centre_lens_keep_their_shape() -> None:
    pinhole = Pinhole(1000, 800, fx=900.0, fy=850.0, cx=450.0, cy=420.0)
    ftheta = as_ftheta(pinhole)
    grid = pixels(1000, 800)
    assert len(ftheta.to_array()) == 14
    assert np.abs(ftheta.project(pinhole.unproject(grid)) - grid).max() < 0.1


def test_an_ftheta_camera_has_the_pinhole_of_its_centre() -> None:
    backward = FTheta(1920, 1080, (960.0, 757.0), (0.0, 0.001, 0.0, 0.0, 0.0, 0.0), True)
    assert as_pinhole(backward) == Pinhole(1920, 1080, 1000.0, 1000.0, 960.0, 757.0)
    forward = FTheta(1920, 1080, (960.0, 540.0), (0.0, 1500.0, 0.0, 0.0, 0.0, 0.0), False, (1.02, 0.0, 0.0))
    assert as_pinhole(forward) == Pinhole(1920, 1080, 1530.0, 1500.0, 960.0, 540.0)


def test_what_no_pinhole_can_be() -> None:
    fisheye = FTheta(1920, 1080, (960.0, 540.0), (0.0, 0.0017, 0.0, 0.0, 0.0, 0.0), True)
    assert as_pinhole(fisheye) is None
    skewed = FTheta(1920, 1080, (960.0, 540.0), (0.0, 0.0005, 0.0, 0.0, 0.0, 0.0), True, (1.0, 0.1, 0.0))
    assert as_pinhole(skewed) is None


def test_each_is_itself() -> None:
    pinhole = Pinhole.from_hfov(640, 360, 1.0)
    assert as_pinhole(pinhole) is pinhole
    ftheta = as_ftheta(pinhole)
    assert as_ftheta(ftheta) is ftheta


def test_the_numbers_of_a_calibration_go_back_and_forth() -> None:
    given = np.array([954.25, 757.125, 1920, 1080, 0, 0.0009765625, 0, 0, 0, 0, 1.0])
    assert np.array_equal(FTheta.from_array(given).to_array(), given)
