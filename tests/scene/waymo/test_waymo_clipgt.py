"""A segment of the Waymo Open Dataset as a ClipGT clip, by the commands, and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.clipgt_round_trip import check_same
from helpers.waymo_tables import SEGMENT, Segment, map_frame, write_tfrecord

from cosmos_exp.cli.commands.convert import main as convert
from cosmos_exp.cli.commands.export import main as export
from cosmos_exp.scene.clipgt.clip import ClipGt
from cosmos_exp.scene.clipgt.scene import load_clipgt_scene
from cosmos_exp.scene.rds_hq.scene import load_rds_hq_scene

CAMERAS = 5


@pytest.fixture(scope="module")
def rds_hq(tmp_path_factory) -> Path:
    pytest.importorskip("pyarrow", reason="pyarrow (the waymo extra) is not installed")
    root, out = tmp_path_factory.mktemp("tables"), tmp_path_factory.mktemp("rds_hq")
    Segment(frames=12).write(root)
    write_tfrecord(root / f"segment-{SEGMENT}_with_camera_labels.tfrecord", [map_frame()])
    assert convert(["waymo", "-i", str(root), "-o", str(out), "--videos", "none"]) == 0
    return out


def test_a_segment_is_exported_and_read_back(rds_hq, tmp_path, capsys):
    overrides = ["scene=rds_hq", f"scene.root={rds_hq}", "sensors=rds_hq", "sensors.camera_type=pinhole"]
    assert export(["clipgt", "-o", str(tmp_path), *overrides]) == 0
    told = capsys.readouterr().out
    assert f"wrote clip {SEGMENT}" in told and "walker" in told
    clip = ClipGt(tmp_path / SEGMENT)
    scene, back = load_rds_hq_scene(rds_hq), load_clipgt_scene(tmp_path, SEGMENT)
    assert scene.tracks and scene.map.lane_lines and scene.map.road_boundaries and scene.map.crosswalks
    check_same(scene, back, clip.frame_times / 1e6, left_out=["walker"])
    assert len(back.tracks) == len(scene.tracks) - 1 and abs(scene.duration - back.duration) < 1 / 30
    assert len(clip.cameras) == CAMERAS
