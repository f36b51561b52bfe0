"""Motion of recorded boxes: poses and sizes at moments between rows of a log, and a little beyond them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cosmos_exp.scene.types import interpolate_pose

Size = tuple[float, float, float]


@dataclass(frozen=True)
class Motion:
    """times: int64 [N] microseconds, ascending. poses: [N,4,4] float64, local to world."""

    times: np.ndarray
    poses: np.ndarray

    def at(self, time: int) -> np.ndarray:
        """Pose [4,4]: position linear, rotation at constant angular velocity between two rows.

        Before the first and after the last row, as between the two nearest ones, without a limit.
        """
        if len(self.times) == 1:
            return self.poses[0]
        i, u = self.between(time)
        return interpolate_pose(self.poses[i], self.poses[i + 1], u)

    def between(self, time: int) -> tuple[int, float]:
        """The number of a row, and where between it and the next the moment is: 0 to 1, or beyond the rows."""
        i = int(np.clip(np.searchsorted(self.times, time, side="right") - 1, 0, len(self.times) - 2))
        span = int(self.times[i + 1] - self.times[i])
        return i, (int(time) - int(self.times[i])) / span if span else 0.0


@dataclass(frozen=True)
class BoxTrack:
    """A box over time. sizes: [N,3] length, width, height at the rows of `motion`, metres. category: as in the file.

    beyond: microseconds that it exists before its first and after its last row, moving on at constant velocity.
    """

    id: str
    category: str
    motion: Motion
    sizes: np.ndarray
    beyond: int = 0

    def at(self, time: int) -> tuple[np.ndarray, Size] | None:
        """Pose [4,4] of the centre, x forward, y left, z up, and size; None where it does not exist. Sizes between rows
        are linear."""
        times = self.motion.times
        if not times[0] - self.beyond <= time <= times[-1] + self.beyond:
            return None
        if len(times) == 1:
            return self.motion.poses[0], _size(self.sizes[0])
        i, u = self.motion.between(time)
        u = min(max(u, 0.0), 1.0)
        return self.motion.at(time), _size((1 - u) * self.sizes[i] + u * self.sizes[i + 1])


def rotations(quaternions: np.ndarray) -> np.ndarray:
    """[N,3,3] of unit quaternions [N,4], x, y, z, w."""
    x, y, z, w = np.asarray(quaternions, np.float64).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def quaternions(matrices: np.ndarray) -> np.ndarray:
    """Unit quaternions [N,4], x, y, z, w, of rotations [N,3,3]: from the largest component on (Shepperd, 1978)."""
    (a, b, c), (d, e, f), (g, h, i) = np.moveaxis(np.asarray(matrices, np.float64), 0, 2)
    products = [  # 4 q q^T
        [1 + a - e - i, b + d, c + g, h - f],
        [b + d, 1 - a + e - i, f + h, c - g],
        [c + g, f + h, 1 - a - e + i, d - b],
        [h - f, c - g, d - b, 1 + a + e + i],
    ]
    rows = np.moveaxis(np.array(products), 2, 0)
    largest = np.einsum("nkk->nk", rows).argmax(axis=1)
    return unit_quaternions(rows[np.arange(len(rows)), largest])


def unit_quaternions(values: np.ndarray) -> np.ndarray:
    """[N,4] at length 1."""
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def poses(places: np.ndarray, quaternions: np.ndarray) -> np.ndarray:
    """[N,4,4] of positions [N,3] and unit quaternions [N,4]."""
    made = np.tile(np.eye(4), (len(places), 1, 1))
    made[:, :3, :3], made[:, :3, 3] = rotations(quaternions), places
    return made


def _size(values: Sequence[float] | np.ndarray) -> Size:
    length, width, height = (float(value) for value in values)
    return length, width, height
