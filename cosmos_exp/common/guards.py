"""Bounded reading of files that others made: size, nesting, digits and shapes are checked before memory is taken.

What a reader takes for one file is at most `MEMORY` and a few times its own bytes, and a file that asks for more, or is
broken in any way, is a UserError that names it. `place` is the name of the file, or of the part of it, in messages.
"""

from __future__ import annotations

import ast
import io
import json
import math
import mmap
import re
import stat
import xml.etree.ElementTree as ElementTree
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from xml.etree.ElementTree import Element

import numpy as np
import yaml

from cosmos_exp.common.errors import UserError

MIB = 1 << 20
MEMORY = 384 * MIB
"""Bytes that the values of one file may take."""
JSON_BYTES, YAML_BYTES, XML_BYTES, TABLE_BYTES, CAPTION_BYTES = 64 * MIB, 4 * MIB, 96 * MIB, 64 * MIB, MIB
DEPTH = 64
"""Levels of lists and objects inside each other."""
DIGITS = 300
"""Of one number; a float64 has up to 309 before its point."""
YAML_NODES = 100_000
"""Values of a YAML file, those that aliases repeat counted each time."""
ZIP_ENTRIES = 10_000
NPY_HEADER = 64 << 10
"""Bytes of the text that describes a NumPy array."""
SIDE = 8192
"""Pixels: the largest width and height of a camera or a map over a clip; 8K video has 7680 x 4320."""
FARTHEST = 1e8
"""Metres: the largest coordinate, of a point in the world or of a size; the Earth measures 1.3e7."""

NPY_MAGIC = b"\x93NUMPY"
REAL_KINDS = "biuf"
NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
EXPONENT = re.compile(rb"[eE]\+?\d{3}")
ZEROS = bytes(ord("0") if chr(byte).isascii() and chr(byte).isdigit() else ord(" ") for byte in range(256))
STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
LONE_SURROGATE = re.compile(rb"\\u[dD][89abAB]|\xed[\xa0-\xbf]")
NUMBER_TEXT = re.compile(r"[-+\d][-+\d_:.xobeEa-fA-F]*")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's loader, several times as fast, where PyYAML was built with it."""


def read_bytes(what: str, path: Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes. FileNotFoundError where there is none: the caller knows
    what to give in its place."""
    place = f"{what} {str(path)!r}"
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise UserError(f"{place} is a {'folder' if stat.S_ISDIR(found.st_mode) else 'device or pipe'}, not a file")
        _require_size(place, found.st_size, most)
        with path.open("rb") as file:
            content = file.read(most + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{place} cannot be read: {error.strerror or error}") from None
    _require_size(place, len(content), most)
    return content


def read_json(what: str, path: Path, *, finite: bool = True) -> Any:
    """The values of a JSON file, see `parse_json`. FileNotFoundError where there is none."""
    return parse_json(read_bytes(what, path, JSON_BYTES), f"{what} {str(path)!r}", finite=finite)


def parse_json(content: bytes | str, place: str, *, finite: bool = True) -> Any:
    """The values of a JSON text. finite: refuse NaN and infinity, which Python's own JSON may hold."""
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    _require_size(place, len(data), JSON_BYTES)
    try:
        text = data.decode(json.detect_encoding(data))
    except UnicodeDecodeError:
        raise UserError(f"{place} is not JSON: not UTF-8 text") from None
    bare = STRING.sub(b'"', data if json.detect_encoding(data).startswith("utf-8") else text.encode())
    _check_json_memory(bare, place)
    _check_nesting(bare, place)

    def integer(digits: str) -> int:
        if len(digits) > DIGITS:
            raise UserError(f"{place} has a number of {len(digits)} digits{_line(bare, digits)}: at most {DIGITS}")
        return int(digits)

    def number(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise UserError(f"{place} has the number {digits[:40]}{_line(bare, digits)}: it must be finite")
        return value

    options: dict[str, Any] = {"parse_int": integer}
    if finite:
        options["parse_constant"] = number
        if EXPONENT.search(bare) or b"0" * DIGITS in bare.translate(ZEROS):  # else no number can be out of range
            options["parse_float"] = number
    try:
        values = json.loads(text, **options)
        if LONE_SURROGATE.search(data):
            json.dumps(values, ensure_ascii=False).encode()
        return values
    except UnicodeEncodeError:
        raise UserError(f"{place} has half a character: an escape \\ud800 to \\udfff without its other half") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{place} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None


def parse_yaml(content: bytes | str, place: str) -> Any:
    """The values of a YAML text: plain ones, see `compose_yaml` for what else is refused."""
    node = compose_yaml(content, place)
    try:
        return None if node is None else _Constructor().construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise _unreadable_yaml(place, error) from error


def compose_yaml(content: bytes | str, place: str, loader: Any = LOADER) -> yaml.Node | None:
    """The nodes of a YAML text, which know their lines; None of an empty one. loader: yaml.SafeLoader refuses a little
    more than libyaml's, such as a tab after a colon.

    UserError for a text that is not YAML, gives a key of a mapping twice, or is out of bounds, with all aliases.
    """
    _require_size(place, len(content), YAML_BYTES)
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        _check_yaml_events(text, place, loader)
        root = yaml.compose(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        raise _unreadable_yaml(place, error, text) from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{place} is not readable as YAML: {' '.join(str(error).split())}") from error
    for node in yaml_nodes(root):
        if isinstance(node, yaml.MappingNode):
            _require_single_keys(node, place)
    return root


def yaml_nodes(root: yaml.Node | None) -> Iterator[yaml.Node]:
    """Every value of a tree of nodes, itself included, once, in the order of the file."""
    waiting, seen = [root] if root else [], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, yaml.MappingNode):
            waiting += [value for _, value in reversed(node.value)]
        elif isinstance(node, yaml.SequenceNode):
            waiting += reversed(node.value)


def parse_xml(content: bytes, place: str) -> Element:
    """The root element of an XML text. Entities of its own are refused: they multiply."""
    _require_size(place, len(content), XML_BYTES)
    if b"<!ENTITY" in content:
        raise UserError(f"{place} declares entities, which are not read: write out what they stand for")
    _require_memory(place, 128 * content.count(b"<") + 160 * content.count(b"="))
    try:
        return ElementTree.fromstring(content)
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # LookupError: an unknown encoding
        raise UserError(f"{place} is truncated or not valid XML: {error}") from error


def npy_array(content: bytes | mmap.mmap, place: str) -> np.ndarray:
    """The array of a .npy file or member: real numbers, as a view of the bytes. Headers repeat from member to member,
    so that each is parsed once."""
    try:
        start = 10 if content[6:7] == b"\x01" else 12
        end = start + int.from_bytes(content[8:start], "little")
        if content[:6] != NPY_MAGIC or content[6:7] not in (b"\x01", b"\x02", b"\x03") or end > start + NPY_HEADER:
            raise ValueError("no header of a .npy file")
        dtype, shape, order = _npy_header(bytes(content[start:end]))
        count = math.prod(shape)
        if end + count * dtype.itemsize > len(content):
            raise ValueError(f"its shape {list(shape)[:8]} of {dtype} asks for more bytes than it has")
        return np.frombuffer(content, dtype, offset=end, count=count).reshape(shape, order=order)
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise UserError(f"{place} is not a readable .npy array: {error or 'its header is broken'}") from None


def read_npy(what: str, path: Path) -> np.ndarray:
    """The array of a .npy file, memory-mapped. FileNotFoundError where there is none."""
    try:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # ValueError: an empty file
        raise UserError(f"{what} {str(path)!r} cannot be read: {error}") from None
    return npy_array(content, f"{what} {str(path)!r}")


def npz_arrays(content: bytes, place: str) -> dict[str, np.ndarray]:
    """The arrays of a .npz file, of `MEMORY` bytes together at most."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if len(entries) > ZIP_ENTRIES:
                raise UserError(f"{place} has {len(entries)} entries: at most {ZIP_ENTRIES} are read")
            _require_memory(place, sum(entry.file_size for entry in entries))
            return {
                entry.filename.removesuffix(".npy"): npy_array(archive.read(entry), f"{place}: {entry.filename}")
                for entry in entries
            }
    except UserError:
        raise
    except (ValueError, OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{place} is not a readable .npz file: {error}") from None


def shortened(value: Any, most: int = 120) -> str:
    """`repr` for a message."""
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python prints
        text = f"a {type(value).__name__} too long to print"
    return text if len(text) <= most else f"{text[:most]}..."


def require_pixels(what: str, width: float, height: float) -> None:
    """UserError for more than `SIDE` pixels either way."""
    if max(width, height) > SIDE:
        nearest = f"{min(width, SIDE):g}x{min(height, SIDE):g}"
        raise UserError(f"{what}: {width:g}x{height:g} pixels; at most {SIDE} each way, nearest {nearest}")


def _require_size(place: str, size: int, most: int) -> None:
    if size > most:
        raise UserError(f"{place} has {size} bytes or more: at most {most} ({most // MIB} MiB) are read")


def _require_memory(place: str, size: int) -> None:
    if size > MEMORY:
        raise UserError(
            f"{place} would take {size // MIB} MiB of memory: at most {MEMORY // MIB} MiB are given to a file"
        )


def _check_nesting(bare: bytes, place: str) -> None:
    """bare: JSON without its strings."""
    brackets = np.frombuffer(bare.translate(None, NOT_BRACKETS), np.uint8)
    steps = 3 - (brackets & 6).astype(np.int8)  # 1 for [ and {, -1 for ] and }
    deepest = int(np.cumsum(steps, dtype=np.int32).max(initial=0))
    if deepest > DEPTH:
        raise UserError(f"{place} is nested {deepest} levels deep: at most {DEPTH} are read")


def _check_json_memory(bare: bytes, place: str) -> None:
    """By what CPython's objects take: a list, a dict, an element with its place in them, a string."""
    sizes = {b"[": 80, b"{": 224, b"]": 8, b"}": 8, b",": 40, b'"': 84}
    _require_memory(place, sum(size * bare.count(mark) for mark, size in sizes.items()))


def _line(bare: bytes, digits: str) -> str:
    at = bare.find(digits.encode())
    line = 1 + bare[: max(at, 0)].count(b"\n")
    return "" if at < 0 else f" in line {line}"


def _check_yaml_events(text: str, place: str, loader: Any) -> None:
    """Depth, long numbers and the number of values, without building any of them."""
    sizes: dict[str, int] = {}  # of anchored values
    total, opened = 0, []  # opened: (anchor, total before) of the collections that are not closed yet
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, total))
            total += 1
            if len(opened) > DEPTH:
                raise UserError(f"{place} is nested too deep{_mark(event)}: at most {DEPTH} levels are read")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes and any(anchor == event.anchor for anchor, _ in opened):
                raise UserError(f"{place}: the alias *{event.anchor} contains itself{_mark(event)}")
            total += sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor:
                sizes[event.anchor] = 1
            if len(event.value) > DIGITS and NUMBER_TEXT.fullmatch(event.value) and (event.tag or not event.style):
                raise UserError(f"{place} has a number of {len(event.value)} digits{_mark(event)}: at most {DIGITS}")
        if total > YAML_NODES:
            raise UserError(f"{place} has more than {YAML_NODES} values{_mark(event)}, aliases counted each time")


def _mark(event: yaml.Event) -> str:
    return f" in line {event.start_mark.line + 1}" if event.start_mark else ""


def _require_single_keys(mapping: yaml.MappingNode, place: str) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in mapping.value:
        if isinstance(key, yaml.ScalarNode) and not key.tag.endswith(":merge"):
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in lines:
                raise UserError(f"{place} has the key {key.value!r} twice, in lines {lines[name]} and {line}")
            lines[name] = line


def _unreadable_yaml(place: str, error: yaml.MarkedYAMLError, text: str = "") -> UserError:
    told = ", ".join(filter(None, (error.context, error.problem)))
    mark, until = error.context_mark or error.problem_mark, error.problem_mark
    where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    ends = f" (seen in line {until.line + 1})" if mark and until and until.line != mark.line else ""
    rest = "".join(text.split("\n")[until.line : until.line + 1])[until.column :] if until else ""
    hint = "; indent with spaces, not tabs" if rest.startswith("\t") else ""
    return UserError(f"{place} is not readable as YAML: {told}{where}{ends}{hint}")


class _Constructor(yaml.constructor.SafeConstructor):
    """Says where a value stands that is not of its type."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except yaml.YAMLError:
            raise
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
            given = str(node.value)[:60] if isinstance(node, yaml.ScalarNode) else "value"
            kind = node.tag.rsplit(":", 1)[-1]
            raise yaml.constructor.ConstructorError(
                None, None, f"{given!r} is no {kind}: {error}", node.start_mark
            ) from None


@lru_cache(maxsize=64)
def _npy_header(text: bytes) -> tuple[np.dtype, tuple[int, ...], Literal["C", "F"]]:
    header = ast.literal_eval(text.decode("latin1").strip())
    dtype, shape = np.dtype(header["descr"]), tuple(header["shape"])
    if dtype.kind not in REAL_KINDS or dtype.shape or not dtype.itemsize:
        raise ValueError(f"it holds {dtype}, not real numbers")
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape) or len(shape) > 32:
        raise ValueError(f"its shape is {str(shape)[:60]}")
    return dtype, shape, "F" if header["fortran_order"] else "C"
