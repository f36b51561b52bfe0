"""`cosmos-exp convert waymo`: options, summary line, mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.waymo_tables import SEGMENT, Segment, map_frame, write_tfrecord

from cosmos_exp.cli.commands.convert import main
from cosmos_exp.common.errors import UserError


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> Path:
    pytest.importorskip("pyarrow", reason="pyarrow (the waymo extra) is not installed")
    root = Segment(frames=2).write(tmp_path_factory.mktemp("tables"))
    Segment(frames=2, name="1_000_2_000").write(root)
    for name in (SEGMENT, "1_000_2_000"):
        write_tfrecord(root / f"segment-{name}_with_camera_labels.tfrecord", [map_frame()])
    return root


def test_all_segments_and_one(tables, tmp_path, capsys):
    assert main(["waymo", "-i", str(tables), "-o", str(tmp_path), "--videos", "none"]) == 0
    printed = capsys.readouterr().out.splitlines()
    summary = "6 frames, 5 cameras, 4 objects, 2 LiDAR sweeps, 1 lanelines, 1 road_boundaries, 1 crosswalks, 1 lanes"
    assert [line for line in printed if not line.startswith(" ")] == [
        f"{SEGMENT}: {summary}",
        f"1_000_2_000: {summary}",
    ]
    assert "left out: " in printed[1] and "2 box of type sign" in printed[1]
    assert sorted(p.stem for p in (tmp_path / "pose").iterdir()) == sorted([SEGMENT, "1_000_2_000"])
    one = tmp_path / "one"
    assert main(["waymo", "-i", str(tables), "-o", str(one), "--segment", SEGMENT, "--videos", "front"]) == 0
    assert [p.stem for p in (one / "pose").iterdir()] == [SEGMENT]
    assert (one / "pinhole_front" / f"{SEGMENT}.mp4").is_file()


def test_mistakes(tmp_path):
    with pytest.raises(UserError, match=r"'waymoo'.*did you mean 'waymo'"):
        main(["waymoo", "-i", "a", "-o", "b"])
    with pytest.raises(UserError, match="--videos 'frnt': did you mean 'front'"):
        main(["waymo", "-i", str(tmp_path), "-o", "b", "--videos", "frnt"])
    with pytest.raises(UserError, match="holds no Waymo tables"):
        main(["waymo", "-i", str(tmp_path), "-o", "b"])
    with pytest.raises(UserError, match=r"-i.*-o|required"):
        main(["waymo"])


def test_an_unknown_segment(tables, tmp_path):
    with pytest.raises(UserError, match="did you mean '1_000_2_000'"):
        main(["waymo", "-i", str(tables), "-o", str(tmp_path), "--segment", "1_000_2_00"])
