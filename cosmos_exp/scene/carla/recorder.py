"""Reader of the CARLA recorder's binary log.

Values keep CARLA's frame (left-handed: x forward, y right, z up; rotations are roll, pitch, yaw in degrees), but
centimetres become metres. Little endian, no padding. `log.py` turns a log into a `Scene`.

The log is a header followed by packets `u8 id, u32 size, payload`; a recorder that was killed leaves a truncated last
packet, which ends the log with a warning.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType

import numpy as np

from cosmos_exp.common.counted_warnings import CountedWarnings
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.input_files import existing_file
from cosmos_exp.scene.carla.packets import (
    LISTS,
    NAMES,
    NUMBERS,
    ORDERS,
    RECORDS,
    ActorAdded,
    Packet,
    Payload,
    PhysicsControl,
    WalkerBones,
    WheelAngles,
    empty_list,
    fits,
    read_list,
    read_records,
)

MAGIC = "CARLA_RECORDER"
WEATHER_BYTES = 56  # 14 float32; the packet's id differs between CARLA branches
LONGEST_STEP = 10.0  # seconds from one frame to the next; what is farther apart is no continuous recording
LATEST = 1e12  # seconds: the largest time that is taken for one
VOTES = 100  # packets of an id that its layout is told by
LISTED = 5  # unknown ids in a warning
KINDS = {int(packet): packet for packet in Packet}
START, END, LAST_STABLE = int(Packet.FRAME_START), int(Packet.FRAME_END), int(Packet.TRAFFIC_LIGHT_TIME)


class ActorType(IntEnum):
    OTHER = 0
    VEHICLE = 1
    WALKER = 2
    TRAFFIC_LIGHT = 3
    TRAFFIC_SIGN = 4
    SENSOR = 5


ACTOR_TYPES = (  # by how the name of a blueprint begins
    ("vehicle.", ActorType.VEHICLE),
    ("walker.", ActorType.WALKER),
    ("traffic.traffic_light", ActorType.TRAFFIC_LIGHT),
    ("traffic.", ActorType.TRAFFIC_SIGN),
    ("sensor.", ActorType.SENSOR),
)


def actor_type(type_id: str) -> ActorType:
    """Kind of actor by its blueprint."""
    return next((kind for prefix, kind in ACTOR_TYPES if type_id.startswith(prefix)), ActorType.OTHER)


def town_name(path: str) -> str:
    """Town without the asset folder that newer builds write: `Carla/Maps/Town10HD_Opt` -> `Town10HD_Opt`."""
    return path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


@dataclass
class Frame:
    """One recorded simulation step. Lists are structured arrays whose fields `packets.py` documents.

    id counts from 1. elapsed: simulated seconds at the frame, NaN where the log has no finite number. duration: seconds
    to the next frame, -1 in a log's last. platform_time: wall seconds since the recording began. lists: rows by packet;
    more than one array where the frame has more than one packet of a kind.
    """

    id: int
    duration: float
    elapsed: float
    added: Sequence[ActorAdded] = ()
    deleted: Sequence[int] = ()
    parents: Sequence[tuple[int, int]] = ()
    physics: Sequence[PhysicsControl] = ()
    walker_bones: Sequence[WalkerBones] = ()
    wheel_angles: Sequence[WheelAngles] = ()
    lists: dict[Packet, list[np.ndarray]] = field(default_factory=dict)
    numbers: dict[Packet, float] = field(default_factory=dict)

    def __getitem__(self, packet: Packet) -> np.ndarray:
        """Rows of a list packet; empty where the frame has none."""
        parts = self.lists.get(packet)
        if parts is None:
            return empty_list(packet)
        if len(parts) > 1:
            parts[:] = [np.concatenate(parts)]
        return parts[0]

    @property
    def platform_time(self) -> float | None:
        return self.numbers.get(Packet.PLATFORM_TIME)


@dataclass(frozen=True)
class RecorderLog:
    """A parsed log: header values, complete frames, packet counts, and warnings about defects of the file.

    date: None where the header holds no time. leftover_bytes: payload bytes of known packets beyond their known layout.
    warnings: one for each kind of defect, with its first place and its count.
    """

    path: Path
    version: int
    date: datetime | None
    map: str
    frames: tuple[Frame, ...]
    packet_counts: dict[str, int]
    leftover_bytes: int
    warnings: tuple[str, ...]

    @property
    def times(self) -> np.ndarray:
        """[frames] seconds, NaN where a frame has none."""
        return np.array([frame.elapsed for frame in self.frames])

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the last."""
        return next((frame.elapsed for frame in reversed(self.frames) if math.isfinite(frame.elapsed)), 0.0)

    @property
    def map_name(self) -> str:
        """Of the town, without folder."""
        return town_name(self.map)


def read_log(path: Path | str) -> RecorderLog:
    """Reads every complete frame of a recorder log.

    Unknown packets, and known ones of another layout, are skipped by their size. Ids that differ between CARLA's
    versions are told apart by the layout of their packets. A truncated last packet or unfinished last frame ends the
    log. All of this is told in `warnings`. Raises UserError when the file is missing, is no recorder log, or holds no
    complete frame.
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
        self.warnings = CountedWarnings()
        self.skipped: Counter[int] = Counter()
        self.moved: list[tuple[Frame, int, bytes]] = []  # packets whose ids differ between versions

    def read(self) -> RecorderLog:
        payload = Payload(self.data)
        version, date, town = self._header(payload)
        self._frames(payload.offset)
        if not self.frames:
            raise UserError(
                f"recorder log {str(self.path)!r} has no complete frame: {len(self.data)} bytes, the recording was "
                "probably cut off; record again or give another log"
            )
        kinds = self._moved_kinds()
        for frame, packet_id, data in self.moved:
            self._fill(frame, _kind(packet_id, data, kinds), packet_id, data)
        self._check_times()
        if self.skipped:
            self.counts.update({_packet_name(packet_id): count for packet_id, count in self.skipped.items()})
            self.warnings.add(_skipped(self.skipped))
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

    def _header(self, payload: Payload) -> tuple[int, datetime | None, str]:
        try:
            version, magic = payload.number("<H"), payload.text()
            if magic != MAGIC:
                raise UserError(
                    f"{str(self.path)!r} is not a CARLA recorder log: expected the magic {MAGIC!r}, it has "
                    f"{magic[:32]!r}"
                )
            seconds, town = payload.number("<q"), payload.text()
        except struct.error as error:
            raise UserError(
                f"recorder log {str(self.path)!r} ends inside its header ({len(self.data)} bytes)"
            ) from error
        try:
            return version, datetime.fromtimestamp(seconds, tz=timezone.utc), town
        except (ValueError, OverflowError, OSError):
            self.warnings.add("the date of the recording is none", f"{seconds} s after 1970")
            return version, None, town

    def _packets(self, offset: int) -> Iterator[tuple[int, bytes]]:
        """(id, payload) until the end of the file or the first incomplete packet."""
        end = len(self.data)
        while offset < end:
            if offset + 5 > end:
                self.warnings.add(f"the log ends inside a packet header at byte {offset}")
                return
            packet_id, size = struct.unpack_from("<BI", self.data, offset)
            if offset + 5 + size > end:
                self.warnings.add(
                    f"the log ends inside a {_packet_name(packet_id)} packet at byte {offset}: "
                    f"{end - offset - 5} of {size} bytes"
                )
                return
            yield packet_id, self.data[offset + 5 : offset + 5 + size]
            offset += 5 + size

    def _frames(self, offset: int) -> None:
        frame: Frame | None = None
        for packet_id, data in self._packets(offset):
            if packet_id == START:
                self.counts[_packet_name(packet_id)] += 1
                if frame is not None:
                    self.warnings.add("frame without an end packet left out", f"frame {frame.id}")
                frame = self._frame_start(data)
            elif frame is None:
                self.counts[_packet_name(packet_id)] += 1
                self.warnings.add("packet outside any frame left out", _packet_name(packet_id))
            elif packet_id == END:
                self.counts[_packet_name(packet_id)] += 1
                self.frames.append(frame)
                frame = None
            elif packet_id in ORDERS[0]:
                self.moved.append((frame, packet_id, data))
            else:
                self._fill(frame, _kind(packet_id, data), packet_id, data)
        if frame is not None:
            remain = f"{len(self.frames)} complete frames remain"
            self.warnings.add(f"frame {frame.id} is incomplete and is left out; {remain}")

    def _frame_start(self, data: bytes) -> Frame | None:
        if len(data) < 24:
            self.warnings.add("FrameStart packet of less than 24 bytes", f"{len(data)} bytes")
            return None
        self.leftover += len(data) - 24
        frame = Frame(*struct.unpack_from("<Qdd", data))
        if not abs(frame.elapsed) <= LATEST:
            self.warnings.add("frame without a finite time", f"frame {frame.id} at {frame.elapsed} s")
            frame.elapsed = math.nan
        return frame

    def _moved_kinds(self) -> dict[int, Packet]:
        """What the ids of ORDERS mean in this log: the layouts that their packets fit, else the likeliest version."""
        votes: dict[int, Counter[Packet]] = {packet_id: Counter() for packet_id in ORDERS[0]}
        for _, packet_id, data in self.moved:
            if len(data) > 2 and votes[packet_id].total() < VOTES:  # an empty list looks the same in all
                votes[packet_id].update(kind for kind in ORDERS[0].values() if fits(kind, data))
        order = max(ORDERS, key=lambda order: sum(votes[packet_id][kind] for packet_id, kind in order.items()))

        def meaning(packet_id: int) -> Packet:
            return max(order.values(), key=lambda kind: (votes[packet_id][kind], kind is order[packet_id]))

        return {packet_id: meaning(packet_id) for packet_id in order}

    def _fill(self, frame: Frame, kind: Packet | None, packet_id: int, data: bytes) -> None:
        if kind is None:
            self.skipped[packet_id] += 1
            return
        name = NAMES[kind]
        self.counts[name] += 1
        payload = Payload(data)
        try:
            self._decode(frame, kind, payload)
        except struct.error as error:
            self.warnings.add(f"{name} packet of unknown layout left out", f"frame {frame.id}: {error}")
            return
        rest = len(data) - payload.offset
        if rest:
            self.leftover += rest
            self.warnings.add(f"{name} packet with bytes beyond its layout", f"frame {frame.id}: {rest} bytes")

    @staticmethod
    def _decode(frame: Frame, packet: Packet, payload: Payload) -> None:
        if packet in LISTS:
            rows = read_list(packet, payload)
            frame.lists.setdefault(packet, []).append(rows)
        elif packet in NUMBERS:
            frame.numbers[packet] = payload.number(NUMBERS[packet])
        else:
            attribute = RECORDS[packet][0]
            records = getattr(frame, attribute) or []
            setattr(frame, attribute, records)
            records.extend(read_records(packet, payload))  # those before a broken one stay

    def _check_times(self) -> None:
        times = np.array([frame.elapsed for frame in self.frames])
        steps = np.diff(times)
        for found, what in (
            (steps <= 0, "frame that is not later than the one before"),
            (steps > LONGEST_STEP, f"frame more than {LONGEST_STEP:g} s after the one before"),
        ):
            if found.any():
                i = int(found.argmax())
                place = f"frame {self.frames[i + 1].id} at {times[i + 1]:g} s after {times[i]:g} s"
                self.warnings.add(what, place, int(found.sum()))


def _kind(packet_id: int, data: bytes, moved: Mapping[int, Packet] = MappingProxyType({})) -> Packet | None:
    """What a packet is; None where the id is unknown. moved: what ids mean whose meaning differs between versions."""
    known = moved.get(packet_id, KINDS.get(packet_id))
    if packet_id > LAST_STABLE and _is_weather(data) and (known is None or not fits(known, data)):
        return Packet.WEATHER
    return known


def _is_weather(data: bytes) -> bool:
    count, rest = divmod(len(data) - 2, WEATHER_BYTES)
    return count > 0 and rest == 0 and count == int.from_bytes(data[:2], "little")


def _packet_name(packet_id: int) -> str:
    return NAMES.get(packet_id, f"id {packet_id}")


def _skipped(counts: Counter[int]) -> str:
    if len(counts) == 1:
        return f"skipped {counts.total()} packets of unknown id {next(iter(counts))}"
    listed = ", ".join(f"{packet_id} ({count})" for packet_id, count in counts.most_common(LISTED))
    more = ", ..." if len(counts) > LISTED else ""
    return f"skipped {counts.total()} packets of {len(counts)} unknown ids: {listed}{more}"
