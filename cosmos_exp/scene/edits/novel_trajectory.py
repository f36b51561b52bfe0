"""Novel ego trajectories of RDS-HQ clips: `<root>/<folder>/<clip id>.tar` with camera poses in place of `pose`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.edits.ego_edit import EgoEdit, edited_rig
from cosmos_exp.scene.edits.key_poses import ground_height, grounded, interpolate_key_poses
from cosmos_exp.scene.rds_hq.arrays import encode_npy
from cosmos_exp.scene.rds_hq.clip import FPS, RdsHqClip
from cosmos_exp.scene.rds_hq.scene import clip_map, rig_trajectory
from cosmos_exp.scene.rds_hq.tars import write_tar

FORMAT_FOLDERS = r"|pose|vehicle_pose|all_object_info|lidar_raw|timestamp|captions|3d_.*|.*_intrinsic|\."
FRONT_CAMERAS = ("camera_front_wide_120fov", "front")

CameraPoses = dict[str, np.ndarray]  # {camera: [F,4,4] float64 camera to world, frames from 0}


def front_camera(clip: RdsHqClip) -> str:
    """Name of the camera whose poses are keyed."""
    cameras = clip.pose_cameras()
    return next((name for name in FRONT_CAMERAS if name in cameras), cameras[0])


def own_poses(clip: RdsHqClip) -> CameraPoses:
    return {
        camera: np.stack(list(clip.camera_poses(camera).values())).astype(np.float64) for camera in clip.pose_cameras()
    }


def edited_poses(clip: RdsHqClip, edit: EgoEdit) -> CameraPoses:
    """The poses of all cameras after an ego edit; every camera keeps its place on the vehicle."""
    rig, lanes = rig_trajectory(clip), clip_map(clip).lanes
    own = own_poses(clip)
    times = np.arange(len(next(iter(own.values())))) / FPS
    edited = edited_rig(rig, edit, lanes, float(times[0]), float(times[-1]))
    move = edited.sample(times) @ np.linalg.inv(rig.sample(times))
    return {camera: move @ poses for camera, poses in own.items()}


def keyed_poses(
    clip: RdsHqClip, frames: Sequence[int] | np.ndarray, poses: np.ndarray, *, ground: bool = True
) -> CameraPoses:
    """The poses of all cameras on the spline through key poses [K,4,4] of the front camera at `frames`.

    ground: level the key poses first, at the front camera's height in frame 0 plus that of the lane lines below them.
    The other cameras stand to the front camera as in frame 0.
    """
    own, front = own_poses(clip), front_camera(clip)
    poses = np.asarray(poses, np.float64)
    if ground and poses.ndim == 3 and poses.shape[1:] == (4, 4):
        lane_lines = clip.layers(["lanelines"])["lanelines"]
        height = own[front][0, 2, 3]
        poses = np.stack([grounded(pose, height + ground_height(pose, lane_lines)) for pose in poses])
    novel = interpolate_key_poses(frames, poses, len(own[front]))
    return {camera: novel @ np.linalg.inv(own[front][0]) @ other[0] for camera, other in own.items()}


def write_poses(root: Path, folder: str, clip_id: str, poses: Mapping[str, np.ndarray]) -> Path:
    """Write the tar of a novel trajectory below the clip's root; returns its path. The clip's own is never replaced."""
    if Path(folder).name != folder or re.fullmatch(FORMAT_FOLDERS, folder):
        raise UserError(f"folder {folder!r}: give a name below {root} that the format has no use for: novel_pose")
    path = root / folder / f"{clip_id}.tar"
    write_tar(
        path,
        clip_id,
        (
            (f"{frame:06d}.pose.{camera}.npy", encode_npy(poses[camera][frame]))
            for frame in range(len(next(iter(poses.values()))))
            for camera in sorted(poses)
        ),
    )
    return path
