"""Reader of the CARLA recorder's binary log.

Values keep CARLA's frame (left-handed: x forward, y right, z up; rotations are roll, pitch, yaw in degrees), but
centimetres become metres. Little endian, no padding. `log.py` turns a log into a `Scene`.

The log is a header followed by packets `u8 id, u32 size, payload`; a recorder that was killed leaves a truncated last
packet, which ends the log with a warning.
"""

from __future__ import annotations

import logging
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import IntEnum
from pathlib import Path

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.input_files import existing_file
from cosmos_exp.scene.carla.packets import (
    LISTS,
    NAMES,
    NUMBERS,
    RECORDS,
    ActorAdded,
    Packet,
    Payload,
    PhysicsControl,
    WalkerBones,
    WheelAngles,
    empty_list,
    read_list,
)

logger = logging.getLogger(__name__)

MAGIC = "CARLA_RECORDER"
WEATHER_BYTES = 56  # 14 float32; the packet's id differs between CARLA branches


class ActorType(IntEnum):
    OTHER = 0
    VEHICLE = 1
    WALKER = 2
    TRAFFIC_LIGHT = 3
    TRAFFIC_SIGN = 4
    SENSOR = 5


@dataclass
class Frame:
    """One recorded simulation step. Lists are structured arrays whose fields `packets.py` documents.

    id counts from 1. elapsed: simulated seconds at the frame. duration: seconds to the next frame, -1 in a log's last.
    platform_time: wall seconds since the recording began. unknown: payloads (id, bytes) this reader has no layout for.
    """

    id: int
    duration: float
    elapsed: float
    added: tuple[ActorAdded, ...] = ()
    deleted: tuple[int, ...] = ()
    parents: tuple[tuple[int, int], ...] = ()
    physics: tuple[PhysicsControl, ...] = ()
    walker_bones: tuple[WalkerBones, ...] = ()
    wheel_angles: tuple[WheelAngles, ...] = ()
    lists: dict[Packet, np.ndarray] = field(default_factory=dict)
    numbers: dict[Packet, float] = field(default_factory=dict)
    unknown: tuple[tuple[int, bytes], ...] = ()

    def __getitem__(self, packet: Packet) -> np.ndarray:
        """Rows of a list packet; empty where the frame has none."""
        return self.lists.get(packet, empty_list(packet))

    @property
    def platform_time(self) -> float | None:
        return self.numbers.get(Packet.PLATFORM_TIME)


@dataclass(frozen=True)
class RecorderLog:
    """A parsed log: header values, complete frames, packet counts, and warnings about defects of the file.

    leftover_bytes: payload bytes of known packets beyond their known layout.
    """

    path: Path
    version: int
    date: datetime
    map: str
    frames: tuple[Frame, ...]
    packet_counts: dict[str, int]
    leftover_bytes: int
    warnings: tuple[str, ...]

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the last."""
        return self.frames[-1].elapsed

    @property
    def map_name(self) -> str:
        """Town name without the asset folder that newer builds write: `Carla/Maps/Town10HD_Opt` -> `Town10HD_Opt`."""
        return self.map.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def read_log(path: Path | str) -> RecorderLog:
    """Reads every complete frame of a recorder log.

    Unknown packets are skipped by their size. A truncated last packet or unfinished last frame ends the log with a
    warning. Raises UserError when the file is missing, is no recorder log, or holds no complete frame.
    """
    path = existing_file("recorder log", path)
    return _LogReader(path, path.read_bytes()).read()


class _LogReader:
    def __init__(self, path: Path, data: bytes):
        self.path = path
        self.data = data
        self.frames: list[Frame] = []
        self.counts: Counter[str] = Counter()
        self.leftover = 0
        self.warnings: list[str] = []
        self.skipped: Counter[int] = Counter()

    def read(self) -> RecorderLog:
        payload = Payload(self.data)
        version, date, town = self._header(payload)
        self._frames(payload.offset)
        if not self.frames:
            raise UserError(
                f"recorder log {str(self.path)!r} has no complete frame: {len(self.data)} bytes, the recording was "
                "probably cut off; record again or give another log"
            )
        for packet_id, count in sorted(self.skipped.items()):
            self._warn(f"skipped {count} packets of unknown id {packet_id}")
        for text in self.warnings:
            logger.warning("%s: %s", self.path.name, text)
        return RecorderLog(
            path=self.path,
            version=version,
            date=date,
            map=town,
            frames=tuple(self.frames),
            packet_counts=dict(self.counts),
            leftover_bytes=self.leftover,
            warnings=tuple(self.warnings),
        )

    def _warn(self, text: str) -> None:
        self.warnings.append(text)

    def _header(self, payload: Payload) -> tuple[int, datetime, str]:
        try:
            version, magic = payload.number("<H"), payload.text()
            if magic != MAGIC:
                raise ValueError(f"magic is {magic[:32]!r}")
            seconds, town = payload.number("<q"), payload.text()
            return version, datetime.fromtimestamp(seconds, tz=timezone.utc), town
        except struct.error as error:
            raise UserError(
                f"recorder log {str(self.path)!r} ends inside its header ({len(self.data)} bytes)"
            ) from error
        except (ValueError, OverflowError, OSError) as error:
            raise UserError(
                f"{str(self.path)!r} is not a CARLA recorder log: expected the magic {MAGIC!r}, {error}"
            ) from error

    def _packets(self, offset: int) -> Iterator[tuple[int, bytes]]:
        """(id, payload) until the end of the file or the first incomplete packet."""
        end = len(self.data)
        while offset < end:
            if offset + 5 > end:
                self._warn(f"the log ends inside a packet header at byte {offset}")
                return
            packet_id, size = struct.unpack_from("<BI", self.data, offset)
            if offset + 5 + size > end:
                self._warn(
                    f"the log ends inside a {_packet_name(packet_id)} packet at byte {offset}: "
                    f"{end - offset - 5} of {size} bytes"
                )
                return
            yield packet_id, self.data[offset + 5 : offset + 5 + size]
            offset += 5 + size

    def _frames(self, offset: int) -> None:
        frame: Frame | None = None
        for packet_id, payload in self._packets(offset):
            self.counts[_packet_name(packet_id)] += 1
            if packet_id == Packet.FRAME_START:
                if frame is not None:
                    self._warn(f"frame {frame.id} has no end packet and is left out")
                frame = self._frame_start(payload)
            elif frame is None:
                self._warn(f"{_packet_name(packet_id)} packet outside any frame is left out")
            elif packet_id == Packet.FRAME_END:
                self.frames.append(frame)
                frame = None
            else:
                self._fill(frame, packet_id, payload)
        if frame is not None:
            self._warn(f"frame {frame.id} is incomplete and is left out; {len(self.frames)} complete frames remain")

    def _frame_start(self, data: bytes) -> Frame | None:
        if len(data) < 24:
            self._warn(f"a FrameStart packet has {len(data)} instead of 24 bytes")
            return None
        self.leftover += len(data) - 24
        return Frame(*struct.unpack_from("<Qdd", data))

    def _fill(self, frame: Frame, packet_id: int, data: bytes) -> None:
        weather = packet_id > Packet.TRAFFIC_LIGHT_TIME and len(data) > 2 and _is_weather(data)
        kind = Packet.WEATHER if weather else packet_id
        if kind not in NAMES:
            self.skipped[packet_id] += 1
            frame.unknown += ((packet_id, data),)
            return
        payload = Payload(data)
        try:
            self._decode(frame, Packet(kind), payload)
        except (struct.error, UnicodeDecodeError) as error:
            self._warn(f"frame {frame.id}: {_packet_name(packet_id)} packet kept raw, its layout is not known: {error}")
            frame.unknown += ((packet_id, data),)
            return
        rest = len(data) - payload.offset
        if rest:
            self.leftover += rest
            self._warn(f"frame {frame.id}: {rest} bytes of a {_packet_name(packet_id)} packet are beyond its layout")

    @staticmethod
    def _decode(frame: Frame, packet: Packet, payload: Payload) -> None:
        if packet in LISTS:
            frame.lists[packet] = read_list(packet, payload)
        elif packet in NUMBERS:
            frame.numbers[packet] = payload.number(NUMBERS[packet])
        else:
            attribute, read = RECORDS[packet]
            count = payload.number("<H")
            setattr(frame, attribute, tuple(read(payload) for _ in range(count)))


def _is_weather(data: bytes) -> bool:
    (count,) = struct.unpack_from("<H", data)
    return count > 0 and len(data) == 2 + WEATHER_BYTES * count


def _packet_name(packet_id: int) -> str:
    return NAMES.get(packet_id, f"id {packet_id}")
