import numpy as np
import pytest

from cosmos_exp.sensors.ftheta_fit import EPS, fit_without_constant


def evaluate(poly, x):
    return np.polynomial.polynomial.polyval(x, poly)


@pytest.mark.parametrize(
    ("poly", "end"),
    [
        ((0, 0.00105, 8e-9, -3.4e-11, 8e-14, -2.9e-17), 1227.0),  # a backward polynomial: pixels to radians
        ((0, 1571.3, 97.0, -255.4, 150.8, 98.0), 0.713),  # a forward one
        ((0, 0.02, 0, 0, 0, 0), 60.0),
    ],
)
def test_the_inverse_of_a_polynomial(poly, end):
    y = np.linspace(0, end, 500)
    x = evaluate(poly, y)
    fitted = fit_without_constant(x, y)
    unit = x.max()
    powers = (x[:, None] / unit) ** np.arange(1, 6)
    least = np.linalg.lstsq(powers, y, rcond=None)[0]
    assert 0 <= fitted[0] <= EPS
    error, least_error = evaluate(fitted, x) - y, powers @ least - y
    assert np.abs(error).max() < 1e-4 * end
    assert (error**2).sum() < 1.2 * (least_error**2).sum() + (1e-6 * end) ** 2


def test_a_polynomial_is_found_again():
    poly = np.array([0, 3.0, -0.5, 0.2, 0.1, -0.05])
    x = np.linspace(0, 1.5, 500)
    np.testing.assert_allclose(fit_without_constant(x, evaluate(poly, x)), poly, atol=1e-4)
