"""Cameras of a CARLA sensor file, given in the frame of the ego actor, moved to the rig frame of a scene."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cosmos_exp.scene.types import Scene
from cosmos_exp.sensors.camera import Rig
from cosmos_exp.sensors.config import SensorsConfig
from cosmos_exp.sensors.rigs import translated


def actor_origin(scene: Scene) -> np.ndarray:
    """[3] origin of the ego actor in the rig frame: as recorded, else the ground point below its cuboid's centre."""
    if scene.ego_origin is not None:
        return scene.ego_origin
    rig = scene.rig_trajectory.at(scene.start)
    centre = (np.linalg.inv(rig) @ scene.ego.trajectory.at(scene.start))[:3, 3]
    return np.array([centre[0], centre[1], 0.0])


def in_rig_frame(rig: Rig, sensors: SensorsConfig, origin: Callable[[], np.ndarray]) -> Rig:
    """The rig of a `sensors` config in the rig frame. Only cameras of a sensor file are moved.

    origin: [3] of the scene's ego actor in the rig frame; called only where `sensors.actor_origin` does not give it.
    """
    if not sensors.file:
        return rig
    given = sensors.actor_origin
    return translated(rig, np.array(given) if given else origin())
