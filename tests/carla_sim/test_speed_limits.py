"""Speed limits of a map's lanes and roads, in km/h."""

from __future__ import annotations

import numpy as np
import pytest

from cosmos_exp.carla_sim.maps import Town
from cosmos_exp.scene.carla.example import example_map

ROAD = '<type s="0" type="town">{road}</type>'


def town(tmp_path, road: str = "", lane: str = "") -> Town:
    """The example street, one lane each way along x, with records of its road and of lane -1, which is right of it."""
    text = example_map().replace("<planView>", f"{road}<planView>", 1)
    before, after = text.split('<lane id="-1"', 1)
    head, rest = after.split("</lane>", 1)
    path = tmp_path / "street.xodr"
    path.write_text(f'{before}<lane id="-1"{head}{lane}</lane>{rest}')
    return Town("street", path, "")


def limits(town: Town, *places: tuple[float, float]) -> list[float | None]:
    return [town.speed_limits.at(np.array([x, y, 0.0])) for x, y in places]


RIGHT, LEFT = (40.0, 1.75), (40.0, -1.75)  # CARLA's axes: y to the right


@pytest.mark.parametrize(
    ("record", "kmh"),
    [
        ('<speed max="25" unit="mph"/>', 25 * 1.609344),
        ('<speed max="50" unit="km/h"/>', 50.0),
        ('<speed max="10"/>', 36.0),
        ('<speed max="no limit"/>', None),
        ("", None),
    ],
)
def test_units(tmp_path, record: str, kmh: float | None) -> None:
    street = town(tmp_path, ROAD.format(road=record))
    assert limits(street, RIGHT, LEFT) == [kmh and pytest.approx(kmh)] * 2
    assert limits(street, (40.0, 60.0)) == [None]  # off the road


def test_a_lane_s_own_limit_counts_before_its_road_s(tmp_path) -> None:
    own = '<speed sOffset="100" max="30" unit="km/h"/>'
    street = town(tmp_path, ROAD.format(road='<speed max="50" unit="km/h"/>'), own)
    assert limits(street, RIGHT, LEFT, (150.0, 1.75), (150.0, -1.75)) == pytest.approx([50, 50, 30, 50])


def test_an_unknown_unit_is_left_out(tmp_path, caplog) -> None:
    street = town(tmp_path, ROAD.format(road='<speed max="50" unit="knots"/>'))
    assert street.map and limits(street, RIGHT) == [None]
    assert "speed limits are left out" in caplog.text


def test_a_town_s_limits(shared) -> None:
    street = Town("Town01", shared / "carla/maps/Town01.xodr", "")
    assert limits(street, (392.7, 197.6)) == pytest.approx([25 * 1.609344])
