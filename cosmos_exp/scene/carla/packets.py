"""Payload layouts of the CARLA recorder's packets (little endian, no padding; centimetres become metres here)."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt


class Packet(IntEnum):
    """Packets by their ids in CARLA 0.10. Those of ORDERS have other ids in other versions. WEATHER has no fixed id
    across CARLA's branches: it is recognised by its size."""

    FRAME_START = 0
    FRAME_END = 1
    EVENT_ADD = 2
    EVENT_DEL = 3
    EVENT_PARENT = 4
    COLLISION = 5
    POSITION = 6
    STATE = 7
    ANIM_VEHICLE = 8
    ANIM_WALKER = 9
    VEHICLE_LIGHT = 10
    SCENE_LIGHT = 11
    KINEMATICS = 12
    BOUNDING_BOX = 13
    PLATFORM_TIME = 14
    PHYSICS_CONTROL = 15
    TRAFFIC_LIGHT_TIME = 16
    TRIGGER_VOLUME = 17
    FRAME_COUNTER = 18
    WALKER_BONES = 19
    VISUAL_TIME = 20
    VEHICLE_DOOR = 21
    ANIM_VEHICLE_WHEELS = 22
    ANIM_BIKER = 23
    WEATHER = 24


# Ids that differ between versions: of 0.9.15 and 0.9.16, and of 0.10. A log does not say which it was written by.
ORDERS: tuple[dict[int, Packet], ...] = (
    {21: Packet.ANIM_VEHICLE_WHEELS, 22: Packet.ANIM_BIKER, 23: Packet.VEHICLE_DOOR},
    {21: Packet.VEHICLE_DOOR, 22: Packet.ANIM_VEHICLE_WHEELS, 23: Packet.ANIM_BIKER},
)
NAMES: dict[int, str] = {p.value: "".join(part.title() for part in p.name.split("_")) for p in Packet}

# Rows of the list packets as stored. Fields that end in _cm lose the suffix and become metres (float64).
_VEC3 = ("<f4", (3,))
_BOX = np.dtype([("id", "<u4"), ("origin_cm", *_VEC3), ("extent_cm", *_VEC3)])
LISTS: dict[Packet, np.dtype] = {
    Packet.COLLISION: np.dtype([("seq", "<u4"), ("id1", "<u4"), ("id2", "<u4"), ("hero1", "?"), ("hero2", "?")]),
    Packet.POSITION: np.dtype([("id", "<u4"), ("location_cm", *_VEC3), ("rotation", *_VEC3)]),
    Packet.STATE: np.dtype([("id", "<u4"), ("frozen", "?"), ("elapsed", "<f4"), ("state", "u1")]),
    Packet.ANIM_VEHICLE: np.dtype(
        [
            ("id", "<u4"),
            ("steer", "<f4"),
            ("throttle", "<f4"),
            ("brake", "<f4"),
            ("handbrake", "?"),
            ("gear", "<i4"),
        ]
    ),
    Packet.ANIM_WALKER: np.dtype([("id", "<u4"), ("speed", "<f4")]),
    Packet.VEHICLE_LIGHT: np.dtype([("id", "<u4"), ("mask", "<u4")]),
    Packet.SCENE_LIGHT: np.dtype(
        [("id", "<i4"), ("intensity", "<f4"), ("color", "<f4", (4,)), ("on", "?"), ("type", "u1")]
    ),
    Packet.KINEMATICS: np.dtype([("id", "<u4"), ("linear", *_VEC3), ("angular", *_VEC3)]),
    Packet.BOUNDING_BOX: _BOX,
    Packet.TRAFFIC_LIGHT_TIME: np.dtype([("id", "<u4"), ("green", "<f4"), ("yellow", "<f4"), ("red", "<f4")]),
    Packet.TRIGGER_VOLUME: _BOX,
    Packet.VEHICLE_DOOR: np.dtype([("id", "<u4"), ("door", "u1"), ("open", "?")]),
    Packet.ANIM_BIKER: np.dtype([("id", "<u4"), ("speed", "<f4"), ("engine_rotation", "<f4")]),
    Packet.WEATHER: np.dtype([("values", "<f4", (14,))]),
}
NUMBERS: dict[Packet, str] = {
    Packet.PLATFORM_TIME: "<d",
    Packet.FRAME_COUNTER: "<Q",
    Packet.VISUAL_TIME: "<d",
}


class Payload:
    """A cursor over bytes; every read raises struct.error beyond the end."""

    def __init__(self, data: bytes):
        self.data = data
        self.offset = 0

    def take(self, fmt: str) -> tuple:
        values = struct.unpack_from(fmt, self.data, self.offset)
        self.offset += struct.calcsize(fmt)
        return values

    def number(self, fmt: str):
        return self.take(fmt)[0]

    def text(self) -> str:
        length = self.number("<H")
        return self.take(f"<{length}s")[0].decode("utf-8", "backslashreplace")

    def vec3(self, scale: float = 1.0) -> tuple[float, float, float]:
        x, y, z = self.take("<3f")
        return (x * scale, y * scale, z * scale)

    def rows(self, dtype: np.dtype, count: int) -> np.ndarray:
        if self.offset + count * dtype.itemsize > len(self.data):
            raise struct.error(f"{count} records of {dtype.itemsize} bytes do not fit in {len(self.data)} bytes")
        array = np.frombuffer(self.data, dtype, count, self.offset)
        self.offset += count * dtype.itemsize
        return array


def _metric(stored: np.dtype) -> np.dtype:
    fields: list[tuple[str, npt.DTypeLike, tuple[int, ...]]] = []
    for name in stored.names or ():
        inner = stored[name]
        if name.endswith("_cm"):
            fields.append((name[:-3], np.float64, inner.shape))
        else:
            fields.append((name, inner.base.newbyteorder("="), inner.shape))
    return np.dtype(fields)


_METRIC = {packet: _metric(dtype) for packet, dtype in LISTS.items()}
_EMPTY = {packet: np.zeros(0, dtype) for packet, dtype in _METRIC.items()}


def empty_list(packet: Packet) -> np.ndarray:
    return _EMPTY[packet]


def list_rows(packet: Packet, rows: Iterable[tuple]) -> np.ndarray:
    """Structured rows of a list packet, from tuples in the order of its fields in LISTS; lengths in metres."""
    return np.array(list(rows), _METRIC[packet])


def stored_rows(packet: Packet, rows: np.ndarray) -> bytes:
    """The bytes of structured rows of a list packet, as `read_list` reads them after the count."""
    stored = np.empty(len(rows), LISTS[packet])
    for name in stored.dtype.names or ():
        with np.errstate(invalid="ignore", over="ignore"):
            stored[name] = rows[name[:-3]] * 100 if name.endswith("_cm") else rows[name]
    return stored.tobytes()


def read_list(packet: Packet, payload: Payload) -> np.ndarray:
    """Structured rows of a list packet, lengths in metres. Raises struct.error for longer or fewer records."""
    count, size = payload.number("<H"), LISTS[packet].itemsize
    held = len(payload.data) - payload.offset
    if count > 1 and held > count * size and held % count == 0:
        raise struct.error(f"{count} records of {held // count} instead of {size} bytes")
    stored = payload.rows(LISTS[packet], count)
    if LISTS[packet] == _METRIC[packet]:
        return stored.copy()
    rows = np.empty(len(stored), _METRIC[packet])
    for name in stored.dtype.names or ():
        if name.endswith("_cm"):
            with np.errstate(invalid="ignore"):  # boxes of the spectator are NaN
                rows[name[:-3]] = stored[name].astype(np.float64) / 100
        else:
            rows[name] = stored[name]
    return rows


@dataclass(frozen=True)
class ActorAdded:
    """Creation of an actor. location metres and rotation (roll, pitch, yaw) degrees, relative to the parent if any."""

    id: int
    type: int
    type_id: str
    description_uid: int
    location: tuple[float, float, float]
    rotation: tuple[float, float, float]
    attributes: dict[str, str]
    attribute_types: dict[str, int]

    @property
    def role(self) -> str:
        return self.attributes.get("role_name", "")


@dataclass(frozen=True)
class PhysicsControl:
    """Vehicle physics of CARLA 0.9.10 to 0.9.12. mass kg; wheel rows as stored, see WHEEL_FIELDS.

    engine: values of ENGINE as stored. curves: float32 rows of CURVES as stored.
    """

    id: int
    mass: float
    drag: float
    centre_of_mass: tuple[float, float, float]
    wheels: np.ndarray
    engine: tuple[float, ...]
    curves: tuple[np.ndarray, ...]

    @property
    def wheel_positions(self) -> np.ndarray:
        """[W,3] metres, world, at the time of recording."""
        return self.wheels[:, 9:12].astype(np.float64) / 100


ENGINE = "<5f?2f"  # rpm, inertia, three dampings, automatic, strength of the clutch, final ratio
CURVES = (2, 3, 2)  # numbers in a row: torque, forward gears, steering
WHEEL_FIELDS = (
    "friction",
    "damping",
    "max_steer_deg",
    "radius_cm",
    "max_brake",
    "max_handbrake",
    "lateral_stiffness_max_load",
    "lateral_stiffness",
    "longitudinal_stiffness",
    "x_cm",
    "y_cm",
    "z_cm",
)


@dataclass(frozen=True)
class WalkerBones:
    """bones: {name: (location metres, rotation degrees)} relative to the parent bone."""

    id: int
    bones: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]]


@dataclass(frozen=True)
class WheelAngles:
    """wheels: rows (wheel location, steering degrees, tyre rotation degrees)."""

    id: int
    wheels: tuple[tuple[int, float, float], ...]


def _read_actor(payload: Payload) -> ActorAdded:
    actor_id, actor_type = payload.take("<IB")
    location, rotation = payload.vec3(0.01), payload.vec3()
    uid, type_id = payload.number("<I"), payload.text()
    attributes, types = {}, {}
    for _ in range(payload.number("<H")):
        kind, name, value = payload.number("<B"), payload.text(), payload.text()
        attributes[name], types[name] = value, kind
    return ActorAdded(actor_id, actor_type, type_id, uid, location, rotation, attributes, types)


def _read_physics(payload: Payload) -> PhysicsControl:
    (actor_id,) = payload.take("<I")
    engine = payload.take(ENGINE)
    mass, drag = payload.take("<2f")
    centre = payload.vec3()
    curves = tuple(_read_table(payload, columns) for columns in CURVES)
    return PhysicsControl(actor_id, mass, drag, centre, _read_table(payload, len(WHEEL_FIELDS)), engine, curves)


def _read_table(payload: Payload, columns: int) -> np.ndarray:
    return payload.rows(np.dtype("<f4"), columns * payload.number("<I")).reshape(-1, columns)


def _read_bones(payload: Payload) -> WalkerBones:
    actor_id, count = payload.take("<IH")
    return WalkerBones(actor_id, {payload.text(): (payload.vec3(0.01), payload.vec3()) for _ in range(count)})


def _read_wheels(payload: Payload) -> WheelAngles:
    actor_id, count = payload.take("<II")
    return WheelAngles(actor_id, tuple(payload.take("<B2f") for _ in range(count)))


RECORDS: dict[Packet, tuple[str, Callable[[Payload], object]]] = {
    Packet.EVENT_ADD: ("added", _read_actor),
    Packet.EVENT_DEL: ("deleted", lambda payload: payload.number("<I")),
    Packet.EVENT_PARENT: ("parents", lambda payload: payload.take("<II")),
    Packet.PHYSICS_CONTROL: ("physics", _read_physics),
    Packet.WALKER_BONES: ("walker_bones", _read_bones),
    Packet.ANIM_VEHICLE_WHEELS: ("wheel_angles", _read_wheels),
}


def read_records(packet: Packet, payload: Payload) -> Iterator[object]:
    """The records of a packet of RECORDS, one by one."""
    read = RECORDS[packet][1]
    for _ in range(payload.number("<H")):
        yield read(payload)


def fits(packet: Packet, data: bytes) -> bool:
    """Whether the bytes are exactly a packet of that layout."""
    payload = Payload(data)
    try:
        if packet in LISTS:
            read_list(packet, payload)
        elif packet in NUMBERS:
            payload.number(NUMBERS[packet])
        else:
            deque(read_records(packet, payload), maxlen=0)
    except struct.error:
        return False
    return payload.offset == len(data)
