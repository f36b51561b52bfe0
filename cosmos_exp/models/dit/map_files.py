"""Reading maps over a clip from tensor files, NumPy arrays, images and videos."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import SIDE, read_npy
from cosmos_exp.common.pictures import read_grey
from cosmos_exp.common.video_decoding import conversion, pictures, video_info
from cosmos_exp.controls.user_videos import check_video
from cosmos_exp.models.checkpoints.pickled import read_pickled
from cosmos_exp.models.checkpoints.safetensors_file import read_safetensors
from cosmos_exp.models.dit.weight_maps import trilinear

log = logging.getLogger(__name__)

MAX_VIDEO_VALUES = 2**28  # 1 GiB as float32: 129 frames of 1920x1080


def read_map(path: Path, frames: int) -> Tensor:
    """float32 [frames,H,W] or, where the file has one frame, [1,H,W]; values of 0 or more.

    .pt, .safetensors (with one tensor) and .npy hold [T,H,W] or [H,W]; an image holds one frame, a video several, 0 to
    255 (or 65535) scaled to 0 to 1. Surplus frames at the end are ignored. Raises UserError for anything else, for too
    few frames and for values that are negative or not finite.
    """
    suffix = suffix_of(path)
    values = _from_video(path, frames) if suffix in VIDEOS else READERS[suffix](path)
    if values.is_complex() or values.is_quantized:
        raise UserError(f"map {path} holds {values.dtype}: needed are real numbers")
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or not values.numel():
        raise UserError(
            f"map {path} has shape {tuple(values.shape)}: needed are [frames,rows,columns] or [rows,columns]"
        )
    if max(values.shape[1:]) > SIDE:
        raise UserError(f"map {path} has {values.shape[2]}x{values.shape[1]} pixels: at most {SIDE} each way")
    if len(values) not in (1, frames):
        if len(values) < frames:
            raise UserError(f"map {path} has {len(values)} frames, the clip has {frames}: give so many, or one for all")
        log.info("map %s: the first %d of its %d frames are used", path, frames, len(values))
        values = values[:frames]
    values = values.float()
    if not torch.isfinite(values).all() or (values < 0).any():
        raise UserError(f"map {path} has values that are negative or no numbers: they must be 0 or more")
    return values


def check_map(path: Path, frames: int, fps: float) -> None:
    """UserError where `read_map` has one, or a video is of another rate than the clip's, `fps` in Hz.

    Of a video the first frame alone is decoded.
    """
    if suffix_of(path) not in VIDEOS:
        read_map(path, frames)
    elif video_info(path, frames).frames > 1:
        check_video(path, frames, fps)


def resized(values: Tensor, size: tuple[int, int, int]) -> Tensor:
    """[T,H,W] -> `size`, trilinearly; a single frame is repeated."""
    if values.shape[0] == 1:
        return trilinear(values[None, None], (1, *size[1:]))[0, 0].expand(size)
    if values.shape == torch.Size(size):
        return values
    return trilinear(values[None, None], size)[0, 0]


def suffix_of(path: Path) -> str:
    """The key of READERS for a file, or one of VIDEOS; UserError where there is none."""
    suffix = path.suffix.lower()
    if suffix not in (*READERS, *VIDEOS):
        raise UserError(f"map {path}: needed is one of {', '.join((*READERS, *VIDEOS))}")
    return suffix


def _from_pickle(path: Path) -> Tensor:
    return _only_tensor(path, read_pickled(path))


def _from_safetensors(path: Path) -> Tensor:
    return _only_tensor(path, read_safetensors(path, f"map {path}"))


def _only_tensor(path: Path, loaded: object) -> Tensor:
    if isinstance(loaded, dict) and len(loaded) == 1:
        (loaded,) = loaded.values()
    if not isinstance(loaded, Tensor):
        held = f"{len(loaded)} entries" if isinstance(loaded, dict) else type(loaded).__name__
        raise UserError(f"map {path} holds {held}: needed is one tensor [frames,rows,columns] or [rows,columns]")
    return loaded


def _from_numpy(path: Path) -> Tensor:
    array = read_npy("map", path)
    return torch.from_numpy(array.astype(np.float32))


def _from_picture(path: Path) -> Tensor:
    grey = read_grey(path, f"map {path}")
    return torch.from_numpy(grey.astype(np.float32) / np.iinfo(grey.dtype).max)


def _from_video(path: Path, frames: int) -> Tensor:
    """Its first frames; of a file that has fewer, all."""
    info = video_info(path, frames)
    count, (width, height) = min(frames, info.frames), info.size
    if count * width * height > MAX_VIDEO_VALUES:
        raise UserError(
            f"map {path} has {count} frames of {width}x{height}, at most {MAX_VIDEO_VALUES / 1e6:.0f} million pixels "
            f"are held: scale it, {conversion(path, 'scale=1280:-2')}"
        )
    grey = [cv2.cvtColor(picture.shown(), cv2.COLOR_RGB2GRAY) for picture in islice(pictures(path), count)]
    return torch.from_numpy(np.stack(grey)).float().div_(255)


READERS: dict[str, Callable[[Path], Tensor]] = {
    ".pt": _from_pickle,
    ".npy": _from_numpy,
    ".safetensors": _from_safetensors,
    ".png": _from_picture,
    ".jpg": _from_picture,
    ".jpeg": _from_picture,
}
VIDEOS = (".mp4", ".mkv", ".mov", ".webm", ".avi")
