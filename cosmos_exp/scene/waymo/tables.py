"""The v2 tables of the Waymo Open Dataset: one parquet file per component and segment, read by column."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.scene.parquet_files import open_parquet, readable
from cosmos_exp.scene.rds_hq.intrinsics import camera_model
from cosmos_exp.scene.rds_hq.poses import check_rigid
from cosmos_exp.scene.waymo.range_image import inclinations, sweep_points

CAMERAS = {1: "front", 2: "front_left", 3: "front_right", 4: "side_left", 5: "side_right"}
TOP = 1  # laser_name of the LiDAR on the roof
TIME, CAMERA, LASER, OBJECT = (
    "key.frame_timestamp_micros",
    "key.camera_name",
    "key.laser_name",
    "key.laser_object_id",
)
# Folder of a component -> the class in the names of its columns.
COMPONENTS = {
    "vehicle_pose": "VehiclePoseComponent",
    "camera_calibration": "CameraCalibrationComponent",
    "camera_image": "CameraImageComponent",
    "lidar": "LiDARComponent",
    "lidar_pose": "LiDARPoseComponent",
    "lidar_calibration": "LiDARCalibrationComponent",
    "lidar_box": "LiDARBoxComponent",
    "lidar_camera_synced_box": "LiDARCameraSyncedBoxComponent",
}
IMAGE_ROWS, ROWS = 4, 4096  # read at once, of columns with images and of others

Row = dict[str, Any]


@dataclass(frozen=True)
class CameraCalibration:
    """intrinsic: fx, fy, cx, cy, width, height in pixels. camera_to_vehicle: [4,4], camera axes FLU."""

    intrinsic: tuple[float, ...]
    camera_to_vehicle: np.ndarray


def segments(root: Path) -> list[str]:
    """Segments below a folder of tables, sorted: those that have a table of vehicle poses."""
    folder = root / "vehicle_pose"
    if not folder.is_dir():
        raise UserError(
            f"{root} holds no Waymo tables: no folder 'vehicle_pose' there; expected are "
            f"{', '.join(COMPONENTS)}, each with a <segment>.parquet"
        )
    names = sorted(path.stem for path in folder.glob("*.parquet"))
    if not names:
        raise UserError(f"{folder} holds no parquet file")
    return names


class WaymoSegment:
    """Reads the tables of one segment, large ones row by row. UserError for missing files, columns and rows."""

    def __init__(self, root: Path, name: str):
        self.root, self.name = root, name

    def has(self, component: str) -> bool:
        return self._path(component).is_file()

    @cached_property
    def vehicle_poses(self) -> dict[int, np.ndarray]:
        """{microseconds: vehicle-to-world [4,4]}, ascending."""
        place, column = self._path("vehicle_pose"), "world_from_vehicle.transform"
        rows = self._rows("vehicle_pose", [TIME], [column])
        poses = {row[TIME]: _pose(row[column], f"{place}: {column} at {row[TIME]}") for row in rows}
        return dict(sorted(poses.items()))

    @cached_property
    def calibrations(self) -> dict[str, CameraCalibration]:
        """{camera: calibration}."""
        numbers = ["intrinsic.f_u", "intrinsic.f_v", "intrinsic.c_u", "intrinsic.c_v", "width", "height"]
        found, path = {}, self._path("camera_calibration")
        for row in self._rows("camera_calibration", [CAMERA], [*numbers, "extrinsic.transform"]):
            place = f"{path}: camera {_camera(row)}"
            intrinsic = _finite([row[name] for name in numbers], f"{place}: intrinsic")
            camera_model("pinhole", np.array(intrinsic), place)
            pose = _pose(row["extrinsic.transform"], f"{place}: extrinsic.transform")
            found[_camera(row)] = CameraCalibration(intrinsic, pose)
        return found

    def image_poses(self) -> dict[str, dict[int, np.ndarray]]:
        """{camera: {microseconds: vehicle-to-world [4,4] when its image was taken}}."""
        poses: dict[str, dict[int, np.ndarray]] = {}
        for row in self._rows("camera_image", [TIME, CAMERA], ["pose.transform"]):
            place = f"{self._path('camera_image')}: pose.transform of camera {_camera(row)} at {row[TIME]}"
            poses.setdefault(_camera(row), {})[row[TIME]] = _pose(row["pose.transform"], place)
        return poses

    def images(self, camera: str) -> list[bytes]:
        """The camera's JPEG files in the order of time."""
        rows = self._rows("camera_image", [TIME, CAMERA], ["image"])
        images = {row[TIME]: row["image"] for row in rows if _camera(row) == camera}
        return [image for _, image in sorted(images.items())]

    def boxes(self) -> tuple[list[Row], int]:
        """One row per object and frame that has a camera-synced box, and the number of boxes that have none.

        Columns: TIME, OBJECT, `center`, `size` (3 values each, metres) and `heading` (radians) in the vehicle's frame,
        `type` (number), `speed` (horizontal, m/s, None where unknown or not finite).
        """
        names = ["center.x", "center.y", "center.z", "size.x", "size.y", "size.z", "heading"]
        boxes = [f"camera_synced_box.{name}" for name in names]
        synced = {(r[TIME], r[OBJECT]): r for r in self._rows("lidar_camera_synced_box", [TIME, OBJECT], boxes)}
        found, unsynced = [], 0
        for row in self._rows("lidar_box", [TIME, OBJECT], ["type", "speed.x", "speed.y"]):
            box = synced.get((row[TIME], row[OBJECT]))
            if box is None:
                unsynced += 1
                continue
            place = f"{self._path('lidar_camera_synced_box')}: object {row[OBJECT]} at {row[TIME]}"
            values = list(_finite([box[name] for name in boxes], place))
            if min(values[3:6]) < 0:
                raise UserError(f"{place}: the size {values[3:6]} is below 0")
            speed = _speed(row["speed.x"], row["speed.y"])
            found.append(
                {TIME: row[TIME], OBJECT: row[OBJECT], "center": values[:3], "size": values[3:6], "heading": values[6]}
                | {"type": row["type"], "speed": speed}
            )
        return found, unsynced

    def sweeps(self) -> Iterator[tuple[int, np.ndarray]]:
        """(microseconds, points [N,3] float32 in the vehicle frame) of the LiDAR on the roof, both returns."""
        beams, to_vehicle = self._top_calibration()
        pixel_poses = self._top("lidar_pose", ["range_image_return1.values", "range_image_return1.shape"])
        ahead: dict[int, np.ndarray | None] = {}
        names = [f"range_image_return{i}.{part}" for i in (1, 2) for part in ("values", "shape")]
        for row in self._top("lidar", names):
            time = row[TIME]
            while time not in ahead:
                pose = next(pixel_poses, None)
                if pose is None:
                    raise UserError(f"{self._path('lidar_pose')} has no row of the roof LiDAR at {time}")
                ahead[pose[TIME]] = self._image("lidar_pose", pose, 1)
            poses, vehicle = ahead.pop(time), self._pose_at(time)
            images = [image for i in (1, 2) if (image := self._image("lidar", row, i)) is not None]
            shapes = {image.shape[:2] for image in [*images, *([] if poses is None else [poses])]}
            rows = inclinations(*beams, images[0].shape[0] if images else 0)
            if images and (len(shapes) > 1 or len(rows) < images[0].shape[0]):
                raise UserError(f"{self._path('lidar')}: the sweep at {time} does not fit its poses and beams")
            parts = [sweep_points(image[..., 0], rows, to_vehicle, poses, vehicle) for image in images]
            yield time, np.concatenate(parts) if parts else np.empty((0, 3), np.float32)

    def _pose_at(self, time: int) -> np.ndarray:
        if time not in self.vehicle_poses:
            raise UserError(f"{self._path('vehicle_pose')} has no pose at {time}")
        return self.vehicle_poses[time]

    def _top_calibration(self) -> tuple[tuple[np.ndarray | None, float, float], np.ndarray]:
        names = ["extrinsic.transform", "beam_inclination.min", "beam_inclination.max", "beam_inclination.values"]
        for row in self._rows("lidar_calibration", [LASER], names):
            if row[LASER] == TOP:
                values, low, high = (row[f"beam_inclination.{part}"] for part in ("values", "min", "max"))
                place = f"{self._path('lidar_calibration')}: roof LiDAR"
                _finite([low, high] if values is None else values, f"{place}: beam_inclination")
                return (values, low, high), _pose(row["extrinsic.transform"], f"{place}: extrinsic.transform")
        raise UserError(f"{self._path('lidar_calibration')} has no row of the roof LiDAR ({LASER} = {TOP})")

    def _top(self, component: str, names: Sequence[str]) -> Iterator[Row]:
        return (row for row in self._rows(component, [TIME, LASER], names) if row[LASER] == TOP)

    def _path(self, component: str) -> Path:
        return self.root / component / f"{self.name}.parquet"

    def _rows(self, component: str, keys: Sequence[str], names: Sequence[str]) -> Iterator[Row]:
        """Rows of the given columns; `names` without the component's prefix. Lists are numpy arrays."""
        path = self._path(component)
        columns = {**{key: key for key in keys}, **{name: f"[{COMPONENTS[component]}].{name}" for name in names}}
        file = open_parquet(path, "waymo")
        present = file.schema_arrow.names
        for column in columns.values():
            if column not in present:
                raise UserError(f"{path}: {unknown_name('column', column, present)}")
        rows = IMAGE_ROWS if any("image" in name for name in names) else ROWS
        with readable(path):
            batches = file.iter_batches(batch_size=rows, columns=list(columns.values()))
        while True:
            with readable(path):
                batch = next(batches, None)
            if batch is None:
                return
            for i in range(batch.num_rows):
                with readable(path):
                    row = {name: _value(batch.column(column)[i]) for name, column in columns.items()}
                if empty := [key for key in keys if row[key] is None]:
                    raise UserError(f"{path}: a row without {', '.join(empty)}")
                yield row

    def _image(self, component: str, row: Row, number: int) -> np.ndarray | None:
        """[H,W,C] of a range image; None where the row has none."""
        values, shape = (row[f"range_image_return{number}.{part}"] for part in ("values", "shape"))
        if values is None:
            return None
        right = shape is not None and len(shape) == 3 and all(n > 0 for n in shape)
        if not right or math.prod(int(n) for n in shape) != len(values):
            raise UserError(f"{self._path(component)}: a range image of shape {shape} has {len(values)} values")
        return values.reshape(shape)


def _value(scalar: Any) -> Any:
    """A list as numpy array without a Python object per number; everything else as Python has it."""
    values = getattr(scalar, "values", None)
    if values is None or not hasattr(values, "to_numpy"):
        return scalar.as_py()
    return values.to_numpy(zero_copy_only=False)


def _camera(row: Row) -> str:
    if row[CAMERA] not in CAMERAS:
        raise UserError(unknown_name("camera number", str(row[CAMERA]), map(str, CAMERAS)))
    return CAMERAS[row[CAMERA]]


def _pose(values: np.ndarray | None, place: str) -> np.ndarray:
    """[4,4], a rigid motion."""
    matrix = np.array([] if values is None else values, np.float64)
    if matrix.size != 16:
        raise UserError(f"{place}: a pose has 16 numbers, not {matrix.size}")
    matrix = matrix.reshape(4, 4)
    check_rigid(matrix[None], lambda _: place)
    return matrix


def _finite(values: Sequence[Any], place: str) -> tuple[float, ...]:
    if any(value is None or not math.isfinite(value) for value in values):
        raise UserError(f"{place}: {', '.join(map(str, values))} are not finite numbers")
    return tuple(map(float, values))


def _speed(x: float | None, y: float | None) -> float | None:
    speed = math.nan if x is None or y is None else math.hypot(x, y)
    return speed if math.isfinite(speed) else None
