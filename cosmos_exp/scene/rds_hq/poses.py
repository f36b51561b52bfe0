"""Checks and means of 4x4 poses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import FARTHEST

RIGID = 1e-3  # largest difference of R R^T from the identity
SINGULAR = 1e-6  # smallest volume that the axes of a pose may span


def check_poses(poses: Sequence[np.ndarray], place: Callable[[int], str]) -> None:
    """UserError unless every matrix is 4x4, finite, invertible and ends in 0 0 0 1.

    Mirrored axes (determinant -1) pass: exports from CARLA have them. place: name of the pose of an index in messages.
    """
    for i, pose in enumerate(poses):
        if pose.shape != (4, 4) or pose.dtype.kind != "f":
            raise UserError(f"{place(i)}: a pose is a 4x4 matrix of floats, not {list(pose.shape)} of {pose.dtype}")
    if not len(poses):
        return
    stacked = np.array(poses, np.float64)
    _refuse(~np.all(np.isfinite(stacked), axis=(1, 2)), "has nan or infinite values", place)
    far = np.asarray((np.abs(stacked) > FARTHEST).any(axis=(1, 2)))
    _refuse(far, f"has values beyond {FARTHEST:g} m", place)
    _refuse(np.abs(stacked[:, 3] - [0, 0, 0, 1]).max(axis=1) > 1e-6, "does not end in the row 0 0 0 1", place)
    _refuse(np.abs(np.linalg.det(stacked[:, :3, :3])) < SINGULAR, "is singular: its axes span no volume", place)


def check_rigid(poses: np.ndarray, place: Callable[[int], str]) -> None:
    """UserError unless every matrix of poses [N,4,4] is a finite, rigid motion of a right-handed frame."""
    check_poses(list(poses), place)
    rotation = poses[:, :3, :3]
    error = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    _refuse(error > RIGID, "is no rigid motion", place)
    _refuse(np.linalg.det(rotation) < 0, "is left-handed (determinant -1)", place)


def nearest_rotations(matrices: np.ndarray) -> np.ndarray:
    """The orthogonal matrix [...,3,3] nearest to each, the orthogonal factor of its polar decomposition."""
    u, _, vt = np.linalg.svd(matrices)
    return u @ vt


def _refuse(bad: np.ndarray, why: str, place: Callable[[int], str]) -> None:
    if bad.any():
        raise UserError(f"{place(int(bad.argmax()))}: the pose {why}")
