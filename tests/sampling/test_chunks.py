"""Chunks of a long video: which frames each has, and the whole again."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from cosmos_exp.sampling.chunks import join, split
from cosmos_exp.sampling.frame_rule import FrameRule

CHUNK = FrameRule(least=121, most=121)


@pytest.mark.parametrize(("frames", "count"), [(2, 1), (121, 1), (122, 2), (241, 2), (242, 3), (1201, 10)])
def test_as_many_chunks_as_the_reference_makes(frames: int, count: int) -> None:
    chunks = split(frames, CHUNK, 1)
    assert [(c.index, c.start, c.size) for c in chunks] == [(i, 120 * i, 121) for i in range(count)]


def test_a_short_video_is_one_chunk_of_the_next_length() -> None:
    rule = FrameRule(least=9, most=25)
    assert [(c.start, c.size) for c in split(17, rule, 0)] == [(0, 17)]
    assert [(c.start, c.size) for c in split(10, rule, 1)] == [(0, 17)]


@pytest.mark.parametrize(("frames", "overlap"), [(40, 1), (33, 9), (17, 1), (5, 1)])
def test_split_and_join(frames: int, overlap: int) -> None:
    video = np.arange(frames)
    chunks = split(frames, FrameRule(least=17, most=17), overlap)
    cut = [chunk.of(video) for chunk in chunks]
    assert {len(part) for part in cut} == {17}
    assert cut[-1][-1] == frames - 1
    for before, after in pairwise(cut):
        np.testing.assert_array_equal(before[-overlap:], after[:overlap])
    np.testing.assert_array_equal(join(cut, overlap, frames), video)


def test_what_lies_beyond_the_end_is_the_last_frame() -> None:
    (chunk,) = split(3, FrameRule(least=9, most=9), 1)
    assert chunk.of(np.arange(3)).tolist() == [0, 1, 2, 2, 2, 2, 2, 2, 2]
    assert not chunk.covers(3)
