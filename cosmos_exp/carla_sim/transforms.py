"""Poses of actors in CARLA's frame: left-handed, metres and degrees, kept in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np


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
        (a, _, _, x), (b, _, _, y), (c, d, e, z), _ = pose.tolist()
        angles = math.atan2(d, e), math.asin(min(max(c, -1.0), 1.0)), math.atan2(-b, a)
        return cls(np.array([x, -y, z]), np.degrees(angles))

    @cached_property
    def pose(self) -> np.ndarray:
        """[4,4] in the world frame (FLU): `flu_poses` of one transform."""
        x, y, z = self.location.tolist()
        cr, cp, cy, sr, sp, sy = (f(math.radians(a)) for f in (math.cos, math.sin) for a in self.rotation.tolist())
        return np.array(
            [
                [cp * cy, sy * cr - cy * sp * sr, -cy * sp * cr - sy * sr, x],
                [-cp * sy, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr, -y],
                [sp, cp * sr, cp * cr, z],
                [0.0, 0.0, 0.0, 1.0],
            ]
        )

    @property
    def wire(self) -> list[list[float]]:
        """[[x, y, z], [pitch, yaw, roll]]."""
        roll, pitch, yaw = self.rotation.tolist()
        return [self.location.tolist(), [pitch, yaw, roll]]

    def __matmul__(self, relative: Transform) -> Transform:
        """The transform of what is placed at `relative` in this one's frame."""
        return Transform.of_pose(self.pose @ relative.pose)


ORIGIN = Transform()
