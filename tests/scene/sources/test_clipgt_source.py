"""ClipGT clips as a scene source: config, checks, cache key, the clip's own cameras, and broken clips."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import clipgt_writer as w

from cosmos_exp.common.cache import StageCache
from cosmos_exp.common.errors import UserError
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.config.validate import validate
from cosmos_exp.pipeline.scene_loading import LoadedScene
from cosmos_exp.scene.clipgt.scene import actor_class, load_clipgt_scene
from cosmos_exp.scene.types import ActorClass
from cosmos_exp.sweeps.expand import sweep_over_all

RAIL = w.points((-20, 2, 0), (60, 2, 0))


def loaded(cfg, tmp_path: Path) -> LoadedScene:
    return LoadedScene(RunSpec.of(cfg), StageCache(tmp_path / "cache"))


def test_a_run_draws_the_clip_with_its_own_cameras(clipgt_root: Path, configure, tmp_path: Path) -> None:
    cfg = configure("scene=clipgt", f"scene.root={clipgt_root}", "sensors=clipgt")
    assert validate(cfg) == []
    made = loaded(cfg, tmp_path)
    assert len(made.rig.cameras) == 6
    assert np.allclose(made.rig.camera("front_wide_120fov").camera_to_rig[:3, 3], (1.75, 0, 1.45))
    assert made.scene.clip_id == next(clipgt_root.iterdir()).name and made.scene.duration == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "scene.root is required"),
        (["scene.root=nowhere"], "scene.root: no folder 'nowhere'"),
        (["scene.root={}"], "holds 2 clips: name one of one, two"),
        (["scene.root={}", "scene.clip=tow"], "'tow': did you mean 'two'?"),
        (["scene.root={}", "scene.clip=all"], "scene.clip=all makes a sweep"),
        (["scene.root={}", "scene.clip=one", "scene.start=-1"], "scene.start=-1: must be 0 s or later"),
        (["scene.root={}", "scene.clip=one", "sensors.camera_type=pinhole"], "has ftheta cameras only"),
        (["scene=procedural"], "sensors=clipgt goes with"),
    ],
)
def test_a_mistake_is_named_once(overrides: list[str], message: str, configure, tmp_path: Path) -> None:
    for name in ("one", "two"):
        w.write_clip(tmp_path / name, name)
    given = [override.format(tmp_path) for override in overrides]
    problems = validate(configure("scene=clipgt", "sensors=clipgt", "views=single", *given))
    assert len(problems) == 1 and message in problems[0]


def test_the_cache_key_is_of_the_content(clipgt_root: Path, configure, tmp_path: Path) -> None:
    def key(root: Path, *overrides: str) -> str:
        return loaded(configure("scene=clipgt", f"scene.root={root}", *overrides), tmp_path).key

    moved = tmp_path / "moved"
    shutil.copytree(clipgt_root, moved)
    assert key(moved) == key(clipgt_root) != key(clipgt_root, "scene.start=0.5")
    next(moved.glob("*/*.pole.parquet")).unlink()
    assert key(moved) != key(clipgt_root)


def test_all_clips_are_a_sweep(tmp_path: Path) -> None:
    for name in ("one", "two"):
        w.write_clip(tmp_path / name, name)
    given = ["scene=clipgt", f"scene.root={tmp_path}", "scene.clip=all"]
    assert sweep_over_all(given) == ["--multirun", *given[:2], "scene.clip='one','two'"]


def test_frames_may_lie_beyond_the_poses(tmp_path: Path) -> None:
    folder = w.write_clip(tmp_path)
    (folder / "clip.camera_front_wide_120fov.json").write_text(
        str([{"timestamp": w.START - 100_000 + 50_000 * i} for i in range(11)]).replace("'", '"')
    )
    scene = load_clipgt_scene(folder)
    assert (scene.start, scene.end) == (0.0, 0.5)
    assert [scene.rig_trajectory.at(t)[0, 3] for t in (0.0, 0.1, 0.25, 0.5)] == pytest.approx([-1.0, 0.0, 1.5, 4.0])


def test_foreign_categories_and_sizes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = w.obstacle_rows("1", "Heavy_Truck", 20, 3) + w.obstacle_rows("2", "stroller", 20, -3)
    rows[1]["size"] = w.point(6, 2, 1.5)
    scene = load_clipgt_scene(w.write_clip(tmp_path, obstacle=rows, lane_line=[{"line_rail": RAIL}]))
    assert [(track.actor_class, track.model) for track in scene.tracks] == [
        (ActorClass.TRUCK, "Heavy_Truck"),
        (ActorClass.OTHER, "stroller"),
    ]
    assert scene.tracks[0].size == (5.0, 2.0, 1.5)
    assert [line.style for line in scene.map.lane_lines] == ["solid"]
    assert "no lanes, so no road surface" in caplog.text
    words = ("person", "Cyclist", "motorcycle", "Train_or_tram_car", "other_vehicle", "")
    classes = ("pedestrian", "bicycle", "motorcycle", "train", "car", "other")
    assert [actor_class(word).value for word in words] == list(classes)


def test_rows_at_one_time_count_once(tmp_path: Path) -> None:
    rows = [*w.obstacle_rows("1", "bus", 20, 3), *w.obstacle_rows("1", "bus", 25, 3)]
    (track,) = load_clipgt_scene(w.write_clip(tmp_path, obstacle=rows)).tracks
    assert track.trajectory.times.tolist() == [0.0, 0.3] and track.trajectory.poses[:, 0, 3].tolist() == [20, 20]


def test_one_odd_value_of_our_own_columns_does_not_cost_the_clip(tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.WARNING)
    light = {"center": w.point(9, 0, 5), "dimensions": w.point(0.3, 0.4, 1), "orientation": w.LEVEL}
    lights = [light | {"attributes": text} for text in ("[]", "{broken", '[{"name": "state_times"}]', "7")]
    cars = [row | {"appearance": '{"actor_class": "ship"}'} for row in w.obstacle_rows("1", "bus", 20, 3)]
    scene = load_clipgt_scene(w.write_clip(tmp_path, traffic_light=lights, obstacle=cars))
    assert len(scene.map.traffic_lights) == 4 and scene.tracks[0].actor_class is ActorClass.BUS
    assert "odd values of our own columns are not used" in caplog.text


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"calibration_estimate": None}, "no .*calibration_estimate.parquet: a clip has at least"),
        ({"egomotion_estimate": w.ego_rows(2)[::-1]}, "row 1: time 1000000 is not after the 1100000 of the row before"),
        (
            {"egomotion_estimate": [row | {"orientation": dict.fromkeys("xyzw", np.nan)} for row in w.ego_rows()]},
            r"row 0: location \[0.0, 0.0, 0.0\] and orientation \[nan, nan, nan, nan\] must be finite",
        ),
        ({"lane_line": [{"line_rail": "a line"}]}, "column lane_line.line_rail is string, not a list of points"),
        ({"obstacle": [{"time": 1, "trackline_id": "1"}]}, "unknown column 'obstacle.center'"),
    ],
)
def test_clips_that_are_no_scene(tables: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        load_clipgt_scene(w.write_clip(tmp_path, **tables))


def test_a_truncated_table(clipgt_root: Path, tmp_path: Path) -> None:
    (source,) = clipgt_root.iterdir()
    folder = tmp_path / source.name
    shutil.copytree(source, folder)
    path = next(folder.glob("*.obstacle.parquet"))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"obstacle.parquet is no parquet file"):
        load_clipgt_scene(tmp_path)
