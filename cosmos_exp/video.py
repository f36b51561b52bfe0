"""Videos as uint8 [F,H,W,3] RGB arrays in memory and H.264 files on disk."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from cosmos_exp.errors import UserError
from cosmos_exp.views import GRID

CRF = 16  # visually lossless at the sizes made here


def write_video(path: Path | str, frames: np.ndarray, fps: float, *, crf: int = CRF, lossless: bool = False) -> Path:
    """Write `frames` as an MP4 that browsers and W&B play: H.264, yuv420p, moov box in front.

    frames: uint8 [F,H,W,3] RGB; H and W must be even unless `lossless`. fps: Hz.
    lossless: RGB H.264 at QP 0 instead, exact to the bit but not playable in browsers.
    The file appears under its name only when it is complete and on disk. Raises OSError where it cannot be written.
    """
    path = Path(path)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not len(frames):
        raise ValueError(f"frames must be uint8 [F,H,W,3] with F >= 1, given {frames.dtype} {list(frames.shape)}")
    height, width = frames.shape[1:3]
    if not lossless and (height % 2 or width % 2):
        raise ValueError(f"yuv420p needs an even height and width, given {height}x{width}")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        _encode(partial, frames, fps, crf=crf, lossless=lossless)
        _sync(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _encode(path: Path, frames: np.ndarray, fps: float, *, crf: int, lossless: bool) -> None:
    codec, pixel_format = ("libx264rgb", "rgb24") if lossless else ("libx264", "yuv420p")
    options = {"qp": "0", "preset": "ultrafast"} if lossless else {"crf": str(crf), "preset": "veryfast"}
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixel_format
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def read_video(path: Path | str) -> np.ndarray:
    """All frames of a video file, uint8 [F,H,W,3] RGB.

    Raises UserError where the file is missing, is no video, or ends before its last frame.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no video at {path}")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise UserError(f"{path} holds no video stream")
            stream = container.streams.video[0]
            announced = stream.frames
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    except av.error.FFmpegError as error:
        raise UserError(f"cannot read the video {path}: {error.strerror}; is it truncated?") from error
    if not frames or len(frames) < announced:
        raise UserError(f"{path} is truncated: it announces {announced} frames and holds {len(frames)}")
    return np.stack(frames)


def compose_grid(
    views: Mapping[str, np.ndarray], *, rows: Sequence[Sequence[str]] = GRID, labels: bool = False
) -> np.ndarray:
    """Tile the videos of several views without padding, as Single2MultiView lays them out.

    views: {view name: uint8 [F,H,W,3]}, all of one shape. rows: view names of each row.
    labels: write each view's name into its corner. Returns uint8 [F, len(rows)*H, len(rows[0])*W, 3].
    """
    tiles = [[_labelled(views[name], name) if labels else views[name] for name in row] for row in rows]
    return np.concatenate([np.concatenate(row, axis=2) for row in tiles], axis=1)


def _labelled(frames: np.ndarray, text: str) -> np.ndarray:
    import cv2

    scale = max(frames.shape[2] / 640, 0.3)
    origin = (round(8 * scale), round(20 * scale))
    labelled = frames.copy()
    for frame in labelled:
        for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(frame, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.6 * scale, color, thickness, cv2.LINE_AA)
    return labelled
