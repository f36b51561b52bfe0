"""The street of streets.py as a scene."""

import numpy as np
import pytest
from helpers.streets import pose, still, street_map

from cosmos_exp.scene.types import ActorClass, Scene, Track, Trajectory


@pytest.fixture(scope="session")
def street() -> Scene:
    car = Track("car", ActorClass.CAR, (4.0, 1.8, 1.5), still(pose(20, 0, 0.75)), (0.7, 0.1, 0.1))
    leaving = Track(
        "late", ActorClass.PEDESTRIAN, (0.5, 0.5, 1.7), Trajectory(np.array([1.0, 1.5]), still(pose(10, 3, 0.85)).poses)
    )
    ego = Track("ego", ActorClass.CAR, (4.6, 1.9, 1.5), still(pose(1.4, 0, 0.75)))
    return Scene("street", "test", street_map(), ego, still(pose(0, 0, 0)), (car, leaving), 0.0, 2.0)
