"""Rig of a clip: trajectory of the rig frame, and camera mounts."""

from __future__ import annotations

import logging

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.rds_hq.clip import FPS, RdsHqClip
from cosmos_exp.scene.rds_hq.datasets import WAYMO_CAMERAS
from cosmos_exp.scene.types import Trajectory
from cosmos_exp.sensors.camera import Camera, Rig
from cosmos_exp.sensors.rigs import camera_pose

logger = logging.getLogger(__name__)

FRONT_MOUNT = camera_pose((1.75, 0.0, 1.35), (0.0, 1.3, 0.0))  # assumed where a clip has no vehicle poses
FRONT_CAMERAS = ("camera_front_wide_120fov", "front")
MOUNT_SAMPLES = 60  # frames that the mounting of a camera is the median of


def rig_trajectory(clip: RdsHqClip) -> Trajectory:
    """The rig's poses at the clip's frames: its vehicle poses, or else those of its front camera less FRONT_MOUNT."""
    poses = clip.vehicle_poses()
    if not poses:
        posed = clip.pose_cameras()
        camera = next((name for name in FRONT_CAMERAS if name in posed), None)
        if camera is None:
            raise UserError(
                f"clip {clip.clip_id} has neither vehicle poses nor those of {' or '.join(FRONT_CAMERAS)}, which "
                f"would tell where the car is; its cameras are {', '.join(posed)}"
            )
        logger.warning(
            "clip %s has no vehicle poses: %s is taken to sit 1.75 m before the rear axle and 1.35 m above the ground, "
            "1.3 degrees down",
            clip.clip_id,
            camera,
        )
        poses = {frame: pose @ np.linalg.inv(FRONT_MOUNT) for frame, pose in clip.camera_poses(camera).items()}
    frames = sorted(poses)
    stacked = np.stack([poses[frame] for frame in frames]).astype(np.float64)
    _check_rigid(clip, stacked, frames)
    return Trajectory(np.array(frames) / FPS, stacked)


def _check_rigid(clip: RdsHqClip, poses: np.ndarray, frames: list[int]) -> None:
    rotation = poses[:, :3, :3]
    error = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    if (error > 1e-3).any():
        frame = frames[int((error > 1e-3).argmax())]
        raise UserError(f"clip {clip.clip_id}: the vehicle pose of frame {frame} is no rigid motion")
    if np.linalg.det(rotation).min() < 0:
        raise UserError(
            f"clip {clip.clip_id} is left-handed (its poses have determinant -1), as CARLA's own exporter writes: "
            "export the recorder log with `cosmos-exp export rds-hq scene=carla_log ...` instead"
        )


def clip_rig(clip: RdsHqClip, camera_type: str) -> Rig:
    """The cameras that have poses and a calibration of the type (ftheta or pinhole), at the calibrated size.

    Names are those of the views where there is one (`front_wide_120fov` for `camera_front_wide_120fov` and for Waymo's
    `front`). camera_to_rig is the median over frames of the pose in the rig frame, with a true rotation.
    Raises UserError where no camera has both.
    """
    rig = rig_trajectory(clip)
    calibrated, posed = clip.cameras(camera_type), clip.pose_cameras()
    names = [name for name in calibrated if name in posed]
    if not names:
        raise UserError(
            f"clip {clip.clip_id}: no camera has both poses and {camera_type} intrinsics; poses: {', '.join(posed)}; "
            f"intrinsics: {', '.join(calibrated)}"
        )
    for name in sorted({*calibrated, *posed} - {*names}):
        logger.info("clip %s: camera %s has no %s", clip.clip_id, name, "poses" if name in calibrated else "intrinsics")
    cameras = (Camera(_view(name), clip.model(camera_type, name), _mount(clip, name, rig)) for name in names)
    return Rig(f"{clip.clip_id}_{camera_type}", tuple(cameras))


def _view(camera: str) -> str:
    return WAYMO_CAMERAS.get(camera, camera).removeprefix("camera_")


def _mount(clip: RdsHqClip, camera: str, rig: Trajectory) -> np.ndarray:
    frames = [frame for frame in clip.frames(camera) if rig.covers(frame / FPS)]
    frames = frames[:: max(len(frames) // MOUNT_SAMPLES, 1)]
    poses = clip.camera_poses(camera, frames=frames)
    relative = np.stack([np.linalg.inv(rig.at(frame / FPS)) @ poses[frame] for frame in frames])
    mount = np.median(relative, axis=0)
    u, _, v = np.linalg.svd(mount[:3, :3])
    mount[:3, :3] = u @ v
    if np.linalg.det(mount[:3, :3]) < 0:
        raise UserError(f"clip {clip.clip_id}: the poses of camera {camera} are left-handed (determinant -1)")
    return mount
