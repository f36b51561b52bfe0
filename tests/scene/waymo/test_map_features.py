"""Reading the map without the dataset's own library: messages and TFRecord files, whole and broken."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.waymo_tables import SEGMENT, map_frame, write_tfrecord

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.waymo.map_features import find_tfrecord, read_map
from cosmos_exp.scene.waymo.protobuf import BrokenMessage, fields, records


def test_features_of_the_first_frame(tmp_path):
    waymo_map = read_map(write_tfrecord(tmp_path / "a.tfrecord", [map_frame(), b"\x08"]))
    assert {layer: len(labels) for layer, labels in waymo_map.labels.items()} == {
        "lanes": 1,
        "lanelines": 1,
        "road_boundaries": 1,
        "crosswalks": 1,
    }
    assert waymo_map.left_out == {"stop_sign": 1, "speed_bump": 1, "driveway": 1, "road_line of 1 points": 1}
    (lane,) = waymo_map.labels["lanes"]
    np.testing.assert_allclose(lane.vertices[0], [[2000, -3000, 12], [2010, -3000, 12], [2020, -2999, 12]])
    assert {"name": "feature_id", "text": "11"} in lane.attributes
    assert {"name": "use_types", "enumsList": {"enumsList": ["BIKE_LANE"]}} in lane.attributes


def test_all_wire_types():
    message = b"\x08\xac\x02" + b"\x11" + bytes(8) + b"\x1a\x03abc" + b"\x25" + bytes(4)
    assert [(n, v if isinstance(v, int) else bytes(v)) for n, v in fields(message)] == [
        (1, 300),
        (2, bytes(8)),
        (3, b"abc"),
        (4, bytes(4)),
    ]


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (b"\x08", "ends inside a number"),
        (b"\x08" + b"\xff" * 11, "more than 10 bytes"),
        (b"\x1a\x05ab", "ends 3 bytes after"),
        (b"\x0b", "wire type 3"),
    ],
)
def test_broken_messages(message, complaint):
    with pytest.raises(BrokenMessage, match=complaint):
        list(fields(message))


def test_broken_files(tmp_path):
    whole = write_tfrecord(tmp_path / "whole.tfrecord", [map_frame(), b"second"])
    assert [len(r) for r in records(whole)] == [len(map_frame()), 6]
    (tmp_path / "cut.tfrecord").write_bytes(whole.read_bytes()[:100])
    with pytest.raises(UserError, match="no TFRecord file, or is truncated"):
        read_map(tmp_path / "cut.tfrecord")
    with pytest.raises(UserError, match="is empty"):
        read_map(write_tfrecord(tmp_path / "none.tfrecord", []))
    with pytest.raises(UserError, match="no Waymo frame: field"):
        read_map(write_tfrecord(tmp_path / "noise.tfrecord", [b"\x0b" * 40]))
    with pytest.raises(UserError, match="no map features"):
        read_map(write_tfrecord(tmp_path / "old.tfrecord", [b"\x10\x05"]))


def test_the_file_of_a_segment(tmp_path):
    path = write_tfrecord(tmp_path / "training" / f"segment-{SEGMENT}_with_camera_labels.tfrecord", [])
    write_tfrecord(tmp_path / "training" / "segment-1_2_3_with_camera_labels.tfrecord", [])
    assert find_tfrecord(tmp_path, SEGMENT) == path
    assert find_tfrecord(tmp_path, "9_9") is None
