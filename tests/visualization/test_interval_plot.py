"""The picture of means and intervals: places that follow from the values."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from cosmos_exp.visualization.interval_plot import AREA, Bar, interval_plot


def elements(picture: str, kind: str) -> list[dict[str, str]]:
    return [element.attrib for element in ET.fromstring(picture) if element.tag.endswith(f"}}{kind}")]


def test_points_and_intervals_are_in_proportion():
    picture = interval_plot("A", [Bar("a", 1.0, 0.0, 2.0), Bar("b", 3.0), Bar("c", 4.0, 2.0, 6.0)])
    x = [float(circle["cx"]) for circle in elements(picture, "circle")]
    assert (x[1] - x[0]) / (x[2] - x[0]) == pytest.approx(2 / 3, abs=0.01)
    assert max(x) - min(x) < AREA
    whiskers = [line for line in elements(picture, "line") if line["y1"] == line["y2"] and line["stroke"] == "#2a6fbb"]
    assert len(whiskers) == 2, "none where there is no interval"
    assert (float(whiskers[0]["x1"]) + float(whiskers[0]["x2"])) / 2 == pytest.approx(x[0], abs=0.1)


def test_lines_stretch_the_axis_and_labels_are_escaped():
    picture = interval_plot("a < b", [Bar("a & b", 0.5)], {"ceiling": 1.0, "floor": 0.0})
    assert picture.count("stroke-dasharray") == 2
    texts = [element.text for element in ET.fromstring(picture) if element.tag.endswith("}text")]
    assert {"a < b", "a & b", "ceiling", "floor"} <= set(texts)
    assert picture._repr_svg_() == str(picture)


@pytest.mark.parametrize("values", [(0.0,), (5.0, 5.0), (1e-7, 3e-7), (-2.0e4, 3.0e5)])
def test_ticks_are_round_numbers_whatever_the_values(values):
    picture = interval_plot("", [Bar("", value) for value in values])
    ticks = [t.text for t in ET.fromstring(picture) if t.tag.endswith("}text") and t.attrib["text-anchor"] == "middle"]
    assert 2 <= len(ticks) <= 8
    assert all(re.fullmatch(r"-?[\d.]+(e[+-]\d+)?", tick) for tick in ticks) and len(set(ticks)) == len(ticks)
