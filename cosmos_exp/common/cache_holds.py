"""Which entries of a stage cache running processes use, so that these are not evicted.

    <root>/holds/<host>-<pid>-<random>  of one process: a line per entry it has looked up; flock until the process ends
    <root>/holds/.gate                  flock, shared while a process adds a hold, exclusive while entries are evicted
    <root>/holds/.readers               flock, shared until it ends, of a process that cannot write holds: it holds all

A process adds its hold before it looks at the entry. Who evicts closes the gate, reads the holds of all processes that
live, and renames entries away before opening it. So a hold is either seen, or its process finds no entry. The kernel
frees the locks of a process however it ends. A lookup reads no other process's file.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import functools
import logging
import os
import re
import secrets
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from cosmos_exp.common.errors import UserError

log = logging.getLogger(__name__)

FOLDER, GATE, READERS = "holds", ".gate", ".readers"
PATIENCE = 60.0  # seconds that an eviction waits for the gate
UNKNOWN_USE = "a running process reads {root} and cannot write there, so that it is not known what it uses"
LOCAL = {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "overlay"}  # file systems of one machine


@dataclass(frozen=True)
class InUse:
    """entries: `<stage>/<key>` held by living processes. dead: files of processes that ended."""

    entries: frozenset[str] = frozenset()
    processes: int = 0
    dead: tuple[Path, ...] = ()


class Holds:
    """What this process, with those forked from it, holds in one cache until it ends. Safe among threads."""

    def __init__(self, root: Path):
        self.folder = root / FOLDER
        self._entries: dict[str, None] = {}
        self._file: int | None = None
        self._reader: int | None = None
        self._adding = Lock()
        os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        self._adding = Lock()

    def add(self, entry: str) -> None:
        """Keep `<stage>/<key>` from eviction until this process ends. Never fails: where no file can be written, the
        whole cache is held instead."""
        with self._adding:
            if self._is_recorded(entry):
                return
            try:
                self._record(entry)
            except OSError as error:
                if not self._hold_all(error):
                    return
            self._entries[entry] = None

    def release(self) -> None:
        """Hold nothing any more, in a process that lives on."""
        with self._adding:
            if self._file is not None:
                os.ftruncate(self._file, 0)
            self._entries.clear()

    def _is_recorded(self, entry: str) -> bool:
        """Nothing is where somebody has deleted the folder of the cache."""
        if self._reader is not None:
            if not is_removed(self._reader):
                return True
            os.close(self._reader)
            self._reader = None
        if self._file is not None and is_removed(self._file):
            os.close(self._file)
            self._file = None
        return self._file is not None and entry in self._entries

    def _record(self, entry: str) -> None:
        if self._file is None:
            _make_folder(self.folder)
        with _flocked(_open_or_make(self.folder / GATE), fcntl.LOCK_SH):
            if self._file is None:
                self._file = self._make_file()
                _append(self._file, *self._entries)
            _append(self._file, entry)
            if not _is_local(self.folder):
                os.fsync(self._file)

    def _make_file(self) -> int:
        path = self.folder / f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            os.fchmod(descriptor, 0o644)  # whoever evicts has to read it
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        atexit.register(self._end, path, descriptor)
        return descriptor

    def _hold_all(self, reason: OSError) -> bool:
        try:
            self._reader = _locked(self.folder / READERS, fcntl.LOCK_SH)
        except OSError:
            log.debug("no holds can be written in %s (%s): entries could be evicted in use", self.folder, reason)
            return False
        log.info("no holds can be written in %s (%s): until this run ends nothing is evicted", self.folder, reason)
        return True

    def _end(self, path: Path, descriptor: int) -> None:
        """Remove the file, unless a process forked from this one still has its lock."""
        if self._file != descriptor:
            return
        os.close(descriptor)
        self._file = None
        with contextlib.suppress(OSError), _flocked(os.open(path, os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB):
            path.unlink()


@functools.cache
def holds_of(root: Path) -> Holds:
    """The one of this process for a cache. root: absolute."""
    return Holds(root)


def read_holds(root: Path) -> InUse:
    """The holds of all processes. Raises UserError where a file cannot be read."""
    folder, entries, dead, processes = root / FOLDER, set[str](), [], 0
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        for path in paths:
            lines = _lines_of_the_living(path)
            if lines is None:
                dead.append(path)
            else:
                entries.update(lines)
                processes += 1
    except FileNotFoundError:
        return InUse()
    except OSError as error:
        raise UserError(
            f"cannot tell which entries are in use: {error.filename or folder}: {error.strerror}"
        ) from error
    return InUse(frozenset(entries), processes, tuple(dead))


def is_held_whole(root: Path) -> bool:
    """Whether a running process uses the cache that cannot say what it uses."""
    return is_locked(root / FOLDER / READERS)


def _lines_of_the_living(path: Path) -> list[str] | None:
    """None where the process has ended."""
    try:
        descriptor = _locked(path, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return path.read_text(errors="replace").split("\n")
    _unlock(descriptor)
    return None


@contextlib.contextmanager
def closed_gate(root: Path, patience: float = PATIENCE) -> Iterator[InUse]:
    """While it lasts no process can add a hold; those there are are given. To rename entries away in.

    Raises UserError where the folder cannot be written, the gate stays taken for `patience` seconds, or a process uses
    the cache that cannot say what it uses.
    """
    folder = root / FOLDER
    try:
        _make_folder(folder)
        gate, readers = _open_or_make(folder / GATE), _open_or_make(folder / READERS)
    except OSError as error:
        raise UserError(f"cannot write in {folder}: {error.strerror}; nothing was removed") from error
    with contextlib.ExitStack() as at_end:
        at_end.callback(_unlock, gate)
        at_end.callback(_unlock, readers)
        if not _lock_within(gate, patience):
            raise UserError(f"{folder / GATE} has been locked for {patience:g} s: nothing was removed; try again later")
        try:
            fcntl.flock(readers, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{UNKNOWN_USE.format(root=root)}: nothing was removed; try again when it has ended"
            ) from None
        in_use = read_holds(root)
        for path in in_use.dead:
            with contextlib.suppress(OSError):  # of another user: harmless, as its lock is free
                path.unlink()
        yield in_use


def is_locked(path: Path) -> bool:
    """Whether a living process has the file's lock, exclusive or shared. A file that is not there is not locked."""
    try:
        _unlock(_locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


@contextlib.contextmanager
def lock_now(path: Path) -> Iterator[None]:
    """Hold the exclusive lock of a file, if there is such a file; BlockingIOError where another process has it."""
    with contextlib.ExitStack() as at_end:
        with contextlib.suppress(FileNotFoundError):
            at_end.callback(_unlock, _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
        yield


def is_removed(descriptor: int) -> bool:
    """Whether an open file has no name any more."""
    try:
        return os.fstat(descriptor).st_nlink == 0
    except OSError as error:
        if error.errno != errno.ESTALE:  # NFS
            raise
        return True


def _lock_within(descriptor: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > end:
                return False
        time.sleep(0.005)


@contextlib.contextmanager
def _flocked(descriptor: int, kind: int) -> Iterator[None]:
    """Closes the file in the end."""
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        _unlock(descriptor)


def _locked(path: Path, kind: int) -> int:
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, kind)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _unlock(descriptor: int) -> None:
    """Also where a process forked meanwhile has a copy of the descriptor."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _open(path: Path) -> int:
    """NFS gives exclusive locks only to those who may write."""
    try:
        return os.open(path, os.O_RDWR)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise
        return os.open(path, os.O_RDONLY)


def _open_or_make(path: Path) -> int:
    """For all users. Opens first: to create a file that another user has is refused in such folders."""
    for _ in range(3):
        with contextlib.suppress(FileNotFoundError):
            return _open(path)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            os.fchmod(descriptor, 0o666)
            return descriptor
    return _open(path)


def _make_folder(folder: Path) -> None:
    """Whoever may read the cache may write in it, and remove files of their own. It appears with its lock files."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}")
    new.mkdir()
    try:
        may_read = folder.parent.stat().st_mode & 0o444
        new.chmod(stat.S_ISVTX | 0o700 | may_read | may_read >> 1 | may_read >> 2)
        for name in (GATE, READERS):
            os.close(_open_or_make(new / name))
        os.rename(new, folder)
    except OSError:
        shutil.rmtree(new, ignore_errors=True)
        if not folder.is_dir():  # another process made it
            raise


def _append(descriptor: int, *entries: str) -> None:
    """Each begins a line, so that one cut off by a full disk spoils no other."""
    record = "".join(f"\n{entry}" for entry in entries).encode()
    if os.write(descriptor, record) < len(record):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@functools.cache
def _is_local(folder: Path) -> bool:
    """Whether only this machine writes there: what is written need not be sent to a server to be seen."""
    kinds = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, place, kind, *_ = line.split()
            kinds[Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), place))] = kind
    return next((kinds[place] in LOCAL for place in (folder, *folder.parents) if place in kinds), False)
