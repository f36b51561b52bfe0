"""User-provided files: control and input videos, weight maps, masks; one file for the front view, or a folder with one
per camera."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video import read_video, resize

log = logging.getLogger(__name__)

# As Cosmos-Transfer1 resizes its inputs: class colours are not interpolated.
INTERPOLATION = {"seg": cv2.INTER_NEAREST, "rgb": cv2.INTER_AREA}
RATE_TOLERANCE = 0.01  # relative: 23.976 Hz is accepted as 24


def camera_file(path: Path | str, view: str, clip: str | None = None) -> Path:
    """The file of one view. Of several in a camera's folder the one named after the clip is taken, as in the folders of
    Cosmos-Drive-Dreams: `<clip>_0.mp4`. Raises UserError where there is none or the choice is ambiguous.
    """
    files = camera_files(path, view)
    if len(files) == 1:
        return files[0]
    named = [file for file in files if clip and file.stem == f"{clip}_0"]
    if len(named) != 1:
        names, wanted = ", ".join(file.name for file in files[:12]), f"none is {clip}_0" if clip else "one is needed"
        raise UserError(f"{str(path)!r} has several files for {view}, {wanted}: {names}")
    return named[0]


def camera_files(path: Path | str, view: str) -> list[Path]:
    """`path` itself where it is a file; of a folder, `<camera>.*` or the files in `<camera>/`.

    A camera is named by its view, with or without a prefix such as `ftheta_camera_`. Raises UserError where there is
    none.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"no file or folder {str(path)!r}")
    own = [p for p in sorted(path.iterdir()) if p.stem == view or p.stem.endswith(f"_camera_{view}")]
    files = [file for p in own for file in (sorted(p.iterdir()) if p.is_dir() else [p]) if file.is_file()]
    if not files:
        held = ", ".join(sorted(p.name for p in path.iterdir())[:12]) or "nothing"
        raise UserError(f"{str(path)!r} has nothing for {view}: needed is {view}.* or a folder {view}; it holds {held}")
    return files


def view_file(folder: Path | str, view: str, views: Sequence[str]) -> Path:
    """The video of one view: `<number>.mp4` as in a run's multi_view folder, or as `camera_file` finds it."""
    numbered = Path(folder) / f"{views.index(view)}.mp4"
    return numbered if numbered.is_file() else camera_file(folder, view)


def check_video(path: Path, frames: int, fps: float | None = None) -> None:
    """UserError where a file is no video, announces fewer frames or has another rate (Hz); nothing is decoded."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise UserError(f"{path} holds no video stream")
            stream = container.streams.video[0]
            announced, rate = stream.frames, float(stream.average_rate or 0)
    except av.error.FFmpegError as error:
        raise UserError(f"cannot read the video {path}: {error.strerror}; is it truncated?") from error
    if 0 < announced < frames:
        raise too_short(path, announced, frames)
    if not rate:
        raise UserError(f"{path} announces no frame rate; is it truncated?")
    if fps is not None and abs(rate - fps) > RATE_TOLERANCE * fps:
        raise UserError(
            f"{path} has {rate:g} frames per second, the clip has {fps:g}: give model.fps={rate:g}, or convert it"
        )


def too_short(path: Path, given: int, needed: int) -> UserError:
    return UserError(
        f"{path} has {given} frames, the clip has {needed}: give a longer video, or fewer frames (model.num_frames)"
    )


def read_user_video(path: Path, kind: str, *, frames: int, height: int, width: int) -> np.ndarray:
    """A user-provided video, uint8 [frames,height,width,3]; of a longer one the first frames. kind: the control, or
    `rgb`.

    Another size is resized without crop or border: by nearest neighbour for seg, by area for rgb, bilinearly for the
    others. Raises UserError for a file that is no video, ends early or is too short.
    """
    video = read_video(path)
    if len(video) < frames:
        raise too_short(path, len(video), frames)
    if len(video) > frames:
        log.info("%s: the first %d of its %d frames are used", path, frames, len(video))
    if video.shape[1:3] != (height, width):
        log.info("%s: resized from %dx%d to %dx%d", path, video.shape[2], video.shape[1], width, height)
    return resize(video[:frames], height, width, INTERPOLATION.get(kind, cv2.INTER_LINEAR))
