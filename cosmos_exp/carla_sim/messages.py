"""Payloads of the streams: the header of all sensor data, world snapshots, images. Little endian, packed."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from cosmos_exp.carla_sim.transforms import Transform

MAP_CHANGE, PENDING_LIGHTS = 1, 2  # simulation states of a snapshot
HEADER = struct.Struct("<QQd6f")
EPISODE = struct.Struct("<Qdf3iI")
IMAGE = struct.Struct("<IIf")
SIZE = struct.Struct("<I")
UNION = 54
ACTOR_STATE = np.dtype(
    [
        ("id", "<u4"),
        ("state", "u1"),
        ("transform", "<f4", (6,)),  # x, y, z, pitch, yaw, roll
        ("velocity", "<f4", (3,)),
        ("angular_velocity", "<f4", (3,)),
        ("acceleration", "<f4", (3,)),
        ("union", "u1", (UNION,)),
    ]
)
assert ACTOR_STATE.itemsize == 119
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
    actors: np.ndarray,
) -> bytes:  # fmt: skip
    """The message of a world snapshot. actors: [N] ACTOR_STATE. delta: seconds since the last one."""
    return message(
        header(type_number, moment, transform),
        EPISODE.pack(episode, platform, delta, 0, 0, 0, state),
        actors.tobytes(),
    )


def image_message(
    type_number: int, moment: Moment, transform: Transform, width: int, height: int, fov: float
) -> tuple[bytearray, np.ndarray]:
    """The message of an image, and its pixels [H,W,4] uint8 BGRA, to be filled in place."""
    start = SIZE.size + HEADER.size + IMAGE.size
    data = bytearray(start + 4 * width * height)
    SIZE.pack_into(data, 0, len(data) - SIZE.size)
    data[SIZE.size : start] = header(type_number, moment, transform) + IMAGE.pack(width, height, fov)
    return data, np.frombuffer(data, np.uint8, offset=start).reshape(height, width, 4)
