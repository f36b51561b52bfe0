"""What is told of a clip before a model reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers import clipgt_writer as w
from helpers.streets import pose, still, street_map

from cosmos_exp.cli.commands.check_clip import main
from cosmos_exp.common.errors import UserError
from cosmos_exp.config.conf_folder import CONF
from cosmos_exp.rendering.wsm.preflight import Severity, findings
from cosmos_exp.rendering.wsm.sources import open_source
from cosmos_exp.scene.clipgt.writer import write_clip
from cosmos_exp.scene.types import ActorClass, Scene, Track, Trajectory
from cosmos_exp.sensors.rigs import build_rig

ERROR, WARNING, NOTE = Severity
CAMERAS = yaml.safe_load((CONF / "sensors" / "nvidia_seven.yaml").read_text())["cameras"]
BOX = {"size": w.point(4, 2, 1.5), "orientation": w.LEVEL}


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """The folder of a clip of 10.1 s that the model can read, with seven cameras."""
    street = street_map()
    marking = street.crosswalks[0] + (20, 0, 0)
    street = replace(street, road_markings=(marking,))
    rig = Trajectory(np.array([0.0, 10.1]), np.stack([pose(0, 0, 0), pose(80, 0, 0)]))
    kinds = (ActorClass.CAR, ActorClass.PEDESTRIAN)
    tracks = tuple(
        Track(k.value, k, (1.0, 1.0, 1.5), still(pose(20 + 9 * i, 3, 0.75), 11.0)) for i, k in enumerate(kinds)
    )
    scene = Scene("good", "test", street, Track("ego", ActorClass.CAR, (4, 2, 1), rig), rig, tracks, 0.0, 10.1)
    root = tmp_path_factory.mktemp("good")
    write_clip(scene, build_rig("seven", CAMERAS), root)
    return root / "good"


def told(folder: Path, clip: str = "good") -> dict[str, Severity]:
    return {finding.text: finding.severity for finding in findings(open_source(folder, clip))}


def changed(good: Path, tmp_path: Path, **tables: list[dict] | None) -> Path:
    """The clip with other rows in some tables; None: without the table."""
    folder = tmp_path / "good"
    folder.mkdir()
    for path in good.iterdir():
        if path.name.split(".")[1] not in tables:
            (folder / path.name).symlink_to(path)
    for table, rows in tables.items():
        if rows is not None:
            w.write_table(folder / f"good.{table}.parquet", table, rows)
    return folder


def test_a_good_clip_has_nothing_but_notes(good: Path) -> None:
    assert set(told(good).values()) <= {NOTE}


def line(*words: str, z: float = 0.0, y: float = 2.0, count: int = 1) -> list[dict]:
    color, style = words or ("WHITE", "SOLID_SINGLE")
    rail = w.points((-20, y, z), (90, y, z))
    return [{"line_rail": rail, "colors": [color] * 2, "styles": [style] * 2}] * count


def objects(*categories: str, **changes) -> list[dict]:
    rows = []
    for number, category in enumerate(categories):
        row = {"trackline_id": str(number), "center": w.point(20, 3, 1), "category": category, **BOX, **changes}
        rows += [{**row, "time": 0}, {**row, "time": 1_000_000}]
    return rows


def sensor(name: str = "camera:front:wide:120fov", **changes) -> list[dict]:
    return [{"name": "x", "rig_json": json.dumps({"rig": {"sensors": [{**w.sensor(name), **changes}]}})}]


SQUARE = w.points((9, -1, 0.0), (12, -1, 0), (12, 4, 0), (9, 4, 0))
MOUNT = {"t": [1.5, 0, 3.0], "roll-pitch-yaw": [0, 0, 90]}


@pytest.mark.parametrize(
    ("tables", "severity", "text"),
    [
        ({"lane_line": None}, ERROR, "no lane lines: the model makes up the lanes"),
        ({"lane_line": line(y=900.0)}, ERROR, "no lane line within 60 m of the car's way"),
        ({"lane_line": line(z=1.4)}, WARNING, "lane lines lie 1.4 m above the ground under the car"),
        ({"lane_line": line(z=-2.0)}, WARNING, "lane lines lie 2.0 m below the ground"),
        ({"lane_line": line("WHITE", "DASHED_SINGLE", count=3)}, NOTE, "ochre and solid: 3 WHITE DASHED_SINGLE"),
        ({"lane_line": line("WHITE", "VIRTUAL")}, NOTE, "ochre and solid: 1 WHITE VIRTUAL"),
        ({"lane_line": line("YELLOW", "SOLID_GROUP")}, NOTE, "1 double lane lines: NVIDIA's renderer merges"),
        ({"road_boundary": None}, WARNING, "no road boundaries"),
        ({"pole": None, "wait_line": None}, NOTE, "no wait lines, poles"),
        ({"crosswalk": [{"location": SQUARE}]}, WARNING, "1 crosswalks or road markings are level"),
        (
            {"traffic_light": [{"center": w.point(9, 0, 5), "dimensions": w.point(1, 1, 1), "orientation": w.LEVEL}]},
            WARNING,
            "none of 1 traffic lights has a state",
        ),
        ({"obstacle": None}, WARNING, "no objects: the model sees an empty road"),
        ({"obstacle": objects("bus", "truck")}, WARNING, "objects of one class alone: 2 Truck"),
        ({"obstacle": objects("bus", "drone", "moose")}, WARNING, "drawn as Others: 'drone', 'moose'"),
        ({"obstacle": objects("bus", size=w.point(90, 2, 2))}, WARNING, "smaller than 0.05 m or larger than 40 m: 0"),
        (
            {"obstacle": [*objects("bus")[:1], {**objects("bus")[1], "center": w.point(500, 3, 1)}]},
            WARNING,
            "objects faster than 70 m/s: 0",
        ),
        ({"egomotion_estimate": w.ego_rows(2, 2000.0)}, WARNING, "the car moves at 2000 m/s at frame"),
        ({"egomotion_estimate": w.ego_rows(2, 0.0)}, NOTE, "the car stands"),
        ({"calibration_estimate": sensor("camera:top")}, ERROR, "none of the cameras camera_front_wide_120fov"),
        ({"calibration_estimate": sensor()}, WARNING, "1 of the 7 cameras of the model: no camera_cross_left_120fov"),
        ({"calibration_estimate": sensor(nominalSensor2Rig_FLU=MOUNT)}, WARNING, "yaw 90 degrees, not about 0; 3.0 m"),
        ({"calibration_estimate": sensor("camera:front:tele:30fov")}, WARNING, "117 degrees across, not about 30"),
        ({"calibration_estimate": sensor(properties={})}, ERROR, "no sensor has an f-theta polynomial"),
        ({"pole": [{"location": [w.point(np.nan, 0, 0)]}]}, NOTE, "pole: 1 rows with vertices that are not finite"),
        ({"pole": [{"location": "x"}]}, ERROR, "column pole.location is string"),
    ],
)
def test_what_is_told(tables: dict, severity: Severity, text: str, good: Path, tmp_path: Path) -> None:
    found = [kind for said, kind in told(changed(good, tmp_path, **tables)).items() if text in said]
    assert found == [severity]


@pytest.mark.parametrize(
    ("times", "severity", "text"),
    [
        (np.arange(86) * 33_333, ERROR, "86 frames at 30 Hz are 28 at 10 Hz: the model reads 29, that is 87, or more"),
        (np.arange(100) * 41_667, ERROR, "24 Hz is no multiple of 10 Hz, the rate of the model; the nearest is 20 Hz"),
        (np.arange(100) * -33_333, ERROR, "frame 1 is at -33333 us, not after the frame before it"),
        (np.arange(60) * 100_000, NOTE, "60 frames at 10 Hz: the model reads 29 and then 28 each, so 3 are over"),
        (np.arange(60) * 100_000, NOTE, "60 frames at 10 Hz: Cosmos3 reads 101"),
        (np.append(np.arange(60), 65) * 100_000, WARNING, "frames are 100 to 600 ms apart"),
    ],
)
def test_frames(times: np.ndarray, severity: Severity, text: str, good: Path, tmp_path: Path) -> None:
    folder = changed(good, tmp_path)
    path = folder / "good.camera_front_wide_120fov.json"
    path.unlink()
    path.write_text(json.dumps([{"timestamp": time} for time in times.tolist()]))
    assert [kind for said, kind in told(folder).items() if text in said] == [severity]


def test_a_broken_part_does_not_hide_the_others(good: Path, tmp_path: Path) -> None:
    folder = changed(good, tmp_path, obstacle=[{"time": 0, "trackline_id": "1"}], pole=None)
    found = told(folder)
    assert [kind for said, kind in found.items() if "obstacle" in said] == [ERROR]
    assert any("no poles" in said for said in found)


def test_the_command(good: Path, tmp_path: Path, capsys) -> None:
    assert main([str(good)]) == 0
    assert capsys.readouterr().out.startswith("good: 0 errors, 0 warnings, ")
    changed(good, tmp_path, lane_line=None, calibration_estimate=None)
    w.write_clip(tmp_path / "two", "two")
    assert main([str(tmp_path), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["good", "two"] and "a clip has at least the tables" in told["good"][0]["text"]
    assert main([str(tmp_path), "--clip", "two"]) == 1
    out = capsys.readouterr().out
    assert "good" not in out and "\n  error: no lane lines" in out
    for arguments, message in (
        ((str(tmp_path), "--clip", "tow"), "did you mean 'two'"),
        (("nowhere",), "no such folder"),
    ):
        with pytest.raises(UserError, match=message):
            main(arguments)


def test_rds_hq_clips_are_checked_too(clip_root: Path, capsys) -> None:
    assert main([str(clip_root)]) == 1
    out = capsys.readouterr().out
    assert "46 frames at 30 Hz are 15 at 10 Hz" in out and "6 of the 7 cameras" in out
