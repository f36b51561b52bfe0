"""Scenes as ClipGT clips: what is written, and that it is read back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import clipgt_writer as w
from helpers.clipgt_round_trip import check_same
from helpers.streets import pose, still, street_map
from pyarrow import parquet

from cosmos_exp.common.errors import UserError
from cosmos_exp.rendering.wsm.drawing import WorldScenario
from cosmos_exp.rendering.wsm.sources import ClipGtSource
from cosmos_exp.scene.carla.log import load_carla_scene
from cosmos_exp.scene.clipgt.clip import ClipGt
from cosmos_exp.scene.clipgt.map import LEAST_SLOPE, sloping
from cosmos_exp.scene.clipgt.scene import load_clipgt_scene
from cosmos_exp.scene.clipgt.scene_clip import SceneClip
from cosmos_exp.scene.clipgt.tables import COLUMNS
from cosmos_exp.scene.clipgt.writer import write_clip
from cosmos_exp.scene.procedural.street import procedural_scene
from cosmos_exp.scene.types import ActorClass, LaneLine, LightState, Scene, SceneMap, Track, Trajectory
from cosmos_exp.sensors.camera import Camera, Rig
from cosmos_exp.sensors.ftheta import FTheta
from cosmos_exp.sensors.pinhole import Pinhole
from cosmos_exp.sensors.rigs import camera_pose

FISHEYE = FTheta(192, 108, (96.0, 53.0), (0.0, 0.0095, 1e-7, 0.0, 0.0, 0.0), True, (1.01, 0.0, 0.0))
RIG = Rig(
    "two",
    (
        Camera("front_wide_120fov", FISHEYE, camera_pose((1.7, 0.0, 1.4), (0.3, 1.5, -0.7))),
        Camera("rear_tele_30fov", Pinhole.from_hfov(160, 90, np.radians(30)), camera_pose((0, 0, 1.6), (0, 0, 180))),
        Camera("down", Pinhole.from_hfov(64, 64, np.radians(90)), camera_pose((0, 0, 20), (0, 90, 30))),
    ),
)


def moving(*places: tuple[float, float, float], times: list[float]) -> Trajectory:
    return Trajectory(np.array(times), np.stack([pose(*place) for place in places]))


def small_scene(**changes) -> Scene:
    """A street seen from a car that turns left at 3 to 5 seconds of the scene's clock, and one object of each class."""
    rig = moving((0, 0, 0), (4, 0, 0), (8, 1, 0), times=[3.0, 4.0, 5.5])
    rig.poses[1:, :2, :2] = pose(0, 0, 0, 0.2)[:2, :2]
    tracks = tuple(
        Track(
            f"{kind.value}_7", kind, (4.0, 1.9, 1.5), still(pose(20 + 3 * i, 4 - i, 0.75, 0.4 * i), 9.0), (0.1, 0.2, 1)
        )
        for i, kind in enumerate(ActorClass)
    )
    late = Track(
        "late", ActorClass.CAR, (4.0, 1.9, 1.5), moving((30, -3, 1), (31, -3, 1), times=[4.0, 4.5]), role="cut-in"
    )
    ego = Track("ego", ActorClass.CAR, (4.8, 1.9, 1.5), rig)
    made = Scene("small street", "test", street_map(), ego, rig, (*tracks, late), 3.0, 5.0)
    return replace(made, **changes)


def check_round_trip(scene: Scene, folder: Path) -> Scene:
    """The scene of the clip of a scene, compared with it."""
    clip = write_clip(scene, RIG, folder)
    back = load_clipgt_scene(folder, clip.clip_id)
    check_same(scene, back, clip.frame_times / 1e6)
    return back


def test_a_clip_in_files_is_the_clip_in_memory_to_the_bit(tmp_path: Path) -> None:
    clip = write_clip(small_scene(), RIG, tmp_path)
    read = ClipGt(tmp_path / "small_street")
    assert (clip.clip_id, read.clip_id, clip.tables) == ("small_street", "small_street", read.tables)
    assert np.array_equal(clip.frame_times, read.frame_times) and len(clip.frame_times) == 61
    assert np.array_equal(clip.ego.poses, read.ego.poses) and np.array_equal(clip.ego.times, read.ego.times)
    assert len(clip.tracks) == len(read.tracks) == 10
    for a, b in zip(clip.tracks, read.tracks):
        assert (a.id, a.category) == (b.id, b.category)
        assert np.array_equal(a.motion.poses, b.motion.poses) and np.array_equal(a.sizes, b.sizes)
    for name, camera in clip.cameras.items():
        assert read.cameras[name].model == camera.model
        assert np.array_equal(read.cameras[name].camera_to_rig, camera.camera_to_rig)
    for layer, labels in clip.labels().items():
        for a, b in zip(labels, read.labels()[layer], strict=True):
            assert a.attributes == b.attributes and all(map(np.array_equal, a.vertices, b.vertices))


def test_the_world_begins_at_the_first_pose_with_its_heading(tmp_path: Path) -> None:
    rig = moving((100, -50, 3), (100, -46, 3), times=[0.0, 1.0])
    rig.poses[:, :3, :3] = pose(0, 0, 0, np.pi / 2)[:3, :3]
    line = LaneLine(np.array([[101.0, -50, 3], [101, 0, 3]]))
    clip = SceneClip(small_scene(map=SceneMap("m", lane_lines=(line,)), rig_trajectory=rig, start=0.0, end=1.0))
    assert np.allclose(clip.ego.poses[0], np.eye(4))
    assert np.allclose(clip.ego.poses[-1][:3, 3], (4, 0, 0))
    assert np.allclose(clip.lane_lines()[0][0], [[0, -1, 0], [50, -1, 0]])


def test_the_words_of_the_format(tmp_path: Path) -> None:
    clip = write_clip(small_scene(), RIG, tmp_path)
    assert {track.id.removesuffix("_7"): track.category for track in clip.tracks if track.id != "late"} == {
        "car": "automobile",
        "truck": "heavy_truck",
        "bus": "bus",
        "train": "train_or_tram_car",
        "motorcycle": "motorcycle",
        "bicycle": "bicycle",
        "rider": "rider",
        "pedestrian": "person",
        "other": "other",
    }
    (_, colors, styles), second = clip.lane_lines()
    assert set(colors) == {"WHITE"} and set(styles) == {"LONG_DASHED_SINGLE"} and len(styles) == 23
    assert set(second[2]) == {"SOLID_SINGLE"}
    rig = json.loads(clip.table("calibration_estimate").columns["rig_json"][0])
    front = rig["rig"]["sensors"][0]
    assert front["name"] == "camera:front:wide:120fov"
    assert front["properties"]["polynomial"].split()[1] == "0.0095" and front["properties"]["linear-c"] == "1.01"
    frames = json.loads((tmp_path / "small_street" / "small_street.camera_front_wide_120fov.json").read_text())
    assert frames[:2] == [{"frame": 0, "timestamp": 0}, {"frame": 1, "timestamp": 33333}]


def test_tables_have_the_columns_of_clips_that_nvidias_loader_took(shared: Path, tmp_path: Path) -> None:
    street = street_map()
    written = write_clip(small_scene(map=replace(street, road_markings=street.crosswalks)), RIG, tmp_path)
    theirs = shared / "wsm" / "golden" / "clips" / "wsm-dev-b"
    assert set(COLUMNS) - set(written.tables) == {"intersection_area", "road_island"}
    for name in written.tables:
        ours, given = (
            parquet.read_schema(folder / f"{clip}.{name}.parquet")
            for folder, clip in ((tmp_path / "small_street", "small_street"), (theirs, "wsm-dev-b"))
        )
        assert ours.names == given.names == ["key", name, "version"] and ours.field(2).type == given.field(2).type
        for column in ("key", name):
            types = {field.name: str(field.type).replace("item: ", "element: ") for field in ours.field(column).type}
            assert {field.name: str(field.type) for field in given.field(column).type}.items() <= types.items(), name


def test_lights_keep_their_states(tmp_path: Path) -> None:
    clip = write_clip(small_scene(start=0.0, end=2.0, rig_trajectory=still(np.eye(4))), RIG, tmp_path)
    (state,) = ClipGt(tmp_path / clip.clip_id).light_states()
    assert [state(time) for time in (0, 999_998, 1_000_000, 5_000_000)] == [
        *(LightState.RED, LightState.RED, LightState.GREEN, LightState.GREEN)
    ]


def test_nvidias_renderer_does_not_stop_at_areas_that_were_level(tmp_path: Path) -> None:
    write_clip(small_scene(), RIG, tmp_path)
    source = ClipGtSource(ClipGt(tmp_path / "small_street"), reference_compat=True)
    WorldScenario(source.elements(), reference_compat=True)


@pytest.mark.parametrize("slope", [0.0, 5e-4, -5e-4, 2e-3, -0.05])
def test_areas_rise_along_the_first_heading(slope: float) -> None:
    ring = np.array([[10.0, 0, 1], [14, 0, 1], [14, 6, 1], [10, 6, 1]])
    ring[:, 2] += slope * ring[:, 0] + 0.02 * ring[:, 1]
    made = sloping(ring)
    (along, across), *_ = np.linalg.lstsq(
        (made - made.mean(axis=0))[:, :2], (made - made.mean(axis=0))[:, 2], rcond=None
    )
    assert abs(along) == pytest.approx(max(abs(slope), LEAST_SLOPE)) and across == pytest.approx(0.02)
    assert np.abs(made - ring).max() <= 2 * LEAST_SLOPE * 2


def test_objects_move_on_where_the_window_cuts_them() -> None:
    path = moving((0, 5, 1), (100, 5, 1), times=[0.0, 10.0])
    gone = moving((0, 5, 1), (1, 5, 1), times=[0.0, 1.0])
    car = Track("far", ActorClass.CAR, (4.0, 2.0, 1.5), path)
    clip = SceneClip(small_scene(tracks=(car, replace(car, id="gone", trajectory=gone), replace(car, id="far"))))
    (track,) = clip.tracks
    assert track.motion.times.tolist() == [-500_000, 2_500_000]
    found = track.at(1_000_000)
    assert found is not None and np.allclose(found[0][:3, 3], (40, 5, 1))
    assert clip.notes == [
        "objects at fewer than two times of the clip left out: gone",
        "objects whose id the format cannot have left out: far",
    ]


def test_a_clip_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_clip(small_scene(), RIG, tmp_path)
    (tmp_path / "small_street" / "notes.txt").write_text("mine")
    write_clip(small_scene(tracks=(), map=SceneMap("empty")), RIG, tmp_path)
    assert sorted(path.name for path in (tmp_path / "small_street").iterdir()) == [
        "notes.txt",
        "small_street.calibration_estimate.parquet",
        "small_street.camera_front_wide_120fov.json",
        "small_street.egomotion_estimate.parquet",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["small_street"]


@pytest.mark.parametrize(
    ("changes", "rig", "message"),
    [
        ({}, Rig("bare", ()), "rig bare has no cameras"),
        ({"end": np.nan}, RIG, "the start or the end is nan"),
        ({"end": 9000.0}, RIG, "269911 frames: a clip has at most 200000"),
        ({}, Rig("odd", (replace(RIG.cameras[0], name="Front"),)), "lower-case letters, digits and _ only"),
        ({"rig_trajectory": still(np.diag([1.0, -1, 1, 1]), 9.0)}, RIG, "is left-handed"),
    ],
)
def test_scenes_that_no_clip_can_hold(changes: dict, rig: Rig, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        write_clip(small_scene(**changes), rig, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_small_street_and_back(tmp_path: Path) -> None:
    back = check_round_trip(small_scene(), tmp_path)
    assert (back.start, back.end, back.clip_id) == (0.0, 2.0, "small_street")


@pytest.mark.parametrize("word", ["DOT_DASHED_SINGLE", "SHORT_DASHED_SINGLE", "DASHED_SOLID", "VIRTUAL"])
def test_words_of_other_clips_are_kept(word: str, tmp_path: Path) -> None:
    rail = w.points((-20, 2, 0), (60, 2, 0))
    styles = {"colors": ["YELLOW"] * 2, "styles": [word] * 2}
    w.write_clip(tmp_path / "clip", lane_line=[{"line_rail": rail, **styles}])
    scene = load_clipgt_scene(tmp_path / "clip")
    again = write_clip(scene, RIG, tmp_path / "again")
    assert again.lane_lines()[0][1:] == (["YELLOW"] * 2, [word] * 2)


def test_a_procedural_street_and_back(tmp_path: Path) -> None:
    check_round_trip(procedural_scene(seed=5, duration=1.0), tmp_path)


def test_a_recorded_drive_and_back(shared: Path, tmp_path: Path) -> None:
    log, town = (shared / "carla" / part for part in ("logs/DistanceToLaneCenter.log", "maps/Town01.xodr"))
    scene = load_carla_scene(log, town, start=2.0, duration=3.0)
    back = check_round_trip(scene, tmp_path)
    assert len(back.map.lane_lines) > 3 and back.map.traffic_lights and len(back.tracks) == len(scene.tracks) > 0
