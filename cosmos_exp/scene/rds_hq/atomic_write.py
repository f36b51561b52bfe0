"""Atomic writing of a clip: an interrupted write leaves nothing that readers take for a complete one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_clip(root: Path, clip_id: str, *, replace: bool = False) -> Iterator[Path]:
    """A folder to write the clip's files into; at the end they move to the same places below `root`.

    `pose`, which makes a clip known to readers, comes last. replace: what an older clip of that name has besides goes
    before, its poses first of all. If the block raises, nothing moves.
    """
    root.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{clip_id}.partial_", dir=root))
    try:
        yield partial
        if replace:
            _remove_tars(root, clip_id)
        files = sorted(path.relative_to(partial) for path in partial.rglob("*") if path.is_file())
        for path in sorted(files, key=lambda p: p.parent.name == "pose"):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(partial / path, root / path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _remove_tars(root: Path, clip_id: str) -> None:
    old = sorted(root.glob(f"*/{clip_id}.tar"), key=lambda path: path.parent.name != "pose")
    for path in (p for p in old if not p.parent.name.startswith(".")):
        path.unlink()
