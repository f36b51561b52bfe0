"""Spawn points of maps."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.carla_clients import require_carla

from cosmos_exp.carla_sim.spawn_points import ABOVE, NEAREST, spawn_points
from cosmos_exp.scene.carla.example import example_map
from cosmos_exp.scene.opendrive.reader import load_opendrive


def test_points_stand_on_both_lanes_of_a_street_and_head_along_them(tmp_path):
    path = tmp_path / "street.xodr"
    path.write_text(example_map())
    points = spawn_points(load_opendrive(path))
    assert len(points) == 20
    for point in points:
        x, y, z = point.location
        assert 5 <= x <= 235 and z == pytest.approx(ABOVE)
        ahead = 0.0 if y > 0 else 180.0  # traffic keeps to its right, which is CARLA's positive y
        assert abs(y) == pytest.approx(1.75) and abs((point.rotation[2] - ahead + 180) % 360 - 180) < 1e-6


@pytest.mark.parametrize("town", ["Town01", "Town02", "Town10HD"])
def test_towns_have_as_many_as_carla_has_or_so_and_none_in_a_junction(shared, town):
    carla = require_carla()
    path = shared / f"carla/maps/{town}.xodr"
    points = spawn_points(load_opendrive(path))
    assert 60 < len(points) < 350
    places = np.stack([point.location for point in points])
    apart = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e9 * np.eye(len(points))
    assert apart.min() >= NEAREST
    theirs = carla.Map(town, path.read_text())
    for point in points[::5]:
        x, y, z = point.location
        waypoint = theirs.get_waypoint(carla.Location(x, y, z))
        middle = waypoint.transform
        assert not waypoint.is_junction
        assert np.hypot(middle.location.x - x, middle.location.y - y) < 0.25
        assert abs(middle.location.z + ABOVE - z) < 0.05
        assert abs((middle.rotation.yaw - point.rotation[2] + 180) % 360 - 180) < 3.0
