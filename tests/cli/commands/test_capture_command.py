"""`cosmos-exp capture` against a server, with CARLA's client: the defects of CARLA's Cosmos exporter are absent.

The numbers are those of the list of its defects; what the same code does without a server is pinned in
tests/controls/test_upstream_defects.py.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
import yaml
from helpers.carla_clients import require_carla

from cosmos_exp.cli.commands import capture
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video import read_video
from cosmos_exp.controls.carla_set import FILES
from cosmos_exp.controls.class_filter import CANNY, find_filter
from cosmos_exp.controls.previews import preview
from cosmos_exp.controls.seg import instance_colors
from cosmos_exp.rendering.palette import Tag
from cosmos_exp.rendering.types import CameraRender
from cosmos_exp.scene.carla.example import example_log, example_map
from cosmos_exp.scene.carla_live.folder import OUTPUTS, Capture, open_capture
from cosmos_exp.scene.rds_hq.clip import find_clip

SAMPLE_FILTER = Path(__file__).parents[2] / "controls" / "carla_filter.yaml"
SENSORS = ("rgb", "depth", "semantic_segmentation", "instance_segmentation", "normals", "rds_hq")
START, FRAMES = 4.5, 9
carla = require_carla()
pytest.importorskip("msgpack")
pytestmark = pytest.mark.own_process


def sensor_file(path: Path, *yaws: float, sensors: tuple[str, ...] = SENSORS, **attributes: object) -> Path:
    """A camera of all sensors for each yaw."""
    values = {"image_size_x": 96, "image_size_y": 64, "fov": 100, **attributes}
    transforms = [{"location": {"z": 1.8}, "rotation": {"yaw": yaw}} for yaw in yaws]
    entries = [{"sensor": s, "attributes": values, "transform": t} for t in transforms for s in sensors]
    path.write_text(yaml.safe_dump(entries))
    return path


@pytest.fixture(scope="module")
def drive(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drive")
    (folder / "drive.log").write_bytes(example_log())
    (folder / "ExampleStreet.xodr").write_text(example_map())
    return folder


@pytest.fixture(scope="module")
def port(drive: Path) -> Iterator[str]:
    from cosmos_exp.carla_sim.process import server_process

    arguments = ["--port", "0", "--map", str(drive / "ExampleStreet.xodr"), "--log", str(drive / "drive.log")]
    with server_process(arguments) as server:
        yield str(server.port)


@pytest.fixture(scope="module")
def command(drive: Path, port: str) -> list[str]:
    """What every capture here begins with."""
    return ["-f", str(drive / "drive.log"), "--port", port, "--timeout", "120"]


@pytest.fixture(scope="module")
def out(drive: Path, command: list[str]) -> Path:
    """Two cameras with all sensors, lossless; the raw capture is in `raw`."""
    folder = drive / "out"
    sensors = sensor_file(drive / "sensors.yaml", 0, 90)
    given = ["--sensors", f"file:{sensors}", "--class-filter-config", str(SAMPLE_FILTER), "-s", str(START)]
    more = ["--frames", str(FRAMES), "--num-post-workers", "4", "--lossless", "--keep", str(drive / "raw")]
    assert capture.main([*command, "-o", str(folder), *given, *more]) == 0
    return folder


@pytest.fixture(scope="module")
def raw(out: Path) -> Capture:
    return open_capture(out.parent / "raw")


@pytest.fixture(scope="module")
def render(raw: Capture) -> CameraRender:
    return CameraRender("camera_0", np.arange(FRAMES) / 24, **{name: raw.array("camera_0", name) for name in OUTPUTS})


def videos(folder: Path) -> dict[str, np.ndarray]:
    return {path.stem: read_video(path) for path in sorted(folder.glob("*.mp4"))}


def test_files_have_the_names_of_the_exporter(out: Path) -> None:
    for camera in ("camera_0", "camera_1"):
        assert {path.stem for path in (out / camera).glob("*.mp4")} == set(FILES)
    assert {"rgb", "rgb_masked", "rgb_edges", "depth", "semantic_segmentation", "instance_segmentation"} <= set(FILES)


def test_01_frames_are_in_order_with_several_workers(out: Path, raw: Capture) -> None:
    assert np.diff(raw.about["frames"]).tolist() == [1] * (FRAMES - 1)
    assert np.array_equal(read_video(out / "camera_0" / "rgb.mp4"), raw.array("camera_0", "rgb"))


def test_02_all_outputs_of_a_frame_are_of_its_tick(render: CameraRender) -> None:
    """The sky of the depth is that of the classes, in every frame; both change from frame to frame."""
    sky = np.isinf(render.output("depth"))
    assert np.array_equal(sky, render.sky)
    assert all(np.any(render.output("semantic")[i] != render.output("semantic")[i + 1]) for i in range(FRAMES - 1))


def test_03_all_videos_have_all_frames(out: Path) -> None:
    for camera in ("camera_0", "camera_1"):
        assert {name: len(video) for name, video in videos(out / camera).items()} == dict.fromkeys(FILES, FRAMES)


def test_04_cameras_of_one_kind_do_not_overwrite_each_other(out: Path) -> None:
    left, right = (read_video(out / camera / "rgb.mp4").astype(int) for camera in ("camera_0", "camera_1"))
    assert np.abs(left - right).mean() > 5


def test_05_the_ego_is_the_log_s_whatever_its_id_in_the_replay(raw: Capture, drive: Path, command, tmp_path) -> None:
    """Without -c it is the hero; an id of the log names the vehicle, and one that is none lists the vehicles."""
    assert raw.about["ego"]["role"] == "hero" and raw.about["ego"]["type_id"] == "vehicle.lincoln.mkz_2020"
    given = ["--sensors", str(drive / "sensors.yaml"), "-o", str(tmp_path), "--frames", "2", "-s", "1", "-c"]
    with pytest.raises(UserError, match=r"7.*vehicle\.lincoln\.mkz_2020 \(role hero\)"):
        capture.main([*command, *given, "7"])
    assert list(tmp_path.iterdir()) == []


def test_06_the_first_frame_is_at_the_start(raw: Capture) -> None:
    """However fast the machine: the ego drives 9 m/s from x = 20 m on at 0 s."""
    from cosmos_exp.scene.carla_live.scene import captured_scene

    scene = captured_scene(raw)
    origin = scene.rig_trajectory.poses[:, :3, 3] + scene.ego_origin
    np.testing.assert_allclose(origin[:, 0], 20 + 9 * (START + np.arange(FRAMES) / 24), atol=1e-3)


def test_07_and_22_frames_are_as_far_apart_as_the_video_says(out: Path, raw: Capture) -> None:
    from cosmos_exp.scene.carla.recorder import read_log

    np.testing.assert_allclose(read_log(raw.log).times, np.arange(FRAMES) / 24)
    with av.open(str(out / "camera_0" / "rgb.mp4")) as container:
        assert container.streams.video[0].average_rate == 24


@contextmanager
def captured(command: list[str], drive: Path, out: Path, *more: str) -> Iterator[dict[str, np.ndarray]]:
    """The videos of one small depth camera."""
    sensors = sensor_file(drive / "depth.yaml", 0, sensors=("depth",), image_size_x=32, image_size_y=24)
    assert capture.main([*command, "--sensors", str(sensors), "-o", str(out), *more]) == 0
    yield videos(out)


@pytest.mark.parametrize(
    ("more", "frames"),
    [
        (["-s", "0", "--frames", "120"], 120),
        (["-s", "0", "-d", "5"], 121),
        (["-s", "4.6", "-d", "0"], 13),  # 08: to the log's end at 5.1 s, not beyond
        (["-s", "1", "-d", "2", "--time-factor", "2"], 25),  # 09: 2 s of the log are 1 s of video
        (["-s", "1", "-d", "1", "--fps", "10"], 11),  # 22: below 24
    ],
)
def test_08_and_09_a_video_has_the_frames_of_its_window(more, frames, command, drive, tmp_path) -> None:
    with captured(command, drive, tmp_path, *more) as made:
        assert {name: len(video) for name, video in made.items()} == {"depth": frames}


def test_08_a_window_beyond_the_end_is_refused(command, drive, tmp_path) -> None:
    given = ["--sensors", str(drive / "sensors.yaml"), "-o", str(tmp_path), "-s", "4", "--frames", "121"]
    with pytest.raises(UserError, match=r"121 frames .* end at 9.000 s, after the end of .* at most 27 frames"):
        capture.main([*command, *given])
    assert list(tmp_path.iterdir()) == []


def test_10_to_12_edges_are_those_of_the_kept_classes(out: Path, render: CameraRender) -> None:
    """Vehicles and BGR entries of the filter give edges, and borders of classes do not by themselves."""
    expected = preview("rgb_edges", render, edge={"class_filter": str(SAMPLE_FILTER)})
    edges = read_video(out / "camera_0" / "rgb_edges.mp4")
    assert np.array_equal(edges, expected) and edges.any()
    kept = find_filter(SAMPLE_FILTER).required(CANNY).keeps(render.output("semantic"))
    assert (
        not edges[~kept].any()
        and (render.output("semantic") == Tag.CAR).any()
        and Tag.CAR in (find_filter(SAMPLE_FILTER).required(CANNY).tags)
    )


def test_13_objects_have_ids_of_their_own(out: Path, render: CameraRender) -> None:
    """Green above blue, so that two cars differ."""
    cars = np.unique(render.output("instance")[render.output("semantic") == Tag.CAR])
    assert len(cars) >= 2
    expected = instance_colors(render.output("instance"), "prism")
    assert np.array_equal(read_video(out / "camera_0" / "instance_segmentation.mp4"), expected)
    assert len({tuple(color) for color in instance_colors(cars, "prism").tolist()}) == len(cars)


def test_14_without_a_filter_edges_are_those_of_the_usual_classes(drive, command, tmp_path) -> None:
    sensors = sensor_file(drive / "edges.yaml", 0, sensors=("rgb", "semantic_segmentation"))
    assert capture.main([*command, "--sensors", str(sensors), "-o", str(tmp_path), "-s", "1", "--frames", "2"]) == 0
    assert read_video(tmp_path / "rgb_edges.mp4").any()


def test_15_and_17_the_modules_have_no_state_and_need_no_matplotlib() -> None:
    code = (
        "import sys, numpy as np; np.random.seed(5); before = np.random.get_state()[1].tolist()\n"
        "import cosmos_exp.cli.commands.capture, cosmos_exp.scene.carla_live.capture, cosmos_exp.controls.carla_set\n"
        "assert np.random.get_state()[1].tolist() == before\n"
        "assert 'matplotlib' not in sys.modules and 'carla' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_16_videos_are_encoded_once(out: Path, render: CameraRender) -> None:
    assert np.array_equal(read_video(out / "camera_0" / "depth.mp4"), preview("depth", render))
    assert not list(out.rglob("*tmp*"))


def test_19_normals_and_shaded_segmentation_are_written(out: Path) -> None:
    for name in ("normals", "shaded_segmentation"):
        assert read_video(out / "camera_0" / f"{name}.mp4").std() > 10


def test_20_a_wide_angle_lens_is_captured_as_it_is_described(command, drive, tmp_path) -> None:
    """Its fov is vertical, and the wide picture is made of two pinhole pictures."""
    entries = [
        {
            "sensor": "semantic_segmentation",
            "wide_angle_lens": True,
            "attributes": {"image_size_x": 128, "image_size_y": 64, "fov": 75},
            "transform": {"location": {"x": 0.4, "z": 1.8}},
        }
    ]
    (tmp_path / "wide.yaml").write_text(yaml.safe_dump(entries))
    given = ["--sensors", str(tmp_path / "wide.yaml"), "-o", str(tmp_path / "out"), "--lossless"]
    assert capture.main([*command, *given, "-s", "1", "--frames", "2"]) == 0
    picture = read_video(tmp_path / "out" / "semantic_segmentation.mp4")[0]
    assert picture.shape == (64, 128, 3)
    assert (picture[:24, 60] == (70, 130, 180)).all() and (picture[-16:, 64] == (128, 64, 128)).all()


def test_21_objects_stand_as_in_the_log(raw: Capture) -> None:
    from cosmos_exp.scene.carla_live.scene import captured_scene

    for track in captured_scene(raw).tracks:
        np.testing.assert_allclose(track.trajectory.poses[:, 2, 2], 1.0, atol=1e-6)


def test_23_an_interrupted_capture_leaves_nothing(command, drive, tmp_path, monkeypatch) -> None:
    from cosmos_exp.scene.carla_live.cameras import LiveOutput

    pictures = []

    def interrupted(output: LiveOutput, images):
        pictures.append(output)
        if len(pictures) > 20:
            raise KeyboardInterrupt
        return original(output, images)

    original = LiveOutput.picture
    monkeypatch.setattr(LiveOutput, "picture", interrupted)
    given = ["--sensors", str(drive / "sensors.yaml"), "-o", str(tmp_path / "out"), "-s", "1", "--frames", "9"]
    with pytest.raises(KeyboardInterrupt):
        capture.main([*command, *given, "--keep", str(tmp_path / "raw")])
    assert list((tmp_path / "out").iterdir()) == [] and not (tmp_path / "raw").exists()


def test_an_rds_hq_sensor_gives_a_clip_and_its_hdmap(out: Path) -> None:
    clip = find_clip(out / "rds-hq", None)
    assert clip.clip_id == "drive_4500000_4833333"
    assert read_video(out / "camera_0" / "hdmap.mp4").any()


def test_the_hdmap_can_be_skipped(command, drive, tmp_path) -> None:
    sensors = sensor_file(drive / "two.yaml", 0, sensors=("depth", "rds_hq"))
    given = ["--sensors", str(sensors), "-o", str(tmp_path), "-s", "1", "--frames", "2", "--skip-render-hdmap"]
    assert capture.main([*command, *given]) == 0
    assert sorted(path.name for path in tmp_path.glob("*.mp4")) == ["depth.mp4"]
    assert (tmp_path / "rds-hq" / "pose").is_dir()


def test_live_traffic_needs_an_ego_and_an_end(drive, port, tmp_path) -> None:
    given = ["--sensors", str(drive / "sensors.yaml"), "-o", str(tmp_path), "--port", port]
    with pytest.raises(UserError, match="live traffic has no end: give --duration or --frames"):
        capture.main(given)
    with pytest.raises(UserError, match="there are no vehicles"):
        capture.main([*given, "--frames", "3"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames", "1"], "--frames 1: at least 2"),
        (["--frames", "9", "-d", "2"], "--frames and --duration: give one of them"),
        (["-c", "5", "--ego", "taxi"], "--camera and --ego: give one of them"),
        (["--time-factor", "0"], "--time-factor 0: must be above 0"),
        (["--port", "70000"], "--port 70000: must be 1 to 65534"),
        (["--num-post-workers", "0"], "--num-post-workers 0: at least 1"),
        (["--cammera", "5"], "unknown option of cosmos-exp capture '--cammera': did you mean '--camera'"),
    ],
)
def test_a_mistake_is_told_before_anything_begins(arguments: list[str], message: str, tmp_path: Path) -> None:
    given = ["--sensors", "sensors.yaml", "-f", "drive.log", "-o", str(tmp_path / "out")]
    with pytest.raises(UserError, match=re.escape(message)):
        capture.main([*given, *arguments])
    assert not (tmp_path / "out").exists()
