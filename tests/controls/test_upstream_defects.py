"""The defects of CARLA's Cosmos exporter, each pinned by the number that a list of them gives it.

Those of its live capture are pinned where the same data passes here: the log reader, the scene, the renderer.
"""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import yaml

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video import Encoding, VideoWriter, read_video
from cosmos_exp.controls import make_control, preview
from cosmos_exp.controls.carla_set import FILES, FRAMES_AT_ONCE, frame_times, write_control_set
from cosmos_exp.controls.class_filter import read_class_filter
from cosmos_exp.controls.seg import instance_colors, merged_ids
from cosmos_exp.rendering.palette import Tag
from cosmos_exp.rendering.renderer import Renderer, render_camera
from cosmos_exp.rendering.types import OUTPUTS, CameraRender
from cosmos_exp.scene.actor_frame import actor_origin
from cosmos_exp.scene.carla.axes import flu_poses
from cosmos_exp.scene.procedural.street import procedural_scene
from cosmos_exp.scene.types import Scene
from cosmos_exp.sensors.carla_image import instance_of
from cosmos_exp.sensors.carla_lens import lens_of
from cosmos_exp.sensors.carla_yaml import carla_rig, read_carla_sensors

SAMPLE_FILTER = Path(__file__).with_name("carla_filter.yaml")
SENSORS = ("rgb", "depth", "semantic_segmentation", "instance_segmentation", "normals", "rds_hq")
SIZE = {"image_size_x": 96, "image_size_y": 64, "fov": 100}
FRAMES = FRAMES_AT_ONCE + 3  # more than are drawn at once


def sensor_file(path: Path, *yaws: float, sensors: tuple[str, ...] = SENSORS, **attributes: int) -> Path:
    """A camera of all sensors for each yaw."""
    entries = [
        {
            "sensor": sensor,
            "attributes": {**SIZE, **attributes},
            "transform": {"location": {"z": 1.8}, "rotation": {"yaw": yaw}},
        }
        for yaw in yaws
        for sensor in sensors
    ]
    path.write_text(yaml.safe_dump(entries))
    return path


@pytest.fixture(scope="module")
def scene() -> Scene:
    return procedural_scene(seed=1000003, num_vehicles=8, num_pedestrians=4, duration=2.0)


@pytest.fixture(scope="module")
def control_set(scene, tmp_path_factory) -> dict[str, dict[str, Path]]:
    """{camera: {file: path}} of two cameras with all outputs, lossless."""
    folder = tmp_path_factory.mktemp("control_set")
    sensors = read_carla_sensors(sensor_file(folder / "sensors.yaml", 0, 90))
    edge = seg = {"class_filter": str(SAMPLE_FILTER)}
    paths = write_control_set(
        scene, sensors, folder, num_frames=FRAMES, edge=edge, seg=seg, encoding=Encoding(lossless=True), threads=4
    )
    found: dict[str, dict[str, Path]] = {}
    for path in paths:
        found.setdefault(path.parent.name, {})[path.stem] = path
    return found


@pytest.fixture(scope="module")
def front(scene, tmp_path_factory):
    path = sensor_file(tmp_path_factory.mktemp("rig") / "sensors.yaml", 0)
    return carla_rig(read_carla_sensors(path), actor_origin(scene)).cameras[0]


@pytest.fixture(scope="module")
def render(scene, front) -> CameraRender:
    """All outputs of the front camera, one frame at a time."""
    renderer, times = Renderer(scene), frame_times(scene, 24.0, FRAMES)
    single = [render_camera(renderer, front, [t], threads=1) for t in times]
    arrays = {name: np.concatenate([getattr(r, name) for r in single]) for name in OUTPUTS}
    return CameraRender("camera_0", times, **arrays)


def test_01_frames_stay_in_order_with_several_workers(control_set, render):
    assert np.array_equal(read_video(control_set["camera_0"]["rgb"]), render.rgb)


def test_02_all_outputs_of_a_frame_are_of_its_time(control_set, render):
    """No output is a frame behind another."""
    semantic, hdmap = (read_video(control_set["camera_0"][n]) for n in ("semantic_segmentation", "hdmap"))
    assert np.array_equal(semantic, preview("semantic", render)) and np.array_equal(hdmap, render.hdmap)
    assert not np.array_equal(semantic[:-1], semantic[1:])


def test_03_all_videos_have_all_frames(control_set):
    for files in control_set.values():
        assert {name: len(read_video(path)) for name, path in files.items()} == dict.fromkeys(FILES, FRAMES)


def test_04_cameras_of_one_kind_do_not_overwrite_each_other(control_set):
    assert sorted(control_set) == ["camera_0", "camera_1"]
    left, right = (read_video(control_set[camera]["rgb"]) for camera in ("camera_0", "camera_1"))
    assert np.abs(left.astype(int) - right).mean() > 5


def test_07_frames_are_at_times_not_at_duration_over_frames(scene):
    """N frames last N-1 steps; nothing drifts."""
    times = frame_times(scene, 24.0)
    assert len(times) == 49 and times[-1] - times[0] == pytest.approx(2.0, abs=1e-12)


def test_09_times_do_not_accumulate_rounding(scene):
    times = scene.frame_times(1_000_000, 30.0)
    assert times[-1] == scene.start + 999_999 / 30.0


def test_10_vehicles_and_bgr_entries_give_edges(render):
    video = make_control("edge", render, class_filter=str(SAMPLE_FILTER), strength="very_low")
    theirs = make_control("edge", render, class_filter=str(SAMPLE_FILTER), strength="very_low", reference_compat=True)
    inside = _inside(render.semantic == Tag.CAR)
    assert inside.sum() > 20 and video[inside].any() and not theirs[inside].any()
    lines = render.semantic == Tag.ROAD_LINE
    assert read_class_filter(SAMPLE_FILTER).canny.keeps(render.semantic)[lines].all()


def _inside(mask: np.ndarray) -> np.ndarray:
    return np.stack([cv2.erode(m.astype(np.uint8), np.ones((3, 3), np.uint8)) for m in mask]).astype(bool)


@pytest.fixture
def flat() -> CameraRender:
    """Road and building in one even grey."""
    semantic = np.full((1, 40, 40), Tag.ROAD, np.uint8)
    semantic[:, :, 20:] = Tag.BUILDING
    return CameraRender("front", np.zeros(1), rgb=np.full((1, 40, 40, 3), 200, np.uint8), semantic=semantic)


def test_11_class_borders_are_no_edges(flat):
    assert not make_control("edge", flat, class_filter="carla").any()
    assert make_control("edge", flat, class_filter="carla", reference_compat=True).any()


def test_12_grey_has_the_weights_of_rgb(flat):
    """A step in blue is weaker than one in red: 0.114 against 0.299."""
    for channel, found in ((0, True), (2, False)):
        frames = flat.rgb.copy()
        frames[:, 20:, :, channel] -= 160
        road = CameraRender("front", flat.times, rgb=frames, semantic=np.full_like(flat.semantic, Tag.ROAD))
        params = {"class_filter": "carla", "strength": "low"}
        assert make_control("edge", road, **params).any() == found
        assert make_control("edge", road, **params, reference_compat=True).any() != found


def test_13_objects_of_one_class_keep_their_ids():
    """Two cars whose ids differ in the lower byte."""
    bgra = np.array([[[[1, 7, 14, 255], [2, 7, 14, 255]]]], np.uint8)
    ids, tags = instance_of(bgra), bgra[..., 2]
    ours = instance_colors(ids, "prism")[0, 0]
    assert ids.tolist() == [[[0x701, 0x702]]] and not np.array_equal(*ours)
    assert np.array_equal(*instance_colors(merged_ids(tags, ids), "prism")[0, 0])


def test_14_no_filter_is_no_black_video(render, tmp_path):
    assert preview("rgb_edges", render).any() and preview("rgb_masked", render).any()
    empty = tmp_path / "filter.yaml"
    empty.write_text("canny_classes: []")
    with pytest.raises(UserError, match="keeps no class"):
        make_control("edge", render, class_filter=str(empty))


def test_15_and_17_importing_changes_nothing_and_needs_no_matplotlib():
    """No global random state, no state of the module, no matplotlib."""
    code = (
        "import sys, numpy as np; np.random.seed(5); before = np.random.get_state()[1].tolist()\n"
        "from cosmos_exp.controls import seg; seg.prism_palette()\n"
        "assert np.random.get_state()[1].tolist() == before\n"
        "assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_15_filters_hold_for_one_call_only(render):
    narrow = make_control("edge", render, class_filter=str(SAMPLE_FILTER))
    make_control("edge", render, class_filter="carla")
    assert np.array_equal(make_control("edge", render, class_filter=str(SAMPLE_FILTER)), narrow)


def test_16_videos_are_encoded_once_and_can_be_exact(control_set, render, tmp_path):
    """No file in between and no ffmpeg program; depth survives lossless videos to the bit, others within 2 levels."""
    depth = preview("depth", render)
    assert np.array_equal(read_video(control_set["camera_0"]["depth"]), depth)
    assert not list(control_set["camera_0"]["depth"].parent.glob("*tmp*"))
    with VideoWriter(tmp_path / "depth.mp4", width=96, height=64, fps=24) as writer:
        for frame in depth:
            writer.write(frame)
    assert np.abs(read_video(tmp_path / "depth.mp4").astype(int) - depth).mean() < 2


def test_18_few_frames_are_held(scene, tmp_path):
    """Three times the frames need no more memory."""
    path = sensor_file(tmp_path / "sensors.yaml", 0, sensors=("depth",), image_size_x=320, image_size_y=192)
    sensors = read_carla_sensors(path)
    peaks = []
    for frames in (FRAMES_AT_ONCE, 3 * FRAMES_AT_ONCE):
        tracemalloc.start()
        write_control_set(scene, sensors, tmp_path / str(frames), num_frames=frames)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_19_normals_and_shaded_segmentation_are_written(control_set):
    for name in ("normals", "shaded_segmentation"):
        assert read_video(control_set["camera_0"][name]).std() > 10


def test_20_an_equidistant_lens_has_a_vertical_fov_in_radians():
    size = (1920, 1080)
    lens = lens_of({"sensor": "rds_hq", "wide_angle_lens": True}, {"fov": 150}, size, [])
    assert lens["ftheta"]["poly"] == [0, pytest.approx(1080 / np.radians(150)), 0, 0, 0, 0]
    default = lens_of({"sensor": "rds_hq", "wide_angle_lens": True}, {}, size, [])
    assert default["ftheta"]["poly"][1] == pytest.approx(1080 / np.radians(90)), "no fov: CARLA's own, 90"


def test_21_objects_tilt_with_the_slope():
    """Positive pitch raises the front of objects and cameras alike."""
    uphill = flu_poses(np.zeros((1, 3)), np.array([[0.0, 10.0, 0.0]]))[0]
    assert uphill[2, 0] == pytest.approx(np.sin(np.radians(10)))


@pytest.mark.parametrize("fps", [10.0, 24.0, 29.97, 34.0, 60.0])
def test_22_any_rate_is_what_it_says(scene, fps, tmp_path):
    times = frame_times(scene, fps)
    np.testing.assert_allclose(np.diff(times), 1 / fps)
    with VideoWriter(tmp_path / "x.mp4", width=16, height=16, fps=fps) as writer:
        for _ in times:
            writer.write(np.zeros((16, 16, 3), np.uint8))
    with av.open(str(tmp_path / "x.mp4")) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(fps, rel=1e-3)


def test_23_what_fails_leaves_no_video(scene, tmp_path):
    sensors = read_carla_sensors(sensor_file(tmp_path / "sensors.yaml", 0, sensors=("rgb", "semantic_segmentation")))

    def give_up(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_control_set(scene, sensors, tmp_path / "out", num_frames=2, progress=give_up)
    assert not list((tmp_path / "out").glob("*"))
