"""Results of stages as files: arrays in a safetensors file that is read by the page, other values as JSON.

An array that lies in a .npy file already becomes a link to it, so that it takes its space on the disk once.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from cosmos_exp.common.cache import Entry

ARRAYS, VALUES = "result.safetensors", "result.json"
HEADER_SIZE = 8  # bytes in front of the header of a safetensors file, which say how long it is
DTYPES = {"BOOL": "?", "F16": "<f2", "F32": "<f4", "F64": "<f8"}
DTYPES |= {f"{kind.upper()}{8 * size}": f"<{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)}

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class ArrayFile:
    """An array of a result that is all of a .npy file."""

    path: Path


def save_result(folder: Path, result: Mapping[str, np.ndarray | ArrayFile] | dict[str, Any]) -> None:
    """Write a mapping of arrays, or of other values that JSON takes, into a folder."""
    if any(isinstance(value, np.ndarray) for value in result.values()):
        arrays = {}
        for name, value in result.items():
            if isinstance(value, ArrayFile):
                _link(value.path, folder / f"{name}.npy")
            else:
                arrays[name] = np.ascontiguousarray(value)
        _write_arrays(arrays, folder / ARRAYS)
        (folder / ARRAYS).chmod(folder.stat().st_mode & 0o666)  # the library's files are for their owner alone
    else:
        (folder / VALUES).write_text(json.dumps(result))


def _link(source: Path, path: Path) -> None:
    """A hard link, or a copy where the file system has none, or the file lies on another."""
    try:
        os.link(source.resolve(), path)
    except OSError:
        shutil.copyfile(source, path)


def _write_arrays(arrays: Arrays, path: Path) -> None:
    """Raises OSError where the disk is full, which the library has an error of its own for."""
    try:
        safetensors.numpy.save_file(arrays, path)
    except SafetensorError as error:
        if not (told := re.search(r"os error (\d+)", str(error))):
            raise
        code = int(told[1])
        raise OSError(code, os.strerror(code), str(path)) from error


def load_arrays(entry: Entry) -> Arrays:
    """Pages of the file, which are read when they are looked at; what is written into them stays in memory."""
    with open(entry.path / ARRAYS, "rb") as file:
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    start = HEADER_SIZE + int.from_bytes(pages[:HEADER_SIZE], "little")
    stated = json.loads(pages[HEADER_SIZE:start])
    arrays = {
        name: np.ndarray(array["shape"], DTYPES[array["dtype"]], pages, start + array["data_offsets"][0])
        for name, array in stated.items()
    }
    for path in sorted(entry.path.glob("*.npy")):
        arrays[path.stem] = np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
    return arrays


def load_json(entry: Entry) -> dict[str, Any]:
    return json.loads((entry.path / VALUES).read_text())
