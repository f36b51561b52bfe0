"""Transforms of the embedded server are those of the reader of logs and of the client."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.carla_clients import require_carla

from cosmos_exp.carla_sim.transforms import Transform, shortest
from cosmos_exp.scene.carla.axes import flu_poses

RNG = np.random.default_rng(2)
TRANSFORMS = [
    Transform(RNG.uniform(-100, 100, 3), np.array([RNG.uniform(-180, 180), RNG.uniform(-89, 89), yaw]))
    for yaw in (-179.0, -60.0, 0.0, 33.0, 180.0)
]


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_pose_is_that_of_the_reader(transform: Transform) -> None:
    (pose,) = flu_poses(transform.location[None], transform.rotation[None])
    assert np.allclose(transform.pose, pose, atol=1e-12)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_transform_comes_back_from_its_pose(transform: Transform) -> None:
    back = Transform.of_pose(transform.pose)
    assert np.allclose(back.location, transform.location)
    assert np.allclose((back.rotation - transform.rotation + 180) % 360, 180)


def test_attached_transforms_are_composed_as_the_client_does() -> None:
    carla = require_carla()

    def of_client(transform: Transform):
        (x, y, z), (pitch, yaw, roll) = transform.wire
        return carla.Transform(carla.Location(x, y, z), carla.Rotation(pitch, yaw, roll))

    a, b = TRANSFORMS[1], TRANSFORMS[3]
    expected = np.array(of_client(a).get_matrix()) @ np.array(of_client(b).get_matrix())
    assert np.allclose(np.array(of_client(a @ b).get_matrix()), expected, atol=1e-4)


def test_single_precision_is_read_as_the_decimal_that_it_stands_for() -> None:
    assert shortest(float(np.float32(1.8))) == 1.8
    assert shortest(0.1) == 0.1  # already more precise than single
    assert shortest(-8.0) == -8.0
