"""What the standard says of single elements, as docs/opendrive.md states it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import opendrive_writer as o

from cosmos_exp.scene.opendrive.notes import NOT_MODELLED
from cosmos_exp.scene.opendrive.reader import load_opendrive

PAGE = Path(__file__).resolve().parents[3] / "docs" / "opendrive.md"


@pytest.fixture
def load(tmp_path):
    def load(*roads: str):
        path = tmp_path / "map.xodr"
        path.write_text(o.opendrive(*roads, vendor="other"))
        return load_opendrive(path)

    return load


def by_id(scene_map):
    return {lane.id: lane for lane in scene_map.lanes}


def level(lane: str) -> str:
    return lane.replace("<lane ", '<lane level="true" ')


def test_a_level_lane_is_not_banked(load):
    sections = o.section(right=[o.lane(-1), level(o.lane(-2, "sidewalk", width=2.0))])
    lanes = by_id(load(o.road(1, 60, sections=sections, superelevation=o.cubic("superelevation", 0.1))))
    np.testing.assert_allclose(lanes["1:0:-1"].right[:, 1:], [[-3.5 * np.cos(0.1), -3.5 * np.sin(0.1)]] * 13)
    np.testing.assert_allclose(lanes["1:0:-2"].left, lanes["1:0:-1"].right)
    np.testing.assert_allclose(lanes["1:0:-2"].right[:, 1:], [[-3.5 * np.cos(0.1) - 2, -3.5 * np.sin(0.1)]] * 13)


def test_of_width_and_border_the_width_counts(load):
    both = o.cubic("border", -2, at="sOffset") + o.cubic("width", 3, at="sOffset")
    (lane,) = load(o.road(1, 10, sections=o.section(right=[o.lane(-1, width=both)]))).lanes
    np.testing.assert_allclose(lane.right[:, 1], -3)


def test_in_a_section_of_a_single_side_the_other_goes_on(load):
    paint = o.mark("broken")
    right = [o.lane(-1, width=o.cubic("width", 3, 0.05, at="sOffset"), marks=o.mark("solid") + o.mark("none", s=20))]
    later = o.section(s=30, left=[o.lane(2), o.lane(1)]).replace("<laneSection ", '<laneSection singleSide="true" ')
    scene_map = load(o.road(1, 40, sections=o.section(left=[o.lane(1)], right=right, centre=paint) + later))
    lanes = by_id(scene_map)
    assert set(lanes) == {"1:0:1", "1:0:-1", "1:1:1", "1:1:2", "1:1:-1"}
    np.testing.assert_allclose(lanes["1:1:-1"].right[[0, -1], 1], (-4.5, -5))
    ends = {line.style: line.points[:, 0].max() for line in scene_map.lane_lines}
    assert ends == {"solid": 20, "broken": 30}, "the centre has marks of its own, none"


def test_a_repeated_object_is_its_copies(load):
    lamp = o.map_object("SignPost", s=3, t=-4, size=(0.1, 0.1, 3)).replace(
        "</object>",
        '<repeat s="10" length="20" distance="5" tStart="-4" tEnd="-6" heightStart="3" heightEnd="5"/></object>',
    )
    poles = load(o.road(1, 60, sections=o.section(right=[o.lane(-1)]), objects=lamp)).poles
    feet = [(10, -4), (15, -4.5), (20, -5), (25, -5.5), (30, -6)]
    np.testing.assert_allclose([pole.base[:2] for pole in poles], feet, atol=1e-9)
    np.testing.assert_allclose([pole.top[2] for pole in poles], (3, 3.5, 4, 4.5, 5), atol=1e-9)


def test_a_round_object_has_twice_its_radius(load):
    post = o.map_object("SignPost", s=3, t=-4, size=(0, 0, 3)).replace("<object ", '<object radius="0.2" ')
    (pole,) = load(o.road(1, 60, sections=o.section(right=[o.lane(-1)]), objects=post)).poles
    assert pole.radius == pytest.approx(0.2)


@pytest.mark.parametrize(("orientation", "y"), [("+", [-3.5]), ("-", [3.5]), ("none", [-3.5, 3.5])])
def test_a_signal_reference_without_validity_governs_the_lanes_of_its_orientation(load, orientation, y):
    both = o.section(left=[o.lane(1)], right=[o.lane(-1)])
    reference = f'<signalReference id="5" s="0" t="0" orientation="{orientation}"/>'
    lines = load(o.road(1, 20, sections=both, junction=9, signals=o.light("5", s=0, t=-5) + reference)).wait_lines
    assert sorted(float(line[:, 1][np.abs(line[:, 1]).argmax()]) for line in lines) == y


def test_what_is_not_modelled_is_counted_once(load, caplog):
    shapes = '<crossfall side="both" s="0" a="0.02" b="0" c="0" d="0"/>' * 3
    height = o.lane(-1).replace("</lane>", '<height sOffset="0" inner="0.1" outer="0.1"/></lane>')
    load(o.road(1, 10, sections=o.section(right=[height]), superelevation=shapes))
    told = [record.message for record in caplog.records]
    assert told == [
        "map.xodr: 3 crossfall records are not modelled",
        "map.xodr: 1 lane height records are not modelled",
    ]


def test_marks_of_unknown_type_are_told_once(load, caplog):
    marks = "".join(o.mark("zigzag", s=s, width=0.1 + s / 100) for s in range(5))
    load(o.road(1, 10, sections=o.section(right=[o.lane(-1, marks=marks)])))
    (record,) = caplog.records
    assert "5 road marks of no listed type are drawn as solid lines; the first: 'zigzag'" in record.message


def test_the_page_lists_what_is_not_modelled():
    page = PAGE.read_text()
    for path in NOT_MODELLED:
        assert f"`{path.rsplit('/', 1)[-1]}`" in page, path
