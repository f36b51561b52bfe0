"""Multithreading within a process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import cv2
import numpy as np


def map_frames(draw: Callable[..., np.ndarray], *clips: np.ndarray) -> np.ndarray:
    """Apply `draw` to every frame; returns a video uint8 [F,H,W,3].

    draw: from a frame of each of the clips [F,H,W,...] to uint8 [H,W,3] or [H,W,1]. Runs in as many threads as OpenCV
    has (`cv2.setNumThreads`).
    """
    video = np.empty((*clips[0].shape[:3], 3), np.uint8)

    def draw_frame(out: np.ndarray, *frames: np.ndarray) -> None:
        out[:] = draw(*frames)

    with ThreadPoolExecutor(max(1, cv2.getNumThreads())) as pool:
        for _ in pool.map(draw_frame, video, *clips):
            pass
    return video


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Context in which torch computes with `count` threads, also when several threads enter it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
