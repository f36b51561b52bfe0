"""Ways to damage a file: of any kind, of text, and of formats whose checksums and lengths are then mended."""

from __future__ import annotations

import io
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from cosmos_exp.scene.rds_hq.tars import SampleTar, write_tar
from helpers.clips import CLIP_ID

Damage = Callable[[bytes, random.Random], bytes]

NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
WORD = re.compile(rb"[A-Za-z_]\w*")
EXTREMES: Sequence[bytes] = (
    b"0", b"-1", b"1", b"1e308", b"-1e308", b"1e-308", b"1e200", b"1e20", b"1000000000", b"60000", b"2147483648",
    b"18446744073709551616", b"1e999", b"9" * 400, b"NaN", b"Infinity", b"-Infinity", b".nan", b".inf", b"1:30",
    b"2020-99-99", b"true", b"null", b'"x"', b"[]", b"{}", b"''",
)  # fmt: skip
TOKENS: Sequence[bytes] = (
    b"[", b"]", b"{", b"}", b",", b":", b'"', b"'", b"\n", b"\t", b"- ", b"&a ", b"*a", b"!!int ", b"!!binary ",
    b"<<: ",
    b"\xff", b"\0", b"\\ud800", b"\xf0\x9f\x98\x80", b"[" * 200, b'{"a":' * 200, b"<", b">", b"/>", b"<!ENTITY a 'b'>",
    b"&amp;", b"%", b"../", b"\x1b[31m",
)  # fmt: skip
FIELDS = ("<B", "<H", "<I", "<Q", ">I", "<f", "<d")


def damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    """A few edits: other bytes, extreme numbers of a fixed width, runs that are cut, doubled, zeroed or moved."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at, length = rng.randrange(len(data) + 1), rng.choice((1, 2, 4, 8, 64, 512))
        kind = rng.randrange(8)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at : at + length] = rng.randbytes(length)
        elif kind == 2:
            width = rng.choice(FIELDS)
            values = (0.0, -1.0, 1e30, float("nan"), float("inf")) if width[-1] in "fd" else (0, 1, 127, 255, None)
            value = rng.choice(values)
            packed = b"\xff" * struct.calcsize(width) if value is None else struct.pack(width, value)
            data[at : at + len(packed)] = packed
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            data[at:at] = data[at : at + length]
        elif kind == 5:
            data[at : at + length] = bytes(length)
        elif kind == 6:
            other = rng.randrange(len(data) + 1)
            data[at : at + length] = data[other : other + length]
        elif rng.random() < 0.3:
            del data[at:]
    return bytes(data)


def damaged_text(content: bytes, rng: random.Random) -> bytes:
    """Edits of a text: extreme numbers, values of another type, tokens of its syntax, lines cut, doubled or swapped."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        kind = rng.randrange(8)
        if kind < 3:
            content = _replaced(content, NUMBER, rng.choice(EXTREMES), rng)
        elif kind == 3:
            content = _replaced(content, WORD, rng.choice((*EXTREMES, *TOKENS)), rng)
        elif kind == 4:
            at = rng.randrange(len(content) + 1)
            content = content[:at] + rng.choice(TOKENS) + content[at:]
        elif kind == 5:
            content = damaged_bytes(content, rng)
        else:
            lines = content.splitlines(keepends=True) or [b""]
            first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
            if kind == 6:
                lines[first], lines[second] = lines[second], lines[first]
            else:
                lines[first : first + 1] = [lines[first]] * rng.choice((0, 2))
            content = b"".join(lines)
    return content


def _replaced(content: bytes, pattern: re.Pattern[bytes], by: bytes, rng: random.Random) -> bytes:
    found = list(pattern.finditer(content))
    if not found:
        return content
    match = rng.choice(found)
    return content[: match.start()] + by + content[match.end() :]


_folder: list[str] = []


def _scratch() -> str:
    """A folder of this process for files on the way."""
    import tempfile

    if not _folder:
        _folder.append(tempfile.mkdtemp(prefix="fuzz"))
    return _folder[0]


def damaged_tar(content: bytes, rng: random.Random) -> bytes:
    """Damage to one member, or to the tar, whose checksums are mended so that more than those are tried."""
    if rng.random() < 0.5:
        data = bytearray(damaged_bytes(content, rng))
        for at in range(0, len(data) - 511, 512):
            if data[at + 257 : at + 262] == b"ustar":
                data[at + 148 : at + 156] = b" " * 8
                data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
        return bytes(data)
    return _of_member(content, rng)


def _of_member(content: bytes, rng: random.Random) -> bytes:
    path = Path(_scratch()) / "whole.tar"
    path.write_bytes(content)
    parts = dict(SampleTar(path).read_each(SampleTar(path).keys))
    key = rng.choice(list(parts))
    damage = damaged_text if key.endswith(("json", "txt")) else damaged_zip if key.endswith("npz") else damaged_npy
    parts[key] = damage(parts[key], rng)
    if rng.random() < 0.1:
        parts[key.replace("000000", rng.choice(("000001", "9" * 20, "-1")))] = parts.pop(key)
    write_tar(path, CLIP_ID, parts)
    return path.read_bytes()


def damaged_npy(content: bytes, rng: random.Random) -> bytes:
    """Damage to the header, which keeps its length, or to all."""
    if rng.random() < 0.5:
        return damaged_bytes(content, rng)
    end = content.find(b"\n", 10) + 1
    header = damaged_text(content[10:end].rstrip(), rng)
    return content[:8] + struct.pack("<H", min(len(header), 65535)) + header + content[end:]


def damaged_zip(content: bytes, rng: random.Random) -> bytes:
    """Damage to the archive, or to an entry, whose checksum is that of the damaged bytes."""
    if rng.random() < 0.5:
        return damaged_bytes(content, rng)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(out, "w") as target:
        names = source.namelist()
        chosen = rng.choice(names)
        for name in names:
            data = source.read(name)
            if name == chosen:
                data = damaged_npy(data, rng) if name.endswith(".npy") else damaged_bytes(data, rng)
            target.writestr(name, data, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)) if name == chosen else 0)
    return out.getvalue()


def damaged_xml(content: bytes, rng: random.Random) -> bytes:
    """Mostly other numbers in attributes, so that the text stays XML."""
    if rng.random() < 0.3:
        return damaged_text(content, rng)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        content = _replaced(content, re.compile(rb'(?<=")-?[\d.]+(?=")'), rng.choice(EXTREMES).strip(b"'\""), rng)
    return content


def damaged_safetensors(content: bytes, rng: random.Random) -> bytes:
    """Damage to the header, whose length is that of the damaged text, or to all."""
    if rng.random() < 0.5:
        return damaged_bytes(content, rng)
    end = 8 + int.from_bytes(content[:8], "little")
    header = damaged_text(content[8:end], rng)
    return len(header).to_bytes(8, "little") + header + content[end:]


def damaged_pickle(content: bytes, rng: random.Random) -> bytes:
    return damaged_zip(content, rng) if content[:2] == b"PK" else damaged_bytes(content, rng)


def damaged_png(content: bytes, rng: random.Random) -> bytes:
    """Of a PNG, mostly with the checksums of its chunks mended."""
    data = bytearray(damaged_bytes(content, rng))
    at = 8
    while content[:4] == b"\x89PNG" and at + 12 <= len(data) and rng.random() < 0.9:
        size = int.from_bytes(data[at : at + 4], "big")
        data[at + 8 + size : at + 12 + size] = zlib.crc32(data[at + 4 : at + 8 + size]).to_bytes(4, "big")
        at += 12 + size
    return bytes(data)
