"""The video that generation departs from: a file, checked against the clip and brought to its shape."""

from __future__ import annotations

import logging
from pathlib import Path

import av
import cv2
import numpy as np

from cosmos_exp.errors import UserError
from cosmos_exp.shapes import Shape
from cosmos_exp.video import read_video, resize

log = logging.getLogger(__name__)

RGB = "rgb"  # in place of a file: the picture of the scene itself
RATE_TOLERANCE = 0.01  # 23.976 Hz stands for 24


def check_input_video(given: str, frames: int, fps: float) -> None:
    """UserError where `given` is neither `rgb` nor a video of this rate (Hz) and so many frames. Decodes nothing."""
    if given == RGB:
        return
    if not Path(given).is_file():
        raise UserError(
            f"no file {given!r}: give {RGB} (the picture of the scene), a video file, or null for noise alone"
        )
    try:
        with av.open(given) as container:
            if not container.streams.video:
                raise UserError(f"{given} holds no video stream")
            stream = container.streams.video[0]
            announced, rate = stream.frames, float(stream.average_rate or 0)
    except av.error.FFmpegError as error:
        raise UserError(f"cannot read the video {given}: {error.strerror}; is it truncated?") from error
    if not rate:
        raise UserError(f"{given} announces no frame rate; is it truncated?")
    if abs(rate - fps) > RATE_TOLERANCE * fps:
        raise UserError(
            f"{given} has {rate:g} frames per second, the clip {fps:g}: give model.fps={rate:g}, or convert it"
        )
    if 0 < announced < frames:
        raise _too_short(given, announced, frames)


def read_input_video(path: str, shape: Shape) -> np.ndarray:
    """uint8 [F,H,W,3]: of a longer video the first frames, of another size resized without crop or border.

    Resized by area, as Cosmos-Transfer1 resizes its input videos. Raises UserError where it is too short or damaged.
    """
    video = read_video(path)
    if len(video) < shape.frames:
        raise _too_short(path, len(video), shape.frames)
    if len(video) > shape.frames:
        log.info("%s: the first %d of its %d frames are used", path, shape.frames, len(video))
    return resize(video[: shape.frames], shape.height, shape.width, cv2.INTER_AREA)


def _too_short(path: str, given: int, needed: int) -> UserError:
    return UserError(f"{path} has {given} frames, the clip {needed}: give a longer video or model.num_frames={given}")
