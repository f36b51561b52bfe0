"""One odd record costs itself, not the map; numbers out of all bounds are refused before anything is sampled."""

from __future__ import annotations

import re

import numpy as np
import pytest
from helpers import opendrive_writer as o

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.opendrive.reader import load_opendrive

SIGN = '<signal id="1" s="30" t="-5" dynamic="no" type="274" value="50 km/h" orientation="+"/>'
REFERENCE = '<signalReference id="7"><validity fromLane="a" toLane="1"/></signalReference>'
DENSE = '<repeat s="0" length="60" distance="1e-9"/>'
CURVE = '<paramPoly3 aU="0" bU="1e11" cU="1e11" dU="1e11" aV="0" bV="1" cV="1" dV="1"/>'


@pytest.fixture
def load(tmp_path):
    def load(*roads: str, before: str = ""):
        path = tmp_path / "map.xodr"
        path.write_text(before + o.opendrive(*roads))
        return load_opendrive(path)

    return load


def plain(number: int = 1, **road):
    lane = road.pop("lane", o.lane(-1))
    return o.road(number, road.pop("length", 60), sections=o.section(right=[lane]), **road)


def test_a_value_that_nothing_reads_is_not_read(load, caplog):
    (sign,) = load(plain(signals=SIGN)).traffic_signs
    assert sign.kind == "speed_limit"
    assert not caplog.records


def test_a_mark_without_offset_begins_with_its_section(load):
    (line,) = load(plain(lane=o.lane(-1, marks=o.mark("solid").replace('sOffset="0"', "")))).lane_lines
    np.testing.assert_allclose(line.points[[0, -1], 0], (0, 60))


@pytest.mark.parametrize(
    ("road", "message"),
    [
        (plain(signals=SIGN.replace('s="30"', "")), "1 signals are left out; the first: road '1': <signal> lacks"),
        (plain(signals=SIGN.replace('s="30"', 's="1e9"')), "<signal> has s='1e9', but the road is 60 m long"),
        (plain(signals=SIGN.replace('t="-5"', 't="nan"')), "<signal> has t='nan', a finite number is needed"),
        (plain(objects=o.map_object("Post", s=5, t=1).replace(' s="5"', "")), "1 objects are left out; the first"),
        (plain(objects=o.map_object("Post", s=5, t="1e300")), "<object> has t='1e300', the largest allowed is 10000"),
        (plain(lane=o.lane(-1, marks=o.mark("solid", width="1e300"))), "1 road marks are left out; the first: road"),
        (plain(signals=REFERENCE), "1 signal references are left out"),
        (
            plain(objects=o.map_object("SignPost", s=5, t=1).replace("</object>", DENSE + "</object>")),
            "objects, 10000 are allowed",
        ),
    ],
)  # fmt: skip
def test_an_odd_record_is_left_out_and_told(load, caplog, road, message):
    scene_map = load(road)
    assert [lane.id for lane in scene_map.lanes] == ["1:0:-1"]
    (record,) = caplog.records
    assert message in record.message


BAD_ROADS = {
    "a width that is no number": (plain(2, lane=o.lane(-1, width=o.cubic("width", "wide", at="sOffset"))), "a='wide'"),
    "a height that is not finite": (plain(2, elevation=o.cubic("elevation", "inf")), "a='inf', a finite number"),
    "a length beyond all bounds": (plain(2, length="1e9"), "length='1e9', the largest allowed is 1e\\+06"),
    "a width beyond all bounds": (plain(2, lane=o.lane(-1, width=o.cubic("width", "1e300", at="sOffset"))), "'1e300'"),
    "a lane id that is none": (plain(2, lane=o.lane(-1).replace('"-1"', '"-1.5"')), "id='-1.5', a whole number"),
    "a place beyond all bounds": (plain(2, geometries=o.geometry(o.LINE, 60, y="1e11")), "reaches 1e\\+11 m"),
    "a lane beyond all bounds": (plain(2, lane=o.lane(-1, width=o.cubic("width", "1e7", at="sOffset"))), "1e\\+07 m"),
    "a curve beyond all bounds": (
        plain(2, geometries=o.geometry(CURVE, 60)),
        "cubic geometries are not as long|reaches",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_ROADS)
def test_an_unreadable_road_is_left_out_and_told(load, caplog, name):
    road, message = BAD_ROADS[name]
    lanes = load(plain(1), road).lanes
    assert "1:0:-1" in [lane.id for lane in lanes]
    assert all(np.isfinite(np.concatenate([lane.left, lane.right])).all() for lane in lanes)
    assert any(re.search(message, record.message) for record in caplog.records)


def test_a_map_of_unreadable_roads_is_refused(load):
    with pytest.raises(
        UserError, match=r"map\.xodr': road '2': <road> has length='1e9', the largest allowed is 1e\+06"
    ):
        load(plain(2, length="1e9"), plain(3, length="nan"))


def test_a_map_that_needs_too_many_points_is_refused(load):
    wave = o.geometry(o.arc(0.5), 1e5)
    roads = [plain(number, length=1e5, geometries=wave) for number in range(1, 20)]
    with pytest.raises(UserError, match=r"its lanes need [0-9,]+ points, 2,000,000 are allowed"):
        load(*roads)


def test_lanes_without_width_have_no_surface(load, caplog):
    bare = o.lane(-2, width="")
    lanes = load(o.road(1, 60, sections=o.section(right=[o.lane(-1), bare]))).lanes
    assert [lane.id for lane in lanes] == ["1:0:-1"]
    assert "1 lanes lack <width>, so they have no surface; the first: road '1': lane -2" in caplog.text
    with pytest.raises(UserError, match="has no lane with a surface: 1 lanes lack <width>"):
        load(plain(lane=o.lane(-1, width="")))


@pytest.mark.parametrize("before", ["<!-- licence -->\n", "\n", "\ufeff", "\ufeff <!-- a --><!-- b\n<c> -->\n"])
def test_what_may_stand_before_the_declaration(load, before):
    assert len(load(plain(), before=before).lanes) == 1


def test_anything_else_before_the_declaration_is_refused(load):
    with pytest.raises(UserError, match="not valid XML"):
        load(plain(), before="licence\n")


def test_an_encoding_that_there_is_not(tmp_path):
    path = tmp_path / "map.xodr"
    path.write_text(o.opendrive(plain()).replace('version="1.0"', 'version="1.0" encoding="utf-99"'))
    with pytest.raises(UserError, match="not valid XML"):
        load_opendrive(path)


def test_a_long_connecting_road_is_drawn_as_a_road(load, caplog):
    (lane,) = load(plain(length=3000, junction=4)).lanes
    assert not lane.junction
    assert "connecting roads longer than 2000 m" in caplog.text


def test_an_object_beyond_all_bounds_is_left_out(load, caplog):
    corners = '<outline><cornerRoad s="1e6" t="0" dz="0"/><cornerRoad s="5" t="1" dz="0"/></outline>'
    line = o.map_object("Solid_line", s=5, t=1).replace("</object>", corners + "</object>")
    lanes = load(plain(elevation=o.cubic("elevation", 0, 0, 0, 1e-3), objects=line)).lanes
    assert len(lanes) == 1
    assert "1 objects are left out; the first: road '1': it reaches 1e+15 m from the origin" in caplog.text


def test_many_comments_and_no_declaration(tmp_path):
    path = tmp_path / "map.xodr"
    path.write_text("<!-- a -->" * 100_000 + "<other/>")
    with pytest.raises(UserError, match="root element is 'other'"):
        load_opendrive(path)
