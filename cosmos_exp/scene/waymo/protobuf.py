"""Protocol-buffer messages and TFRecord files, as far as Waymo maps need them, without a schema compiler."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from cosmos_exp.common.errors import UserError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
WIDTHS = {FIXED64: 8, FIXED32: 4}

Field = tuple[int, "int | memoryview"]


class BrokenMessage(ValueError):
    """The bytes are no protocol-buffer message."""


def fields(message: memoryview | bytes) -> Iterator[Field]:
    """(field number, value) in the order of the message: an int for a varint, else the raw bytes."""
    data, at = memoryview(message), 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == BYTES:
            size, at = _varint(data, at)
        elif kind in WIDTHS:
            size = WIDTHS[kind]
        else:
            raise BrokenMessage(f"field {number} has wire type {kind}")
        if at + size > len(data):
            raise BrokenMessage(f"field {number} ends {at + size - len(data)} bytes after the message")
        yield number, data[at : at + size]
        at += size


def submessages(message: memoryview | bytes, number: int) -> Iterator[memoryview]:
    """The values of one length-delimited field."""
    for found, value in fields(message):
        if found == number:
            if isinstance(value, int):
                raise BrokenMessage(f"field {number} is a number, not a message")
            yield value


def double(value: int | memoryview) -> float:
    """A field of type double."""
    if isinstance(value, int) or len(value) != 8:
        raise BrokenMessage("a double has 8 bytes")
    return struct.unpack("<d", value)[0]


def records(path: Path) -> Iterator[bytes]:
    """The records of a TFRecord file, one in memory at a time. The checksums are not verified."""
    size = path.stat().st_size
    with path.open("rb") as file:
        while header := file.read(12):
            length = struct.unpack("<Q", header[:8])[0] if len(header) == 12 else size
            if file.tell() + length + 4 > size:
                raise UserError(f"{path} is no TFRecord file, or is truncated: a record ends after the file")
            yield file.read(length)
            file.seek(4, 1)


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise BrokenMessage("the message ends inside a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise BrokenMessage("a number of more than 10 bytes")
