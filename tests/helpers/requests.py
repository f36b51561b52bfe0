"""Requests of the job API, with small videos as their files."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from cosmos_exp.common.video import write_video
from cosmos_exp.remote.wire import ControlInput, Extra, JobRequest
from cosmos_exp.serving.blobs import BlobStore

FRONT = "front_wide_120fov"
FRAMES, HEIGHT, WIDTH = 9, 144, 256
"""The smallest clip of nano_fast, and of `model=render` beside it."""


def picture_of(number: int, frames: int = FRAMES, *, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """uint8 [frames,height,width,3], another for every number: two colours that move."""
    rng = np.random.default_rng(number)
    video = np.empty((frames, height, width, 3), np.uint8)
    video[:] = rng.integers(0, 256, 3, np.uint8)
    for i, frame in enumerate(video):
        frame[(8 * i) % height :][: height // 4] = rng.integers(0, 256, 3, np.uint8)
    return video


def mp4(frames: np.ndarray, fps: float = 24, *, lossless: bool = True) -> bytes:
    with TemporaryDirectory() as folder:
        return write_video(Path(folder) / "video.mp4", frames, fps, lossless=lossless).read_bytes()


def put(blobs: BlobStore, content: bytes, name: str = "video.mp4") -> str:
    """The SHA-256 of what is put."""
    sha256 = hashlib.sha256(content).hexdigest()
    blobs.put(sha256, io.BytesIO(content), name)
    return sha256


def guided(blob: str, weight: float = 1.0, **values: Any) -> JobRequest:
    """Of nano_fast, guided by an HD map."""
    given = {
        "backend": "nano_fast",
        "prompt": "A street.",
        "controls": {"hdmap": ControlInput(blob=blob, weight=weight)},
    }
    given |= {"extra": small(), **values}
    return JobRequest(**given)


def small(**extra: Any) -> Extra:
    return Extra(**{**extra, "config": {"model.num_frames": FRAMES, **extra.get("config", {})}})


def rendered(target: str, prompt: str = "A street.", **values: Any) -> JobRequest:
    """Of `model=render`, whose result is this video."""
    return JobRequest(backend="render", prompt=prompt, extra=small(renders={"target": {FRONT: target}}), **values)
