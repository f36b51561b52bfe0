"""Files that appear under their name only when they are complete and on disk."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from threading import get_native_id
from typing import Any


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file that appears under its name only when it is complete and on disk."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.{get_native_id()}.partial")
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """As `write_atomic` does; makes the folder where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)


def json_text(value: Any, indent: int) -> str:
    """Plain values as JSON for other programs: ASCII, and null for a number that is not finite, which JSON has not."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, value: Any) -> None:
    """Write plain values as JSON, as `write_atomic` does; makes the folder where there is none."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())
