"""Every reader of files that others make, with valid files of our own and ways to damage them.

`tests/test_damaged_files.py` reads a few damaged files of each reader, `python -m benchmarks.fuzz` thousands.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import safetensors.torch
import torch
import yaml

from cosmos_exp.captions.files import read_captions, read_prompts
from cosmos_exp.cli.commands.novel_pose import _read_keys
from cosmos_exp.common.video import frame_rate, read_video, write_video
from cosmos_exp.controls.class_filter import read_class_filter
from cosmos_exp.metrics.label_file import read_shares
from cosmos_exp.models.checkpoints.checkpoint import read_state
from cosmos_exp.models.dit.map_files import read_map
from cosmos_exp.models.transfer1.description import read_description
from cosmos_exp.models.transfer1.weights_folder import SHIPPED_WEIGHTS
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.runs.sweep_cells import read_cells
from cosmos_exp.scene.carla.info import scene_info
from cosmos_exp.scene.edits.pose_file import read_pose_file
from cosmos_exp.scene.opendrive.reader import load_opendrive
from cosmos_exp.scene.rds_hq.clip import RdsHqClip
from cosmos_exp.scene.rds_hq.dataset_file import read_dataset
from cosmos_exp.scene.rds_hq.layers import labels_json
from cosmos_exp.scene.rds_hq.map import map_labels
from cosmos_exp.scene.rds_hq.objects import average_static_objects
from cosmos_exp.scene.rds_hq.rig import clip_rig, rig_trajectory
from cosmos_exp.scene.rds_hq.scene import clip_map, tracks_of
from cosmos_exp.scene.rds_hq.tars import write_tar
from cosmos_exp.scene.waymo.map_features import read_map as read_waymo_map
from cosmos_exp.scene.waymo.tables import WaymoSegment
from cosmos_exp.sensors.carla_yaml import carla_rig, read_carla_sensors
from helpers.clips import CLIP_ID, members, npz, pose, write_clip
from helpers.file_damage import (
    Damage,
    damaged_bytes,
    damaged_npy,
    damaged_pickle,
    damaged_png,
    damaged_safetensors,
    damaged_tar,
    damaged_text,
    damaged_xml,
    damaged_zip,
)
from helpers.opendrive_writer import arc, cubic, geometry, lane, mark, opendrive, road, section, straight_town
from helpers.recorder_writer import Drive, actor, added, boxes
from helpers.streets import street_map
from helpers.sweep_folder import write_run
from helpers.waymo_tables import SEGMENT, Segment, map_frame, write_tfrecord


@dataclass(frozen=True)
class Reader:
    """write: valid files into an empty folder, returning those to damage. read: reads what is there, one of these files
    being damaged."""

    write: Callable[[Path], list[Path]]
    read: Callable[[Path, Path], object]
    damage: Damage


def _written(folder: Path, files: dict[str, bytes | str]) -> list[Path]:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [folder / name for name in files]


def _write_clip(folder: Path) -> list[Path]:
    layers = {
        f"3d_{layer}": {f"{layer}.json": labels_json(layer, labels)}
        for layer, labels in map_labels(street_map()).items()
    }
    write_clip(folder, members() | layers)
    return sorted(folder.glob("*/*.tar"))


def _read_clip(folder: Path, damaged: Path) -> None:
    clip = RdsHqClip(folder, CLIP_ID)
    clip_map(clip)
    rig = rig_trajectory(clip)
    tracks_of(average_static_objects(clip.objects()), float(rig.times[0]), float(rig.times[-1]))
    for kind in ("ftheta", "pinhole"):
        clip_rig(clip, kind)
    for frame in clip.lidar_frames():
        clip.lidar(frame)


def _write_npz(folder: Path) -> list[Path]:
    write_clip(folder, members())
    return _written(folder, {"sweep.npz": npz(xyz=np.ones((5, 3), np.float32), lidar_to_world=pose(1))})


def _read_npz(folder: Path, damaged: Path) -> None:
    tar = folder / "lidar_raw" / f"{CLIP_ID}.tar"
    write_tar(tar, CLIP_ID, {"000000.lidar_raw.npz": damaged.read_bytes()})
    RdsHqClip(folder, CLIP_ID).lidar(0)


def _write_npy(folder: Path) -> list[Path]:
    masks = {"float.npy": np.ones((9, 8, 12), np.float32), "whole.npy": np.eye(8, dtype=np.uint8)}
    for name, mask in masks.items():
        np.save(folder / name, mask)
    return [folder / name for name in masks]


def _read_mask(folder: Path, damaged: Path) -> None:
    read_map(damaged, frames=9)


JSON_READERS: dict[str, Callable[[Path], object]] = {
    "dataset.json": read_dataset,
    "keys.json": _read_keys,
    "poses.json": lambda path: read_pose_file(path, 0.0),
    "matrices.json": lambda path: read_pose_file(path, 0.0),
    "captions.json": read_captions,
    "prompts.json": read_prompts,
    "labels.json": read_shares,
    "model/model.json": lambda path: read_description(path.parent),
    "run/status.json": lambda path: RunFolder(path.parent).living_status(),
    "run/metrics.json": lambda path: RunFolder(path.parent).read_metrics(),
    "run/frames.json": lambda path: RunFolder(path.parent).read_frames(),
    "run/references.json": lambda path: RunFolder(path.parent).read_references(),
}


def _write_json(folder: Path) -> list[Path]:
    block = {"RESIZE_RESOLUTION": [1280, 720], "TO_COSMOS_RESOLUTION": "resize", "TARGET_CHUNK_FRAME": 121,
             "OVERLAP_FRAME": 0, "TARGET_RENDER_FPS": 30}  # fmt: skip
    verdict = {"id": "7", "verdict": "shown"}
    contents = {
        "dataset.json": {"CAMERAS": ["front"], "MINIMAP_TYPES": ["lanelines"], "INPUT_POSE_FPS": 30,
                         "COSMOS_RESOLUTION": [1280, 720], "NOT_POST_TRAINING": block},
        "keys.json": {"frames": [0, 5], "poses": [np.eye(4).tolist()] * 2},
        "poses.json": [{"time": 0.1 * i, "x": i, "y": 0, "z": 0, "yaw": 1.5} for i in range(3)],
        "matrices.json": {"times": [0.0, 0.5], "poses": [np.eye(4).tolist()] * 2},
        "captions.json": {"Night": "A street at night.", "Rainy": "Rain."},
        "prompts.json": {"front_wide_120fov": "A street at night."},
        "labels.json": {"schema": 1, "objects": [verdict], "lane_lines": [{"line": 0, "verdict": "lost"}]},
        "run/metrics.json": {"Night": {"psnr": 20.5, "tse": 0.25}},
        "run/frames.json": {"Night": {"psnr": [20.5, None]}},
        "run/references.json": {"Night": {"psnr": {"ceiling": 40.0, "floor": 8.0}}},
        "run/status.json": {"state": "running", "run_id": "0a", "started": "2026-01-31T12:00:00+00:00", "pid": 1,
                            "updated": "2026-01-31T12:00:05+00:00", "host": "vm", "seconds": {"render": 1.5},
                            "hits": {"render": 1}, "gpu_memory": {"render": {"allocated": 1.0, "reserved": 2.0}}},
    }  # fmt: skip
    files: dict[str, bytes | str] = {name: json.dumps(values, indent=1) for name, values in contents.items()}
    files["model/model.json"] = (SHIPPED_WEIGHTS / "nano" / "model.json").read_bytes()
    return _written(folder, files)


def _read_json(folder: Path, damaged: Path) -> None:
    JSON_READERS[damaged.relative_to(folder).as_posix()](damaged)


def _write_yaml(folder: Path) -> list[Path]:
    attributes = {"image_size_x": 640, "image_size_y": 480, "fov": 90}
    transform = {"location": {"x": 1.5, "y": 0.0, "z": 2.4}, "rotation": {"pitch": -5.0, "yaw": 0.0, "roll": 0.0}}
    wide = {"image_size_x": 640, "image_size_y": 480, "camera_model": "equidistant", "fov": 120}
    sensors = [
        {"sensor": "rgb", "attributes": attributes, "transform": transform},
        {"sensor": "depth", "attributes": wide, "wide_angle_lens": True, "transform": transform},
        {"sensor": "rgb", "attributes": attributes,
         "ftheta_parameters": {"polynomials": {"k0": 0.0, "k1": 300.0}, "linear": {"c": 1.0, "d": 0.0, "e": 0.0}}},
    ]  # fmt: skip
    run = folder / "sweep" / "0_0a"
    write_run(run, ["sampler.guidance=3", "captions.styles=[Night]"], state="failed")
    multirun = {"hydra": {"overrides": {"task": ["sampler.guidance=1,3"]}, "sweeper": {"params": None}}}
    filters = {"shaded_segmentation_classes": [[128, 64, 128]], "canny_classes": [[0, 0, 142], [220, 20, 60]]}
    texts = {"sensors.yaml": sensors, "classes.yaml": filters, "sweep/multirun.yaml": multirun}
    files = _written(folder, {name: yaml.safe_dump(values) for name, values in texts.items()})
    return [*files, run / "config.yaml", run / ".hydra" / "overrides.yaml"]


def _read_yaml(folder: Path, damaged: Path) -> None:
    if damaged.name == "sensors.yaml":
        carla_rig(read_carla_sensors(damaged), np.zeros(3))
    elif damaged.name == "classes.yaml":
        read_class_filter(damaged)
    else:
        read_cells(folder / "sweep")


def _write_xml(folder: Path) -> list[Path]:
    side = section(left=[lane(1)], right=[lane(-1, marks=mark("solid"))], centre=mark("broken"))
    curve = road(2, 60, geometries=geometry(arc(0.02), 60), sections=side, elevation=cubic("elevation", 1, 0.01, 0, 0))
    return _written(folder, {"town.xodr": straight_town(), "curve.xodr": opendrive(curve)})


def _read_xml(folder: Path, damaged: Path) -> None:
    load_opendrive(damaged)


def _write_log(folder: Path) -> list[Path]:
    drive = Drive(times=[0.0, 0.05, 0.1, 0.15], movers={1: {i: (100.0 * i, 0, 0, 0, 0, 0) for i in range(4)}})
    drive.add(0, added(actor(1, 1, "vehicle.tesla.model3", role_name="hero")), boxes({1: ((0, 0, 0.7), (2.4, 1, 0.7))}))
    return _written(folder, {"drive.log": drive.to_bytes()})


def _read_log(folder: Path, damaged: Path) -> None:
    scene_info(damaged)


def _write_csv(folder: Path) -> list[Path]:
    rows = "".join(f"{0.1 * i},{i},0,0,{i}\n" for i in range(4))
    return _written(folder, {"poses.csv": "time,x,y,z,yaw\n" + rows})


def _read_csv(folder: Path, damaged: Path) -> None:
    read_pose_file(damaged, 0.0)


def _write_parquet(folder: Path) -> list[Path]:
    Segment().write(folder)
    return sorted(folder.glob("*/*.parquet"))


def _read_parquet(folder: Path, damaged: Path) -> None:
    segment = WaymoSegment(folder, SEGMENT)
    for values in (segment.vehicle_poses, segment.calibrations, segment.image_poses(), segment.images("front")):
        assert values is not None
    segment.boxes()
    for _ in segment.sweeps():
        pass


def _write_protobuf(folder: Path) -> list[Path]:
    return [write_tfrecord(folder / "map.tfrecord", [map_frame()])]


def _read_protobuf(folder: Path, damaged: Path) -> None:
    read_waymo_map(damaged)


def _write_safetensors(folder: Path) -> list[Path]:
    safetensors.torch.save_file({"a": torch.ones(9, 8, 12)}, folder / "mask.safetensors")
    safetensors.torch.save_file({"a": torch.ones(3), "b": torch.eye(2)}, folder / "weights.safetensors")
    return [folder / "mask.safetensors", folder / "weights.safetensors"]


def _read_tensors(folder: Path, damaged: Path) -> None:
    if damaged.name.startswith("mask"):
        read_map(damaged, frames=9)
    else:
        read_state(damaged)


def _write_pickle(folder: Path) -> list[Path]:
    tensors = {"a.b": torch.ones(3), "a.c": torch.eye(2, dtype=torch.float16)}
    torch.save(torch.ones(9, 8, 12), folder / "mask.pt")
    torch.save({"model": tensors}, folder / "weights.pt")
    torch.save(tensors, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    return [folder / name for name in ("mask.pt", "weights.pt", "legacy.pt")]


def _write_pictures(folder: Path) -> list[Path]:
    picture = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    for name in ("mask.png", "mask.jpg"):
        cv2.imwrite(str(folder / name), picture)
    return [folder / "mask.png", folder / "mask.jpg"]


def _write_video(folder: Path) -> list[Path]:
    frames = np.random.default_rng(0).integers(0, 256, (9, 32, 48, 3), dtype=np.uint8)
    return [write_video(folder / "clip.mp4", frames, 24)]


def _read_video(folder: Path, damaged: Path) -> None:
    frame_rate(damaged)
    read_video(damaged)


READERS = {
    "tar": Reader(_write_clip, _read_clip, damaged_tar),
    "npz": Reader(_write_npz, _read_npz, damaged_zip),
    "npy": Reader(_write_npy, _read_mask, damaged_npy),
    "json": Reader(_write_json, _read_json, damaged_text),
    "yaml": Reader(_write_yaml, _read_yaml, damaged_text),
    "xml": Reader(_write_xml, _read_xml, damaged_xml),
    "csv": Reader(_write_csv, _read_csv, damaged_text),
    "log": Reader(_write_log, _read_log, damaged_bytes),
    "parquet": Reader(_write_parquet, _read_parquet, damaged_bytes),
    "protobuf": Reader(_write_protobuf, _read_protobuf, damaged_bytes),
    "safetensors": Reader(_write_safetensors, _read_tensors, damaged_safetensors),
    "pickle": Reader(_write_pickle, _read_tensors, damaged_pickle),
    "picture": Reader(_write_pictures, _read_mask, damaged_png),
    "video": Reader(_write_video, _read_video, damaged_bytes),
}


class Fuzzer:
    """Damages one valid file of a reader at a time, and puts it back."""

    def __init__(self, reader: Reader, folder: Path):
        self.reader, self.folder = reader, folder
        self.valid = {path: path.read_bytes() for path in reader.write(folder)}

    def attempt(self, rng: random.Random) -> None:
        """Reads with one file damaged; raises what the reader raises. The damaged file stays until the next attempt."""
        for path, content in self.valid.items():
            if path.read_bytes() != content:
                path.write_bytes(content)
        path = rng.choice(list(self.valid))
        path.write_bytes(self.reader.damage(self.valid[path], rng))
        self.last = path
        self.reader.read(self.folder, path)
