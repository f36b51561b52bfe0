"""Multithreading within a process.

No result depends on the number of threads. A sum that torch splits among its threads does, in the last bits, and so do
its convolutions. On a CPU torch therefore computes with one thread, and pieces of work that need not each other, such
as views and guidance passes, run side by side: how the work is divided is the same on every machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import cv2
import numpy as np

Made = TypeVar("Made")


class _ForkedPools:
    """Whether this process was forked from one in which torch had started threads. OpenMP would wait for those, which
    a fork does not copy, for ever."""

    def __init__(self) -> None:
        self.started = self.lost = False
        os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        self.lost = self.started


_pools = _ForkedPools()


def side_by_side(pieces: Sequence[Callable[[], Made]]) -> list[Made]:
    """What the pieces of work return, in their order. Runs in as many threads as OpenCV has (`cv2.setNumThreads`)."""
    if (threads := min(len(pieces), cv2.getNumThreads())) <= 1:
        return [piece() for piece in pieces]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda piece: piece(), pieces))


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


def one_torch_thread() -> None:
    """From now on torch computes with one thread in each thread of this process."""
    import torch

    torch.set_num_threads(1)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Context in which torch computes with `count` threads, also when several threads enter it; with one where this
    process was forked from one that had several."""
    import torch

    before = torch.get_num_threads()
    _pools.started = _pools.started or count > 1
    torch.set_num_threads(1 if _pools.lost else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
