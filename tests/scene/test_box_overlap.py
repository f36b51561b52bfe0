from __future__ import annotations

import numpy as np
import pytest

from cosmos_exp.scene.box_overlap import overlaps


@pytest.mark.parametrize(
    ("shift", "turn", "touching"),
    [((4.9, 0.0), 0.0, False), ((4.5, 0.0), 0.0, True), ((0.0, 2.3), 0.0, False), ((3.2, 0.0), np.pi / 2, True)],
)
def test_overlap_of_moving_rectangles(shift, turn, touching):
    steps = 5
    xy = np.stack([np.linspace(0.0, 20.0, steps), np.zeros(steps)], axis=-1)
    heading = np.zeros(steps)
    size = np.array([4.6, 2.0])
    others = ((xy + shift)[None], (heading + turn)[None], size[None])
    assert overlaps(xy, heading, size, others, margin=0.0).tolist() == [touching]


def test_crossing_the_same_place_at_another_time_is_no_overlap():
    steps = 21
    x = np.linspace(-30.0, 30.0, steps)
    along, across = np.stack([x, 0 * x], axis=-1), np.stack([0 * x, x + 15.0], axis=-1)
    size = np.array([4.6, 2.0])
    others = (across[None], np.full((1, steps), np.pi / 2), size[None])
    assert not overlaps(along, np.zeros(steps), size, others)[0]
