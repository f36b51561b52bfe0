"""Entries of the stage cache as video files to be sent."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.stored_arrays import Arrays, load_arrays
from cosmos_exp.common.video import write_video
from cosmos_exp.models.base import ResultStore
from cosmos_exp.sampling.chunks import Chunk


def video_bytes(store: ResultStore, entry: Entry, array: str, fps: float, chunk: Chunk | None = None) -> bytes:
    """An array of an entry as a lossless video, kept in the cache: the same bytes for the same frames.

    The array is uint8 [F,H,W,3], or of labels [F,H,W], which are then in all channels. chunk: of its frames; None: all.
    """

    def encode() -> Arrays:
        values = load_arrays(entry)[array]
        values = chunk.of(values) if chunk else values
        frames = values if values.ndim == 4 else np.repeat(values[..., None], 3, axis=3)
        with TemporaryDirectory() as folder:
            path = write_video(Path(folder) / "video.mp4", frames, fps, lossless=True)
            return {"mp4": np.frombuffer(path.read_bytes(), np.uint8)}

    config = {"array": array, "fps": fps} | ({"frames": [chunk.start, chunk.size]} if chunk else {})
    return load_arrays(store.part("generate", "uploads", config, [entry.key], encode))["mp4"].tobytes()
