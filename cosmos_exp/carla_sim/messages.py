"""Payloads of the streams: the header of all sensor data, world snapshots, images. Little endian, packed."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from cosmos_exp.carla_sim.transforms import Transform

MAP_CHANGE, PENDING_LIGHTS = 1, 2  # simulation states of a snapshot
HEADER = struct.Struct("<QQd6f")
EPISODE = struct.Struct("<Qdf3iI")
IMAGE = struct.Struct("<IIf")
SIZE = struct.Struct("<I")
UNION = 54
ACTOR_MOTION = struct.Struct("<IB6f3f3f3f")  # id, state, transform, velocities, acceleration; a union follows
assert ACTOR_MOTION.size + UNION == 119
ALIVE, DORMANT = 1, 2
VEHICLE_STATE = struct.Struct("<3f3Bif2BIB")
LIGHT_STATE = struct.Struct("<32s4fIBB")
WALKER_STATE = struct.Struct("<4fB")


@dataclass(frozen=True)
class Moment:
    """When something is measured. frame: number of the tick; elapsed: simulated seconds."""

    frame: int
    elapsed: float


def floats(transform: Transform) -> tuple[float, ...]:
    """x, y, z, pitch, yaw, roll."""
    roll, pitch, yaw = transform.rotation.tolist()
    return (*transform.location.tolist(), pitch, yaw, roll)


def header(type_number: int, moment: Moment, transform: Transform) -> bytes:
    return HEADER.pack(type_number, moment.frame, moment.elapsed, *floats(transform))


def message(*parts: bytes) -> bytes:
    """A message of a stream: its size, then the parts."""
    payload = b"".join(parts)
    return SIZE.pack(len(payload)) + payload


def snapshot(
    type_number: int, moment: Moment, transform: Transform, *, episode: int, platform: float, delta: float, state: int,
    actors: Iterable[bytes],
) -> bytes:  # fmt: skip
    """The message of a world snapshot. actors: ACTOR_MOTION and a union of each. delta: seconds since the last one."""
    return message(
        header(type_number, moment, transform),
        EPISODE.pack(episode, platform, delta, 0, 0, 0, state),
        *actors,
    )


def image_message(
    type_number: int, moment: Moment, transform: Transform, width: int, height: int, fov: float,
    new: Callable[[int], bytearray] = bytearray,
) -> tuple[bytearray, np.ndarray]:  # fmt: skip
    """The message of an image, and its pixels [H,W,4] uint8 BGRA, to be filled in place. new: memory of a size."""
    start = SIZE.size + HEADER.size + IMAGE.size
    data = new(start + 4 * width * height)
    SIZE.pack_into(data, 0, len(data) - SIZE.size)
    data[SIZE.size : start] = header(type_number, moment, transform) + IMAGE.pack(width, height, fov)
    return data, np.frombuffer(data, np.uint8, offset=start).reshape(height, width, 4)
