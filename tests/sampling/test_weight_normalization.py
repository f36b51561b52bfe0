from __future__ import annotations

import pytest

from cosmos_exp.sampling.weight_normalization import normalized_weights, weights_read


@pytest.mark.parametrize(
    ("weights", "read", "expected"),
    [
        ({"hdmap": 0.5, "seg": 0.5}, ("hdmap",), {"hdmap": 1.0}),
        ({"hdmap": 0.25, "seg": 0.5}, ("hdmap",), {"hdmap": 0.75}),
        ({"hdmap": 1.0, "seg": 0.5}, ("hdmap",), {"hdmap": 1.0}),
        ({"hdmap": 0.25}, ("hdmap",), {"hdmap": 0.25}),
        ({"hdmap": 0.3, "lidar": 0.1, "vis": 0.4}, ("hdmap", "lidar"), {"hdmap": 0.6, "lidar": 0.2}),
        ({"vis": 1.0}, (), {}),
    ],
)
def test_a_network_takes_the_weight_of_what_it_does_not_read(weights, read, expected):
    assert normalized_weights(weights_read(weights, read)) == pytest.approx(expected, abs=1e-12)


def test_weights_of_a_network_that_reads_all_are_as_given():
    """To the last bit: keys contain them."""
    weights = {"hdmap": 0.1, "seg": 0.2, "vis": 0.3, "edge": 0.7}
    assert weights_read(weights, ("edge", "vis", "seg", "hdmap")) == weights
