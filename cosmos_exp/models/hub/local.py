"""The folder's side: what is already there, what a file's checksum is, and which files have been checked."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from cosmos_exp.common.files import write_atomic
from cosmos_exp.models.hub.hub import RemoteFile

RECORD = ".checked.json"
BLOCK = 1 << 22  # bytes


def final_path(folder: Path, file: RemoteFile) -> Path:
    """`folder/OWNER/REPOSITORY/FILE`, the layout of the released checkpoints."""
    return folder / file.repo / file.name


def partial_path(folder: Path, file: RemoteFile) -> Path:
    """Where the bytes of a download stand until all are there; other contents have another name."""
    path = final_path(folder, file)
    return path.with_name(f"{path.name}.{file.digest[:12]}.part")


def size_of(path: Path) -> int:
    """Bytes of a file, 0 where there is none."""
    return path.stat().st_size if path.is_file() else 0


def digest_of(path: Path, algorithm: str) -> str:
    """`sha256` of a file's bytes, or its `git-sha1`: the SHA-1 of Git's blob header and the bytes."""
    if algorithm == "sha256":
        state = hashlib.sha256()
    else:
        state = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            state.update(block)
    return state.hexdigest()


def is_recorded(folder: Path, file: RemoteFile) -> bool:
    """Whether this very file has been checked before and has not been touched since."""
    path = final_path(folder, file)
    return path.is_file() and _record(folder, file.repo).get(file.name) == _entry(path, file)


def record(folder: Path, file: RemoteFile) -> None:
    """Note that the file at its final path has the right digest."""
    entries = _record(folder, file.repo) | {file.name: _entry(final_path(folder, file), file)}
    target = folder / file.repo / RECORD
    write_atomic(target, (json.dumps(entries, indent=1, sort_keys=True) + "\n").encode())


def _record(folder: Path, repo: str) -> dict[str, list]:
    try:
        entries = json.loads((folder / repo / RECORD).read_text())
    except (OSError, ValueError):  # what is not known to be checked is checked again
        return {}
    return entries if isinstance(entries, dict) else {}


def _entry(path: Path, file: RemoteFile) -> list:
    return [file.digest, path.stat().st_size, path.stat().st_mtime_ns]
