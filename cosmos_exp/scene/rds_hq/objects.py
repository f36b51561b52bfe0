"""Dynamic objects of a clip: records at key frames, averages of static ones, and interpolation to every frame."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import shortened
from cosmos_exp.scene.rds_hq.poses import nearest_rotations
from cosmos_exp.scene.types import ActorClass, interpolate_pose

LARGEST = 1e3  # metres: length, width or height of a box
OUTLIER_COSINE = 0.7  # a heading at least this close to the mean is no outlier

# Classes of the HD map -> the object types drawn in their colour; every other type is drawn as Others.
HDMAP_CLASSES = {
    "Car": ("Car", "Vehicle", "Automobile", "Other_vehicle"),
    "Truck": ("Truck", "Bus", "Heavy_truck", "Train_or_tram_car", "Trolley_bus", "Trailer"),
    "Pedestrian": ("Pedestrian", "Person"),
    "Cyclist": ("Cyclist", "Rider"),
}
OTHERS = "Others"
_HDMAP_CLASS = {kind: name for name, kinds in HDMAP_CLASSES.items() for kind in kinds}

_ACTOR_CLASS = {
    "Car": ActorClass.CAR,
    "Vehicle": ActorClass.CAR,
    "Automobile": ActorClass.CAR,
    "Other_vehicle": ActorClass.CAR,
    "Truck": ActorClass.TRUCK,
    "Heavy_truck": ActorClass.TRUCK,
    "Trailer": ActorClass.TRUCK,
    "Bus": ActorClass.BUS,
    "Trolley_bus": ActorClass.BUS,
    "Train_or_tram_car": ActorClass.TRAIN,
    "Pedestrian": ActorClass.PEDESTRIAN,
    "Person": ActorClass.PEDESTRIAN,
    "Cyclist": ActorClass.BICYCLE,
    "Rider": ActorClass.RIDER,
}
_OBJECT_TYPE = {
    ActorClass.CAR: "Automobile",
    ActorClass.TRUCK: "Heavy_truck",
    ActorClass.BUS: "Bus",
    ActorClass.TRAIN: "Train_or_tram_car",
    ActorClass.MOTORCYCLE: "Rider",
    ActorClass.BICYCLE: "Cyclist",
    ActorClass.RIDER: "Rider",
    ActorClass.PEDESTRIAN: "Pedestrian",
    ActorClass.OTHER: "Unknown",
}


@dataclass(frozen=True)
class Appearance:
    """What a `Track` has and the format has no key for. number: its place among the tracks of its scene."""

    actor_class: ActorClass
    number: int = 0
    color: tuple[float, float, float] | None = None
    model: str = ""
    role: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "actor_class": self.actor_class.value,
            "number": self.number,
            "color": self.color,
            "model": self.model,
            "role": self.role,
        }


@dataclass(frozen=True)
class ObjectRecord:
    """A box at one frame. pose: [4,4] float64, of its centre, x forward, y left, z up, to the world.

    size: (length, width, height) metres; zero sizes are kept (the HD map shows such a box as a dot). appearance: what
    our own clips tell beyond the format.
    """

    pose: np.ndarray
    size: tuple[float, float, float]
    moving: bool
    type: str
    appearance: Appearance | None = None


Objects = dict[int, dict[str, ObjectRecord]]  # frame -> tracking id -> record


def hdmap_class(object_type: str) -> str:
    """Car, Truck, Pedestrian, Cyclist or Others."""
    return _HDMAP_CLASS.get(object_type, OTHERS)


def actor_class(object_type: str) -> ActorClass:
    """The class of an object type; OTHER for one that the format has no class for."""
    return _ACTOR_CLASS.get(object_type, ActorClass.OTHER)


def object_type(actor: ActorClass) -> str:
    """The object type to write for a class. Motorcycles are Riders: the format has no type for them alone."""
    return _OBJECT_TYPE[actor]


def read_record(values: Any, place: str) -> ObjectRecord:
    """One record of `all_object_info`. place: file, frame and object, for messages."""
    try:
        pose, size = values["object_to_world"], values["object_lwh"]
        moving, kind = values["object_is_moving"], values["object_type"]
    except (KeyError, TypeError):
        given = ", ".join(list(values)[:8]) if isinstance(values, dict) else shortened(values)
        raise UserError(
            f"{place}: an object has object_to_world, object_lwh, object_is_moving and object_type; given: {given}"
        ) from None
    try:
        pose, size = np.array(pose, np.float64), tuple(float(v) for v in size)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{place}: object_to_world and object_lwh are lists of numbers") from None
    if len(size) != 3 or not all(0 <= v <= LARGEST for v in size):
        raise UserError(f"{place}: object_lwh {shortened(list(size))} is not three sizes of 0 m to {LARGEST:g} m")
    return ObjectRecord(pose, size, bool(moving), str(kind), read_appearance(values.get("appearance"), place))


def read_appearance(values: Any, place: str) -> Appearance | None:
    """Of `Appearance.to_json`; None of None. place: name of the object in messages."""
    if values is None:
        return None
    try:
        color = values["color"]
        red, green, blue = (0.0, 0.0, 0.0) if color is None else map(float, color)
        kind, number = ActorClass(values["actor_class"]), int(values["number"])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise UserError(
            f"{place}: an appearance has an actor_class ({', '.join(c.value for c in ActorClass)}), a number and a "
            f"color, null or red, green, blue; given: {shortened(values)}"
        ) from None
    if not all(0 <= value <= 1 for value in (red, green, blue)):
        raise UserError(f"{place}: the color {shortened(color)} of an appearance is not of 0 to 1")
    given = None if color is None else (red, green, blue)
    return Appearance(kind, number, given, str(values.get("model", "")), str(values.get("role", "")))


def average_static_objects(objects: Mapping[int, Mapping[str, ObjectRecord]]) -> Objects:
    """The objects with every record that is flagged as not moving at one mean pose and size per tracking id.

    As in the reference, records whose heading is far from the mean heading are excluded from the mean; if all are, the
    poses stay unchanged.
    """
    static: dict[str, list[ObjectRecord]] = {}
    for frame in sorted(objects):
        for name, record in objects[frame].items():
            if not record.moving:
                static.setdefault(name, []).append(record)
    means = {name: mean_of_records(records) for name, records in static.items()}

    def averaged(name: str, record: ObjectRecord) -> ObjectRecord:
        if record.moving:
            return record
        pose, size = means[name]
        return replace(record, size=size, pose=record.pose if pose is None else pose)

    return {frame: {name: averaged(name, record) for name, record in objects[frame].items()} for frame in objects}


def at_frames(
    objects: Mapping[int, Mapping[str, ObjectRecord]], frames: Iterable[int], *, last_used: int | None = None
) -> Objects:
    """The objects at each frame: those of its key frame if it is one, else interpolated between its neighbours.

    In between, only objects of both neighbours exist; position and size are linear, the rotation slerp, type and
    motion flag the earlier's. Objects stay in place after the last key frame and before the first one (the
    reference fails there). last_used: later key frames are ignored, as the reference ignores those after the last frame
    that it renders.
    """
    keys = sorted(key for key in objects if last_used is None or key <= last_used)
    return {frame: _at(objects, keys, frame) for frame in frames}


def _at(objects: Mapping[int, Mapping[str, ObjectRecord]], keys: list[int], frame: int) -> dict[str, ObjectRecord]:
    if not keys:
        return {}
    after = bisect.bisect_left(keys, frame)
    if after == len(keys) or after == 0 or keys[after] == frame:
        return dict(objects[keys[min(after, len(keys) - 1)]])
    before = keys[after - 1]
    u = (frame - before) / (keys[after] - before)
    earlier, later = objects[before], objects[keys[after]]
    return {name: _between(record, later[name], u) for name, record in earlier.items() if name in later}


def _between(a: ObjectRecord, b: ObjectRecord, u: float) -> ObjectRecord:
    length, width, height = ((1 - u) * p + u * q for p, q in zip(a.size, b.size))
    ends = np.stack([a.pose, b.pose])
    ends[:, :3, :3] = nearest_rotations(ends[:, :3, :3])
    return replace(a, pose=interpolate_pose(ends[0], ends[1], u), size=(length, width, height))


def mean_of_records(records: list[ObjectRecord]) -> tuple[np.ndarray | None, tuple[float, float, float]]:
    """Mean pose, None if every heading is an outlier, and mean size.

    The axes x and z are means of their own, so that they may be slightly askew, as in the reference.
    """
    length, width, height = (float(v) for v in np.mean([record.size for record in records], axis=0))
    poses = np.stack([record.pose for record in records])
    headings = poses[:, :3, 0] / np.linalg.norm(poses[:, :3, 0], axis=1, keepdims=True)
    mean = headings.mean(axis=0)
    kept = poses[headings @ mean > OUTLIER_COSINE * np.linalg.norm(mean)]
    if not len(kept):
        return None, (length, width, height)
    rotations = nearest_rotations(kept[:, :3, :3])
    x, z = (_unit(rotations[:, :, axis].mean(axis=0)) for axis in (0, 2))
    pose = np.eye(4)
    pose[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
    pose[:3, 3] = kept[:, :3, 3].mean(axis=0)
    return pose, (length, width, height)


def _unit(axis: np.ndarray) -> np.ndarray:
    return axis / np.linalg.norm(axis)
