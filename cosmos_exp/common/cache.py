"""A content-addressed store of stage results that many processes may share.

    <root>/<stage>/<key>/          one result: its files and `_SUCCESS`, a manifest with their sizes and hashes
    <root>/<stage>/<key>.partial/  a result being computed; whoever holds the lock owns it
    <root>/<stage>/<key>.lock      flock of the key; the kernel frees it when its holder dies
    <root>/holds/                  what running processes use, see `cache_holds.py`

A result is computed into the partial folder, sealed with `_SUCCESS`, synced to disk, and renamed. So a folder under
its final name is whole unless something damaged it later, which the manifest shows. Of a result that is soon computed
again the sync may be left out: what a machine that loses its power then loses is such damage. The manifest's time of
change is that of the last use, the folder's that of its making.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmos_exp.common.cache_holds import holds_of
from cosmos_exp.common.files import file_sha256, file_version, remove_partial_files, sync_to_disk, write_atomic
from cosmos_exp.common.locks import locked, remove_unused

log = logging.getLogger(__name__)

MANIFEST = "_SUCCESS"
LOCK = ".lock"
IDENTITIES = "identity"  # folder of remembered hashes of files
USE_AGAIN = 60.0  # seconds after which a further use by the same process is recorded

_whole_files: dict[Path, tuple[tuple[int, ...], str]] = {}
_used: dict[Path, float] = {}  # when this process has recorded a use
_computing: set[Path] = set()  # entries that threads of this process are making


@dataclass(frozen=True)
class Entry:
    """A stored result. hit: it was there already."""

    key: str
    path: Path
    hit: bool


def stage_key(stage: str, version: int, config: Mapping[str, Any], inputs: Iterable[str]) -> str:
    """sha256 (hex) that names the result of a stage.

    config: plain JSON values that change the result, and no others. inputs: keys of the results and identities of
    the files that go in.
    """
    identity = {"stage": stage, "version": version, "config": config, "inputs": list(inputs)}
    return hashlib.sha256(json.dumps(identity, sort_keys=True, allow_nan=False).encode()).hexdigest()


class StageCache:
    """root: folder of the store; made on first use."""

    def __init__(self, root: Path | str):
        self.root = Path(root)

    def get_or_compute(self, stage: str, key: str, compute: Callable[[Path], None], *, synced: bool = True) -> Entry:
        """The entry of `key`; where there is none, `compute(folder)` writes its files into an empty folder.

        synced: a new entry is on disk when this returns; without, it may be lost where the machine loses its power.

        Of several processes asking at once, one computes and the others wait for it. `cosmos-exp cache prune` leaves
        the entry alone until this process ends.
        """
        folder = self.root / stage / key
        holds_of(self.root.absolute()).add(f"{stage}/{key}")
        if _is_whole(folder):
            _record_use(folder)
            return Entry(key, folder, hit=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_suffix(LOCK), before_waiting=lambda: _log_waiting(folder)):
            if _is_whole(folder):
                _record_use(folder)
                return Entry(key, folder, hit=True)
            if folder.exists():
                log.warning("stage result %s is damaged: computing it again", folder)
                shutil.rmtree(folder)
            self._compute(folder, compute, synced)
        return Entry(key, folder, hit=False)

    def has(self, stage: str, key: str) -> bool:
        """Whether there is an entry, by its manifest alone. It may be evicted at any time."""
        return (self.root / stage / key / MANIFEST).is_file()

    def _compute(self, folder: Path, compute: Callable[[Path], None], synced: bool) -> None:
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        _computing.add(folder)
        try:
            compute(partial)
            _seal(partial)
            if synced:
                sync_to_disk(*partial.rglob("*"), partial)
            os.rename(partial, folder)
            if synced:
                sync_to_disk(folder.parent)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        finally:
            _computing.discard(folder)

    def remove_leftovers(self) -> None:
        """Delete the partial folders, the partial files and the locks of processes that died."""
        for partial in self.root.glob("*/*.partial"):
            with contextlib.suppress(BlockingIOError), locked(partial.with_suffix(LOCK), wait=False):
                shutil.rmtree(partial, ignore_errors=True)
        for lock in self.root.glob(f"*/*{LOCK}"):
            remove_unused(lock)
        remove_partial_files(self.root, f"{IDENTITIES}/.*.partial")

    def file_identity(self, path: Path | str) -> str:
        """sha256 (hex) of a file's content, remembered by its path and `file_version`."""
        path = Path(path).resolve()
        memo_key = "|".join(map(str, (path, *file_version(path.stat()))))
        memo = self.root / IDENTITIES / hashlib.sha256(memo_key.encode()).hexdigest()
        with contextlib.suppress(FileNotFoundError):
            remembered = memo.read_text()
            if len(remembered) == 64:
                return remembered
        digest = file_sha256(path)
        memo.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(memo, digest.encode())
        return digest


def _log_waiting(folder: Path) -> None:
    if folder not in _computing:
        log.info("another process is computing %s: waiting for it", folder.name[:12])


def _record_use(folder: Path) -> None:
    """A cache of another user that this process can only read keeps the time it had."""
    now = time.monotonic()
    if now - _used.get(folder, -USE_AGAIN) >= USE_AGAIN:
        _used[folder] = now
        with contextlib.suppress(OSError):
            os.utime(folder / MANIFEST)


def _seal(folder: Path) -> None:
    """Write the manifest."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    manifest = {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": file_sha256(path)}
        for path in files
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))


def _is_whole(folder: Path) -> bool:
    """Whether the manifest is there and every file has the size and hash it states.

    A file that this process has read through is not read again before its version changes.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        for name, stated in manifest.items():
            path = folder / name
            stat = path.stat()
            known = file_version(stat), stated["sha256"]
            if _whole_files.get(path) == known:
                continue
            if stat.st_size != stated["size"] or file_sha256(path) != stated["sha256"]:
                return False
            _whole_files[path] = known
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return True
