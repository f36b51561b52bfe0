"""A segment in the dataset's own schema, converted and read back as an RDS-HQ clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.waymo_tables import CAMERAS, COLUMNS, SEGMENT, SIZE, START, YAWS, Segment, map_frame, pose, write_tfrecord

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video import read_video
from cosmos_exp.scene.rds_hq.clip import RdsHqClip
from cosmos_exp.scene.rds_hq.tars import SampleTar
from cosmos_exp.scene.waymo.convert import at_30_fps, convert_segment
from cosmos_exp.scene.waymo.tables import segments

pytest.importorskip("pyarrow", reason="pyarrow (the waymo extra) is not installed")
OPENCV = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], float)


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> Path:
    root = Segment().write(tmp_path_factory.mktemp("tables"))
    write_tfrecord(root / "v1" / f"segment-{SEGMENT}_with_camera_labels.tfrecord", [map_frame(), b""])
    return root


@pytest.fixture(scope="module")
def converted(tables, tmp_path_factory):
    root = tmp_path_factory.mktemp("clips")
    summary = convert_segment(tables, SEGMENT, root)
    return summary, RdsHqClip(root, SEGMENT)


def test_summary_names_what_went_in_and_what_did_not(converted):
    summary, clip = converted
    assert (summary.clip_id, summary.frames, summary.sweeps, summary.objects) == (SEGMENT, 12, 4, 4)
    assert set(summary.cameras) == set(CAMERAS.values())
    assert summary.left_out == {
        "box of type sign": 4,
        "box without a camera-synced box": 1,
        "speed of a box, taken as standing": 4,
        "speed_bump": 1,
        "driveway": 1,
        "stop_sign": 1,
        "road_line of 1 points": 1,
    }
    assert clip.missing == ()
    assert [p.name for p in clip.root.iterdir() if p.name.startswith(".")] == []


def test_poses_at_30_fps(converted):
    _, clip = converted
    segment = Segment()
    assert clip.pose_cameras() == tuple(sorted(CAMERAS.values()))
    for number, name in CAMERAS.items():
        poses = clip.camera_poses(name)
        assert sorted(poses) == list(range(12)) and poses[0].dtype == np.float64
        mounted = pose(1.5, 0.1, 2.0, yaw=YAWS[number])
        for frame in range(4):
            expected = segment.vehicle(frame, late=0.002 * number) @ mounted
            np.testing.assert_allclose(poses[3 * frame][:3, 3], expected[:3, 3], atol=1e-9)
            np.testing.assert_allclose(poses[3 * frame][:3, :3], expected[:3, :3] @ OPENCV, atol=1e-9)
    vehicle = clip.vehicle_poses()
    np.testing.assert_allclose(vehicle[1], segment.vehicle(0, late=1 / 30), atol=1e-6)
    np.testing.assert_allclose(vehicle[11][:3, :3], vehicle[9][:3, :3], atol=1e-12)
    np.testing.assert_allclose(vehicle[11][:3, 3] - vehicle[9][:3, 3], [2 / 3, 0, 0], atol=1e-6)


def test_front_camera_looks_ahead(converted):
    _, clip = converted
    front = clip.camera_poses("front")[0]
    np.testing.assert_allclose(front[:3, 2], [1, 0, 0], atol=1e-3)
    np.testing.assert_allclose(front[:3, 1], [0, 0, -1], atol=1e-3)


def test_intrinsics_without_distortion(converted):
    _, clip = converted
    model = clip.model("pinhole", "side_left")
    assert (model.width, model.height) == SIZE
    assert (model.fx, model.fy, model.cx, model.cy) == (60, 61, 31, 25)


def test_objects_in_the_world(converted):
    _, clip = converted
    objects = clip.objects()
    assert sorted(objects) == [0, 3, 6, 9]
    assert set(objects[0]) == {"car", "parked", "walker", "rider"}
    assert set(objects[3]) == {"car", "parked", "rider"}
    kinds = {name: (record.type, record.moving) for name, record in objects[0].items()}
    assert kinds == {
        "car": ("Car", True),
        "parked": ("Car", False),
        "walker": ("Pedestrian", True),
        "rider": ("Cyclist", False),
    }
    car = objects[6]["car"]
    assert car.size == (4.6, 1.9, 1.6)
    np.testing.assert_allclose(car.pose, Segment().vehicle(2) @ pose(22, 3, 1, yaw=0.1), atol=1e-9)


def test_map_layers(converted):
    _, clip = converted
    layers = clip.layers()
    labels = clip.labels(["lanes", "lanelines"])
    assert {name: len(found) for name, found in layers.items() if found} == {
        "lanelines": 1,
        "road_boundaries": 1,
        "crosswalks": 1,
    }
    np.testing.assert_allclose(layers["crosswalks"][0][2], [2043, -2996, 12])
    np.testing.assert_allclose(layers["road_boundaries"][0][:, 1], [-3005, -3005, -3006])
    np.testing.assert_allclose(labels["lanes"][0].vertices[0][-1], [2020, -2999, 12])
    attributes = {a["name"]: a for a in labels["lanelines"][0].attributes}
    assert attributes["colors"]["enumsList"]["enumsList"] == ["YELLOW", "YELLOW"]
    assert attributes["styles"]["enumsList"]["enumsList"] == ["DASHED_GROUP"] * 2


def test_sweeps_have_both_returns_in_the_frame_of_the_whole_sweep(converted):
    """Against points made one by one: beam and column to sensor, vehicle at the time of the pixel, world."""
    _, clip = converted
    segment = Segment()
    assert clip.lidar_frames() == (0, 3, 6, 9)
    points, to_world = clip.lidar(6)
    np.testing.assert_allclose(to_world, segment.vehicle(2), atol=1e-12)
    expected = []
    for number in (1, 2):
        distances = segment.ranges(number)[..., 0]
        for row, column in zip(*np.nonzero(distances > 0)):
            beam = segment.beams[::-1][row]
            azimuth = np.pi - 2 * np.pi * (column + 0.5) / COLUMNS - 0.3  # the sensor is turned by 0.3
            across, distance = np.cos(beam), distances[row, column]
            sensor = distance * np.array([across * np.cos(azimuth), across * np.sin(azimuth), np.sin(beam)])
            vehicle = segment.lidar_to_vehicle @ [*sensor, 1]
            expected.append(segment.vehicle(2, late=(column / COLUMNS - 0.5) * 0.05) @ vehicle)
    world = points @ to_world[:3, :3].T + to_world[:3, 3]
    assert points.dtype == np.float32 and len(points) == len(expected)
    np.testing.assert_allclose(world, np.array(expected)[:, :3], atol=2e-3)


def test_timestamps_and_videos(converted):
    _, clip = converted
    times = SampleTar(clip.root / "timestamp" / f"{SEGMENT}.tar")
    written = {f"{3 * i:06d}.timestamp_micros.txt": str(START + 100_000 * i).encode() for i in range(4)}
    assert dict(times.read_each(times.keys)) == written
    video = read_video(clip.root / "pinhole_side_right" / f"{SEGMENT}.mp4")
    assert video.shape == (4, SIZE[1], SIZE[0], 3)
    np.testing.assert_allclose(video.mean(axis=(1, 2))[:, 1], [30, 70, 110, 150], atol=4)  # in the order of time


def test_dataset_config_of_waymo_renders_the_clip(converted):
    from cosmos_exp.rendering.lidar.condition import LidarRenderer

    _, clip = converted
    renderer = LidarRenderer.from_clip(clip, range(12))
    image = renderer.frame(clip.model("pinhole", "front"), clip.camera_poses("front")[4], 4)
    assert image.any()


def test_at_30_fps_turns_on_the_way():
    poses = at_30_fps(np.stack([pose(0, yaw=0.0), pose(3, yaw=0.3)]))
    assert len(poses) == 6
    np.testing.assert_allclose(poses[2], pose(2, yaw=0.2), atol=1e-12)
    np.testing.assert_allclose(poses[5], pose(5, yaw=0.3), atol=1e-12)


def test_without_lidar_tables_and_map(tables, tmp_path):
    few = tmp_path / "tables"
    few.mkdir()
    for component in tables.iterdir():
        if component.name not in ("lidar", "lidar_pose", "v1"):
            (few / component.name).symlink_to(component)
    with pytest.raises(UserError, match=r"no map of segment .*--maps DIR.*--without-map"):
        convert_segment(few, SEGMENT, tmp_path / "clips")
    assert not (tmp_path / "clips").exists()
    summary = convert_segment(few, SEGMENT, tmp_path / "clips", without_map=True, videos="none")
    clip = RdsHqClip(tmp_path / "clips", SEGMENT)
    assert summary.sweeps == 0 and clip.lidar_frames() == ()
    assert not any(clip.layers().values()) and clip.missing == ()
    assert not list((tmp_path / "clips").glob("pinhole_front"))


def test_maps_from_another_folder(tables, tmp_path):
    summary = convert_segment(tables, SEGMENT, tmp_path, maps=tables / "v1", videos="front")
    assert summary.map_elements["crosswalks"] == 1
    assert [p.name for p in tmp_path.glob("pinhole_*") if p.name != "pinhole_intrinsic"] == ["pinhole_front"]


def test_broken_tables(tables, tmp_path):
    import pyarrow.parquet as pq

    with pytest.raises(UserError, match="holds no Waymo tables: no folder 'vehicle_pose'"):
        segments(tmp_path)
    broken = tmp_path / "broken"
    for component in tables.iterdir():
        (broken / component.name).mkdir(parents=True)
        for path in component.iterdir():
            (broken / component.name / path.name).write_bytes(path.read_bytes())
    box = broken / "lidar_box" / f"{SEGMENT}.parquet"
    table = pq.read_table(box)
    pq.write_table(table.drop(["[LiDARBoxComponent].type"]), box)
    with pytest.raises(UserError, match=r"unknown column '\[LiDARBoxComponent\].type'"):
        convert_segment(broken, SEGMENT, tmp_path / "clips")
    box.write_bytes(b"PAR1 no more")
    with pytest.raises(UserError, match="is no parquet file"):
        convert_segment(broken, SEGMENT, tmp_path / "clips")
    box.unlink()
    with pytest.raises(UserError, match="no such table"):
        convert_segment(broken, SEGMENT, tmp_path / "clips")
    assert list((tmp_path / "clips").iterdir()) == []


def test_an_image_that_is_missing(tables, tmp_path):
    import pyarrow.parquet as pq

    broken = tmp_path / "broken"
    broken.mkdir()
    for component in tables.iterdir():
        (broken / component.name).symlink_to(component)
    (broken / "camera_image").unlink()
    (broken / "camera_image").mkdir()
    table = pq.read_table(tables / "camera_image" / f"{SEGMENT}.parquet")
    pq.write_table(table.slice(0, 19), broken / "camera_image" / f"{SEGMENT}.parquet")
    with pytest.raises(UserError, match=f"no image of camera front at 1 of 4 times, the first {START}"):
        convert_segment(broken, SEGMENT, tmp_path / "clips")


class Broken(Segment):
    """vehicle pose, box, range: a value that is not finite in frame 1."""

    place = ""

    def vehicle(self, frame, late=0.0):
        vehicle = super().vehicle(frame, late)
        vehicle[0, 3] += np.nan if self.place == "vehicle" and frame == 1 else 0.0
        return vehicle

    def objects(self, frame):
        kind, centre, size, heading, speed = (found := super().objects(frame))["car"]
        broken = np.inf if self.place == "box" and frame == 1 else heading
        return found | {"car": (kind, centre, size, broken, speed)}

    def ranges(self, number):
        values = super().ranges(number)
        values[0, 1, 0] = np.inf if self.place == "range" else values[0, 1, 0]
        return values


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("vehicle", f"vehicle_pose.*world_from_vehicle.transform at {START + 100_000}: the pose has nan"),
        ("box", f"lidar_camera_synced_box.*object car at {START + 100_000}: .*inf are not finite numbers"),
    ],
)
def test_numbers_that_are_not_finite_stop_with_their_place(place, message, tmp_path):
    segment = Broken()
    segment.place = place
    with pytest.raises(UserError, match=message):
        convert_segment(segment.write(tmp_path), SEGMENT, tmp_path / "clips", without_map=True, videos="none")


def test_lidar_points_without_a_finite_place_are_counted(tmp_path):
    segment = Broken()
    segment.place = "range"
    root = segment.write(tmp_path)
    summary = convert_segment(root, SEGMENT, tmp_path / "clips", without_map=True, videos="none")
    assert summary.left_out["LiDAR point without a finite place"] == 4 * 2
    points, _ = RdsHqClip(tmp_path / "clips", SEGMENT).lidar(0)
    assert np.isfinite(points).all()
