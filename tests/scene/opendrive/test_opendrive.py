"""OpenDRIVE geometry against closed forms, and whole towns against the reference client's waypoints."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from helpers import opendrive_writer as o

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.opendrive.planar import distance_to_polyline
from cosmos_exp.scene.opendrive.reader import load_opendrive
from cosmos_exp.scene.types import LaneType

WAYPOINTS = Path(__file__).with_name("town_waypoints.json")


@pytest.fixture
def load(tmp_path):
    def load(*roads: str, **header: str):
        path = tmp_path / "map.xodr"
        path.write_text(o.opendrive(*roads, **header))
        return load_opendrive(path)

    return load


def one_lane(**road):
    return o.road(1, road.pop("length"), sections=o.section(right=[o.lane(-1, width=4.0)]), **road)


def by_id(scene_map):
    return {lane.id: lane for lane in scene_map.lanes}


@pytest.mark.parametrize(
    ("kind", "color", "expected"),
    [
        ("botts dots", "white", ("broken", "white", "DOT_DASHED_SINGLE")),
        ("botts dots", "yellow", ("broken", "yellow", "DOT_SOLID_SINGLE")),
        ("broken", "white", ("broken", "white", "")),
    ],
)
def test_dots_keep_what_clips_call_them(load, kind: str, color: str, expected: tuple):
    lanes = [o.lane(-1, marks=o.mark(kind, color=color)), o.lane(-2, marks=o.mark("none"))]
    (line,) = load(o.road(1, 50, sections=o.section(right=lanes))).lane_lines
    assert (line.style, line.color, line.marking) == expected


def test_lane_edges_follow_driving_direction(load):
    sections = o.section(left=[o.lane(1)], right=[o.lane(-1), o.lane(-2, "shoulder", width=0.5)])
    lanes = by_id(load(o.road(1, 30, sections=sections)))
    assert lanes["1:0:-2"].type is LaneType.SHOULDER
    for name, first_left, last_right in (("1:0:-1", (0, 0), (30, -3.5)), ("1:0:1", (30, 0), (0, 3.5))):
        np.testing.assert_allclose(lanes[name].left[0], (*first_left, 0), atol=1e-5)
        np.testing.assert_allclose(lanes[name].right[-1], (*last_right, 0), atol=1e-5)


def test_left_hand_traffic_drives_on_the_left(load):
    sections = o.section(left=[o.lane(1)], right=[o.lane(-1)])
    lanes = by_id(load(o.road(1, 30, sections=sections, rule="LHT")))
    np.testing.assert_allclose(lanes["1:0:1"].left[0], (0, 3.5, 0), atol=1e-5)
    np.testing.assert_allclose(lanes["1:0:1"].right[-1], (30, 0, 0), atol=1e-5)
    np.testing.assert_allclose(lanes["1:0:-1"].right[0], (30, 0, 0), atol=1e-5)


def test_arc(load):
    length = np.pi / 2 * 20
    (lane,) = load(one_lane(length=length, geometries=o.geometry(o.arc(0.05), length))).lanes
    centre = np.array([0, 20])
    assert np.ptp(np.linalg.norm(lane.left[:, :2] - centre, axis=1)) < 1e-6
    np.testing.assert_allclose(np.linalg.norm(lane.right[:, :2] - centre, axis=1), 24, atol=1e-6)
    np.testing.assert_allclose(lane.left[-1, :2], (20, 20), atol=1e-5)
    chords = (lane.right[1:] + lane.right[:-1])[:, :2] / 2
    assert 24 - np.linalg.norm(chords - centre, axis=1).min() < 0.03


def test_spiral_matches_its_fresnel_integral(load):
    length, end = 60.0, 0.04
    shape = f'<spiral curvStart="0" curvEnd="{end}"/>'
    (lane,) = load(one_lane(length=length, geometries=o.geometry(shape, length, x=5, y=-3, hdg=0.3))).lanes
    s = np.linspace(0, length, 200_001)
    angle = 0.3 + end / (2 * length) * s**2
    step = s[1]
    x = 5 + step * (np.cos(angle).sum() - (np.cos(angle[0]) + np.cos(angle[-1])) / 2)
    y = -3 + step * (np.sin(angle).sum() - (np.sin(angle[0]) + np.sin(angle[-1])) / 2)
    np.testing.assert_allclose(lane.left[-1, :2], (x, y), atol=1e-5)
    normal = (lane.left[-1] - lane.right[-1])[:2] / 4
    np.testing.assert_allclose(np.arctan2(-normal[0], normal[1]), 0.3 + end * length / 2, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "length"),
    [
        ('<paramPoly3 aU="0" bU="40" cU="0" dU="0" aV="0" bV="0" cV="8" dV="0" pRange="normalized"/>', 41.05),
        (
            '<paramPoly3 aU="0" bU="0.97442" cU="0" dU="0" aV="0" bV="0" cV="0.0047475" dV="0" pRange="arcLength"/>',
            41.05,
        ),
        ('<poly3 a="0" b="0" c="0.005" d="0"/>', 41.05),
    ],
)
def test_polynomial_curves(load, shape, length):
    (lane,) = load(one_lane(length=length, geometries=o.geometry(shape, length))).lanes
    np.testing.assert_allclose(lane.left[:, 1], 0.005 * lane.left[:, 0] ** 2, atol=5e-3)
    np.testing.assert_allclose(lane.left[-1, :2], (40, 8), atol=0.02)
    np.testing.assert_allclose(np.linalg.norm(lane.left - lane.right, axis=1), 4.0, atol=1e-6)


def test_several_geometries_in_one_road(load):
    pieces = o.geometry(o.LINE, 10) + o.geometry(o.LINE, 10, s=10, x=10, y=0, hdg=np.pi / 2)
    (lane,) = load(one_lane(length=20, geometries=pieces)).lanes
    np.testing.assert_allclose(lane.left[-1, :2], (10, 10), atol=1e-5)
    np.testing.assert_allclose(lane.right[-1, :2], (14, 10), atol=1e-5)


def test_elevation_and_superelevation(load):
    bank = 0.1
    (lane,) = load(
        one_lane(
            length=40,
            elevation=o.cubic("elevation", 2, 0.05) + o.cubic("elevation", 3, 0, 0.01, s=20),
            superelevation=o.cubic("superelevation", bank),
        )
    ).lanes
    s = lane.left[:, 0]
    before = np.arange(len(s)) <= np.searchsorted(s, 20)
    expected = np.where(before, 2 + 0.05 * s, 3 + 0.01 * (s - 20) ** 2)
    np.testing.assert_allclose(lane.left[:, 2], expected, atol=1e-5)
    np.testing.assert_allclose(lane.right[:, 2], expected - 4 * np.sin(bank), atol=1e-5)
    np.testing.assert_allclose(lane.right[:, 1], -4 * np.cos(bank), atol=1e-5)
    chord = (lane.left[1:] + lane.left[:-1]) / 2
    after = chord[:, 0] > 20
    assert np.abs(chord[after, 2] - 3 - 0.01 * (chord[after, 0] - 20) ** 2).max() < 0.0101


def test_cubic_widths_lane_offset_and_sections(load):
    taper = o.cubic("width", 3, 0, 0.03, -0.002, at="sOffset")
    sections = o.section(right=[o.lane(-1, width=taper), o.lane(-2)]) + o.section(s=10, right=[o.lane(-1, width=5.0)])
    lanes = by_id(load(o.road(1, 25, sections=sections, offsets=o.cubic("laneOffset", 1, 0.1))))
    assert set(lanes) == {"1:0:-1", "1:0:-2", "1:1:-1"}
    s = lanes["1:0:-1"].left[:, 0]
    np.testing.assert_allclose(lanes["1:0:-1"].left[:, 1], 1 + 0.1 * s, atol=1e-5)
    np.testing.assert_allclose(lanes["1:0:-2"].left[:, 1], 1 + 0.1 * s - (3 + 0.03 * s**2 - 0.002 * s**3), atol=1e-5)
    np.testing.assert_allclose(lanes["1:1:-1"].right[-1], (25, 3.5 - 5, 0), atol=1e-5)


def test_borders_instead_of_widths_and_lanes_without_surface(load):
    border = o.cubic("border", -2.5, at="sOffset")
    lanes = [o.lane(-1, width=border), o.lane(-2, width=o.cubic("border", -2.5, at="sOffset"))]
    (lane,) = load(o.road(1, 10, sections=o.section(right=lanes))).lanes
    np.testing.assert_allclose(lane.right[:, 1], -2.5, atol=1e-6)


def test_painted_lines_by_style_and_station(load):
    centre = o.mark("solid solid", color="yellow", width=0.2) + o.mark("broken", s=12, color="yellow", width=0.2)
    marks = o.mark("broken", width=0) + o.mark("broken", s=5, width=0) + o.mark("none", s=20)
    lines = load(o.road(1, 30, sections=o.section(right=[o.lane(-1, marks=marks)], centre=centre))).lane_lines
    found = {(line.style, line.color, line.width): line.points for line in lines}
    assert set(found) == {("solid_solid", "yellow", 0.2), ("broken", "yellow", 0.2), ("broken", "white", 0.125)}
    for key, first, last, y in (
        (("solid_solid", "yellow", 0.2), 0, 12, 0),
        (("broken", "yellow", 0.2), 12, 30, 0),
        (("broken", "white", 0.125), 0, 20, -3.5),
    ):
        np.testing.assert_allclose(found[key][[0, -1], 0], (first, last), atol=1e-5)
        np.testing.assert_allclose(found[key][:, 1], y, atol=1e-5)


def test_equal_paint_runs_on_through_sections_and_roads(load):
    paint = o.mark("broken")
    two = o.section(right=[o.lane(-1)], centre=paint) + o.section(s=10, right=[o.lane(-1)], centre=paint)
    turned = o.geometry(o.LINE, 30, x=60, hdg=np.pi)
    side = o.geometry(o.LINE, 30, x=30, hdg=np.pi / 2)
    roads = [
        o.road(1, 30, sections=two),
        o.road(2, 30, sections=o.section(right=[o.lane(-1)], centre=paint), geometries=turned),
        o.road(3, 30, sections=o.section(right=[o.lane(-1)], centre=paint), geometries=side),
    ]
    lines = load(*roads).lane_lines
    lengths = sorted(float(np.linalg.norm(np.diff(line.points, axis=0), axis=1).sum()) for line in lines)
    assert lengths == pytest.approx([30, 60])
    longest = max(lines, key=lambda line: np.ptp(line.points[:, 0]))
    assert (np.diff(longest.points[:, 0]) > 0).all()


def test_mixed_double_line_is_two_lines(load):
    lines = load(
        o.road(1, 30, sections=o.section(right=[o.lane(-1)], centre=o.mark("solid broken", width=0.1)))
    ).lane_lines
    assert {line.style: round(float(line.points[0, 1]), 3) for line in lines} == {"solid": 0.1, "broken": -0.1}


def test_boundaries_are_kerbs_and_road_edges(load, tmp_path):
    path = tmp_path / "town.xodr"
    path.write_text(o.straight_town())
    scene_map = load_opendrive(path)
    assert sorted(round(float(b[0, 1]), 3) for b in scene_map.road_boundaries) == [-4.0, 4.0]
    one_way = load(o.road(1, 30, sections=o.section(right=[o.lane(-1)])))
    assert sorted(float(np.round(b[0, 1], 6)) for b in one_way.road_boundaries) == [-3.5, 0.0]


def test_signs_lights_and_poles_face_the_traffic(tmp_path):
    path = tmp_path / "town.xodr"
    path.write_text(o.straight_town())
    scene_map = load_opendrive(path)
    (light,), (sign,) = scene_map.traffic_lights, scene_map.traffic_signs
    assert light.id == "77" and sign.kind == "speed_limit"
    for item, x in ((light, 120), (sign, 60)):
        np.testing.assert_allclose(item.pose[:2, 3], (x, -4.5), atol=0.3)
        np.testing.assert_allclose(item.pose[:3, 0], (-1, 0, 0), atol=1e-6)
        assert 2 < item.pose[2, 3] < 4
    feet = sorted(tuple(np.round(pole.base, 3)) for pole in scene_map.poles)
    assert feet == [(60.0, -4.5, 0.0), (120.0, -4.5, 0.0)]


@pytest.mark.parametrize(("vendor", "x"), [("VectorZero", -1.0), ("other", 1.0)])
def test_sign_against_the_stations(load, vendor, x):
    signal = o.light("1", s=10, t=4).replace('"+"', '"-"').replace('"yes"', '"no"').replace("1000001", "206")
    (sign,) = load(o.road(1, 30, sections=o.section(left=[o.lane(1)]), signals=signal), vendor=vendor).traffic_signs
    assert sign.kind == "stop"
    np.testing.assert_allclose(sign.pose[:3, 0], (x, 0, 0), atol=1e-6)


def test_objects_become_crosswalks_stop_lines_and_markings(load):
    corners = [(-1, -3, 0), (1, -3, 0), (1, 3, 0), (-1, 3, 0), (-1, -3, 0)]
    objects = (
        o.map_object("Zebra", s=20, t=0, kind="crosswalk", outline=corners)
        + o.map_object("StopLine", s=15, t=-2, hdg=np.pi / 2, size=(3.5, 0, 0))
        + o.map_object("Stencil_ArrowType4L", s=10, t=-2, size=(2.5, 1.9, 0))
        + o.map_object("SignPost_10ft", s=5, t=-4, size=(0.05, 0.05, 3))
    )
    scene_map = load(o.road(1, 30, sections=o.section(right=[o.lane(-1)]), objects=objects))
    (crosswalk,), (stop,), (pole,) = scene_map.crosswalks, scene_map.wait_lines, scene_map.poles
    np.testing.assert_allclose(crosswalk[:, :2], [(19, -3), (21, -3), (21, 3), (19, 3)], atol=1e-9)
    np.testing.assert_allclose(sorted(stop[:, 1]), (-3.75, -0.25), atol=1e-9)
    assert pole.top[2] == 3
    arrow = np.concatenate(scene_map.road_markings)
    assert arrow[:, 0].min() == pytest.approx(8.75) and arrow[:, 1].max() == pytest.approx(-2 + 0.95)
    head = max(scene_map.road_markings, key=lambda piece: piece[:, 1].max())
    assert len(head) == 3, "the head of a left arrow points left"


def test_unknown_objects_are_reported(load, caplog):
    load(one_lane(length=10, objects=o.map_object("Fountain", s=5, t=9)))
    assert "1 objects named Fountain are not drawn" in caplog.text


def junction_roads():
    """Two connecting roads over the same 20 m: straight on with a shoulder and kerb, and one beside it, opposite."""
    kerb = o.lane(-2, "shoulder", width=0.5, marks=o.mark("curb"))
    walk = o.lane(-3, "sidewalk", width=2.0)
    centre = o.mark("broken", color="yellow")
    ahead = o.section(right=[o.lane(-1), kerb, walk], centre=centre)
    return (
        o.road(
            1, 20, sections=ahead, junction=9, signals=o.light("5", s=0, t=-4.3) + o.reference("5", s=0, lane_id=-1)
        ),
        o.road(2, 20, sections=o.section(left=[o.lane(1)], centre=centre), junction=9),
        o.road(3, 20, sections=o.section(right=[o.lane(-1)]), junction=9),
    )


def test_junction_lines_once_and_kerbs_only_at_its_rim(load):
    scene_map = load(*junction_roads())
    assert all(lane.junction for lane in scene_map.lanes)
    (line,) = scene_map.lane_lines
    np.testing.assert_allclose(line.points[[0, -1], 0], (0, 20), atol=1e-5)
    (kerb,) = scene_map.road_boundaries
    np.testing.assert_allclose(kerb[:, 1], -4.0, atol=1e-6)


def test_light_of_a_junction_faces_its_lane_and_gets_a_stop_line(load):
    scene_map = load(*junction_roads())
    (light,), (stop,) = scene_map.traffic_lights, scene_map.wait_lines
    np.testing.assert_allclose(light.pose[:3, 0], (-1, 0, 0), atol=1e-6)
    np.testing.assert_allclose(stop, [(0, 0, 0), (0, -3.5, 0)], atol=1e-6)


def test_bare_ground_enclosed_by_a_junction_is_covered(load):
    def bar(road_id, x, y, hdg, length):
        pose = o.geometry(o.LINE, length, x=x, y=y, hdg=hdg)
        return o.road(road_id, length, geometries=pose, sections=o.section(right=[o.lane(-1, width=4.0)]), junction=9)

    ring = (bar(1, 0, 4, 0, 14), bar(2, 0, 14, 0, 14), bar(3, 0, 14, -np.pi / 2, 14), bar(4, 14, 14, -np.pi / 2, 14))
    scene_map = load(*ring)
    gaps = [lane for lane in scene_map.lanes if lane.id.startswith("9:gap:")]
    assert gaps and all(lane.type is LaneType.SHOULDER for lane in gaps)
    area = 0.0
    for lane in gaps:
        width = lane.right[:, 0] - lane.left[:, 0]
        area += float(((width[1:] + width[:-1]) / 2 * np.diff(lane.left[:, 1])).sum())
    assert 60 - 1 < area < 60 + 8, "the 10 m x 6 m hole, and a rim of two cells"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (o.straight_town()[:-300], "truncated or not valid XML"),
        ("", "truncated or not valid XML"),
        ("<xml/>", "root element is 'xml'"),
        (o.opendrive(), "has no road"),
        (o.straight_town().replace('length="200.0"', 'length="long"'), "length='long'"),
        (o.straight_town().replace("<line/>", "<loop/>"), "road '1'.*paramPoly3"),
        (o.straight_town().replace('hdg="0"', "", 1), "lacks the attribute 'hdg'"),
        (o.straight_town().replace('a="3.5"', 'a="nan"', 1), "finite"),
    ],
)
def test_broken_maps(tmp_path, text, message):
    path = tmp_path / "Broken.xodr"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        load_opendrive(path)


def test_missing_map_names_the_nearest(tmp_path):
    (tmp_path / "Town01.xodr").write_text(o.straight_town())
    (tmp_path / "Town01.xodr.bak").write_text("")
    with pytest.raises(UserError, match=r"did you mean .*Town01\.xodr'"):
        load_opendrive(tmp_path / "town1.xodr")


@cache
def town_map(shared, town):
    return load_opendrive(shared / "carla" / "maps" / f"{town}.xodr")


@pytest.mark.parametrize(
    ("town", "lights", "signs", "crosswalks"), [("Town01", 36, 22, 0), ("Town02", 24, 21, 0), ("Town10HD", 17, 4, 16)]
)
def test_towns_against_the_reference_client(shared, town, lights, signs, crosswalks):
    """town_waypoints.json: carla 0.9.16 client waypoints in our frame (road:section:lane, x, y, heading, width)."""
    scene_map = town_map(shared, town)
    assert len(scene_map.traffic_lights) == lights and len(scene_map.traffic_signs) == signs
    assert len(scene_map.crosswalks) == crosswalks
    assert all(np.isfinite(np.concatenate([lane.left, lane.right])).all() for lane in scene_map.lanes)
    lanes = by_id(scene_map)
    for name, x, y, heading, width in json.loads(WAYPOINTS.read_text())[town]:
        lane = lanes[name]
        centre = (lane.left + lane.right)[:, :2] / 2
        point = np.array([[x, y]])
        assert distance_to_polyline(point, centre)[0] < 0.03
        nearest = int(np.linalg.norm((centre[1:] + centre[:-1]) / 2 - point, axis=1).argmin())
        step = centre[nearest + 1] - centre[nearest]
        turn = np.arctan2(step[1], step[0]) - heading
        assert abs((turn + np.pi) % (2 * np.pi) - np.pi) < np.radians(8)
        assert distance_to_polyline(point, lane.left[:, :2])[0] == pytest.approx(width / 2, abs=0.05)


def test_towns_have_only_their_own_paint(shared):
    town01 = town_map(shared, "Town01")
    assert {(line.style, line.color) for line in town01.lane_lines} == {("broken", "yellow")}
    town10 = town_map(shared, "Town10HD")
    assert {line.style for line in town10.lane_lines} == {"solid", "broken", "solid_solid"}
