"""Dataset configs of the RDS-HQ renderer: cameras, layers, frames and video sizes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.map_layers import LAYER_SHAPES

FITS = ("resize", "center-crop")
BLOCKS = ("NOT_POST_TRAINING", "POST_TRAINING")
ALL_LAYERS = tuple(LAYER_SHAPES)
ROAD_LAYERS = ("lanelines", "road_boundaries", "crosswalks")
SIX_CAMERAS = (
    "camera_front_wide_120fov",
    "camera_cross_left_120fov",
    "camera_cross_right_120fov",
    "camera_rear_left_70fov",
    "camera_rear_right_70fov",
    "camera_rear_tele_30fov",
)
# Waymo camera -> the RDS-HQ camera whose default f-theta intrinsics stand in for its own. The toolkit's configs name
# rear cameras of 120 degrees, which do not exist.
WAYMO_CAMERAS = {
    "front": "camera_front_wide_120fov",
    "front_left": "camera_cross_left_120fov",
    "front_right": "camera_cross_right_120fov",
    "side_left": "camera_rear_left_70fov",
    "side_right": "camera_rear_right_70fov",
}


@dataclass(frozen=True)
class Block:
    """How frames become videos. resize: (width, height) drawn. fit: how that becomes the dataset's `size`.

    chunk, overlap: frames of a video, and of those how many it shares with the next. fps: of the videos.
    max_chunk: videos at most; None for no limit.
    """

    resize: tuple[int, int]
    fit: str
    chunk: int
    overlap: int
    fps: int
    max_chunk: int | None = None

    def to_document(self) -> dict[str, Any]:
        return {
            "RESIZE_RESOLUTION": list(self.resize),
            "TO_COSMOS_RESOLUTION": self.fit,
            "TARGET_CHUNK_FRAME": self.chunk,
            "OVERLAP_FRAME": self.overlap,
            "TARGET_RENDER_FPS": self.fps,
            **({"MAX_CHUNK": self.max_chunk} if self.max_chunk is not None else {}),
        }


@dataclass(frozen=True)
class Dataset:
    """size: (width, height) of the videos. rds_hq_cameras: {camera: its name in the default f-theta intrinsics}.

    The properties resize, fit, chunk, ... are those of the block in use, inference unless `for_post_training`.
    """

    name: str
    cameras: tuple[str, ...]
    layers: tuple[str, ...]
    inference: Block
    post_training: Block | None = None
    pose_fps: int = 30
    lidar_fps: int = 10
    size: tuple[int, int] = (1280, 704)
    rds_hq_cameras: Mapping[str, str] = field(default_factory=dict)

    def for_post_training(self) -> Dataset:
        """The same dataset with its post-training block in use."""
        if self.post_training is None:
            raise UserError(f"dataset {self.name} has no block POST_TRAINING")
        return replace(self, inference=self.post_training)

    @property
    def resize(self) -> tuple[int, int]:
        return self.inference.resize

    @property
    def fit(self) -> str:
        return self.inference.fit

    @property
    def fps(self) -> int:
        return self.inference.fps

    @property
    def chunk(self) -> int:
        return self.inference.chunk

    @property
    def overlap(self) -> int:
        return self.inference.overlap

    @property
    def max_chunk(self) -> int | None:
        return self.inference.max_chunk

    @property
    def step(self) -> int:
        """Pose frames per video frame: a whole number, so that 24 fps from 30 keeps every frame, in slow motion."""
        return self.pose_fps // self.fps

    def frame_ids(self, num_poses: int) -> list[int]:
        """Frame numbers of the poses that are rendered, of a clip with num_poses frames."""
        ids = list(range(0, num_poses, self.step))
        if self.max_chunk is None:
            return ids
        return ids[: self.chunk + (self.chunk - self.overlap) * (self.max_chunk - 1)]

    def chunks(self, num_frames: int) -> list[range]:
        """Positions, among num_frames rendered frames, of each video's frames. Only complete videos are made."""
        return [
            range(start, start + self.chunk)
            for start in range(0, num_frames - self.chunk + 1, self.chunk - self.overlap)
        ]

    def to_json(self) -> str:
        """The config in the toolkit's format."""
        document: dict[str, Any] = {
            "CAMERAS": list(self.cameras),
            "MINIMAP_TYPES": list(self.layers),
            "INPUT_POSE_FPS": self.pose_fps,
            "INPUT_LIDAR_FPS": self.lidar_fps,
            "COSMOS_RESOLUTION": list(self.size),
            **({"CAMERAS_TO_RDS_HQ": dict(self.rds_hq_cameras)} if self.rds_hq_cameras else {}),
        }
        for name, block in zip(BLOCKS, (self.inference, self.post_training)):
            if block:
                document[name] = block.to_document()
        return json.dumps(document, indent=2)


def _shipped(
    name: str, cameras: tuple[str, ...], layers: tuple[str, ...], inference: Block, post_training: Block
) -> Dataset:
    waymo = {camera: WAYMO_CAMERAS[camera] for camera in cameras if camera in WAYMO_CAMERAS}
    return Dataset(name, cameras, layers, inference, post_training, rds_hq_cameras=waymo)


_FRONT, _WAYMO = (1280, 720), (1280, 704)
DATASETS = {
    dataset.name: dataset
    for dataset in (
        _shipped(
            "rds_hq",
            SIX_CAMERAS[:1],
            ALL_LAYERS,
            Block(_FRONT, "resize", 121, 0, 30),
            Block(_FRONT, "center-crop", 121, 0, 30),
        ),
        _shipped(
            "rds_hq_mv",
            SIX_CAMERAS,
            ALL_LAYERS,
            Block(_FRONT, "resize", 121, 0, 30, max_chunk=1),
            Block(_FRONT, "center-crop", 57, 0, 30),
        ),
        _shipped(
            "waymo",
            ("front",),
            ROAD_LAYERS,
            Block(_WAYMO, "resize", 121, 0, 30),
            Block(_WAYMO, "resize", 190, 0, 10),
        ),
        _shipped(
            "waymo_mv",
            tuple(WAYMO_CAMERAS),
            ROAD_LAYERS,
            Block(_WAYMO, "resize", 121, 0, 30, max_chunk=1),
            Block(_WAYMO, "resize", 190, 0, 10),
        ),
        _shipped(
            "waymo_mv_short",
            tuple(WAYMO_CAMERAS),
            ROAD_LAYERS,
            Block(_WAYMO, "resize", 57, 0, 30, max_chunk=1),
            Block(_WAYMO, "resize", 57, 0, 10),
        ),
    )
}
