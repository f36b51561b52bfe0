"""WebDataset tars that hold exactly one sample, the containers of every RDS-HQ layer.

A member is called `<sample>.<key>`: the sample is the base name up to its first dot, the key everything after it,
lower-cased. The reader walks the 512-byte headers itself (POSIX ustar and pax, GNU long names), which takes a tenth of
the time of `tarfile` and finds truncation, which `tarfile` lets pass.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.guards import MEMORY, MIB

BLOCK = 512
MEMBERS = 200_000  # of one tar; a clip of 20 seconds has some thousand poses
EXTENSION_BYTES = MIB  # of a header that only extends the next one's
REGULAR, LONG_NAME, PAX, PAX_GLOBAL = b"0\0", b"L", b"x", b"g"


class SampleTar:
    """The members of one tar by key. Only the headers are read at first; the file is open only while reading.

    UserError for a file that is missing, no tar, truncated, empty, of several samples, with a key twice, or larger than
    the bounds of `cosmos_exp.common.guards`.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        try:
            with self.path.open("rb") as file:
                self._places = self._index(file)
        except FileNotFoundError:
            raise UserError(f"no such file: {self.path}") from None
        except IsADirectoryError:
            raise UserError(f"{self.path} is a folder, not a tar") from None
        self.keys = tuple(sorted(self._places))

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def read(self, key: str) -> bytes:
        return next(self.read_each([key]))[1]

    def read_each(self, keys: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """(key, content) in the order asked for, one member in memory at a time."""
        with self.path.open("rb") as file:
            for key in keys:
                if key not in self._places:
                    raise UserError(unknown_name(f"key in {self.path}", key, self.keys))
                start, size = self._places[key]
                if size > MEMORY:
                    raise UserError(f"{self.path}: {key} has {size // MIB} MiB: at most {MEMORY // MIB} MiB are read")
                file.seek(start)
                content = file.read(size)
                if len(content) < size:
                    raise self._truncated(key)
                yield key, content

    def _index(self, file: BinaryIO) -> dict[str, tuple[int, int]]:
        end = file.seek(0, io.SEEK_END)
        places: dict[str, tuple[int, int]] = {}
        samples: set[str] = set()
        for name, start, size in self._members(file, end):
            base = name.rsplit("/", 1)[-1]
            if base.startswith("."):  # such as the ._ files of macOS
                continue
            _, dot, key = base.partition(".")
            if not dot:
                raise UserError(f"{self.path}: member {name!r} has no key: members are called <clip id>.<key>")
            if key.lower() in places:
                raise UserError(f"{self.path}: key {key.lower()!r} is there twice (keys are read in lower case)")
            places[key.lower()] = start, size
            if len(places) > MEMBERS:
                raise UserError(f"{self.path} has more than {MEMBERS} members: so many are no layer of one clip")
            samples.add(name[: len(name) - len(key) - 1])
            if len(samples) > 1:
                first, second = sorted(samples)
                raise UserError(
                    f"{self.path} holds more than one sample, {first!r} and {second!r}: a layer tar holds one clip"
                )
        if not places:
            raise UserError(f"{self.path} is an empty tar: it holds no member")
        return places

    def _members(self, file: BinaryIO, end: int) -> Iterator[tuple[str, int, int]]:
        """(name, start, size) of the regular files. A name or size given by an extension header replaces its own."""
        position = 0
        extended: dict[str, str] = {}
        while True:
            file.seek(position)
            header = file.read(BLOCK)
            if header == bytes(BLOCK):
                return
            if len(header) < BLOCK:
                raise self._truncated(None) if position else UserError(f"{self.path} is not a tar: {end} bytes long")
            if not _checksum_holds(header):
                raise UserError(f"{self.path} is not a tar: no valid member header at byte {position}")
            kind, name = header[156:157], _text(header[:100])
            if header[345:346] != b"\0" and header[257:263] == b"ustar\0":
                name = f"{_text(header[345:500])}/{name}"
            name = extended.get("path", name)
            size = self._size(name, extended, header)
            start = position + BLOCK
            position = start + -(-size // BLOCK) * BLOCK
            if start + size > end:
                raise self._truncated(name)
            if kind in (LONG_NAME, PAX) and size > EXTENSION_BYTES:
                raise UserError(f"{self.path}: the header at byte {start} extends over {size} bytes: at most {MIB}")
            if kind == LONG_NAME:
                extended["path"] = _text(file.read(size))
            elif kind == PAX:
                extended |= self._pax_records(file.read(size), start)
            elif kind != PAX_GLOBAL:
                extended = {}
                if kind in REGULAR:
                    yield name, start, size

    def _size(self, name: str, extended: Mapping[str, str], header: bytes) -> int:
        try:
            return _whole(extended["size"].encode(), 10) if "size" in extended else _number(header[124:136])
        except ValueError:
            raise UserError(f"{self.path}: member {name!r} has a size that is no number of bytes") from None

    def _pax_records(self, content: bytes, start: int) -> dict[str, str]:
        """Records `length keyword=value\\n`, the length being that of the whole record."""
        records: dict[str, str] = {}
        at = 0
        while at < len(content):
            digits, blank, _ = content[at : at + 12].partition(b" ")
            length = int(digits) if blank and digits.isdigit() else 0
            if not len(digits) + 1 < length <= len(content) - at:
                raise UserError(f"{self.path}: the extended header at byte {start + at} is no pax record")
            record = content[at + len(digits) + 1 : at + length - 1]
            keyword, _, value = record.decode("utf-8", "surrogateescape").partition("=")
            records[keyword] = value
            at += length
        return records

    def _truncated(self, member: str | None) -> UserError:
        place = f"inside member {member!r}" if member else "before the end-of-archive mark"
        return UserError(f"{self.path} is truncated: it ends {place}")


def write_tar(path: Path, sample: str, members: Mapping[str, bytes] | Iterable[tuple[str, bytes]]) -> None:
    """Writes the members key -> content of one sample as a pax tar (clip ids of NVIDIA do not fit plain ustar).

    Streams: `members` may be a generator of (key, content). The same members give the same bytes: no times, no owners.
    """
    if "." in sample:
        raise UserError(
            f"clip id {sample!r} has a dot: keys start after the first dot; use {sample.replace('.', '_')!r}"
        )
    pairs = members.items() if isinstance(members, Mapping) else members
    written: set[str] = set()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for key, content in pairs:
            if key != key.lower() or key in written:
                raise UserError(f"key {key!r} of {path}: keys are lower case and each is written once")
            written.add(key)
            info = tarfile.TarInfo(f"{sample}.{key}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def _checksum_holds(header: bytes) -> bool:
    """The header's own sum, its eight bytes counted as blanks."""
    try:
        return _number(header[148:156]) == sum(header) - sum(header[148:156]) + 8 * 32
    except ValueError:
        return False


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # GNU base 256, for members of 8 GiB and more
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    return _whole(field.split(b"\0")[0].strip() or b"0", 8)


def _whole(digits: bytes, base: int) -> int:
    """Digits alone: `int` also takes a sign and underscores."""
    if not re.fullmatch(rb"[0-7]{1,12}" if base == 8 else rb"[0-9]{1,18}", digits):
        raise ValueError(digits)
    return int(digits, base)


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "surrogateescape")
