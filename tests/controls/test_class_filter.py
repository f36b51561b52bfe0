"""Class filters in the form that CARLA ships them, and mistakes in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.controls import PREVIEWS, make_control, preview
from cosmos_exp.controls.class_filter import CANNY, CARLA_CLASSES, SHADED, VEHICLES, find_filter, read_class_filter
from cosmos_exp.rendering.palette import Tag
from cosmos_exp.rendering.types import CameraRender

SAMPLE = Path(__file__).with_name("carla_filter.yaml")
STREET = {Tag.ROAD, Tag.SIDEWALK, Tag.GROUND, Tag.ROAD_LINE, Tag.OTHER, Tag.TRAFFIC_SIGN, Tag.TRAFFIC_LIGHT, Tag.POLE}
ALL_TAGS = np.arange(29, dtype=np.uint8)


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "filter.yaml"
        path.write_text(text)
        return path

    return write


def test_the_sample_is_read_for_what_it_means():
    classes = read_class_filter(SAMPLE)
    assert classes.canny.tags == STREET | VEHICLES
    assert classes.shaded.tags == STREET | {Tag.VEGETATION, Tag.SKY}
    kept = classes.canny.keeps(ALL_TAGS)
    assert kept[Tag.CAR] and kept[Tag.BICYCLE] and not kept[Tag.BUILDING] and not kept[Tag.SKY]


def test_bgr_entries_and_the_vehicle_entry_are_reported():
    notes = read_class_filter(SAMPLE).notes
    assert "[50, 234, 157] is road_line in BGR order; as RGB it is [157, 234, 50]" in notes
    (vehicles,) = (note for note in notes if "[140, 0, 0]" in note)
    assert "no colour of the palette (a car is [0, 0, 142])" in vehicles and "truck" in vehicles
    assert not any("[128, 64, 128]" in note for note in notes)


def test_the_usual_classes_are_those_of_the_sample():
    sample = read_class_filter(SAMPLE)
    for key in (CANNY, SHADED):
        assert CARLA_CLASSES.required(key).tags == sample.required(key).tags
    for bgr in (False, True):
        usual = CARLA_CLASSES.canny.keeps_literally(ALL_TAGS, bgr=bgr)
        assert np.array_equal(usual | sample.canny.keeps_literally(ALL_TAGS, bgr=bgr), usual)
    assert np.array_equal(
        CARLA_CLASSES.canny.keeps_literally(ALL_TAGS, bgr=True), sample.canny.keeps_literally(ALL_TAGS, bgr=True)
    )
    assert find_filter(None) is find_filter("carla") is CARLA_CLASSES


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty: it needs shaded_segmentation_classes or canny_classes"),
        ("[1, 2]", "is a list, not keys"),
        ("canny_classes: [", "not readable as YAML"),
        ("canny_classes: []", "canny_classes keeps no class, so everything would be black"),
        ("canny_classes: null", "canny_classes keeps no class"),
        ("cany_classes: [[128, 64, 128]]", "did you mean 'canny_classes'"),
        ("canny_classes: [[128, 64]]", "is no colour"),
        ("canny_classes: [[128, 64, 300]]", "is no colour"),
        ("canny_classes: [[true, 64, 128]]", "is no colour"),
        ("canny_classes: [[127, 64, 128]]", r"nearest is \[128, 64, 128\], road"),
    ],
)
def test_mistakes_are_named(write, text, message):
    with pytest.raises(UserError, match=message):
        read_class_filter(write(text))


def test_a_missing_file_and_a_missing_list(write, tmp_path):
    with pytest.raises(UserError, match="no class filter"):
        find_filter(tmp_path / "nowhere.yaml")
    only_edges = read_class_filter(write("canny_classes: [[128, 64, 128]]"))
    assert only_edges.required(CANNY).tags == {Tag.ROAD}
    with pytest.raises(UserError, match="has no list 'shaded_segmentation_classes'"):
        only_edges.required(SHADED)


def test_every_preview_takes_the_parameters_of_the_controls():
    shape = (1, 16, 16)
    render = CameraRender(
        "front",
        np.zeros(1),
        rgb=np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8),
        depth=np.full(shape, 5, np.float32),
        semantic=np.full(shape, Tag.ROAD, np.uint8),
        instance=np.ones(shape, np.uint16),
        normals=np.full((*shape, 3), 73, np.int8),
        hdmap=np.zeros((*shape, 3), np.uint8),
        lidar=np.zeros((*shape, 3), np.uint8),
        wsm=np.zeros((*shape, 3), np.uint8),
    )
    params = {"class_filter": str(SAMPLE), "reference_compat": True}
    edge = {"strength": "low", "drop_sky": False, **params}
    for name in PREVIEWS:
        assert preview(name, render, edge=edge, seg={"mode": "instance", "palette": "distinct", **params}).any() or (
            name in ("sky", "hdmap", "lidar", "wsm")
        )
    assert np.array_equal(preview("rgb_edges", render, edge=edge), make_control("edge", render, **edge))
