"""Uploaded files, each under the SHA-256 of its bytes: `aa/<sha256>`, and beside it `.json` with name and media type.

When a file was last used is its time of change, so that a restart forgets nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import partial_name, remove_partial_files, write_atomic

SHA256 = re.compile(r"[0-9a-f]{64}")
SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")
CHUNK = 1 << 20
LONGEST_NAME = 200


class BlobInfo(NamedTuple):
    """size: bytes. used: seconds since 1970. name: as the uploader called it, for people alone."""

    sha256: str
    size: int
    used: float
    name: str
    media_type: str


class HashMismatch(UserError):
    """The bytes are not those of the name."""


class BlobStore:
    """Used by several processes at once. Names are checked to be SHA-256 before they become paths."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Where it lies, or would."""
        if not SHA256.fullmatch(sha256):
            raise UserError(f"no SHA-256: {sha256[:80]!r}; 64 digits 0-9 a-f are one")
        return self.folder / sha256[:2] / sha256

    def put(self, sha256: str, stream: BinaryIO, name: str = "", media_type: str = "") -> tuple[int, bool]:
        """Keep what a stream holds; (bytes, whether it was there before). Raises HashMismatch."""
        with self.writer(sha256, name, media_type) as writer:
            while block := stream.read(CHUNK):
                writer.write(block)
            return writer.keep()

    @contextlib.contextmanager
    def writer(self, sha256: str, name: str = "", media_type: str = "") -> Iterator[BlobWriter]:
        """For what arrives block by block; nothing stays of it unless `keep` is called."""
        path = self.path(sha256)
        path.parent.mkdir(exist_ok=True)
        partial = path.with_name(partial_name(path.name + os.urandom(4).hex()))
        try:
            with open(partial, "wb") as file:
                yield BlobWriter(self, sha256, file, partial, name, media_type)
        finally:
            partial.unlink(missing_ok=True)

    def has(self, sha256: str) -> bool:
        return self.path(sha256).is_file()

    def missing(self, sha256s: Iterable[str]) -> list[str]:
        """Those that are not here, sorted."""
        return sorted(sha256 for sha256 in set(sha256s) if not self.has(sha256))

    def touch(self, sha256s: Iterable[str]) -> None:
        """They were used now; those that are not here are passed over."""
        for sha256 in sha256s:
            with contextlib.suppress(FileNotFoundError):
                os.utime(self.path(sha256))

    def info(self, sha256: str) -> BlobInfo | None:
        try:
            found = self.path(sha256).stat()
        except FileNotFoundError:
            return None
        name, media_type = self._labels(sha256)
        return BlobInfo(sha256, found.st_size, found.st_mtime, name, media_type)

    def materialise(self, sha256: str, folder: Path, ending: str | None = None) -> Path:
        """The file under a name with this ending, in a folder that it makes: a hard link, or a copy where the file
        system has none. It stays when the blob is pruned. ending: None: that of the name that it was first uploaded
        with. FileNotFoundError where there is no such blob."""
        source, suffix = self.path(sha256), ending or PurePosixPath(self._labels(sha256)[0]).suffix
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{sha256[:16]}{suffix.lower() if SUFFIX.fullmatch(suffix) else ''}"
        with contextlib.suppress(FileExistsError):
            self.touch([sha256])
            try:
                os.link(source, target)
            except (PermissionError, OSError) as error:
                if isinstance(error, (FileNotFoundError, FileExistsError)):
                    raise
                shutil.copyfile(source, target)
        return target

    def all(self) -> Iterator[BlobInfo]:
        for path in sorted(self.folder.glob("??/*")):
            if SHA256.fullmatch(path.name) and (found := self.info(path.name)):
                yield found

    def usage(self) -> tuple[int, int]:
        """(files, bytes)."""
        sizes = []
        for path in self.folder.glob("??/*"):
            with contextlib.suppress(FileNotFoundError):
                sizes += [path.stat().st_size] if SHA256.fullmatch(path.name) else []
        return len(sizes), sum(sizes)

    def prune(self, older_than: float, keep: Iterable[str] = ()) -> list[str]:
        """Delete what was not used for so many seconds, and what killed processes have left. keep: stays in any case.
        Returns what went."""
        remove_partial_files(self.folder)
        kept, before = frozenset(keep), time.time() - older_than
        gone = [blob.sha256 for blob in self.all() if blob.used < before and blob.sha256 not in kept]
        for sha256 in gone:
            self.path(sha256).unlink(missing_ok=True)
            self._label_file(sha256).unlink(missing_ok=True)
        return gone

    def _label_file(self, sha256: str) -> Path:
        return self.path(sha256).with_suffix(".json")

    def _labels(self, sha256: str) -> tuple[str, str]:
        try:
            labels = json.loads(self._label_file(sha256).read_bytes())
            return str(labels["name"]), str(labels["media_type"])
        except (OSError, ValueError, KeyError, TypeError):
            return "", ""


class BlobWriter:
    """One upload. size: bytes so far."""

    def __init__(self, store: BlobStore, sha256: str, file: BinaryIO, partial: Path, name: str, media_type: str):
        self._store, self._sha256, self._file, self._partial = store, sha256, file, partial
        self._labels = {"name": PurePosixPath(name).name[:LONGEST_NAME], "media_type": media_type[:LONGEST_NAME]}
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, block: bytes) -> None:
        """hashlib and the disk let other threads run meanwhile."""
        self._hash.update(block)
        self._file.write(block)
        self.size += len(block)

    def keep(self) -> tuple[int, bool]:
        """(bytes, whether it was there before). Raises HashMismatch."""
        if self._hash.hexdigest() != self._sha256:
            raise HashMismatch(
                f"the {self.size} bytes have the SHA-256 {self._hash.hexdigest()}, not {self._sha256}: "
                "the transfer was damaged, or the name is that of another file"
            )
        path, existed = self._store.path(self._sha256), self._store.has(self._sha256)
        self._file.flush()
        if not existed:
            os.fchmod(self._file.fileno(), 0o444)  # jobs have hard links to it
            os.fsync(self._file.fileno())
            write_atomic(path.with_suffix(".json"), json.dumps(self._labels).encode())
            os.replace(self._partial, path)
        self._store.touch([self._sha256])
        return self.size, existed
