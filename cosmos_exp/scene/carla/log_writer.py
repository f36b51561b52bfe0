"""Writes CARLA recorder logs, frame by frame, in the packets and ids of 0.9.15 and 0.9.16.

`packets.py` has the layouts and `recorder.py` the file: what `read_log` reads of a log can be written again.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from io import SEEK_END
from typing import Any, BinaryIO

import numpy as np

from cosmos_exp.scene.carla.packets import (
    CURVES,
    ENGINE,
    LISTS,
    NUMBERS,
    ORDERS,
    RECORDS,
    WHEEL_FIELDS,
    ActorAdded,
    Packet,
    PhysicsControl,
    WalkerBones,
    WheelAngles,
    stored_rows,
)
from cosmos_exp.scene.carla.recorder import MAGIC, Frame

STRING = 4  # type of an attribute that has none
ALWAYS = tuple(Packet(i) for i in range(Packet.EVENT_ADD, Packet.SCENE_LIGHT))  # also written empty
ORDER = (
    Packet.VISUAL_TIME,
    *ALWAYS,
    Packet.SCENE_LIGHT,
    Packet.ANIM_VEHICLE_WHEELS,
    Packet.ANIM_BIKER,
    Packet.VEHICLE_DOOR,
    Packet.WEATHER,
    Packet.KINEMATICS,
    Packet.BOUNDING_BOX,
    Packet.TRIGGER_VOLUME,
    Packet.PLATFORM_TIME,
    Packet.PHYSICS_CONTROL,
    Packet.TRAFFIC_LIGHT_TIME,
    Packet.WALKER_BONES,
    Packet.FRAME_COUNTER,
)
IDS = {packet: int(packet) for packet in Packet} | {packet: moved for moved, packet in ORDERS[0].items()}


def new_and_gone(known: Mapping[int, object], present: Mapping[int, object]) -> tuple[list[int], list[int]]:
    """The ids that a frame adds and deletes. known: {id: actor} of the frame before; present: of this one. An id that
    another actor has now is both."""
    new = [number for number, actor in present.items() if number not in known or known[number] is not actor]
    gone = [number for number, actor in known.items() if number not in present or present[number] is not actor]
    return new, gone


class LogWriter:
    """A recorder log in an open file.

    The file is complete after every frame, as CARLA's is: a recording that stops early can be read up to there.
    """

    def __init__(self, file: BinaryIO, map: str, date: datetime):
        """Writes the header. file: binary, writable, seekable. map: the town's name. date: of the recording."""
        self._file = file
        self._open: tuple[int, float] | None = None  # place of the last frame's duration, its elapsed time
        file.write(struct.pack("<H", 1) + _text(MAGIC) + struct.pack("<q", int(date.timestamp())) + _text(map))

    def write(self, frame: Frame) -> None:
        """Appends a frame.

        ids count from 1. A negative duration stands for the time to the next frame, and is put in when that one is
        written. Lists that every frame of CARLA's has are written even where they are empty.
        Raises ValueError where a list or a text is longer than 65535 and struct.error for values beyond their type.
        """
        data = b"".join(_packet(frame, packet) for packet in ORDER)
        if self._open is not None:
            place, elapsed = self._open
            self._file.seek(place)
            self._file.write(struct.pack("<d", frame.elapsed - elapsed))
        place = self._file.seek(0, SEEK_END) + 5 + 8
        self._open = (place, frame.elapsed) if frame.duration < 0 else None
        start = struct.pack("<Qdd", frame.id, frame.duration, frame.elapsed)
        self._file.write(_framed(Packet.FRAME_START, start) + data + _framed(Packet.FRAME_END, b""))


def _packet(frame: Frame, packet: Packet) -> bytes:
    """The packet of a frame, empty where the frame has none."""
    if packet in NUMBERS:
        number = frame.numbers.get(packet)
        return b"" if number is None else _framed(packet, struct.pack(NUMBERS[packet], number))
    if packet in LISTS:
        rows = frame[packet]
        there, count, data = packet in frame.lists, len(rows), stored_rows(packet, rows)
    else:
        records = getattr(frame, RECORDS[packet][0])
        there, count, data = len(records) > 0, len(records), b"".join(map(_STORED[packet], records))
    if not there and packet not in ALWAYS:
        return b""
    if count > 0xFFFF:
        raise ValueError(f"a recorder log holds up to 65535 records of a kind in a frame, not {count}: {packet.name}")
    return _framed(packet, struct.pack("<H", count) + data)


def _framed(packet: Packet, payload: bytes) -> bytes:
    return struct.pack("<BI", IDS[packet], len(payload)) + payload


def _text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogateescape")
    if len(data) > 0xFFFF:
        raise ValueError(f"a recorder log holds texts of up to 65535 bytes, not {len(data)}: {value[:60]!r}...")
    return struct.pack("<H", len(data)) + data


def _vec3(values: Iterable[float], scale: float = 1.0) -> bytes:
    return struct.pack("<3f", *(scale * value for value in values))


def _actor(actor: ActorAdded) -> bytes:
    data = struct.pack("<IB", actor.id, actor.type) + _vec3(actor.location, 100) + _vec3(actor.rotation)
    data += struct.pack("<I", actor.description_uid) + _text(actor.type_id) + struct.pack("<H", len(actor.attributes))
    types = actor.attribute_types
    return data + b"".join(
        struct.pack("<B", types.get(name, STRING)) + _text(name) + _text(value)
        for name, value in actor.attributes.items()
    )


def _physics(physics: PhysicsControl) -> bytes:
    data = struct.pack("<I", physics.id) + struct.pack(ENGINE, *physics.engine)
    data += struct.pack("<2f", physics.mass, physics.drag) + _vec3(physics.centre_of_mass)
    tables = zip((*physics.curves, physics.wheels), (*CURVES, len(WHEEL_FIELDS)))
    return data + b"".join(_table(rows, columns) for rows, columns in tables)


def _table(rows: np.ndarray, columns: int) -> bytes:
    return struct.pack("<I", len(rows)) + np.asarray(rows, "<f4").reshape(-1, columns).tobytes()


def _bones(walker: WalkerBones) -> bytes:
    bones = (_text(name) + _vec3(at, 100) + _vec3(turned) for name, (at, turned) in walker.bones.items())
    return struct.pack("<IH", walker.id, len(walker.bones)) + b"".join(bones)


def _wheels(vehicle: WheelAngles) -> bytes:
    wheels = (struct.pack("<B2f", *wheel) for wheel in vehicle.wheels)
    return struct.pack("<II", vehicle.id, len(vehicle.wheels)) + b"".join(wheels)


_STORED: dict[Packet, Callable[[Any], bytes]] = {
    Packet.EVENT_ADD: _actor,
    Packet.EVENT_DEL: lambda deleted: struct.pack("<I", deleted),
    Packet.EVENT_PARENT: lambda pair: struct.pack("<II", *pair),
    Packet.PHYSICS_CONTROL: _physics,
    Packet.WALKER_BONES: _bones,
    Packet.ANIM_VEHICLE_WHEELS: _wheels,
}
