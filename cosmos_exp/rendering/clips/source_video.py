"""Frames of a clip's own RGB video at the times of rendered frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np

from cosmos_exp.common.errors import UserError


def source_frames(path: Path, frames: Sequence[int], pose_fps: float) -> Iterator[np.ndarray]:
    """uint8 [H,W,3] RGB of the source at each frame number, which ascend and count at `pose_fps`.

    Waymo's videos have 10 Hz and frame numbers 30 per second: number 3 i is image i. Raises UserError where the file
    is missing, no video, or ends too early.
    """
    if not path.is_file():
        raise UserError(f"no source video at {path}")
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            if stream.average_rate is None:
                raise UserError(f"{path} announces no frame rate; is it truncated?")
            wanted = [round(frame / pose_fps * float(stream.average_rate)) for frame in frames]
            decoded = container.decode(stream)
            position, image = -1, None
            for index in wanted:
                while position < index:
                    position, image = position + 1, next(decoded, None)
                if image is None:
                    raise UserError(f"{path} ends before image {index}, which the videos need")
                yield image.to_ndarray(format="rgb24")
    except av.error.FFmpegError as error:
        raise UserError(f"cannot read the video {path}: {error.strerror}; is it truncated?") from error
    except IndexError:
        raise UserError(f"{path} holds no video stream") from None
