"""Encoding and decoding of tar members: NumPy arrays and JSON."""

from __future__ import annotations

import ast
import io
import json
import zipfile
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from cosmos_exp.common.errors import UserError

PREFIX = 10  # bytes before the header of a .npy of version 1: magic, version, header length


def decode_npy(content: bytes, place: str) -> np.ndarray:
    """The array of a .npy member. Headers repeat from frame to frame, so that each is parsed once."""
    try:
        if content[:8] != b"\x93NUMPY\x01\x00":
            return np.load(io.BytesIO(content), allow_pickle=False)
        start = PREFIX + int.from_bytes(content[8:PREFIX], "little")
        dtype, shape, order = _header(content[PREFIX:start])
        return np.frombuffer(content, dtype, offset=start, count=int(np.prod(shape))).reshape(shape, order=order)
    except (ValueError, EOFError, SyntaxError, TypeError, KeyError):
        raise UserError(f"{place} is not a readable .npy array") from None


def encode_npy(array: np.ndarray) -> bytes:
    """A .npy member, float64."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array, np.float64))
    return buffer.getvalue()


def decode_npz(content: bytes, place: str) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile):
        raise UserError(f"{place} is not a readable .npz file") from None


def decode_json(content: bytes, place: str) -> Any:
    try:
        return json.loads(content)
    except UnicodeDecodeError:
        raise UserError(f"{place} is not JSON: not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{place} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None


@lru_cache(maxsize=64)
def _header(text: bytes) -> tuple[np.dtype, tuple[int, ...], Literal["C", "F"]]:
    header = ast.literal_eval(text.decode("latin1").strip())
    dtype = np.dtype(header["descr"])
    if dtype.hasobject:
        raise ValueError("pickled objects are not read")
    return dtype, tuple(header["shape"]), "F" if header["fortran_order"] else "C"
