"""A Waymo segment as an RDS-HQ clip with the five-view rig, pinhole intrinsics, LiDAR and the source videos."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.pictures import read_rgb
from cosmos_exp.common.video import VideoWriter
from cosmos_exp.scene.rds_hq.arrays import encode_npy
from cosmos_exp.scene.rds_hq.atomic_write import atomic_clip
from cosmos_exp.scene.rds_hq.layers import FORMAT_LAYERS, labels_json
from cosmos_exp.scene.rds_hq.tars import write_tar
from cosmos_exp.scene.types import interpolate_pose
from cosmos_exp.scene.waymo.map_features import WaymoMap, find_tfrecord, read_map
from cosmos_exp.scene.waymo.tables import OBJECT, TIME, WaymoSegment

STEP = 3  # frames of 1/30 s per frame of the source
SOURCE_FPS = 10
MOVING = 0.2  # m/s
TYPES = {1: "Car", 2: "Pedestrian", 4: "Cyclist"}
TYPE_NAMES = {0: "unknown", 3: "sign"}
FLU_TO_OPENCV = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]], np.float64)
VIDEOS = ("all", "front", "none")


@dataclass
class Summary:
    """Contents of a converted clip. left_out: counts of source elements that the format cannot represent."""

    clip_id: str
    frames: int
    cameras: tuple[str, ...]
    sweeps: int = 0
    objects: int = 0
    map_elements: dict[str, int] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)


def convert_segment(
    tables: Path, segment: str, root: Path, *, maps: Path | None = None, without_map: bool = False, videos: str = "all"
) -> Summary:
    """Write one segment as a clip below `root`; its id is the segment's name, dots as underscores.

    tables: folder with a folder per component. maps: folder with the v1 TFRecords (`tables` where None), the only
    place where the dataset has maps; without_map: write empty layers instead. videos: of the cameras, `all`, `front`
    or `none`. Three frames at 30 fps per source frame: poses interpolated (rotation slerp), the last two frames
    extrapolated in translation only. Lens distortion is dropped. A clip of that name is replaced once the new
    one is complete, its `pose` tar last. Raises UserError on missing or inconsistent tables.
    """
    source = WaymoSegment(tables, segment)
    clip_id = segment.replace(".", "_")
    times = list(source.vehicle_poses)
    if len(times) < 2:
        raise UserError(f"segment {segment} has {len(times)} vehicle poses: at least 2 are needed")
    waymo_map = WaymoMap() if without_map else _map(maps or tables, segment)
    summary = Summary(clip_id, STEP * len(times), tuple(source.calibrations), left_out=Counter(waymo_map.left_out))
    with atomic_clip(root, clip_id) as clip_folder:
        for folder, members in _tars(source, times, waymo_map, summary):
            write_tar(clip_folder / folder / f"{clip_id}.tar", clip_id, members)
        for camera in {"all": summary.cameras, "front": ("front",), "none": ()}[videos]:
            _write_video(source, camera, clip_folder / f"pinhole_{camera}" / f"{clip_id}.mp4")
    return summary


def at_30_fps(poses: np.ndarray) -> np.ndarray:
    """[N,4,4] at 10 Hz -> [3N,4,4]: linear and slerp in between; translation extrapolated after the last pose."""
    between = [interpolate_pose(a, b, k / STEP) for a, b in pairwise(poses) for k in range(STEP)]
    result = [*between, poses[-1]]
    step = result[-1][:3, 3] - result[-2][:3, 3]
    for k in range(1, STEP):
        further = poses[-1].copy()
        further[:3, 3] += k * step
        result.append(further)
    return np.stack(result)


def _map(folder: Path, segment: str) -> WaymoMap:
    path = find_tfrecord(folder, segment)
    if path is None:
        raise UserError(
            f"no map of segment {segment}: the v2 tables have none, and there is no *{segment}*.tfrecord below "
            f"{folder}; give the folder of the v1 files (--maps DIR), or --without-map for a clip with empty layers"
        )
    return read_map(path)


def _tars(
    source: WaymoSegment, times: list[int], waymo_map: WaymoMap, summary: Summary
) -> Iterator[tuple[str, Mapping[str, bytes] | Iterator[tuple[str, bytes]]]]:
    frames = {time: STEP * i for i, time in enumerate(times)}
    for layer in FORMAT_LAYERS:
        labels = waymo_map.labels.get(layer, [])
        summary.map_elements[layer] = len(labels)
        yield f"3d_{layer}", {f"{layer}.json": labels_json(layer, labels, times[0])}
    yield "timestamp", {f"{frames[t]:06d}.timestamp_micros.txt": str(t).encode() for t in times}
    vehicle = at_30_fps(np.stack(list(source.vehicle_poses.values())))
    yield "vehicle_pose", {f"{f:06d}.vehicle_pose.npy": encode_npy(pose) for f, pose in enumerate(vehicle)}
    yield (
        "pinhole_intrinsic",
        {f"pinhole_intrinsic.{name}.npy": encode_npy(np.array(c.intrinsic)) for name, c in source.calibrations.items()},
    )
    records = _objects(source, frames, summary)
    yield "all_object_info", {f"{f:06d}.all_object_info.json": json.dumps(r).encode() for f, r in records.items()}
    if source.has("lidar"):
        yield "lidar_raw", _sweeps(source, frames, summary)
    yield "pose", dict(_camera_poses(source, times))


def _camera_poses(source: WaymoSegment, times: list[int]) -> Iterator[tuple[str, bytes]]:
    taken = source.image_poses()
    for camera, calibration in source.calibrations.items():
        of_camera = taken.get(camera, {})
        missing = [time for time in times if time not in of_camera]
        if missing:
            raise UserError(
                f"segment {source.name}: camera_image has no image of camera {camera} at {len(missing)} of "
                f"{len(times)} times, the first {missing[0]}"
            )
        to_vehicle = calibration.camera_to_vehicle @ FLU_TO_OPENCV
        for frame, pose in enumerate(at_30_fps(np.stack([of_camera[time] @ to_vehicle for time in times]))):
            yield f"{frame:06d}.pose.{camera}.npy", encode_npy(pose)


def _objects(source: WaymoSegment, frames: Mapping[int, int], summary: Summary) -> dict[int, dict[str, dict]]:
    """{key frame: {id: record}} of `all_object_info`."""
    records: dict[int, dict[str, dict]] = {frame: {} for frame in frames.values()}
    boxes, unsynced = source.boxes()
    if unsynced:
        summary.left_out["box without a camera-synced box"] += unsynced
    for row in boxes:
        kind = TYPES.get(row["type"])
        if kind is None:
            summary.left_out[f"box of type {TYPE_NAMES.get(row['type'], row['type'])}"] += 1
            continue
        if row[TIME] not in frames:
            raise UserError(f"segment {source.name}: a box at {row[TIME]}, where there is no vehicle pose")
        box = np.eye(4)
        cos, sin = np.cos(row["heading"]), np.sin(row["heading"])
        box[:2, :2], box[:3, 3] = [[cos, -sin], [sin, cos]], row["center"]
        if row["speed"] is None:
            summary.left_out["speed of a box, taken as standing"] += 1
        records[frames[row[TIME]]][row[OBJECT]] = {
            "object_to_world": (source.vehicle_poses[row[TIME]] @ box).tolist(),
            "object_lwh": row["size"],
            "object_is_moving": bool(row["speed"] is not None and row["speed"] > MOVING),
            "object_type": kind,
        }
    summary.objects = len({name for of_frame in records.values() for name in of_frame})
    return records


def _sweeps(source: WaymoSegment, frames: Mapping[int, int], summary: Summary) -> Iterator[tuple[str, bytes]]:
    for time, points in source.sweeps():
        summary.sweeps += 1
        finite = np.isfinite(points).all(axis=1)
        if not finite.all():
            summary.left_out["LiDAR point without a finite place"] += int((~finite).sum())
            points = points[finite]
        buffer = io.BytesIO()
        np.savez(buffer, xyz=points, lidar_to_world=source.vehicle_poses[time])
        yield f"{frames[time]:06d}.lidar_raw.npz", buffer.getvalue()


def _write_video(source: WaymoSegment, camera: str, path: Path) -> None:
    width, height = (int(v) for v in source.calibrations[camera].intrinsic[4:])
    with VideoWriter(path, width=width, height=height, fps=SOURCE_FPS) as writer:
        for number, jpeg in enumerate(source.images(camera)):
            place = f"segment {source.name}: image {number} of camera {camera}"
            image = read_rgb(jpeg or b"", place)
            if image.shape != (height, width, 3):
                raise UserError(f"{place} has {image.shape[1]}x{image.shape[0]} pixels, its camera {width}x{height}")
            writer.write(image)
