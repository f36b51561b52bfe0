"""User-provided files: control and input videos, weight maps, masks; one file for the front view, or a folder with one
per camera."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.input_files import did_you_mean
from cosmos_exp.common.video import resize
from cosmos_exp.common.video_decoding import VideoInfo, conversion, pictures, video_info

log = logging.getLogger(__name__)

# As Cosmos-Transfer1 resizes its inputs: class colours are not interpolated.
INTERPOLATION = {"seg": cv2.INTER_NEAREST, "rgb": cv2.INTER_AREA}
RATE_TOLERANCE = 0.01  # relative: 23.976 Hz is accepted as 24
UNEVEN = 0.4  # of the time between frames; one frame left out moves others by 0.5 at least
STRETCH_TOLERANCE = 0.05  # relative; 16:9 becomes 1280x704 without a warning


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
        raise UserError(f"no file or folder {str(path)!r}{did_you_mean(path)}")
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


def check_video(path: Path, frames: int, fps: float) -> VideoInfo:
    """UserError where a file is no video that can be read, has fewer frames, or shows them at other times.

    fps: of the clip, Hz. The first frame alone is decoded. Returns what the file says of itself.
    """
    info = video_info(path, frames)
    if info.frames < frames:
        raise too_short(path, info.frames, frames)
    rate, allowed = info.rate, RATE_TOLERANCE
    if len(info.times) > 1:
        span, steps = info.times[-1], len(info.times) - 1
        _check_even(path, info.times, fps)
        allowed += info.tick / span
        rate = rate if abs(rate * span / steps - 1) <= allowed else steps / span
    if not rate:
        raise UserError(f"{path} states no frame rate; is it truncated?")
    if abs(rate - fps) > allowed * fps:
        raise UserError(
            f"{path} has {rate:g} frames per second, the clip has {fps:g}: give model.fps={rate:g}, or convert it, "
            f"{conversion(path, f'fps={fps:g}')}"
        )
    return info


def _check_even(path: Path, times: Sequence[float], fps: float) -> None:
    """UserError where the time between frames varies: by number, frames would be at other times than in the file."""
    even = times[-1] / (len(times) - 1)
    for number, time in enumerate(times):
        if not abs(time - number * even) < UNEVEN * even:
            raise UserError(
                f"{path} has a variable frame rate: frame {number} is at {time:.3f} s, evenly spaced it were at "
                f"{number * even:.3f} s; convert it, {conversion(path, f'fps={fps:g}')}"
            )


def too_short(path: Path, given: int, needed: int) -> UserError:
    return UserError(
        f"{path} has {given} frames, the clip has {needed}: give a longer video, or fewer frames (model.num_frames)"
    )


def read_user_video(path: Path, kind: str, *, frames: int, height: int, width: int, fps: float) -> np.ndarray:
    """A user-provided video, uint8 [frames,height,width,3]; of a longer one the first frames, no others are decoded.

    kind: the control, or `rgb`. fps: of the clip, Hz. Another size is resized without crop or border: by nearest
    neighbour for seg, by area for rgb, bilinearly for the others. Raises UserError as `check_video` and `pictures` do.
    """
    info = check_video(path, frames, fps)
    for remark in info.remarks:
        log.info("%s: %s", path, remark)
    if info.frames > frames:
        log.info("%s: the first %d frames are used", path, frames)
    _log_size(path, info.size, (width, height))
    video, read = np.empty((frames, height, width, 3), np.uint8), 0
    for picture in islice(pictures(path), frames):
        stored = picture.stored()[None]
        video[read] = resize(stored, height, width, INTERPOLATION.get(kind, cv2.INTER_LINEAR))[0]
        read += 1
    if read < frames:
        raise too_short(path, read, frames)
    return video


def _log_size(path: Path, shown: tuple[int, int], needed: tuple[int, int]) -> None:
    if shown == needed:
        return
    sizes = f"from {shown[0]}x{shown[1]} to {needed[0]}x{needed[1]}"
    stretch = needed[0] * shown[1] / (needed[1] * shown[0])
    if abs(stretch - 1) > STRETCH_TOLERANCE:
        log.warning(
            "%s: resized %s, which makes things %.2f times as wide; crop it first to avoid that", path, sizes, stretch
        )
    else:
        log.info("%s: resized %s", path, sizes)
