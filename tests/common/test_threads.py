from __future__ import annotations

import os
import signal
import threading

import cv2
import numpy as np
import pytest
import torch

from cosmos_exp.common.threads import map_frames, one_torch_thread, side_by_side, torch_threads
from cosmos_exp.controls import CONTROLS, make_control
from cosmos_exp.rendering.types import CameraRender


@pytest.fixture
def threads():
    """A function: give OpenCV so many."""
    before = cv2.getNumThreads()
    yield cv2.setNumThreads
    cv2.setNumThreads(before)


def test_frames_are_drawn_at_the_same_time_and_kept_in_order(threads):
    threads(3)
    all_there = threading.Barrier(3, timeout=20)
    clip, offset = np.arange(6, dtype=np.uint8).reshape(6, 1, 1), np.full((6, 1, 1), 10, np.uint8)

    def draw(frame, added):
        all_there.wait()
        return (frame + added)[..., None]

    assert np.array_equal(map_frames(draw, clip, offset)[:, 0, 0], [[value] * 3 for value in range(10, 16)])


def test_what_a_frame_raises_is_raised():
    def draw(frame):
        raise ArithmeticError(int(frame[0, 0]))

    with pytest.raises(ArithmeticError, match="7"):
        map_frames(draw, np.full((3, 2, 2), 7, np.uint8))


def test_pieces_of_work_run_side_by_side_and_come_back_in_order(threads):
    threads(3)
    all_there = threading.Barrier(3, timeout=20)

    def piece(number):
        all_there.wait()
        return number

    assert side_by_side([lambda n=n: piece(n) for n in range(3)]) == [0, 1, 2]
    threads(1)
    assert side_by_side([threading.get_ident] * 2) == [threading.get_ident()] * 2


def test_one_torch_thread_is_that_of_threads_that_begin_later_too(threads):
    before = torch.get_num_threads()
    try:
        one_torch_thread()
        threads(2)
        assert side_by_side([torch.get_num_threads] * 2) == [1, 1]
    finally:
        torch.set_num_threads(before)


def test_torch_threads_of_other_threads_and_after():
    before, seen = torch.get_num_threads(), []
    with torch_threads(1):
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()
    assert (seen, torch.get_num_threads()) == ([1], before)


@pytest.mark.parametrize("name", [name for name in CONTROLS if name != "wsm"])  # drawn from the scene
def test_threads_change_no_control(name, threads):
    rng, shape = np.random.default_rng(0), (5, 40, 56)
    pictures = {key: rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for key in ("rgb", "hdmap", "lidar")}
    render = CameraRender(
        "front",
        np.arange(5.0),
        depth=rng.uniform(0.1, 500, shape).astype(np.float32),
        semantic=rng.integers(0, 29, shape, dtype=np.uint8),
        instance=rng.integers(0, 900, shape, dtype=np.uint16),
        normals=rng.integers(-127, 128, (*shape, 3), dtype=np.int8),
        **pictures,
    )
    videos = []
    for count in (1, 4):
        threads(count)
        videos.append(make_control(name, render))
    assert np.array_equal(*videos)


def test_a_process_forked_from_one_with_threads_of_torch_computes():
    """OpenMP waits for ever for threads that a fork has not copied."""
    left, right = torch.randn(2000, 500), torch.randn(500, 500)
    expected = torch.nn.functional.linear(left, right)

    def is_right() -> bool:
        with torch_threads(2), torch.inference_mode():
            return torch.allclose(torch.nn.functional.linear(left, right), expected, atol=1e-3)

    assert is_right()
    if (child := os.fork()) == 0:
        signal.alarm(30)
        os._exit(0 if is_right() else 1)
    assert os.waitpid(child, 0)[1] == 0
