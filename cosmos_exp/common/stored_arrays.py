"""Results of stages as files: arrays in a safetensors file that is read by the page, other values as JSON."""

from __future__ import annotations

import json
import mmap
import os
import re
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


def save_result(folder: Path, result: Arrays | dict[str, Any]) -> None:
    """Write a mapping of arrays, or of other values that JSON takes, into a folder."""
    if any(isinstance(value, np.ndarray) for value in result.values()):
        arrays = {name: np.ascontiguousarray(value) for name, value in result.items()}
        _write_arrays(arrays, folder / ARRAYS)
        (folder / ARRAYS).chmod(folder.stat().st_mode & 0o666)  # the library's files are for their owner alone
    else:
        (folder / VALUES).write_text(json.dumps(result))


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
    return {
        name: np.ndarray(array["shape"], DTYPES[array["dtype"]], pages, start + array["data_offsets"][0])
        for name, array in stated.items()
    }


def load_json(entry: Entry) -> dict[str, Any]:
    return json.loads((entry.path / VALUES).read_text())
