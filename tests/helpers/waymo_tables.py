"""Writes a small segment in the schema of the Waymo Open Dataset: v2 parquet tables and the v1 TFRecord with its map.

Column names and types are those of the dataset's component classes. Messages are made by google.protobuf from
descriptors with the field numbers of the dataset's .proto files, so that our reader meets somebody else's writer.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

SEGMENT = "10203656353524179475_7625_000_7645_000"
CAMERAS = {1: "front", 2: "front_left", 3: "front_right", 4: "side_left", 5: "side_right"}
YAWS = {1: 0.0, 2: 0.8, 3: -0.8, 4: 1.6, 5: -1.6}
ROWS, COLUMNS = 4, 36
START = 1_500_000_000_000_000
SIZE = (64, 48)


def pose(x=0.0, y=0.0, z=0.0, yaw=0.0, roll=0.0, pitch=0.0) -> np.ndarray:
    (sr, sp, sy), (cr, cp, cy) = np.sin([roll, pitch, yaw]), np.cos([roll, pitch, yaw])
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = about_z @ about_y @ about_x, (x, y, z)
    return result


@dataclass
class Segment:
    """A car that drives 10 m/s east and turns slowly, with one of every kind of object."""

    frames: int = 4
    name: str = SEGMENT
    lidar_to_vehicle: np.ndarray = field(default_factory=lambda: pose(1.4, 0, 2.2, yaw=0.3))
    beams: tuple[float, ...] = (-0.3, -0.2, -0.1, 0.02)

    @property
    def times(self) -> list[int]:
        return [START + 100_000 * i for i in range(self.frames)]

    def vehicle(self, frame: int, late: float = 0.0) -> np.ndarray:
        """late: seconds after the frame's own time."""
        t = frame / 10 + late
        return pose(2000 + 10 * t, -3000.0, 12.0, yaw=0.1 * t)

    def pixel_poses(self, frame: int) -> np.ndarray:
        """[rows, columns, 6]: the car while the sensor turned, 50 ms from behind to behind."""
        values = np.zeros((ROWS, COLUMNS, 6), np.float32)
        for column in range(COLUMNS):
            late = (column / COLUMNS - 0.5) * 0.05
            values[:, column, 2] = 0.1 * (frame / 10 + late)
            values[:, column, 3:] = self.vehicle(frame, late)[:3, 3]
        return values

    def ranges(self, number: int) -> np.ndarray:
        """[rows, columns, 4]; every fifth pixel is empty, the second return has one row."""
        values = np.zeros((ROWS, COLUMNS, 4), np.float32)
        grid = 10 + np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) * 0.1
        keep = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) % 5 != 0
        values[..., 0] = np.where(keep, grid, -1.0)
        if number == 2:
            values[1:, :, 0] = -1.0
            values[0, :, 0] += 20
        return values

    def write(self, root: Path) -> Path:
        """Write all tables below root; returns it."""
        import pyarrow as pa
        from pyarrow import parquet

        for component, (types, rows) in self.tables(pa).items():
            table = pa.table({name: pa.array([r.get(name) for r in rows], kind) for name, kind in types.items()})
            (root / component).mkdir(parents=True, exist_ok=True)
            parquet.write_table(table, root / component / f"{self.name}.parquet")
        return root

    def tables(self, pa) -> dict[str, tuple[dict, list[dict]]]:
        """{component: ({column: type}, rows)}."""
        segment = {"key.segment_context_name": pa.string()}
        frame = {**segment, "key.frame_timestamp_micros": pa.int64()}
        transform = pa.list_(pa.float64(), 16)
        return {
            "vehicle_pose": _component("VehiclePoseComponent", frame, {"world_from_vehicle.transform": transform}, [
                (self._key(i), {"world_from_vehicle.transform": _flat(self.vehicle(i))}) for i in range(self.frames)
            ]),
            "camera_calibration": self._camera_calibration(pa, segment, transform),
            "camera_image": self._camera_image(pa, frame, transform),
            "lidar_calibration": self._lidar_calibration(pa, segment, transform),
            "lidar": self._lidar(pa, frame),
            "lidar_pose": self._lidar_pose(pa, frame),
            "lidar_box": self._lidar_box(pa, frame),
            "lidar_camera_synced_box": self._synced_box(pa, frame),
        }  # fmt: skip

    def objects(self, frame: int) -> dict[str, tuple[int, tuple, tuple, float, float | None]]:
        """{id: (type, centre, size, heading, speed)} in the vehicle's frame."""
        return {
            "car": (1, (20 + frame, 3.0, 1.0), (4.6, 1.9, 1.6), 0.1, 12.0),
            "parked": (1, (30 - frame, -5.0, 1.0), (4.5, 1.8, 1.5), 0.0, 0.05),
            "walker": (2, (8.0, 6.0, 0.9), (0.6, 0.7, 1.75), 1.5, 1.2),
            "rider": (4, (15.0, -2.0, 0.9), (1.8, 0.7, 1.7), 3.1, None),
            "sign": (3, (25.0, 8.0, 2.0), (0.1, 0.6, 0.6), 0.0, 0.0),
        }

    def _key(self, frame: int, **more) -> dict:
        key = {"segment_context_name": self.name, "frame_timestamp_micros": self.times[frame], **more}
        return {f"key.{name}": value for name, value in key.items()}

    def _camera_calibration(self, pa, segment, transform):
        columns = {f"intrinsic.{n}": pa.float64() for n in ("f_u", "f_v", "c_u", "c_v", "k1", "k2", "p1", "p2", "k3")}
        columns |= {"extrinsic.transform": transform, "width": pa.int32(), "height": pa.int32()}
        columns |= {"rolling_shutter_direction": pa.int8()}
        rows = []
        for number, yaw in YAWS.items():
            key = {"key.segment_context_name": self.name, "key.camera_name": number}
            values = {"intrinsic.f_u": 60.0, "intrinsic.f_v": 61.0, "intrinsic.c_u": 31.0, "intrinsic.c_v": 25.0}
            values |= {"intrinsic.k1": 0.01, "extrinsic.transform": _flat(pose(1.5, 0.1, 2.0, yaw=yaw))}
            rows.append((key, values | {"width": SIZE[0], "height": SIZE[1], "rolling_shutter_direction": 2}))
        return _component("CameraCalibrationComponent", {**segment, "key.camera_name": pa.int8()}, columns, rows)

    def _camera_image(self, pa, frame, transform):
        columns = {"image": pa.binary(), "pose.transform": transform, "pose_timestamp": pa.float64()}
        rows = []
        for i in range(self.frames):
            for number in CAMERAS:
                picture = np.full((SIZE[1], SIZE[0], 3), (40 * number, 30 + 40 * i, 90), np.uint8)
                values = {"image": cv2.imencode(".jpg", picture)[1].tobytes(), "pose_timestamp": i / 10}
                values["pose.transform"] = _flat(self.vehicle(i, late=0.002 * number))
                rows.append((self._key(i, camera_name=number), values))
        return _component("CameraImageComponent", {**frame, "key.camera_name": pa.int8()}, columns, rows[::-1])

    def _lidar_calibration(self, pa, segment, transform):
        columns = {"extrinsic.transform": transform, "beam_inclination.min": pa.float64()}
        columns |= {"beam_inclination.max": pa.float64(), "beam_inclination.values": pa.list_(pa.float64())}
        rows = []
        for number in (2, 1):
            values = {"extrinsic.transform": _flat(self.lidar_to_vehicle), "beam_inclination.min": -0.3}
            values |= {
                "beam_inclination.max": 0.02,
                "beam_inclination.values": list(self.beams) if number == 1 else None,
            }
            rows.append(({"key.segment_context_name": self.name, "key.laser_name": number}, values))
        return _component("LiDARCalibrationComponent", {**segment, "key.laser_name": pa.int8()}, columns, rows)

    def _lidar(self, pa, frame):
        columns = {}
        for number in (1, 2):
            columns[f"range_image_return{number}.values"] = pa.list_(pa.float32())
            columns[f"range_image_return{number}.shape"] = pa.list_(pa.int32(), 3)
        rows = []
        for i in range(self.frames):
            for laser in (2, 1):
                values = {}
                for number in (1, 2):
                    image = self.ranges(number) if laser == 1 else np.full((2, 4, 4), 7, np.float32)
                    values[f"range_image_return{number}.values"] = image.ravel()
                    values[f"range_image_return{number}.shape"] = list(image.shape)
                rows.append((self._key(i, laser_name=laser), values))
        return _component("LiDARComponent", {**frame, "key.laser_name": pa.int8()}, columns, rows)

    def _lidar_pose(self, pa, frame):
        columns = {"range_image_return1.values": pa.list_(pa.float32())}
        columns["range_image_return1.shape"] = pa.list_(pa.int32(), 3)
        rows = []
        for i in reversed(range(self.frames)):
            values = self.pixel_poses(i)
            given = {"range_image_return1.values": values.ravel(), "range_image_return1.shape": list(values.shape)}
            rows.append((self._key(i, laser_name=1), given))
        return _component("LiDARPoseComponent", {**frame, "key.laser_name": pa.int8()}, columns, rows)

    def _lidar_box(self, pa, frame):
        columns = {f"box.{n}": pa.float64() for n in _box((0, 0, 0), (0, 0, 0), 0)}
        columns |= {"type": pa.int8(), "num_lidar_points_in_box": pa.int64()}
        columns |= {f"speed.{axis}": pa.float64() for axis in "xyz"}
        rows = []
        for i in range(self.frames):
            for name, (kind, centre, size, heading, speed) in self.objects(i).items():
                values = {f"box.{k}": v for k, v in _box((centre[0] + 0.3, *centre[1:]), size, heading).items()}
                parts = (None,) * 3 if speed is None else (speed * 0.6, speed * 0.8, 0.0)
                values |= {"type": kind, "num_lidar_points_in_box": 9}
                values |= {f"speed.{axis}": part for axis, part in zip("xyz", parts)}
                rows.append((self._key(i, laser_object_id=name), values))
        return _component("LiDARBoxComponent", {**frame, "key.laser_object_id": pa.string()}, columns, rows)

    def _synced_box(self, pa, frame):
        columns = {f"camera_synced_box.{n}": pa.float64() for n in _box((0, 0, 0), (0, 0, 0), 0)}
        columns["most_visible_camera_name"] = pa.int8()
        rows = []
        for i in range(self.frames):
            for name, (_, centre, size, heading, _) in self.objects(i).items():
                if name == "walker" and i == 1:  # seen by no camera then
                    continue
                values = {f"camera_synced_box.{k}": v for k, v in _box(centre, size, heading).items()}
                rows.append((self._key(i, laser_object_id=name), values | {"most_visible_camera_name": 1}))
        return _component("LiDARCameraSyncedBoxComponent", {**frame, "key.laser_object_id": pa.string()}, columns, rows)


def write_tfrecord(path: Path, frames: list[bytes]) -> Path:
    """Records with their lengths; the checksums are zero."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(struct.pack("<QI", len(f), 0) + f + struct.pack("<I", 0) for f in frames))
    return path


def map_frame() -> bytes:
    """A serialised Frame with one map feature of every kind, at 2000, -3000."""
    frame = _messages()["Frame"]()
    frame.timestamp_micros = START

    def points(owner, name, *xy):
        for x, y in xy:
            getattr(owner, name).add(x=2000 + x, y=-3000 + y, z=12.0)

    def feature(identity, kind):
        added = frame.map_features.add(id=identity)
        return getattr(added, kind)

    lane = feature(11, "lane")
    lane.type = 3
    lane.entry_lanes.extend([5, 300])
    points(lane, "polyline", (0, 0), (10, 0), (20, 1))
    line = feature(12, "road_line")
    line.type = 5
    points(line, "polyline", (0, 2), (30, 2))
    dot = feature(13, "road_line")
    points(dot, "polyline", (0, 9))
    edge = feature(14, "road_edge")
    edge.type = 1
    points(edge, "polyline", (0, -5), (30, -5), (60, -6))
    points(feature(15, "crosswalk"), "polygon", (40, -4), (43, -4), (43, 4), (40, 4))
    points(feature(16, "speed_bump"), "polygon", (50, -4), (51, -4), (51, 4))
    points(feature(17, "driveway"), "polygon", (60, -4), (61, -4), (61, 4))
    stop = feature(18, "stop_sign")
    stop.lane.append(11)
    stop.position.x = 2039
    return frame.SerializeToString()


def _messages() -> dict:
    """Message classes with the field numbers of dataset.proto and map.proto."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    double, integer, text = kinds.TYPE_DOUBLE, kinds.TYPE_INT64, kinds.TYPE_STRING
    schema = {
        "MapPoint": {"x": (1, double), "y": (2, double), "z": (3, double)},
        "LaneCenter": {"speed_limit_mph": (1, double), "type": (2, integer), "*polyline": (8, "MapPoint"),
                       "*entry_lanes": (9, integer)},
        "RoadLine": {"type": (1, integer), "*polyline": (2, "MapPoint")},
        "RoadEdge": {"type": (1, integer), "*polyline": (2, "MapPoint")},
        "StopSign": {"*lane": (1, integer), "position": (2, "MapPoint")},
        "Area": {"*polygon": (1, "MapPoint")},
        "MapFeature": {"id": (1, integer), "lane": (3, "LaneCenter"), "road_line": (4, "RoadLine"),
                       "road_edge": (5, "RoadEdge"), "stop_sign": (7, "StopSign"), "crosswalk": (8, "Area"),
                       "speed_bump": (9, "Area"), "driveway": (10, "Area")},
        "Context": {"name": (1, text)},
        "Frame": {"context": (1, "Context"), "timestamp_micros": (2, integer), "*map_features": (10, "MapFeature")},
    }  # fmt: skip
    file = descriptor_pb2.FileDescriptorProto(name="waymo_test.proto", package="waymo_test", syntax="proto2")
    for name, members in schema.items():
        message = file.message_type.add(name=name)
        for member, (number, kind) in members.items():
            label = kinds.LABEL_REPEATED if member.startswith("*") else kinds.LABEL_OPTIONAL
            added = message.field.add(name=member.lstrip("*"), number=number, label=label)
            added.type = kinds.TYPE_MESSAGE if isinstance(kind, str) else kind
            if isinstance(kind, str):
                added.type_name = f".waymo_test.{kind}"
            elif kind == integer and label == kinds.LABEL_REPEATED and member != "*lane":
                added.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    find = pool.FindMessageTypeByName
    return {name: message_factory.GetMessageClass(find(f"waymo_test.{name}")) for name in schema}


def _component(name: str, keys: dict, columns: dict, rows: list) -> tuple[dict, list[dict]]:
    types = keys | {f"[{name}].{column}": kind for column, kind in columns.items()}
    return types, [key | {f"[{name}].{column}": value for column, value in values.items()} for key, values in rows]


def _box(centre, size, heading) -> dict[str, float]:
    values = {f"center.{axis}": float(v) for axis, v in zip("xyz", centre)}
    return values | {f"size.{axis}": float(v) for axis, v in zip("xyz", size)} | {"heading": float(heading)}


def _flat(matrix: np.ndarray) -> list[float]:
    return matrix.ravel().tolist()
