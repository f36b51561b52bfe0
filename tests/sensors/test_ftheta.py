"""The f-theta camera against derived numbers and rays of the RDS-HQ renderer."""

import json

import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.sensors.ftheta import FTheta

FRONT_WIDE = FTheta(
    width=1920,
    height=1080,
    center=(954.206298828125, 757.1541748046875),
    poly=(0.0, 0.00105758628, 8.2116208e-09, -3.3945008e-11, 8.0734208e-14, -2.94602496e-17),
    backward=True,
)


@pytest.fixture(scope="module")
def golden(shared):
    folder = shared / "rds_hq" / "golden"
    if not folder.is_dir():
        pytest.skip("no RDS-HQ golden numbers")
    numbers = json.loads((folder / "projection.json").read_text())
    with np.load(folder / "projection.npz") as arrays:
        return numbers, dict(arrays)


CASES = [
    f"ftheta.camera_{name}.{height}"
    for name in ("front_wide_120fov", "cross_left_120fov", "rear_left_70fov")
    for height in (1080, 720)
]


def golden_model(numbers: dict, case: str) -> FTheta:
    """The 1080 calibration (whose given polynomial is exact in the file), scaled where the case asks for it."""
    name, height = case.rsplit(".", 1)
    full = numbers[f"{name}.1080"]
    backward = "rear" not in case
    poly = full["bw_poly"] if backward else full["fw_poly"]
    values = [*full["center"], full["width"], full["height"], *poly, float(backward), *full["linear_cde"]]
    return FTheta.from_array(values).scaled(int(height) / 1080)


LAST_BITS = 2 * float(np.spacing(np.float32(8000)))
"""Pixels. Two units in the last place of float32 at the farthest projections: processors round its products apart."""


def with_golden_polynomials(model: FTheta, numbers: dict) -> FTheta:
    """The model with the fitted polynomial of the file, whose last digits depend on the processor that made it."""
    model.__dict__["fw_poly"] = np.array(numbers["fw_poly"])
    model.__dict__["bw_poly"] = np.array(numbers["bw_poly"])
    return model


@pytest.mark.parametrize("case", CASES)
def test_given_the_polynomials(golden, case):
    numbers, arrays = golden[0][case], golden[1]
    model = with_golden_polynomials(golden_model(golden[0], case), numbers)
    assert (model.width, model.height) == (numbers["width"], numbers["height"])
    assert model.max_angle == pytest.approx(numbers["max_ray_angle"], abs=1e-12)
    assert model.beyond_max == pytest.approx(numbers["max_ray_distortion"], rel=1e-9)
    pixels = model.project(arrays[f"{case}.rays"])
    np.testing.assert_allclose(pixels, arrays[f"{case}.pixels"], rtol=0, atol=LAST_BITS)
    rays = model.unproject(arrays[f"{case}.px"])
    np.testing.assert_allclose(rays, arrays[f"{case}.px_rays"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_with_the_fit(golden, case):
    numbers, arrays = golden[0][case], golden[1]
    model = golden_model(golden[0], case)
    assert model.max_angle == pytest.approx(numbers["max_ray_angle"], abs=2e-5)
    assert np.abs(model.project(arrays[f"{case}.rays"]) - arrays[f"{case}.pixels"]).max() < 1e-2
    np.testing.assert_allclose(model.unproject(arrays[f"{case}.px"]), arrays[f"{case}.px_rays"], rtol=0, atol=2e-5)
    radius = np.linspace(0, model.max_radius, 50)[:, None] ** np.arange(6)
    np.testing.assert_allclose(radius @ model.bw_poly, radius @ numbers["bw_poly"], atol=2e-5)
    angle = np.linspace(0, model.max_angle, 50)[:, None] ** np.arange(6)
    np.testing.assert_allclose(angle @ model.fw_poly, angle @ numbers["fw_poly"], atol=2e-4)


def test_project_inverts_rays():
    rays = FRONT_WIDE.resized(160, 90).rays()
    model = FRONT_WIDE.resized(160, 90)
    v, u = np.mgrid[0:90, 0:160]
    pixels = model.project(rays.reshape(-1, 3)).reshape(90, 160, 2)
    assert np.abs(pixels - np.stack([u, v], axis=2)).max() < 0.05


def test_resized_to_another_aspect_keeps_the_directions():
    model = FRONT_WIDE.resized(1280, 704)
    points = np.array([[1.0, 0.2, 3.0], [-2.0, 0.1, 2.0]])
    full, small = FRONT_WIDE.project(points), model.project(points)
    np.testing.assert_allclose(small, full * [1280 / 1920, 704 / 1080], atol=0.03)


def test_wrong_number_of_values():
    with pytest.raises(UserError, match="11 or 14 numbers, not 3"):
        FTheta.from_array([1, 2, 3])
