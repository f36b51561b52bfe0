"""Tensors of PyTorch's pickle-based files, memory-mapped; nothing that the pickle names is imported or run.

Three containers: a zip with `data.pkl` (torch.save), the same with modules in place of the dict (TorchScript), and the
older stream of pickles followed by the storages. The unpickler knows storages, the rebuilding of a tensor from one,
ordered dicts and, for TorchScript, modules as inert records; any other name in the file is an error.
"""

from __future__ import annotations

import io
import math
import mmap
import pickle
import pickletools
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import DEPTH, MIB, ZIP_ENTRIES
from cosmos_exp.common.input_files import did_you_mean

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
ZIP_START = b"PK"
UNUSED = ("EXT1", "EXT2", "EXT4", "PERSID")
LOCAL_HEADER = 30  # bytes of a zip entry's local header before its name
PICKLE_BYTES = 64 * MIB  # of the description of the tensors; that of a 7B network has some hundred thousand
MEMO = 4_000_000  # largest index that an object is remembered under
COPIED = 4_000_000  # elements that lists and dicts made of others may have together
EXPANDED = 1 << 27  # elements of a tensor that repeats those of a smaller storage


class Record:
    """A module of a TorchScript file: its attributes, no code."""

    def __init__(self):
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError("a module's state is no dict")
        self.attributes = state


class _Opaque:
    """Bytes that some layers store with their weights (`_extra_state`)."""

    def __init__(self, *_: Any):
        pass

    def __setstate__(self, _: Any) -> None:
        pass


Storage = Callable[[str, torch.dtype, int], Tensor]  # (key, dtype, numel) -> [numel]


def read_pickled(path: Path) -> Any:
    """What the file holds: a dict of tensors or, for TorchScript, {dotted name: tensor} of parameters and buffers.

    The tensors share the mapped file; reading one reads its pages. Raises UserError for a file that is cut off, corrupt
    or names anything but tensors, and for one that asks for memory out of proportion to its size.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"weights file not found: {path}{did_you_mean(path)}")
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        loaded = _read_zip(path, mapped) if mapped[:2] == ZIP_START else _read_stream(mapped)
    except (
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        OSError,
        EOFError,
        MemoryError,
        OverflowError,
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
        IndexError,
        RuntimeError,
    ) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"weights file {path} cannot be read, it may be truncated: {error}") from error
    if not isinstance(loaded, Record):
        return loaded
    try:
        return dict(_module_tensors(loaded))
    except pickle.UnpicklingError as error:
        raise UserError(f"weights file {path} cannot be read: {error}") from None


def _read_zip(path: Path, mapped: mmap.mmap) -> Any:
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if len(entries) > ZIP_ENTRIES:
            raise pickle.UnpicklingError(f"it has {len(entries)} entries, at most {ZIP_ENTRIES} are read")
        name = next((name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")), None)
        if name is None:
            raise pickle.UnpicklingError("it holds no data.pkl")
        if entries[name].compress_type != zipfile.ZIP_STORED or entries[name].file_size > PICKLE_BYTES:
            raise pickle.UnpicklingError(
                f"{name} is compressed or has {entries[name].file_size} bytes: PyTorch stores it as it is, and at most "
                f"{PICKLE_BYTES} are read"
            )
        pickled = archive.read(name)
    folder = name.removesuffix("data.pkl") + "data/"

    def storage(key: str, dtype: torch.dtype, numel: int) -> Tensor:
        entry = entries[folder + key]
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != numel * dtype.itemsize:
            raise pickle.UnpicklingError(f"storage {key} has {entry.file_size} bytes, not {numel} of {dtype}")
        lengths = struct.unpack_from("<HH", mapped, entry.header_offset + LOCAL_HEADER - 4)
        return _tensor(mapped, entry.header_offset + LOCAL_HEADER + sum(lengths), dtype, numel)

    return _load(io.BytesIO(pickled), storage)


def _read_stream(mapped: mmap.mmap) -> Any:
    """The container of PyTorch before 1.6: magic number, version, platform, object, storage keys, storages.

    Where a storage lies is known after the object is read: the first pass collects sizes, the second one tensors.
    """
    sizes: dict[str, tuple[torch.dtype, int]] = {}

    def size(key: str, dtype: torch.dtype, numel: int) -> Tensor:
        sizes[key] = (dtype, numel)
        return torch.empty(numel, dtype=dtype, device="meta")

    if _load(mapped, size) != LEGACY_MAGIC:
        raise pickle.UnpicklingError("it is no file of PyTorch")
    for _ in ("version", "platform"):
        _load(mapped, size)
    start = mapped.tell()
    _load(mapped, size)
    keys = _load(mapped, size)
    places, offset = {}, mapped.tell()
    for key in keys:
        dtype, numel = sizes[key]
        (stored,) = struct.unpack_from("<q", mapped, offset)
        if stored != numel:
            raise pickle.UnpicklingError(f"storage {key} has {stored} elements, not {numel}")
        places[key] = offset + 8
        offset += 8 + numel * dtype.itemsize
    mapped.seek(start)
    return _load(mapped, lambda key, dtype, numel: _tensor(mapped, places[key], dtype, numel))


def _load(stream: io.BytesIO | mmap.mmap, storage: Storage) -> Any:
    """The next object of a stream of pickles, whose instructions are checked before any is followed."""
    start = stream.tell()
    for opcode, argument, position in pickletools.genops(cast("IO[bytes]", stream)):
        if position is not None and position - start > PICKLE_BYTES:
            raise pickle.UnpicklingError(f"a pickle of more than {PICKLE_BYTES} bytes")
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and not 0 <= int(argument or 0) <= MEMO:
            raise pickle.UnpicklingError(f"an object is remembered as number {argument}, at most {MEMO} are")
        if opcode.name in UNUSED:
            raise pickle.UnpicklingError(f"it has the instruction {opcode.name}, which no tensor needs")
    stream.seek(start)
    return _Unpickler(stream, storage).load()


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO | mmap.mmap, storage: Storage):
        super().__init__(stream, encoding="utf-8")
        self.storage = storage
        self.copied = 0
        self.record = type("Record", (Record,), {})  # of this file alone: a pickle can set attributes of a class

    def _copy(self, kind: type, values: Any = ()) -> Any:
        """A list or dict of the elements of another."""
        self.copied += len(values)
        if self.copied > COPIED:
            raise pickle.UnpicklingError(f"it copies more than {COPIED} elements")
        return kind(values)

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _rebuild_parameter
        if (module, name) == ("collections", "OrderedDict"):
            return partial(self._copy, OrderedDict)
        if (module, name) == ("_io", "BytesIO"):
            return _Opaque
        if module == "torch.jit._pickle" and name.startswith("build_"):
            return partial(self._copy, list)
        if module == "__torch__" or module.startswith("__torch__."):
            return self.record
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is no tensor; nothing of it was run")

    def persistent_load(self, pid: Any) -> Tensor:
        kind, dtype, key, _, numel = pid[:5]
        if kind != "storage" or not isinstance(dtype, torch.dtype) or type(numel) is not int or numel < 0:
            raise pickle.UnpicklingError("an entry is no storage")
        return self.storage(key, dtype, numel)


def _rebuild_tensor(storage: Tensor, offset: int, size: tuple, stride: tuple, *_: Any) -> Tensor:
    if any(n < 0 for n in (offset, *size, *stride)) or len(size) != len(stride):
        raise pickle.UnpicklingError(f"a tensor of size {size}, stride {stride}, offset {offset}")
    last = offset + sum((n - 1) * s for n, s in zip(size, stride)) if 0 not in size else -1
    if last >= storage.numel():
        raise pickle.UnpicklingError(f"a tensor of size {size} reaches beyond its storage of {storage.numel()}")
    if math.prod(size) > max(storage.numel(), EXPANDED):
        raise pickle.UnpicklingError(f"a tensor of size {size} repeats the {storage.numel()} elements of its storage")
    return storage.as_strided(size, stride, offset)


def _rebuild_parameter(tensor: Tensor, *_: Any) -> Tensor:
    return tensor


def _tensor(mapped: mmap.mmap, offset: int, dtype: torch.dtype, numel: int) -> Tensor:
    if offset + numel * dtype.itemsize > len(mapped):
        raise pickle.UnpicklingError("the file ends before its last tensor")
    return torch.frombuffer(mapped, dtype=dtype, count=numel, offset=offset) if numel else torch.empty(0, dtype=dtype)


def _module_tensors(module: Record, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    if prefix.count(".") > DEPTH:
        raise pickle.UnpicklingError(f"its modules are nested more than {DEPTH} levels deep")
    for name, value in module.attributes.items():
        if isinstance(value, Tensor):
            yield prefix + name, value
        elif isinstance(value, Record):
            yield from _module_tensors(value, f"{prefix}{name}.")
