"""Poses of actors in CARLA's frame: left-handed, metres and degrees, kept in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cosmos_exp.scene.carla.axes import MIRROR, carla_rotation, flu_points


def shortest(value: float) -> float:
    """A number that arrived as float32 as the shortest decimal that it stands for: 1.7999999523162842 -> 1.8."""
    single = np.float32(value)
    return float(str(single)) if float(single) == value else float(value)


def _zeros() -> np.ndarray:
    return np.zeros(3)


@dataclass(frozen=True)
class Transform:
    """location: [3] metres. rotation: [3] roll, pitch, yaw in degrees, as the 0.9.16 client turns them."""

    location: np.ndarray = field(default_factory=_zeros)
    rotation: np.ndarray = field(default_factory=_zeros)

    @classmethod
    def of(cls, value: Sequence[Sequence[float]]) -> Transform:
        """From the client's [[x, y, z], [pitch, yaw, roll]]."""
        location, (pitch, yaw, roll) = value
        return cls(np.array([shortest(v) for v in location]), np.array([shortest(v) for v in (roll, pitch, yaw)]))

    @classmethod
    def of_pose(cls, pose: np.ndarray) -> Transform:
        """From a pose [4,4] in the world frame (FLU)."""
        R = MIRROR @ pose[:3, :3] @ MIRROR
        angles = np.arctan2(-R[2, 1], R[2, 2]), np.arcsin(np.clip(R[2, 0], -1, 1)), np.arctan2(R[1, 0], R[0, 0])
        return cls(flu_points(pose[:3, 3]), np.degrees(angles))

    @property
    def pose(self) -> np.ndarray:
        """[4,4] in the world frame (FLU)."""
        pose = np.eye(4)
        pose[:3, :3] = MIRROR @ carla_rotation(self.rotation) @ MIRROR
        pose[:3, 3] = flu_points(self.location)
        return pose

    @property
    def wire(self) -> list[list[float]]:
        """[[x, y, z], [pitch, yaw, roll]]."""
        roll, pitch, yaw = self.rotation.tolist()
        return [self.location.tolist(), [pitch, yaw, roll]]

    def __matmul__(self, relative: Transform) -> Transform:
        """The transform of what is placed at `relative` in this one's frame."""
        return Transform.of_pose(self.pose @ relative.pose)


ORIGIN = Transform()
