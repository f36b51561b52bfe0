"""Every lane against the waypoints of CARLA's client: 2 cm in position and height, 1 cm in width."""

from __future__ import annotations

import pytest
from helpers.carla_clients import require_carla
from helpers.random_roads import random_map

from benchmarks.waypoints import compare

require_carla()


def assert_agreement(path, at_least: int) -> None:
    found = compare(path)
    assert len(found.places) >= at_least
    assert not found.missing
    assert not found.beyond()


@pytest.mark.parametrize("town", ["Town01", "Town02", "Town10HD"])
def test_town(shared, town):
    assert_agreement(shared / "carla" / "maps" / f"{town}.xodr", at_least=2900)


@pytest.mark.parametrize("seed", range(4))
def test_random_roads(tmp_path, seed):
    path = tmp_path / "random.xodr"
    path.write_text(random_map(seed))
    assert_agreement(path, at_least=300)
