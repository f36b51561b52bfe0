"""Scene and Rig -> an RDS-HQ clip that NVIDIA's toolkit can read."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.finite import require_finite
from cosmos_exp.scene.rds_hq.arrays import encode_npy
from cosmos_exp.scene.rds_hq.atomic_write import atomic_clip
from cosmos_exp.scene.rds_hq.clip import FPS
from cosmos_exp.scene.rds_hq.datasets import ALL_LAYERS, Block, Dataset
from cosmos_exp.scene.rds_hq.layers import labels_json
from cosmos_exp.scene.rds_hq.map import map_labels
from cosmos_exp.scene.rds_hq.objects import Appearance, object_type
from cosmos_exp.scene.rds_hq.poses import check_rigid
from cosmos_exp.scene.rds_hq.tars import write_tar
from cosmos_exp.scene.types import Scene, Track
from cosmos_exp.sensors.camera import Camera, Rig
from cosmos_exp.sensors.lens_conversion import as_ftheta, as_pinhole
from cosmos_exp.sensors.pinhole import Pinhole

logger = logging.getLogger(__name__)

KEY_STEP = 3  # frames from one sample of the objects to the next: 10 Hz
FRAMES = 1_000_000  # their numbers have six digits
CHUNK = 121  # frames of a video
WIDE = 16 / 9  # aspect ratio of NVIDIA's images
STATIC_DISTANCE = 0.01  # metres: an object that stays within this distance of its first position is static
STATIC_ANGLE = np.radians(0.1)
VIEW = re.compile(r"[a-z_]+_\d+fov")  # camera names that the format prefixes with camera_
CAMERA = re.compile(r"[a-z0-9_]+")

Members = Iterator[tuple[str, bytes]]


def write_clip(scene: Scene, rig: Rig, root: Path | str, *, caption: str | None = None) -> str:
    """Write the scene as the rig sees it below `root`; returns the clip's name, `scene.clip_id` without dots.

    30 frames per second from scene.start to scene.end; poses in float64; objects at every third frame. Every map layer
    is written, an empty one with the label that says so, buildings and trees excepted, which have no layer. Intrinsics:
    f-theta for every camera (fitted to a pinhole, see `as_ftheta`), pinhole for every one that is not too wide. Beside
    the clip: `captions/<clip>.txt` where there is a caption, and `dataset_<clip>.json`, the config to render it with.

    A clip of that name is replaced. Tars come under their names when all are complete, `pose`, which makes a clip
    known, last. Raises UserError where a camera has a name that a tar cannot hold, where the scene is longer than
    FRAMES, or where it or a camera holds what our own reader would refuse, such as numbers that are not finite.
    """
    require_finite(scene)
    _check_frames(scene)
    clip_id, root = re.sub(r"[^A-Za-z0-9_-]", "_", scene.clip_id), Path(root)
    cameras = {camera_name(camera): camera for camera in rig.cameras}
    with atomic_clip(root, clip_id, replace=True) as folder:
        for name, members in _folders(scene, cameras):
            write_tar(folder / name / f"{clip_id}.tar", clip_id, members)
        if caption is not None:
            (folder / "captions").mkdir()
            (folder / "captions" / f"{clip_id}.txt").write_text(caption + "\n")
        (folder / f"dataset_{clip_id}.json").write_text(dataset_of(scene, clip_id, cameras).to_json())
    return clip_id


def _check_frames(scene: Scene) -> None:
    most = (FRAMES - 1) / FPS
    if scene.duration > most:
        raise UserError(
            f"scene {scene.clip_id} is {scene.duration:g} s long: the format numbers frames with six digits, so that a "
            f"clip has {most:g} s at most; give a shorter scene.duration"
        )


def camera_name(camera: Camera) -> str:
    """As the format has it: `camera_front_wide_120fov` for the view `front_wide_120fov`, other names as they are."""
    if not CAMERA.fullmatch(camera.name):
        raise UserError(f"camera name {camera.name!r}: the format has lower-case letters, digits and _ only")
    if VIEW.fullmatch(camera.name) and not camera.name.startswith("camera_"):
        return f"camera_{camera.name}"
    return camera.name


def clip_times(scene: Scene) -> np.ndarray:
    """[F] seconds of the clip's frames."""
    return scene.frame_times(int(np.floor(scene.duration * FPS + 1e-6)) + 1, FPS)


def dataset_of(scene: Scene, name: str, cameras: Mapping[str, Camera]) -> Dataset:
    """The config that renders all cameras and layers of the clip: chunks of CHUNK frames, or one of a shorter clip.

    Rendered at 1280x720, as in NVIDIA's configs, where all cameras have that aspect ratio, else at 1280x704, as for
    Waymo.
    """
    chunk = min(CHUNK, len(clip_times(scene)))
    wide = all(abs(camera.model.width / camera.model.height - WIDE) < 0.02 for camera in cameras.values())
    drawn = (1280, 720) if wide else (1280, 704)
    inference = Block(drawn, "resize", chunk, 0, FPS)
    post_training = Block(drawn, "center-crop" if wide else "resize", chunk, 0, FPS)
    return Dataset(name, tuple(cameras), ALL_LAYERS, inference, post_training)


def object_records(scene: Scene) -> dict[int, dict[str, dict]]:
    """{key frame: {tracking id: record}} as in `all_object_info`, for frames 0, 3, 6, ...

    An object is in those key frames at whose time its track exists. Whether it moves is decided for the whole clip,
    because the renderer draws all records of an object that are flagged as static at one mean pose.
    """
    times = clip_times(scene)
    frames = range(0, len(times), KEY_STEP)
    records: dict[int, dict[str, dict]] = {frame: {} for frame in frames}
    for number, track in enumerate(scene.tracks):
        poses = {f: track.trajectory.at(float(times[f])) for f in frames if track.exists_at(float(times[f]))}
        if not poses:
            logger.info("object %s exists at no key frame of the clip: left out", track.id)
            continue
        moving = moves(np.stack(list(poses.values())))
        for frame, pose in poses.items():
            records[frame][track.id] = _record(track, number, pose, moving)
    return records


def moves(poses: np.ndarray) -> bool:
    """Whether poses [N,4,4] leave the first by more than STATIC_DISTANCE or STATIC_ANGLE."""
    distance = np.linalg.norm(poses[:, :3, 3] - poses[0, :3, 3], axis=1)
    turn = np.linalg.norm(poses[:, :3, :3] - poses[0, :3, :3], axis=(1, 2)) / np.sqrt(2)  # 2 sin(angle / 2)
    return bool((distance > STATIC_DISTANCE).any() or (turn > STATIC_ANGLE).any())


def _record(track: Track, number: int, pose: np.ndarray, moving: bool) -> dict:
    return {
        "object_to_world": pose.tolist(),
        "object_lwh": [float(v) for v in track.size],
        "object_is_moving": moving,
        "object_type": object_type(track.actor_class),
        "appearance": Appearance(track.actor_class, number, track.color, track.model, track.role).to_json(),
    }


def _folders(scene: Scene, cameras: Mapping[str, Camera]) -> Iterator[tuple[str, Members]]:
    rig_poses = scene.rig_trajectory.sample(clip_times(scene))
    check_rigid(rig_poses, lambda i: f"scene {scene.clip_id}: the rig's pose in frame {i}")
    mounts = {name: camera.camera_to_rig for name, camera in cameras.items()}
    check_rigid(np.stack(list(mounts.values())), lambda i: f"camera {list(mounts)[i]}: camera_to_rig")
    yield "vehicle_pose", ((f"{f:06d}.vehicle_pose.npy", encode_npy(pose)) for f, pose in enumerate(rig_poses))
    yield "pose", _camera_poses(rig_poses, cameras)
    records = object_records(scene).items()
    yield "all_object_info", ((f"{f:06d}.all_object_info.json", json.dumps(r).encode()) for f, r in records)
    yield "ftheta_intrinsic", (_intrinsic("ftheta", n, as_ftheta(c.model).to_array()) for n, c in cameras.items())
    pinholes = {name: as_pinhole(camera.model) for name, camera in cameras.items()}
    for name in (name for name, model in pinholes.items() if model is None):
        logger.warning("camera %s is too wide for a pinhole: it has f-theta intrinsics only", name)
    if any(pinholes.values()):
        yield "pinhole_intrinsic", (_intrinsic("pinhole", n, _pinhole_array(m)) for n, m in pinholes.items() if m)
    for layer, labels in map_labels(scene.map, start=scene.start).items():
        yield f"3d_{layer}", iter([(f"{layer}.json", labels_json(layer, labels))])


def _camera_poses(rig_poses: np.ndarray, cameras: Mapping[str, Camera]) -> Members:
    for frame, pose in enumerate(rig_poses):
        for name, camera in cameras.items():
            yield f"{frame:06d}.pose.{name}.npy", encode_npy(pose @ camera.camera_to_rig)


def _intrinsic(camera_type: str, camera: str, values: np.ndarray) -> tuple[str, bytes]:
    return f"{camera_type}_intrinsic.{camera}.npy", encode_npy(values)


def _pinhole_array(model: Pinhole) -> np.ndarray:
    return np.array([model.fx, model.fy, model.cx, model.cy, model.width, model.height])
