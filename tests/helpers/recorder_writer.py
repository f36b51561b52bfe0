"""Writes small recorder logs: the format's packets from plain values (centimetres, degrees, left-handed, as CARLA)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

NAN_BOX = ((float("nan"),) * 3, (float("-inf"),) * 3)


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<H", len(data)) + data


def packet(packet_id: int, payload: bytes = b"") -> bytes:
    return struct.pack("<BI", packet_id, len(payload)) + payload


def listed(packet_id: int, fmt: str, rows: Iterable[Sequence]) -> bytes:
    rows = list(rows)
    return packet(packet_id, struct.pack("<H", len(rows)) + b"".join(struct.pack("<" + fmt, *row) for row in rows))


def header(town: str = "Straight01", *, magic: str = "CARLA_RECORDER", date: int = 1_600_000_000) -> bytes:
    return struct.pack("<H", 1) + text(magic) + struct.pack("<q", date) + text(town)


def actor(
    actor_id: int,
    kind: int,
    type_id: str,
    *,
    location: Sequence[float] = (0, 0, 0),
    rotation: Sequence[float] = (0, 0, 0),
    **attributes: str,
) -> bytes:
    data = struct.pack("<IB6fI", actor_id, kind, *location, *rotation, 7) + text(type_id)
    data += struct.pack("<H", len(attributes))
    return data + b"".join(struct.pack("<B", 3) + text(k) + text(v) for k, v in attributes.items())


def added(*records: bytes) -> bytes:
    return packet(2, struct.pack("<H", len(records)) + b"".join(records))


def deleted(*ids: int) -> bytes:
    return listed(3, "I", [(i,) for i in ids])


def parents(*pairs: tuple[int, int]) -> bytes:
    return listed(4, "II", pairs)


def positions(rows: dict[int, Sequence[float]]) -> bytes:
    """{id: (x, y, z, roll, pitch, yaw)}"""
    return listed(6, "I6f", [(i, *row) for i, row in rows.items()])


def light_states(rows: dict[int, int]) -> bytes:
    return listed(7, "I?fB", [(i, False, 0.5, state) for i, state in rows.items()])


def boxes(rows: dict[int, tuple[Sequence[float], Sequence[float]]]) -> bytes:
    """{id: (origin, half extent)}"""
    return listed(13, "I6f", [(i, *origin, *extent) for i, (origin, extent) in rows.items()])


def physics(actor_id: int, wheels: Sequence[Sequence[float]]) -> bytes:
    """wheels: world positions, cm."""
    data = struct.pack("<I5f?2f", actor_id, *range(5), True, 6.0, 7.0) + struct.pack("<2f3f", 1500.0, 0.3, 0, 0, 0)
    data += struct.pack("<I4f", 2, *range(4)) + struct.pack("<I3f", 1, *range(3)) + struct.pack("<I2f", 1, *range(2))
    data += struct.pack("<I", len(wheels)) + b"".join(struct.pack("<12f", *range(9), *wheel) for wheel in wheels)
    return packet(15, struct.pack("<H", 1) + data)


def frame(frame_id: int, elapsed: float, duration: float, *packets: bytes) -> bytes:
    return packet(0, struct.pack("<Qdd", frame_id, duration, elapsed)) + b"".join(packets) + packet(1)


@dataclass
class Drive:
    """A log under construction: what each frame adds to the regular packets.

    times: seconds of the frames. extra: packets by frame index. movers: per actor, {frame index: (x, y, z, r, p, y)}.
    """

    times: Sequence[float]
    town: str = "Straight01"
    extra: dict[int, list[bytes]] = field(default_factory=dict)
    movers: dict[int, dict[int, Sequence[float]]] = field(default_factory=dict)
    lights: dict[int, dict[int, int]] = field(default_factory=dict)

    def add(self, index: int, *packets: bytes) -> None:
        self.extra.setdefault(index, []).extend(packets)

    def to_bytes(self) -> bytes:
        data = header(self.town)
        for i, time in enumerate(self.times):
            duration = self.times[i + 1] - time if i + 1 < len(self.times) else -1.0
            here = {k: at[i] for k, at in self.movers.items() if i in at}
            lights = {k: at[i] for k, at in self.lights.items() if i in at}
            data += frame(i + 1, time, duration, *self.extra.get(i, []), positions(here), light_states(lights))
        return data
