"""A ClipGT clip read, and what is wrong with broken ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.clipgt_writer import LEVEL, START, ego_rows, obstacle_rows, point, points, sensor, write_clip, write_table

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.clipgt.clip import BEYOND, ClipGt, clip_ids
from cosmos_exp.scene.clipgt.tables import COLUMNS

pytest.importorskip("pyarrow", reason="pyarrow (the clipgt extra) is not installed")
NAN = float("nan")
AHEAD = points((5, 0, 0), (20, 0, 0))


def test_every_table_of_the_published_clip_is_read(shared: Path) -> None:
    clip = ClipGt(shared / "wsm" / "golden" / "clips" / "wsm-dev-a")
    assert set(clip.tables) == set(COLUMNS)
    counts = {name: len(clip.lines(name)) for name in COLUMNS if "location" in COLUMNS[name] and name[:3] != "ego"}
    assert counts == {"road_boundary": 4, "wait_line": 4, "pole": 17, "crosswalk": 4, "road_marking": 10} | {
        "intersection_area": 1,
        "road_island": 1,
    }
    assert (len(clip.lane_lines()), len(clip.lanes()), len(clip.tracks)) == (24, 1, 20)
    assert (len(clip.cuboids("traffic_light")), len(clip.cuboids("traffic_sign"))) == (11, 13)
    assert len(clip.cameras) == 3
    assert any("corrections of the calibration are not applied" in note for note in clip.notes)


def test_objects_are_where_the_reference_has_them(shared: Path) -> None:
    golden = shared / "wsm" / "golden"
    numbers = json.loads((golden / "intermediate.json").read_text())
    to_reference = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    for name in ("wsm-dev-a", "wsm-dev-b"):
        clip = ClipGt(golden / "clips" / name)
        for frame, objects in numbers[f"{name}@640x360"]["objects"].items():
            time = int(clip.frame_times[int(frame)])
            found = {track.id: box for track in clip.tracks if (box := track.at(time)) is not None}
            assert set(found) == set(objects)
            for identity, (pose, size) in found.items():
                expected = objects[identity]
                np.testing.assert_allclose(to_reference @ pose, expected["object_to_world"], atol=2e-5)
                np.testing.assert_allclose(size, expected["lwh"], atol=1e-5)


def test_cameras_are_where_the_reference_has_them(shared: Path) -> None:
    golden = shared / "wsm" / "golden"
    to_reference = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    for case, numbers in json.loads((golden / "intermediate.json").read_text()).items():
        name, _, size = case.partition("@")
        if not (golden / "clips" / name).is_dir():
            continue
        clip = ClipGt(golden / "clips" / name)
        for camera, expected in numbers["cameras"].items():
            model = clip.camera(camera).model.squeezed(*map(int, size.split("x")))
            np.testing.assert_allclose(
                model.project(np.array(expected["rays_camera_xyz"])), expected["pixels"], atol=0.02
            )
            assert abs(model.max_angle - expected["max_angle"]) < 1e-6
            for frame, pose in expected["camera_to_world"].items():
                ours = clip.ego.at(int(clip.frame_times[int(frame)])) @ clip.camera(camera).camera_to_rig
                np.testing.assert_allclose(to_reference @ ours, pose, atol=1e-5)


def test_frame_times_without_and_with_their_file(tmp_path: Path) -> None:
    clip = ClipGt(write_clip(tmp_path / "clip"))
    assert clip.frame_times.tolist() == [START + int(i / 30 * 1e6) for i in range(10)]  # 0.3 s
    (tmp_path / "clip" / "clip.camera_front_wide_120fov.json").write_text('[{"timestamp": 5}, {"timestamp": 9}]')
    assert ClipGt(tmp_path / "clip").frame_times.tolist() == [5, 9]


def test_tracks_move_on_for_half_a_second_and_no_longer(tmp_path: Path) -> None:
    rows = obstacle_rows("7", "car", 10, 0)
    rows[1]["center"] = point(13, 0, 0.75)  # 3 m in 0.3 s
    (track,) = ClipGt(write_clip(tmp_path, obstacle=rows)).tracks
    end = START + 300_000
    for time, x in ((START, 10.0), (START + 150_000, 11.5), (end + 100_000, 14.0), (START - 200_000, 8.0)):
        pose, size = track.at(time)  # type: ignore[misc]
        np.testing.assert_allclose(pose[:3, 3], (x, 0, 0.75), atol=1e-9)
        assert size == (4, 2, 1.5)
    assert track.at(end + BEYOND) is not None
    assert track.at(end + BEYOND + 1) is None and track.at(START - BEYOND - 1) is None


def test_tracks_that_cannot_be_used_are_left_out_and_named(tmp_path: Path) -> None:
    rows = obstacle_rows("good", "car", 10, 0) + obstacle_rows("labelstore:good", "car", 10, 0)
    rows += obstacle_rows("nan", "car", 10, 5, orientation={**LEVEL, "w": NAN})
    rows += obstacle_rows("zero", "car", 10, 5, orientation={**LEVEL, "w": 0.0})
    rows += obstacle_rows("single", "car", 10, 5)[:1]
    clip = ClipGt(write_clip(tmp_path, obstacle=rows))
    assert [track.id for track in clip.tracks] == ["good"]
    assert "obstacle: tracks with fewer than two usable rows left out: nan, single, zero" in clip.notes


def test_ids_of_tracks_may_be_numbers_and_categories_null(tmp_path: Path) -> None:
    rows = [row | {"trackline_id": 12, "category": None} for row in obstacle_rows("", None, 10, 0)]
    (track,) = ClipGt(write_clip(tmp_path, obstacle=rows)).tracks
    assert (track.id, track.category) == ("12", "")


def test_rows_of_the_map_that_cannot_be_drawn_are_counted(tmp_path: Path) -> None:
    lines = [
        {"location": AHEAD},
        {"location": AHEAD[:1]},
        {"location": points((0, 0, 0), (NAN, 0, 0))},
        {"location": None},
    ]
    clip = ClipGt(write_clip(tmp_path, wait_line=lines))
    assert len(clip.lines("wait_line")) == 1
    assert "wait_line: 2 rows of fewer than 2 vertices left out" in clip.notes
    assert "wait_line: 1 rows with vertices that are not finite numbers left out" in clip.notes
    assert any(note.startswith("no table obstacle, lane_line") for note in clip.notes)


def test_lane_lines_fall_back_to_the_older_key(tmp_path: Path) -> None:
    rows = [{"line_rail": None, "path": AHEAD, "colors": ["WHITE", None], "styles": None}]
    ((vertices, colors, styles),) = ClipGt(write_clip(tmp_path, lane_line=rows)).lane_lines()
    assert vertices.tolist() == [[5, 0, 0], [20, 0, 0]]
    assert (colors, styles) == (["WHITE", ""], [])


def test_dimensions_that_are_null_are_the_usual_ones(tmp_path: Path) -> None:
    light = {"center": point(9, 0, 4), "dimensions": {"x": 0.3, "y": None, "z": 1.0}, "orientation": LEVEL}
    ((pose, size),) = ClipGt(write_clip(tmp_path, traffic_light=[light])).cuboids("traffic_light")
    assert size == (0.6, 0.6, 1.0)
    assert pose[:3, 3].tolist() == [9, 0, 4]


def test_a_million_vertices_in_one_line_are_read(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    x = np.linspace(0, 100, 1_000_000)
    flat = pyarrow.StructArray.from_arrays([x, 0 * x, 0 * x], ["x", "y", "z"])
    location = pyarrow.ListArray.from_arrays(pyarrow.array([0, len(x)], pyarrow.int32()), flat)
    rows = pyarrow.StructArray.from_arrays([location], ["location"])
    write_clip(tmp_path)
    parquet.write_table(pyarrow.table({"road_boundary": rows}), tmp_path / "clip.road_boundary.parquet")
    (line,) = ClipGt(tmp_path).lines("road_boundary")
    assert line.shape == (1_000_000, 3)


def test_the_direction_of_a_polynomial_without_a_type_follows_from_its_size(tmp_path: Path) -> None:
    forward = sensor("camera:b", polynomial="0 600 0 0 0 0")
    del forward["properties"]["polynomial-type"]
    pixels = sensor("camera_a")
    del pixels["properties"]["polynomial-type"]
    cameras = ClipGt(write_clip(tmp_path, sensors=[{"name": "imu"}, pixels, forward])).cameras
    assert {name: camera.model.backward for name, camera in cameras.items()} == {"camera_a": True, "camera_b": False}


def refused(folder: Path) -> str:
    """What is wrong with the clip."""
    with pytest.raises(UserError) as error:
        clip = ClipGt(folder)
        _ = clip.cameras, clip.ego, clip.frame_times, clip.tracks, clip.lane_lines(), clip.lines("road_boundary")
    return str(error.value)


def test_missing_tables(tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "a", calibration_estimate=None)
    assert f"no {folder}/clip.calibration_estimate.parquet" in refused(folder)
    (tmp_path / "b").mkdir()
    assert "is no ClipGT clip: it has no <clip>.calibration_estimate.parquet" in refused(tmp_path / "b")
    assert "did you mean" in refused(tmp_path / "aa")


def test_several_clips_in_a_folder_are_to_be_named(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_clip(tmp_path, name)
    assert clip_ids(tmp_path) == ["one", "two"]
    assert "holds 2 clips: name one of one, two" in refused(tmp_path)
    assert ClipGt(tmp_path, "two").clip_id == "two"
    with pytest.raises(UserError, match=r"unknown clip .*'tow': did you mean 'two'"):
        ClipGt(tmp_path, "tow")


def test_truncated_and_foreign_files(tmp_path: Path) -> None:
    path = write_clip(tmp_path) / "clip.egomotion_estimate.parquet"
    content = path.read_bytes()
    for broken in (content[: len(content) // 2], b"", b"PAR1" + bytes(40) + b"PAR1"):
        path.write_bytes(broken)
        assert refused(tmp_path).startswith(f"{path} is no parquet file")


def test_egos_out_of_order_or_without_numbers(tmp_path: Path) -> None:
    rows = ego_rows()
    assert "row 1: time 1000000 is not after the 1100000" in refused(
        write_clip(tmp_path, egomotion_estimate=rows[1::-1])
    )
    assert "has 1 rows" in refused(write_clip(tmp_path, egomotion_estimate=rows[:1]))
    for change in (
        {"orientation": {**LEVEL, "w": NAN}},
        {"orientation": {**LEVEL, "w": 0.0}},
        {"location": point(1e9, 0, 0)},
    ):
        broken = [rows[0], rows[1] | change, rows[2]]
        assert "row 1: location [1" in refused(write_clip(tmp_path, egomotion_estimate=broken))
    seconds = [row | {"time": 10**15 * i} for i, row in enumerate(rows)]
    assert "times are microseconds" in refused(write_clip(tmp_path, egomotion_estimate=seconds))


@pytest.mark.parametrize(
    ("table", "rows", "message"),
    [
        (
            "egomotion_estimate",
            [{"time": "a", "location": point(0, 0, 0), "orientation": LEVEL}],
            "not whole microseconds",
        ),
        (
            "egomotion_estimate",
            [{"time": 1, "location": [1.0], "orientation": LEVEL}],
            "a struct of the numbers x, y, z",
        ),
        ("egomotion_estimate", [{"time": 1, "location": point(0, 0, 0)}], "unknown column 'egomotion_estimate.orient"),
        (
            "egomotion_estimate",
            [{"time": 1, "location": {"x": "1", "y": 1.0, "z": 1.0}}],
            "not a struct of the numbers",
        ),
        (
            "obstacle",
            [row | {"time": 2**62} for row in obstacle_rows("1", None, 9, 0)],
            "4611686018427387904 is no time",
        ),
        ("lane_line", [{"line_rail": "5 0 0"}], "is string, not a list of points x, y, z"),
        ("lane_line", [{"line_rail": AHEAD, "colors": "WHITE"}], "is string, not a list of texts"),
        ("lane_line", [{"line_rail": AHEAD, "colors": [1.5]}], "not text"),
        ("obstacle", [row | {"category": 1.5} for row in obstacle_rows("1", None, 9, 0)], "is double, not text"),
        ("road_boundary", [{"locations": AHEAD}], "did you mean 'road_boundary.locations'"),
        ("calibration_estimate", [{"rig_json": None}], "the first row has no rig_json"),
        ("calibration_estimate", [{"rig_json": "{"}], "is not JSON"),
        ("calibration_estimate", [{"rig_json": "{}"}], "a rig is an object with a list rig.sensors"),
    ],
)
def test_columns_that_are_not_of_the_format(tmp_path: Path, table: str, rows: list, message: str) -> None:
    text = refused(write_clip(tmp_path, **{table: rows}))
    assert message in text
    assert f"clip.{table}.parquet" in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"polynomial": "0 0.0016 x 0 0"}, "polynomial is 'x', not a finite number"),
        ({"polynomial": "0 0.0016"}, "5 or 6 coefficients, not 2"),
        ({"polynomial-type": "other"}, "allowed pixeldistance-to-angle and angle-to-pixeldistance"),
        ({"width": "nan"}, "width is 'nan', not a finite number"),
        ({"polynomial": "0 -0.0016 0 0 0"}, "the radius must grow with the angle"),
    ],
)
def test_calibrations_that_are_no_lens(tmp_path: Path, changes: dict, message: str) -> None:
    text = refused(write_clip(tmp_path, sensors=[sensor(**changes)]))
    assert message in text and "camera camera_front_wide_120fov" in text


def test_names_of_tables_inside_are_checked(tmp_path: Path) -> None:
    write_table(write_clip(tmp_path) / "clip.road_boundary.parquet", "wait_line", [{"location": AHEAD}])
    assert "unknown column 'road_boundary'" in refused(tmp_path)
