"""Eviction from a stage cache: least recently used entries go first, never what a running process uses."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cosmos_exp.common.cache_holds import UNKNOWN_USE, InUse, closed_gate, is_held_whole, lock_now
from cosmos_exp.common.cache_survey import EVICTED, HOLDS, LOCK, Piece, Stored, Survey, last_use, survey
from cosmos_exp.common.errors import UserError


@dataclass(frozen=True)
class Limits:
    """What may stay. most_bytes: of the whole cache. unused_for: seconds since the last use."""

    most_bytes: int | None = None
    unused_for: float | None = None


@dataclass
class Pruned:
    """before, after: bytes of the whole cache. in_use: entries beyond the limits that running processes use.
    failures: {path: why it is still there}."""

    before: int
    after: int
    evicted: list[Stored] = field(default_factory=list)
    leftovers: list[Piece] = field(default_factory=list)
    in_use: list[Stored] = field(default_factory=list)
    failures: dict[Path, str] = field(default_factory=dict)


def prune(root: Path, limits: Limits, *, dry_run: bool = False) -> Pruned:
    """Remove leftovers of dead processes, then entries until the limits hold. dry_run: only say which.

    Raises UserError where nothing can be removed at all; what fails for a single entry is in `failures`.
    """
    found = survey(root)
    if not dry_run:
        renamed: dict[Path, int] = {}
        with closed_gate(root) as in_use:
            pruned = _evict(found, in_use, limits, lambda piece: _rename_away(piece, renamed))
        for path, size in renamed.items():  # with the gate open: lookups go on
            _delete(path, size, pruned)
        return pruned
    if is_held_whole(root):
        raise UserError(f"{UNKNOWN_USE.format(root=root)}: nothing would be removed")
    return _evict(found, found.in_use, limits, lambda piece: None)


def _evict(found: Survey, in_use: InUse, limits: Limits, remove: Callable[[Stored | Piece], None]) -> Pruned:
    """remove: raises FileNotFoundError for what has gone and BlockingIOError for what is used."""
    pruned, now = Pruned(found.bytes, found.bytes), time.time()
    for piece in found.leftovers:
        if piece.name not in in_use.entries and _succeeds(remove, piece, pruned):
            pruned.leftovers.append(piece)
    for entry in sorted(found.entries, key=lambda entry: entry.used):
        unused = limits.unused_for is not None and now - entry.used > limits.unused_for
        too_much = limits.most_bytes is not None and pruned.after > limits.most_bytes
        if not (unused or too_much):
            break
        if entry.name in in_use.entries:
            pruned.in_use.append(entry)
        elif _succeeds(remove, entry, pruned):
            pruned.evicted.append(entry)
    return pruned


def _succeeds(remove: Callable[[Stored | Piece], None], piece: Stored | Piece, pruned: Pruned) -> bool:
    try:
        remove(piece)
    except FileNotFoundError:
        pruned.after -= piece.bytes  # another eviction was faster
        return False
    except BlockingIOError:
        if isinstance(piece, Stored):
            pruned.in_use.append(piece)
        return False
    except OSError as error:
        pruned.failures[piece.path] = error.strerror or str(error)
        return False
    pruned.after -= piece.bytes
    return True


def _rename_away(piece: Stored | Piece, renamed: dict[Path, int]) -> None:
    """So that no lookup finds it. renamed: where it is now, and its size; files without content are deleted at once."""
    path = piece.path
    if path.parent.name == HOLDS:  # the gate has removed it, or may not
        if path.exists():
            raise BlockingIOError
        return
    if path.name.endswith(EVICTED):
        renamed[path] = piece.bytes
        return
    lock = path.with_suffix(LOCK)
    with lock_now(lock):
        if isinstance(piece, Stored) and last_use(path) > piece.used:
            raise BlockingIOError
        if path != lock:
            if not os.access(path, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            away = path.with_name(f"{path.name.partition('.')[0]}.{secrets.token_hex(4)}{EVICTED}")
            os.rename(path, away)
            renamed[away] = piece.bytes
        with contextlib.suppress(FileNotFoundError):
            lock.unlink()


def _delete(path: Path, size: int, pruned: Pruned) -> None:
    while path.exists():
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            continue  # another eviction deletes it too
        except OSError as error:
            pruned.failures[path] = error.strerror or str(error)
            pruned.after += size
            return
