"""Novel trajectories from a few key poses: grounding and the spline of Cosmos-Drive-Dreams' viewer.

Each of x, y, z and the quaternion's four components is a curve of time in cubic Bezier pieces whose handles are those
of Blender's auto-clamped keys without smoothing, so that a curve never leaves the range of its neighbouring keys.
Poses are camera-to-world, OpenCV axes (x right, y down, z forward), metres.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cosmos_exp.common.errors import UserError

HANDLE = 2.5614  # Blender's handles have 1/HANDLE of the interval's length
LONGEST_HANDLE = 5.0  # times the interval on the key's other side
UP = np.array([0.0, 0.0, 1.0])


def grounded(pose: np.ndarray, height: float | None = None) -> np.ndarray:
    """The camera pose [4,4] levelled: its forward axis in the horizontal plane, no roll.

    height: world z of the result; None keeps that of `pose`. Raises UserError where the camera looks straight up or
    down, which leaves no heading.
    """
    forward = np.array([pose[0, 2], pose[1, 2], 0.0])
    length = np.linalg.norm(forward)
    if length < 1e-6:
        raise UserError("a key pose that looks straight up or down has no heading, so it cannot be grounded")
    forward /= length
    level = np.eye(4)
    level[:3, :3] = np.stack([np.cross(forward, UP), -UP, forward], axis=1)
    level[:3, 3] = pose[:3, 3]
    if height is not None:
        level[2, 3] = height
    return level


def ground_height(pose: np.ndarray, lane_lines: Sequence[np.ndarray]) -> float:
    """z of the vertex of `lane_lines` (arrays [N,3]; those of one vertex do not count) nearest to the pose in x, y."""
    lines = [line for line in lane_lines if len(line) > 1]
    if not lines:
        raise UserError("key poses cannot be grounded: the clip has no lane lines to take the ground's height from")
    vertices = np.concatenate(lines)
    return float(vertices[np.argmin(np.linalg.norm(vertices[:, :2] - pose[:2, 3], axis=1)), 2])


def interpolate_key_poses(frames: Sequence[int] | np.ndarray, poses: np.ndarray, num_frames: int) -> np.ndarray:
    """Poses [num_frames,4,4] float64 through key poses [K,4,4] at the given frame numbers (any order).

    Raises UserError: a frame is given twice or lies outside the clip, the first or last frame of the clip has no key
    pose, or a pose is no rigid transform.
    """
    frames, poses = np.asarray(frames), np.asarray(poses, np.float64)
    check_key_poses(frames, poses, num_frames)
    order = np.argsort(frames)
    keys = frames[order].astype(np.float64)
    components = np.concatenate([poses[order, :3, 3], _aligned([quaternion(p) for p in poses[order]])], axis=1)
    times = np.arange(num_frames, dtype=np.float64)
    curves = np.stack([_evaluate(keys, values, times) for values in components.T], axis=1)
    result = np.tile(np.eye(4), (num_frames, 1, 1))
    result[:, :3, 3] = curves[:, :3]
    result[:, :3, :3] = [rotation_matrix(q) for q in curves[:, 3:]]
    return result


def check_key_poses(frames: np.ndarray, poses: np.ndarray, num_frames: int) -> None:
    if frames.ndim != 1 or not len(frames) or poses.shape != (len(frames), 4, 4):
        raise UserError(f"key poses need one 4x4 matrix per frame: got {len(frames)} frames, poses {poses.shape}")
    if not np.isfinite(poses).all():
        number = frames[np.flatnonzero(~np.isfinite(poses).all(axis=(1, 2)))[0]]
        raise UserError(f"the key pose of frame {number} holds numbers that are not finite")
    for frame, count in zip(*np.unique(frames, return_counts=True)):
        if not 0 <= frame < num_frames:
            nearest = int(np.clip(frame, 0, num_frames - 1))
            raise UserError(f"key frame {frame} is outside the clip's 0 to {num_frames - 1}: nearest is {nearest}")
        if count > 1:
            raise UserError(f"key frame {frame} is given {count} times")
    for needed in (0, num_frames - 1):
        if needed not in frames:
            raise UserError(f"key poses must include the clip's first and last frame: {needed} is missing")
    for frame, pose in zip(frames, poses):
        rotation = pose[:3, :3]
        if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3 or np.linalg.det(rotation) < 0:
            raise UserError(f"the key pose of frame {frame} is no rigid transform: its axes are not orthonormal")


def quaternion(pose: np.ndarray) -> np.ndarray:
    """[4] w, x, y, z of the rotation of `pose` [3+,3+]. Formula: Shepperd, the branch of the largest component."""
    m = pose[:3, :3]
    squares = np.array([m.trace(), m[0, 0], m[1, 1], m[2, 2]])
    k = int(np.argmax(squares))
    skew = np.array([m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]])
    if k == 0:
        q = np.concatenate([[1 + m.trace()], skew])
    else:
        i, j, n = k - 1, k % 3, (k + 1) % 3
        q = np.empty(4)
        q[0], q[1 + i] = skew[i], 1 + m[i, i] - m[j, j] - m[n, n]
        q[1 + j], q[1 + n] = m[i, j] + m[j, i], m[i, n] + m[n, i]
    return q / np.linalg.norm(q)


def rotation_matrix(q: np.ndarray) -> np.ndarray:
    """[3,3] of a quaternion [4] (w, x, y, z) of any length above 0."""
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _aligned(quaternions: Sequence[np.ndarray]) -> np.ndarray:
    """[K,4] with signs such that neighbours are less than a half turn apart."""
    aligned = [quaternions[0]]
    for q in quaternions[1:]:
        aligned.append(-q if q @ aligned[-1] < 0 else q)
    return np.stack(aligned)


def _evaluate(keys: np.ndarray, values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Values [T] at `times` of the curve through (keys, values)."""
    if len(keys) == 1:
        return np.full(len(times), values[0])
    left, right = _handles(keys, values)
    piece = np.clip(np.searchsorted(keys, times, side="right") - 1, 0, len(keys) - 2)
    x = np.stack([keys[piece], right[piece, 0], left[piece + 1, 0], keys[piece + 1]])
    y = np.stack([values[piece], right[piece, 1], left[piece + 1, 1], values[piece + 1]])
    return _bezier(y, _parameter(x, times))


def _handles(keys: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left and right handles [K,2] (time, value) of every key."""
    points = np.stack([keys, values], axis=1)
    left, right = points.copy(), points.copy()
    for i, first_or_last in ((0, keys[1] - keys[0]), (-1, keys[-1] - keys[-2])):
        left[i, 0] -= first_or_last / HANDLE
        right[i, 0] += first_or_last / HANDLE
    for i in range(1, len(keys) - 1):
        left[i], right[i] = _inner_handles(points[i - 1], points[i], points[i + 1])
    return left, right


def _inner_handles(before: np.ndarray, key: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    length_before, length_after = key[0] - before[0], after[0] - key[0]
    direction = ((key - before) / length_before + (after - key) / length_after) / (2 * HANDLE)
    length_before = min(length_before, LONGEST_HANDLE * length_after)
    length_after = min(length_after, LONGEST_HANDLE * length_before)
    left, right = key - direction * length_before, key + direction * length_after
    rise_before, rise_after = key[1] - before[1], after[1] - key[1]
    if rise_before * rise_after <= 0:  # a local extremum, or level on one side
        left[1] = right[1] = key[1]
    elif abs(key[1] - left[1]) > abs(rise_before):
        left[1] = before[1]
        right[1] = key[1] + rise_before * (right[0] - key[0]) / (key[0] - left[0])
    elif abs(right[1] - key[1]) > abs(rise_after):
        right[1] = after[1]
        left[1] = key[1] - rise_after * (key[0] - left[0]) / (right[0] - key[0])
    return left, right


def _bezier(points: np.ndarray, u: np.ndarray) -> np.ndarray:
    """[T] of the cubics with control values [4,T] at u [T]."""
    v = 1 - u
    return v**3 * points[0] + 3 * v**2 * u * points[1] + 3 * v * u**2 * points[2] + u**3 * points[3]


def _parameter(x: np.ndarray, times: np.ndarray) -> np.ndarray:
    """u [T] in 0..1 where the cubics with control times x [4,T], which only rise, reach `times`; by bisection."""
    low, high = np.zeros(len(times)), np.ones(len(times))
    for _ in range(60):
        middle = (low + high) / 2
        early = _bezier(x, middle) < times
        low, high = np.where(early, middle, low), np.where(early, high, middle)
    return (low + high) / 2
