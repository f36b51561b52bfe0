"""Reading maps over a clip from tensor files, NumPy arrays, images and videos."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video import read_video
from cosmos_exp.models.checkpoints.pickled import read_pickled
from cosmos_exp.models.transfer1.control_weights import trilinear

log = logging.getLogger(__name__)


def read_map(path: Path, frames: int) -> Tensor:
    """float32 [frames,H,W] or, where the file has one frame, [1,H,W]; values of 0 or more.

    .pt, .safetensors (with one tensor) and .npy hold [T,H,W] or [H,W]; an image holds one frame, a video several, 0 to
    255 (or 65535) scaled to 0 to 1. Surplus frames at the end are ignored. Raises UserError for anything else, for too
    few frames and for values that are negative or not finite.
    """
    values = READERS[suffix_of(path)](path)
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or not values.numel():
        raise UserError(
            f"map {path} has shape {tuple(values.shape)}: needed are [frames,rows,columns] or [rows,columns]"
        )
    if len(values) not in (1, frames):
        if len(values) < frames:
            raise UserError(f"map {path} has {len(values)} frames, the clip has {frames}: give so many, or one for all")
        log.info("map %s: the first %d of its %d frames are used", path, frames, len(values))
        values = values[:frames]
    values = values.float()
    if not torch.isfinite(values).all() or (values < 0).any():
        raise UserError(f"map {path} has values that are negative or no numbers: they must be 0 or more")
    return values


def resized(values: Tensor, size: tuple[int, int, int]) -> Tensor:
    """[T,H,W] -> `size`, trilinearly; a single frame is repeated."""
    if values.shape[0] == 1:
        return trilinear(values[None, None], (1, *size[1:]))[0, 0].expand(size)
    if values.shape == torch.Size(size):
        return values
    return trilinear(values[None, None], size)[0, 0]


def suffix_of(path: Path) -> str:
    """The key of READERS for a file; UserError where there is none."""
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise UserError(f"map {path}: needed is one of {', '.join(READERS)}")
    return suffix


def _from_pickle(path: Path) -> Tensor:
    return _only_tensor(path, read_pickled(path))


def _from_safetensors(path: Path) -> Tensor:
    try:
        return _only_tensor(path, load_file(path))
    except SafetensorError as error:
        raise UserError(f"map {path} cannot be read, it may be truncated: {error}") from error


def _only_tensor(path: Path, loaded: object) -> Tensor:
    if isinstance(loaded, dict) and len(loaded) == 1:
        (loaded,) = loaded.values()
    if not isinstance(loaded, Tensor):
        held = f"{len(loaded)} entries" if isinstance(loaded, dict) else type(loaded).__name__
        raise UserError(f"map {path} holds {held}: needed is one tensor [frames,rows,columns] or [rows,columns]")
    return loaded


def _from_numpy(path: Path) -> Tensor:
    try:
        return torch.from_numpy(np.load(path, allow_pickle=False).astype(np.float32))
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"map {path} cannot be read as a NumPy array of numbers: {error}") from error


def _from_picture(path: Path) -> Tensor:
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    if picture is None:
        raise UserError(f"map {path} cannot be read as a picture")
    largest = 65535 if picture.dtype == np.uint16 else 255
    return torch.from_numpy(picture.astype(np.float32) / largest)


def _from_video(path: Path) -> Tensor:
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in read_video(path)]
    return torch.from_numpy(np.stack(grey).astype(np.float32) / 255)


READERS: dict[str, Callable[[Path], Tensor]] = {
    ".pt": _from_pickle,
    ".npy": _from_numpy,
    ".safetensors": _from_safetensors,
    ".png": _from_picture,
    ".jpg": _from_picture,
    ".mp4": _from_video,
    ".mkv": _from_video,
    ".mov": _from_video,
}
