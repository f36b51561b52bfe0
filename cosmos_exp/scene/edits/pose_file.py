"""Trajectories from files: CSV and JSON tables, and the tar of an RDS-HQ novel trajectory."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.guards import FARTHEST, TABLE_BYTES, npy_array, read_bytes, read_json, shortened
from cosmos_exp.scene.edits.key_poses import rotation_matrix
from cosmos_exp.scene.types import Trajectory

SUFFIXES = (".csv", ".json", ".tar")
POSITION, ANGLES, QUATERNION = ("x", "y", "z"), ("roll", "pitch", "yaw"), ("qw", "qx", "qy", "qz")
COLUMNS = ("time", *POSITION, *ANGLES, *QUATERNION)
RIGID = 1e-3


def read_pose_file(path: Path, start: float) -> Trajectory:
    """The poses in a file, local FLU to world.

    CSV: a header and one row per pose with `time`, `x`, `y`, `z` and either `yaw` (and `pitch`, `roll`; 0 where
    missing) in degrees or `qw`, `qx`, `qy`, `qz`. JSON: a list of objects with these keys, or
    {"times": [N], "poses": [N][4][4]}. Their times are seconds after `start`.
    Tar: camera poses of an RDS-HQ novel trajectory, `<root>/<folder>/<clip>.tar`, whose clip lies below the same root;
    its first camera is taken back to the rig, and frame 0 is time 0 of the clip.
    Raises UserError: an unknown kind of file or column, poses that are no rigid motion, times that do not increase.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(unknown_name("kind of pose file", path.suffix or str(path), SUFFIXES))
    if path.suffix == ".tar":
        return _from_novel_pose_tar(path)
    try:
        rows = _csv_rows(path) if path.suffix == ".csv" else read_json("pose file", path)
    except FileNotFoundError:
        raise UserError(f"no such pose file: {path}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no CSV file: {error}") from None
    if isinstance(rows, Mapping) and set(rows) == {"times", "poses"}:
        times, poses = rows["times"], rows["poses"]
    elif isinstance(rows, list) and rows and all(isinstance(row, Mapping) for row in rows):
        times, poses = [row.get("time") for row in rows], [_pose(path, i, row) for i, row in enumerate(rows)]
    else:
        raise UserError(f'{path}: give a list of objects with time, x, y, z, yaw, or {{"times": [], "poses": []}}')
    return _checked(path, times, poses, start)


def _csv_rows(path: Path) -> list[dict[str, Any]]:
    reader = csv.DictReader(io.StringIO(read_bytes("pose file", path, TABLE_BYTES).decode()), skipinitialspace=True)
    for column in reader.fieldnames or ():
        if column.strip() not in COLUMNS:
            raise UserError(f"{path}: {unknown_name('column', column, COLUMNS)}")
    return [{key.strip(): value for key, value in row.items() if key} for row in reader]


def _pose(path: Path, number: int, row: Mapping[str, Any]) -> np.ndarray:
    for key in row:
        if key not in COLUMNS:
            raise UserError(f"{path}: {unknown_name('key', key, COLUMNS)}")
    keys = [*POSITION, *(QUATERNION if "qw" in row else ("yaw",))]
    missing = [key for key in ("time", *keys) if row.get(key) in (None, "")]
    if missing:
        raise UserError(f"{path}: pose {number} has no {', '.join(missing)}")
    pose = np.eye(4)
    pose[:3, 3] = _numbers(path, [row[key] for key in POSITION])
    if "qw" in row:
        pose[:3, :3] = rotation_matrix(_numbers(path, [row[key] for key in QUATERNION]))
    else:
        pose[:3, :3] = euler(*np.radians(_numbers(path, [row.get(key) or 0.0 for key in ANGLES])))
    return pose


def euler(roll: float, pitch: float, yaw: float) -> np.ndarray:
    """[3,3] Rz(yaw) Ry(pitch) Rx(roll), radians; a positive pitch looks down in FLU axes."""
    (sr, sp, sy), (cr, cp, cy) = np.sin([roll, pitch, yaw]), np.cos([roll, pitch, yaw])
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def _numbers(path: Path, values: Iterable[Any]) -> np.ndarray:
    try:
        return np.array([float(value) for value in values])
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{path}: {error}") from None


def _checked(path: Path, times: Any, poses: Any, start: float) -> Trajectory:
    try:
        times, poses = np.asarray(times, np.float64), np.asarray(poses, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{path}: times and poses must be numbers") from None
    if times.ndim != 1 or not len(times) or poses.shape != (len(times), 4, 4):
        raise UserError(f"{path}: needs a 4x4 pose per time; got times {times.shape} and poses {poses.shape}")
    if not (np.isfinite(times).all() and np.isfinite(poses).all()):
        raise UserError(f"{path} holds numbers that are not finite")
    if max(np.abs(times).max(), np.abs(poses).max()) > FARTHEST:
        raise UserError(f"{path} holds numbers beyond {FARTHEST:g}: times are seconds, places metres")
    if (np.diff(times) <= 0).any():
        i = int(np.argmax(np.diff(times) <= 0))
        raise UserError(f"{path}: times must increase; {times[i + 1]:g} s follows {times[i]:g} s")
    rotation = poses[:, :3, :3]
    wrong = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2)) > RIGID
    wrong |= (np.linalg.det(rotation) < 0) | (np.abs(poses[:, 3] - [0, 0, 0, 1]).max(axis=1) > RIGID)
    if wrong.any():
        raise UserError(f"{path}: pose {int(np.argmax(wrong))} is no rigid motion of a right-handed frame")
    return Trajectory(times + start, poses)


def _from_novel_pose_tar(path: Path) -> Trajectory:
    from cosmos_exp.scene.rds_hq.clip import FPS, RdsHqClip, frame_number
    from cosmos_exp.scene.rds_hq.scene import rig_trajectory
    from cosmos_exp.scene.rds_hq.tars import SampleTar

    tar = SampleTar(path)
    found = [re.fullmatch(r"(\d+)\.pose\.(.+)\.npy", key) for key in tar.keys]
    cameras = sorted({match[2] for match in found if match})
    if not cameras:
        raise UserError(f"{path} holds no camera poses: its keys are such as {tar.keys[0]!r}")
    frames = sorted(
        frame_number(match[1], f"{path}: key {shortened(match[0])}")
        for match in found
        if match and match[2] == cameras[0]
    )
    keys = [f"{frame:06d}.pose.{cameras[0]}.npy" for frame in frames]
    poses = [npy_array(tar.read(key), f"{key} of {path}") for key in keys]
    clip = RdsHqClip(path.parent.parent, path.stem)
    rig = rig_trajectory(clip)
    own = clip.camera_poses(cameras[0])
    first = min(own)
    camera_to_rig = np.linalg.inv(own[first].astype(np.float64)) @ rig.at(first / FPS)
    return _checked(path, np.array(frames) / FPS, np.stack(poses).astype(np.float64) @ camera_to_rig, 0.0)
