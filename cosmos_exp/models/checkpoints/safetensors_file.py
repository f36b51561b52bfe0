"""Safetensors files of others: what the library refuses in its own way is a user error."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cosmos_exp.common.errors import UserError


def read_safetensors(path: Path, place: str) -> dict[str, Tensor]:
    """Tensors by name, memory-mapped. place: name of the file in messages.

    The library checks the header against the size of the file before it allocates. Types of which two values share a
    byte, such as F4, are refused where PyTorch cannot shape them.
    """
    try:
        return load_file(path)
    except (SafetensorError, RuntimeError, NotImplementedError, OSError, AttributeError, ValueError, KeyError) as error:
        raise UserError(f"{place} cannot be read, it may be truncated: {error}") from error
