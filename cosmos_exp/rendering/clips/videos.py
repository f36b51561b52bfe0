"""An RDS-HQ clip -> the HD-map and LiDAR condition videos of Cosmos-Drive-Dreams, frame by frame.

Per camera and frame: draw, Lanczos-4 to the dataset's drawing size, resize or centre crop to its video size, encode.
A frame is drawn once, also where videos overlap, and is not cached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video import Encoding, VideoWriter
from cosmos_exp.rendering.clips.resample import Yuv420, center_crop, resize
from cosmos_exp.rendering.clips.source_video import source_frames
from cosmos_exp.rendering.hdmap.drawing import Box, HdMap
from cosmos_exp.rendering.lidar.condition import LidarRenderer
from cosmos_exp.scene.map_layers import cuboid_corners
from cosmos_exp.scene.rds_hq.clip import OBJECTS, RdsHqClip
from cosmos_exp.scene.rds_hq.datasets import Dataset
from cosmos_exp.scene.rds_hq.objects import ObjectRecord, at_frames, average_static_objects, hdmap_class
from cosmos_exp.sensors.camera import CameraModel
from cosmos_exp.sensors.ftheta import FTheta

KINDS = ("hdmap", "lidar", "videos")
REFERENCE_ENCODING = Encoding(crf=18, preset="slow")
SCALE_TOLERANCE = 0.02  # between the scales of width and height that an f-theta camera is brought to another size with


class ShortClip(UserError):
    """The clip has too few frames for one video."""


@dataclass(frozen=True)
class VideoSettings:
    """dataset: with the block in use that is wanted. pose_folder: `pose` or that of a novel trajectory.

    reference_compat: reproduce the reference toolkit's defects, and write nothing for a clip that is too short.
    """

    dataset: Dataset
    camera_type: str = "ftheta"
    pose_folder: str = "pose"
    reference_compat: bool = False
    encoding: Encoding = REFERENCE_ENCODING
    keep_existing: bool = False


class ClipRenderer:
    """Draws the frames of one clip. Map, objects and LiDAR are read once, when first needed.

    frames: the frame numbers in the videos. Raises UserError when broken or missing parts of the clip are read.
    """

    def __init__(self, clip: RdsHqClip, settings: VideoSettings):
        self.clip, self.settings = clip, settings
        self.dataset = settings.dataset
        if settings.reference_compat:
            self._check_nothing_missing()
        first = self.dataset.cameras[0]
        self.frames = self.dataset.frame_ids(len(clip.frames(first, settings.pose_folder)))
        self._hdmap: HdMap | None = None
        self._boxes: dict[int, list[Box]] = {}
        self._lidar: LidarRenderer | None = None
        self._models: dict[str, CameraModel] = {}
        self._converters: dict[tuple[int, int, int], Yuv420] = {}

    @property
    def notes(self) -> list[str]:
        return self.clip.notes

    def model(self, camera: str) -> CameraModel:
        """The camera at the size it is drawn at, which may miss the dataset's by a few pixels of width."""
        if camera not in self._models:
            settings = self.settings
            model = self.clip.model(settings.camera_type, camera, self.dataset.rds_hq_cameras.get(camera))
            self._models[camera] = scaled_model(model, *self.dataset.resize)
        return self._models[camera]

    def poses(self, camera: str, frames: Iterable[int]) -> dict[int, np.ndarray]:
        """{frame: camera-to-world [4,4]}."""
        return self.clip.camera_poses(camera, self.settings.pose_folder, frames=frames)

    def draw(self, kind: str, camera: str, frame: int, pose: np.ndarray) -> np.ndarray:
        """The image of kind `hdmap` or `lidar` at the dataset's drawing size, uint8 [H,W,3]."""
        model = self.model(camera)
        if kind == "hdmap":
            canvas = self._map().draw(model, pose, self.boxes(frame))
        else:
            canvas = self._lidar_renderer().frame(model, pose.astype(np.float64), frame)
        return resize(canvas, *self.dataset.resize)

    def boxes(self, frame: int) -> list[Box]:
        """The objects of a frame in the order in which they are drawn."""
        if not self._boxes:
            last = self.frames[-1] if self.settings.reference_compat else None
            objects = at_frames(
                average_static_objects(self.clip.objects()), self.clip.frames(*self._timeline()), last_used=last
            )
            self._boxes = {number: _boxes(records) for number, records in objects.items()}
        return self._boxes[frame]

    def to_video_size(self, drawn: np.ndarray) -> np.ndarray:
        """An image of the drawing size, resized or cropped to the video size, [H,W,3]."""
        if self.dataset.fit == "center-crop":
            return center_crop(drawn, *self.dataset.size)
        return resize(drawn, *self.dataset.size)

    def to_encoder_input(self, drawn: np.ndarray) -> np.ndarray:
        """An image of the drawing size as input of a VideoWriter; valid until the next call."""
        if self.settings.encoding.lossless:
            return self.to_video_size(drawn)
        width, height = self.dataset.size
        if self.dataset.fit == "center-crop" or drawn.shape[1] != width:
            drawn = self.to_video_size(drawn)
        key = (width, len(drawn), height)
        if key not in self._converters:
            self._converters[key] = Yuv420(*key)
        return self._converters[key](drawn)

    def video_writer(self, path: Path) -> VideoWriter:
        width, height = self.dataset.size
        return VideoWriter(path, width=width, height=height, fps=self.dataset.fps, encoding=self.settings.encoding)

    def _check_nothing_missing(self) -> None:
        drawn = [f"3d_{layer}" for layer in self.dataset.layers] + [OBJECTS]
        if missing := [folder for folder in self.clip.missing if folder in drawn]:
            raise UserError(
                f"clip {self.clip.clip_id} has no {', '.join(missing)}: the reference stops there; without "
                "reference_compat the clip is drawn without them"
            )

    def _timeline(self) -> tuple[str, str]:
        return self.dataset.cameras[0], self.settings.pose_folder

    def _map(self) -> HdMap:
        if self._hdmap is None:
            layers = self.clip.layers(self.dataset.layers)
            self._hdmap = HdMap(layers, reference_compat=self.settings.reference_compat)
        return self._hdmap

    def _lidar_renderer(self) -> LidarRenderer:
        if self._lidar is None:
            compat = self.settings.reference_compat
            self._lidar = LidarRenderer.from_clip(self.clip, self.frames, reference_compat=compat)
        return self._lidar


def scaled_model(model: CameraModel, width: int, height: int) -> CameraModel:
    """The camera at about that size, by the format's rules: an f-theta camera is scaled alike both ways."""
    if not isinstance(model, FTheta):
        return model.resized(width, height)
    scale = height / model.height
    if abs(scale - width / model.width) >= SCALE_TOLERANCE:
        raise UserError(
            f"an f-theta camera of {model.width}x{model.height} cannot be drawn at {width}x{height}: "
            f"the nearest size is {round(model.width * scale)}x{height}"
        )
    return model.scaled(scale)


def video_path(out: Path, kind: str, camera_type: str, camera: str, clip_id: str, chunk: int) -> Path:
    return out / kind / f"{camera_type}_{camera}" / f"{clip_id}_{chunk}.mp4"


def write_camera_videos(
    renderer: ClipRenderer, kind: str, camera: str, out: Path, on_frame: Callable[[], None] = lambda: None
) -> list[Path]:
    """Write the videos of one camera and return their files; kind is one of KINDS. on_frame is called after every
    frame.

    Writes none if all exist and are kept, or, with reference_compat, if the clip is too short. Raises ShortClip,
    UserError, OSError; incomplete files are removed.
    """
    videos = pending_videos(renderer, kind, camera, out)
    positions = sorted({position for chunk in videos.values() for position in chunk})
    images = _images(renderer, kind, camera, [renderer.frames[p] for p in positions])
    starts = {chunk.start: path for path, chunk in videos.items()}
    with ExitStack() as writers:
        open_writers: dict[Path, VideoWriter] = {}
        for position, image in zip(positions, images):
            content = renderer.to_encoder_input(image)
            if position in starts:
                path = starts[position]
                open_writers[path] = writers.enter_context(renderer.video_writer(path))
            for path, writer in list(open_writers.items()):
                writer.write(content)
                if position == videos[path].stop - 1:
                    open_writers.pop(path).finish()
            on_frame()
    return list(videos)


def pending_videos(renderer: ClipRenderer, kind: str, camera: str, out: Path) -> dict[Path, range]:
    """{file: positions in `renderer.frames`} of the videos that are still to be written. Raises ShortClip."""
    settings, dataset = renderer.settings, renderer.dataset
    chunks = dataset.chunks(len(renderer.frames))
    if not chunks and not settings.reference_compat:
        raise ShortClip(
            f"clip {renderer.clip.clip_id} gives {len(renderer.frames)} frames and dataset {dataset.name} makes videos "
            f"of {dataset.chunk}: none is complete; give a dataset file with TARGET_CHUNK_FRAME at most "
            f"{len(renderer.frames)}"
        )
    name = (settings.camera_type, camera, renderer.clip.clip_id)
    paths = {video_path(out, kind, *name, number): chunk for number, chunk in enumerate(chunks)}
    return {path: chunk for path, chunk in paths.items() if not (settings.keep_existing and path.exists())}


def write_images(
    renderer: ClipRenderer, kind: str, camera: str, out: Path, frames: Sequence[int]
) -> Iterator[list[Path]]:
    """PNGs of single frames: `<frame>.png` as drawn and `<frame>_resize704.png` (or crop) at the videos' size."""
    dataset = renderer.dataset
    available = renderer.clip.frames(camera, renderer.settings.pose_folder)
    for frame in frames:
        if frame not in available:
            nearest = available[-1] if frame >= len(available) else 0
            raise UserError(f"frame {frame} is outside the clip's 0 to {available[-1]}: the nearest is {nearest}")
    folder = video_path(out, kind, renderer.settings.camera_type, camera, "", 0).parent / renderer.clip.clip_id
    folder.mkdir(parents=True, exist_ok=True)
    suffix = f"{'crop' if dataset.fit == 'center-crop' else 'resize'}{dataset.size[1]}"
    for frame, drawn in zip(frames, _images(renderer, kind, camera, frames)):
        images = {f"{frame:06d}.png": drawn, f"{frame:06d}_{suffix}.png": renderer.to_video_size(drawn)}
        yield [write_png(folder / name, image) for name, image in images.items()]


def _images(renderer: ClipRenderer, kind: str, camera: str, frames: Sequence[int]) -> Iterator[np.ndarray]:
    """At the drawing size."""
    settings, dataset = renderer.settings, renderer.dataset
    if kind == "videos":
        folder = renderer.clip.root / f"{settings.camera_type}_{camera}"
        for image in source_frames(folder / f"{renderer.clip.clip_id}.mp4", frames, dataset.pose_fps):
            yield resize(image, *dataset.resize)
        return
    poses = renderer.poses(camera, frames)
    for frame in frames:
        yield renderer.draw(kind, camera, frame, poses[frame])


def _boxes(records: Mapping[str, ObjectRecord]) -> list[Box]:
    return [
        Box(name, hdmap_class(record.type), cuboid_corners(record.pose, record.size))
        for name, record in sorted(records.items())
    ]


def write_png(path: Path, image: np.ndarray) -> Path:
    """uint8 [H,W,3] RGB; the file has its name when it is complete."""
    partial = path.with_name(f".{path.stem}.partial.png")
    if not cv2.imwrite(str(partial), cv2.cvtColor(image, cv2.COLOR_RGB2BGR)):
        raise OSError(f"cannot write {path}")
    partial.replace(path)
    return path
