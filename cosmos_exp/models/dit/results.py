"""What the stored results of the families' networks have in common: parts of their keys, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.stored_arrays import load_arrays
from cosmos_exp.models.clip_shapes import Video
from cosmos_exp.models.config import SpeedConfig
from cosmos_exp.models.kernels.speed import EIGHT_BITS, FLOAT8_ATTENTION
from cosmos_exp.sampling.chunks import Chunk, join

if TYPE_CHECKING:
    from torch import Tensor


def chunk_config(video: Video, chunk: Chunk) -> dict[str, int]:
    """Which frames a chunk has; nothing where it is the whole video."""
    return {} if chunk.covers(video.shape.frames) else {"start": chunk.start, "size": chunk.size}


def given_config(video: Video, chunk: Chunk) -> dict[str, int]:
    """Which chunk is made and from how many given frames; nothing of the first."""
    return {"chunk": chunk.index, "overlap": video.overlap} if chunk.index else {}


def speed_config(speed: SpeedConfig) -> dict[str, Any]:
    """What of the `speed` group changes a result by more than rounding: of kernels and layers, the 8-bit ones.

    Those of attention have a version, as results from before the values were centred are wrong over many tokens.
    """
    changing = {key: getattr(speed, key) for key in ("guidance_interval", "cache_threshold") if getattr(speed, key)}
    changing |= {key: getattr(speed, key) for key in ("attention", "linears") if getattr(speed, key) in EIGHT_BITS}
    changing |= {"attention_version": FLOAT8_ATTENTION} if changing.get("attention") in EIGHT_BITS else {}
    return {"speed": changing} if changing else {}


def joined(chunks: Sequence[Entry], name: str, video: Video) -> np.ndarray:
    """uint8 [F,H,W,3]: the array `name` of all chunks as one video."""
    return join([load_arrays(entry)[name] for entry in chunks], video.overlap, video.shape.frames)


def tensor(entry: Entry, name: str) -> Tensor:
    import torch

    return torch.from_numpy(load_arrays(entry)[name])
