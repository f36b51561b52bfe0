"""Whether a weights file is whole, found out without reading its tensors."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from safetensors import SafetensorError, safe_open

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import file_version


def check_weights(path: Path) -> None:
    """UserError where a .safetensors file is missing, cut off, or none at all.

    Its header must be that of the format, and name exactly the bytes that follow.
    """
    try:
        problem = _problem(path, file_version(path.stat()))
    except OSError as error:
        raise UserError(f"cannot read the weights file {path}: {error.strerror}") from error
    if problem:
        raise UserError(f"weights file {path} is damaged, it may be truncated: {problem}")


@lru_cache
def _problem(path: Path, version: tuple[int, ...]) -> str:
    """Empty where there is none. version: of the file, so that another one is looked at again."""
    try:
        with safe_open(path, framework="numpy") as file:
            return "" if file.keys() else "it holds no tensor"
    except (SafetensorError, OSError, ValueError) as error:
        return str(error)
