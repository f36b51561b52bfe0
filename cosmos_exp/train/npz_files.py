"""Arrays of training data in one .npz file each, which has its name once it is whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.common.guards import MEMORY, npz_arrays, read_bytes


def save_npz(path: Path, arrays: Mapping[str, Any]) -> None:
    """arrays: {name: array}."""
    partial = path.with_suffix(".partial")
    with open(partial, "wb") as file:
        np.savez(file, **arrays)
    os.replace(partial, path)


def load_npz(what: str, path: Path) -> dict[str, np.ndarray]:
    """{name: array}. what: they are, for the message of a UserError where the file is missing or damaged."""
    return npz_arrays(read_bytes(what, path, MEMORY), str(path))
