"""Small clips on disk for the tests."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cosmos_exp.scene.map_layers import LAYER_SHAPES, cuboid_corners
from cosmos_exp.scene.rds_hq.layers import Label, labels_json
from cosmos_exp.scene.rds_hq.tars import write_tar

CLIP_ID = "clip_0_1000000"
CAMERAS = ("camera_front_wide_120fov", "camera_rear_tele_30fov")
FTHETA = np.array([960, 540, 1920, 1080, 0, 0.00105, 0, 0, 0, 0, 1.0])
VERTICES = {
    "polyline": np.array([[0.0, 2, 0], [10, 2, 0.1], [20, 3, 0.2]]),
    "surface": np.array([[5.0, -3, 0], [8, -3, 0], [8, 3, 0]]),
    "cuboid": cuboid_corners(np.eye(4), (0.1, 0.6, 0.6)),
}


def npy(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def pose(x: float = 0.0) -> np.ndarray:
    matrix = np.eye(4)
    matrix[0, 3] = x
    return matrix


def record(**changes) -> dict:
    values = {
        "object_to_world": pose(10).tolist(),
        "object_lwh": [4.5, 1.9, 1.6],
        "object_is_moving": True,
        "object_type": "Car",
    }
    return values | changes


def members(frames: int = 4) -> dict[str, dict[str, bytes]]:
    """{folder: {key: content}} of a clip with every folder of the format."""
    folders = {
        f"3d_{layer}": {f"{layer}.json": labels_json(layer, [Label((VERTICES[shape],))])}
        for layer, shape in LAYER_SHAPES.items()
    }
    folders["3d_lanes"] = {
        "lanes.json": labels_json("lanes", [Label((VERTICES["polyline"], VERTICES["polyline"] + 3))])
    }
    folders["pose"] = {f"{f:06d}.pose.{c}.npy": npy(pose(f)) for f in range(frames) for c in CAMERAS}
    folders["vehicle_pose"] = {f"{f:06d}.vehicle_pose.npy": npy(pose(f).astype(np.float32)) for f in range(frames)}
    folders["all_object_info"] = {
        f"{f:06d}.all_object_info.json": json.dumps({"7": record(object_to_world=pose(10 + f).tolist())}).encode()
        for f in range(0, frames, 3)
    }
    folders["ftheta_intrinsic"] = {f"ftheta_intrinsic.{c}.npy": npy(FTHETA) for c in CAMERAS}
    folders["pinhole_intrinsic"] = {
        f"pinhole_intrinsic.{c}.npy": npy(np.array([900.0, 901, 640, 360, 1280, 720])) for c in CAMERAS
    }
    folders["lidar_raw"] = {"000000.lidar_raw.npz": npz(xyz=np.ones((5, 3), np.float32), lidar_to_world=pose(1))}
    folders["timestamp"] = {f"{f:06d}.timestamp_micros.txt": str(100_000 * f).encode() for f in range(frames)}
    return folders


def write_clip(root: Path, folders: Mapping[str, Mapping[str, bytes]], clip_id: str = CLIP_ID) -> Path:
    for folder, content in folders.items():
        write_tar(root / folder / f"{clip_id}.tar", clip_id, content)
    return root
