"""Safetensors files of others: what the library refuses in its own way is a user error."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cosmos_exp.common.errors import UserError

REAL = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
)


def read_safetensors(path: Path, place: str) -> dict[str, Tensor]:
    """Tensors by name, memory-mapped. place: name of the file in messages.

    The library checks the header against the size of the file before it allocates. Complex numbers and types of which
    two values share a byte are refused.
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, RuntimeError, OSError, AttributeError, ValueError, KeyError) as error:
        raise UserError(f"{place} cannot be read, it may be truncated: {error}") from error
    for name, tensor in tensors.items():
        if tensor.dtype not in REAL:
            raise UserError(f"{place}: tensor {name!r} is of {tensor.dtype}; read are {', '.join(map(str, REAL))}")
    return tensors
