"""Long clips in chunks: which frames of a chunk are given, and from where."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def frame_indicator(given: Sequence[int], frames: int) -> Tensor:
    """Indicator [1,1,V*T,1,1] of the first `given` latent frames of each view, of `frames` latent frames each."""
    rows = torch.zeros(len(given), frames)
    for row, count in zip(rows, given):
        row[:count] = 1
    return rows.reshape(1, 1, -1, 1, 1)


def continued(chunk: np.ndarray, generated: np.ndarray, kept: int) -> np.ndarray:
    """What a further chunk is continued from: the chunk's input with all frames after the first `kept` replaced by the
    generated ones. uint8 [F,H,W,3] or [F,...] of a view each."""
    return np.concatenate([chunk[:kept], generated[kept:]])
