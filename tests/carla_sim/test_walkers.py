"""Walkers go where they are told."""

from __future__ import annotations

import numpy as np
import pytest

from cosmos_exp.carla_sim.transforms import Transform
from cosmos_exp.carla_sim.walkers import FASTEST, walk
from cosmos_exp.scene.lane_surface import LaneSurface
from cosmos_exp.scene.types import Lane, LaneType

HALF = 0.93
SLOPE = LaneSurface(
    [
        Lane(
            "1",
            LaneType.SIDEWALK,
            np.array([[-50.0, 10.0, -5.0], [50.0, 10.0, 5.0]]),
            np.array([[-50.0, -10.0, -5.0], [50.0, -10.0, 5.0]]),
        )
    ]
)


def test_a_walker_goes_straight_on_the_ground_and_looks_ahead():
    place = Transform(np.array([0.0, 0.0, 1.0]), np.zeros(3))
    for _ in range(20):
        place, velocity = walk(place, np.array([3.0, 4.0, 0.0]), 1.5, HALF, 0.1, SLOPE)
    assert place.location[:2] == pytest.approx([1.8, 2.4])
    assert place.location[2] == pytest.approx(0.18 + HALF)
    assert place.rotation[2] == pytest.approx(np.degrees(np.arctan2(4, 3)))
    assert np.linalg.norm(velocity) == pytest.approx(1.5)


def test_without_a_direction_or_a_speed_it_stands():
    place = Transform(np.array([10.0, 0.0, 1.5]), np.array([0.0, 0.0, 30.0]))
    for direction, speed in ((np.zeros(3), 1.5), (np.array([1.0, 0.0, 0.0]), 0.0)):
        stood, velocity = walk(place, direction, speed, HALF, 0.1, SLOPE)
        assert stood.location == pytest.approx([10.0, 0.0, 1.0 + HALF]) and stood.rotation[2] == 30.0
        assert not velocity.any()


def test_off_the_lanes_it_keeps_its_height_and_nobody_is_faster_than_possible():
    place, velocity = walk(
        Transform(np.array([900.0, 0.0, 7.0]), np.zeros(3)), np.array([1.0, 0, 0]), 1e6, HALF, 0.1, SLOPE
    )
    assert place.location[2] == 7.0 and np.linalg.norm(velocity) == FASTEST
