"""Frames of a clip's own RGB video at the times of rendered frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video import frame_rate
from cosmos_exp.common.video_decoding import pictures


def source_frames(path: Path, frames: Sequence[int], pose_fps: float) -> Iterator[np.ndarray]:
    """uint8 [H,W,3] RGB of the source at each frame number, which ascend and count at `pose_fps`.

    Waymo's videos have 10 Hz and frame numbers 30 per second: number 3 i is image i. Raises UserError where the file
    ends too early, and as `pictures` does.
    """
    rate = frame_rate(path)
    decoded = enumerate(pictures(path))
    position, picture = -1, None
    for index in (round(frame / pose_fps * rate) for frame in frames):
        while position < index:
            position, picture = next(decoded, (index, None))
        if picture is None:
            raise UserError(f"{path} ends before image {index}, which the videos need")
        yield picture.shown()
