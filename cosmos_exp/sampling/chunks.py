"""A long video in chunks of the length that a network generates; each starts with the last frames of the previous."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from cosmos_exp.sampling.frame_rule import FrameRule

if TYPE_CHECKING:
    from torch import Tensor

Video = TypeVar("Video", np.ndarray, "Tensor")


@dataclass(frozen=True)
class Chunk:
    """Frames start to start + size - 1 of a video; past its end, its last frame is repeated."""

    index: int
    start: int
    size: int

    def of(self, video: Video) -> Video:
        """[F,...] -> [size,...]."""
        return video[np.minimum(np.arange(self.start, self.start + self.size), len(video) - 1)]

    def covers(self, frames: int) -> bool:
        """Whether it is exactly a video of so many frames."""
        return (self.start, self.size) == (0, frames)


def split(frames: int, rule: FrameRule, overlap: int) -> tuple[Chunk, ...]:
    """The chunks of a video: one of the shortest sufficient length, or as many of the longest as needed."""
    size = next((n for n in rule.choices() if n >= frames), rule.most)
    stride = size - overlap
    further = -(-max(frames - size, 0) // stride)
    return tuple(Chunk(index, index * stride, size) for index in range(1 + further))


def join(videos: Sequence[np.ndarray], overlap: int, frames: int) -> np.ndarray:
    """The videos of all chunks [size,...] as one [frames,...], without the overlaps and the padding."""
    if len(videos) == 1:
        return videos[0][:frames]
    return np.concatenate([videos[0], *(video[overlap:] for video in videos[1:])])[:frames]
