"""Files that appear under their name only when they are complete and on disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import socket
import time
from pathlib import Path
from threading import get_native_id
from typing import Any

from cosmos_exp.common.processes import is_alive

PARTIAL = re.compile(r"\..*\.(?P<pid>\d+)(?:[.-]\d+)?(?:@(?P<host>.+))?\.partial")
ABANDONED = 180.0
"""Seconds after which a partial file of another machine is taken for that of a dead process."""


def partial_name(name: str) -> str:
    """Under which this thread writes a file before it is complete."""
    return f".{name}.{os.getpid()}-{get_native_id()}@{socket.gethostname()}.partial"


def remove_partial_files(folder: Path, pattern: str = "**/.*.partial") -> None:
    """Delete the incomplete files of processes that died while they wrote them."""
    for path in folder.glob(pattern):
        writer = PARTIAL.fullmatch(path.name)
        if writer is None:
            continue
        with contextlib.suppress(OSError):
            here = writer["host"] == socket.gethostname()
            dead = not is_alive(int(writer["pid"])) if here else time.time() - path.stat().st_mtime > ABANDONED
            if dead:
                path.unlink()


def file_sha256(path: Path) -> str:
    """Of its content, hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def file_version(stat: os.stat_result) -> tuple[int, ...]:
    """What changes with a file's content, whoever changes it: programs can set the time of the content, but not that of
    the inode."""
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file that appears under its name only when it is complete and on disk."""
    partial = path.with_name(partial_name(path.name))
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def sync_to_disk(*paths: Path) -> None:
    """Wait until files and folders are on disk."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
