import json

import numpy as np
import pytest

from cosmos_exp.sensors.pinhole import Pinhole


def test_field_of_view_spans_the_width():
    model = Pinhole.from_hfov(200, 100, np.radians(90))
    pixels = model.project(np.array([[-1.0, 0, 1], [1.0, 0, 1], [0, 0, 5]]))
    np.testing.assert_allclose(pixels, [[0, 50], [200, 50], [100, 50]], atol=1e-9)


def test_rays_go_through_their_pixels():
    model = Pinhole(40, 30, 31.0, 29.0, 18.5, 16.0)
    rays = model.rays()
    assert rays.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rays, axis=2), 1, atol=1e-6)
    v, u = np.mgrid[0:30, 0:40]
    np.testing.assert_allclose(model.project(rays.reshape(-1, 3)), np.stack([u.ravel(), v.ravel()], 1), atol=1e-4)


def test_resized_scales_each_axis():
    model = Pinhole(40, 30, 31.0, 29.0, 18.5, 16.0).resized(80, 45)
    assert model == Pinhole(80, 45, 62.0, 43.5, 37.0, 24.0)


@pytest.mark.parametrize("camera", ["front_wide_120fov", "cross_left_120fov", "rear_left_70fov"])
def test_projection_agrees_with_rds_hq(shared, camera):
    folder = shared / "rds_hq" / "golden"
    if not folder.is_dir():
        pytest.skip("no RDS-HQ golden numbers")
    case = f"pinhole.camera_{camera}.720"
    model = Pinhole(**json.loads((folder / "projection.json").read_text())[case])
    with np.load(folder / "projection.npz") as arrays:
        rays, pixels = arrays[f"{case}.rays"], arrays[f"{case}.pixels"]
    np.testing.assert_allclose(model.project(rays), pixels, rtol=0, atol=1e-6)
