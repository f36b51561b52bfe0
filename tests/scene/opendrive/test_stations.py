"""Records hold from their start to the next one's: steps, sections of no length to speak of, arc length."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import opendrive_writer as o

from cosmos_exp.scene.opendrive.reader import load_opendrive


@pytest.fixture
def load(tmp_path):
    def load(*roads: str):
        path = tmp_path / "map.xodr"
        path.write_text(o.opendrive(*roads))
        return load_opendrive(path)

    return load


def by_id(scene_map):
    return {lane.id: lane for lane in scene_map.lanes}


def widths(*records: tuple[float, float]) -> str:
    """(start, width) of each record."""
    return "".join(o.cubic("width", width, s=s, at="sOffset") for s, width in records)


@pytest.mark.parametrize("record", [30.0, 30.0000003, 29.9999997, 30 + 4e-10])
def test_a_section_begins_with_its_own_lane_offset(load, record):
    """Writers round the station of a section and that of its lane offset differently."""
    sections = o.section(left=[o.lane(1)]) + o.section(s=30.0000003, left=[o.lane(2), o.lane(1)])
    lanes = by_id(
        load(o.road(1, 60, sections=sections, offsets=o.cubic("laneOffset", 0) + o.cubic("laneOffset", -7, s=record)))
    )
    np.testing.assert_allclose(lanes["1:0:1"].left[:, 1], 0, atol=1e-9)
    np.testing.assert_allclose(lanes["1:1:1"].left[:, 1], -7, atol=1e-9)
    np.testing.assert_allclose(lanes["1:1:2"].right[:, 1], 0, atol=1e-9)


def test_a_step_of_the_width_stays_a_step(load):
    lane = o.lane(-1, width=widths((0, 3), (35, 6)), marks=o.mark("solid"))
    scene_map = load(o.road(1, 60, sections=o.section(right=[lane])))
    right = scene_map.lanes[0].right
    np.testing.assert_allclose(right[right[:, 0] < 35, 1], -3)
    np.testing.assert_allclose(right[right[:, 0] == 35, 1], (-3, -6))
    np.testing.assert_allclose(right[right[:, 0] > 35, 1], -6)
    paint = sorted((line.points[:, 1].min(), line.points[:, 1].max()) for line in scene_map.lane_lines)
    assert paint == [(-6, -6), (-3, -3)], "no line across the road"


def test_steps_of_lane_offset_and_height(load):
    road = o.road(
        1,
        40,
        sections=o.section(right=[o.lane(-1)], centre=o.mark("broken")),
        offsets=o.cubic("laneOffset", 0) + o.cubic("laneOffset", -3.5, s=10),
        elevation=o.cubic("elevation", 1) + o.cubic("elevation", 3, s=20),
    )
    scene_map = load(road)
    left = scene_map.lanes[0].left
    np.testing.assert_allclose(left[left[:, 0] == 10, 1], (0, -3.5))
    np.testing.assert_allclose(left[left[:, 0] == 20, 2], (1, 3))
    assert len(scene_map.lane_lines) == 3


def test_a_step_of_one_lane_repeats_no_point_of_another(load):
    step = o.lane(-2, width=widths((0, 3), (12.5, 6)))
    lanes = by_id(load(o.road(1, 30, sections=o.section(right=[o.lane(-1), step]))))
    assert (np.diff(lanes["1:0:-1"].left[:, 0]) > 0).all()
    assert (np.diff(lanes["1:0:-2"].left[:, 0]) == 0).sum() == 1


def test_lane_offset_before_its_first_record_and_past_the_end(load):
    offsets = o.cubic("laneOffset", 2, s=10) + o.cubic("laneOffset", 50, s=30)
    (lane,) = load(o.road(1, 30, sections=o.section(right=[o.lane(-1)]), offsets=offsets)).lanes
    np.testing.assert_allclose(lane.left[lane.left[:, 0] < 10, 1], 0)
    np.testing.assert_allclose(lane.left[lane.left[:, 0] > 10, 1], 2)


@pytest.mark.parametrize("length", [2e-6, 5e-4, 9e-4])
def test_a_short_section_has_its_two_ends(load, length):
    paint = o.mark("broken")
    sections = "".join(o.section(s=s, right=[o.lane(-1)], centre=paint) for s in (0, 10, 10 + length))
    scene_map = load(o.road(1, 30, sections=sections))
    lanes = by_id(scene_map)
    assert set(lanes) == {"1:0:-1", "1:1:-1", "1:2:-1"}
    np.testing.assert_allclose(lanes["1:1:-1"].left[:, 0], (10, 10 + length), atol=1e-12)
    (line,) = scene_map.lane_lines
    np.testing.assert_allclose(line.points[[0, -1], 0], (0, 30))


def test_sections_keep_their_numbers_beside_one_of_no_length(load):
    sections = "".join(o.section(s=s, right=[o.lane(-1)]) for s in (0, 10, 10, 20))
    assert set(by_id(load(o.road(1, 30, sections=sections)))) == {"1:0:-1", "1:2:-1", "1:3:-1"}


def test_a_signalled_connecting_road_may_begin_with_a_short_section(load):
    sections = o.section(right=[o.lane(-1)]) + o.section(s=0.0005, right=[o.lane(-1)])
    signals = o.light("9", s=0, t=-5) + o.reference("9", s=0, lane_id=-1)
    (stop,) = load(o.road(1, 40, sections=sections, signals=signals, junction=7)).wait_lines
    np.testing.assert_allclose(stop, [(0, 0, 0), (0, -3.5, 0)], atol=1e-6)


BENT = dict(aU=0, bU=20, cU=-12, dU=0, aV=0, bV=0, cV=30, dV=0)  # 33.719 m long
HALFWAY = (7.887, 12.306)  # 16 m along it, which is not at 16/33.7 of the parameter


@pytest.mark.parametrize("scale", [1.0, 33.719096])
def test_the_station_of_a_cubic_curve_is_its_arc_length(load, scale):
    """scale: 1 for a parameter from 0 to 1, the length for one from 0 to the length."""
    power = {"a": 0, "b": 1, "c": 2, "d": 3}
    terms = " ".join(f'{name}="{value / scale ** power[name[0]]}"' for name, value in BENT.items())
    shape = f'<paramPoly3 pRange="{"normalized" if scale == 1 else "arcLength"}" {terms}/>'
    sections = o.section(right=[o.lane(-1)]) + o.section(s=16, right=[o.lane(-1)])
    signals = o.light("9", s=16, t=0)
    road = o.road(1, 33.719096, geometries=o.geometry(shape, 33.719096), sections=sections, signals=signals)
    scene_map = load(road)
    lanes = by_id(scene_map)
    for place in (lanes["1:0:-1"].left[-1], lanes["1:1:-1"].left[0], scene_map.poles[0].base):
        np.testing.assert_allclose(place[:2], HALFWAY, atol=2e-3)
    np.testing.assert_allclose(lanes["1:1:-1"].left[-1, :2], (8, 30), atol=2e-3)
    travelled = np.linalg.norm(np.diff(lanes["1:0:-1"].left, axis=0), axis=1)
    assert np.ptp(travelled) < 0.01, "stations are evenly spaced"


def test_a_wrong_length_of_a_cubic_curve_is_told(load, caplog):
    terms = " ".join(f'{name}="{value}"' for name, value in BENT.items())
    geometry = o.geometry(f"<paramPoly3 {terms}/>", 40)
    (lane,) = load(o.road(1, 40, geometries=geometry, sections=o.section(right=[o.lane(-1)]))).lanes
    assert "not as long as they say" in caplog.text and "33.7191 m long, not 40 m" in caplog.text
    assert np.linalg.norm(lane.left[-1, :2] - (8, 30)) == pytest.approx(40 - 33.719, abs=0.01)


def test_strips_stay_near_their_curves(load):
    """Chords are at most 1 cm off, widths 4 mm: here of a taper and a crest on an arc."""
    taper = o.cubic("width", 3, 0, 0.06, at="sOffset")
    road = o.road(
        1,
        20,
        geometries=o.geometry(o.arc(0.05), 20),
        sections=o.section(right=[o.lane(-1, width=taper)]),
        elevation=o.cubic("elevation", 0, 0, 0.02),
    )
    (lane,) = load(road).lanes
    left, right = ((edge[1:] + edge[:-1]) / 2 for edge in (lane.left, lane.right))
    centre = (0, 20)
    s = 20 * np.arctan2(left[:, 0], 20 - left[:, 1])
    assert np.abs(np.linalg.norm(left[:, :2] - centre, axis=1) - 20).max() < 0.01
    assert np.abs(np.linalg.norm((left - right)[:, :2], axis=1) - (3 + 0.06 * s**2)).max() < 0.01
    assert np.abs(left[:, 2] - 0.02 * s**2).max() < 0.0101


def test_a_lane_too_narrow_to_draw_leaves_no_gap(load):
    thin = o.lane(-2, width=0.004)
    lanes = by_id(load(o.road(1, 30, sections=o.section(right=[o.lane(-1), thin, o.lane(-3)]))))
    assert set(lanes) == {"1:0:-1", "1:0:-3"}
    np.testing.assert_allclose(lanes["1:0:-3"].left[:, 1], -3.5)
    np.testing.assert_allclose(lanes["1:0:-3"].right[:, 1], -7.004)
