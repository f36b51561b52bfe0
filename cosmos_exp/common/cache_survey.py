"""What lies in a stage cache: entries with size and times, results being computed, leftovers of dead processes."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cosmos_exp.common.cache import IDENTITIES, LOCK, MANIFEST
from cosmos_exp.common.cache_holds import FOLDER as HOLDS
from cosmos_exp.common.cache_holds import InUse, is_locked, read_holds
from cosmos_exp.common.errors import UserError, nearest_name

HISTORY = "history.jsonl"
EVICTED = ".evicted"  # <stage>/<key>.<random>.evicted: on its way to be deleted
KEY = re.compile(r"(?P<key>[0-9a-f]{64})(?P<rest>|\.partial|\.lock|\.[0-9a-f]+\.evicted)")


@dataclass(frozen=True)
class Stored:
    """A finished result. made, used: time of its making and last use, seconds since the epoch."""

    stage: str
    key: str
    path: Path
    bytes: int
    made: float
    used: float

    @property
    def name(self) -> str:
        return f"{self.stage}/{self.key}"


@dataclass(frozen=True)
class Piece:
    """Something else in the cache. name: of the entry it belongs to, `<stage>/<key>`."""

    path: Path
    bytes: int

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.name.partition('.')[0]}"


@dataclass
class Survey:
    """computing: unfinished results of living processes. leftovers: what dead processes left, and lock files that
    nobody needs. identities: remembered hashes of files."""

    root: Path
    in_use: InUse
    entries: list[Stored] = field(default_factory=list)
    computing: list[Piece] = field(default_factory=list)
    leftovers: list[Piece] = field(default_factory=list)
    identities: list[Piece] = field(default_factory=list)
    history: int = 0

    @property
    def bytes(self) -> int:
        pieces: list[Stored | Piece] = [*self.entries, *self.computing, *self.leftovers, *self.identities]
        return sum(piece.bytes for piece in pieces) + self.history


def survey(root: Path) -> Survey:
    """Sizes are sums over files, in bytes. Changes nothing; other processes may go on.

    Raises UserError where there is no cache, or where it cannot be read.
    """
    require_cache(root)
    found = Survey(root, read_holds(root))
    found.leftovers = [Piece(path, _size(path)) for path in found.in_use.dead]
    try:
        for stage in _stages(root):
            _add_stage(found, stage)
        if (root / IDENTITIES).is_dir():
            found.identities = [
                Piece(Path(item.path), _size(Path(item.path))) for item in os.scandir(root / IDENTITIES)
            ]
        found.history = _size(root / HISTORY)
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error
    return found


def require_cache(root: Path) -> None:
    """Raises UserError where the folder is no stage cache, so that nothing else is ever taken for one."""
    if not root.is_dir():
        if root.exists():
            raise UserError(f"{str(root)!r} is not a folder: give the folder of a stage cache")
        raise UserError(f"no stage cache {str(root)!r}{_nearest(root)}")
    try:
        names = {item.name for item in os.scandir(root)}
        being_made = any(name.startswith(f".{HOLDS}-") for name in names)
        if not names or being_made or names & {HOLDS, IDENTITIES, HISTORY} or any(map(_members, _stages(root))):
            return
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error
    hint = f": did you mean {str(root / 'cache')!r}?" if "cache" in names else ""
    raise UserError(f"{str(root)!r} is not a stage cache{hint}")


def _nearest(root: Path) -> str:
    with contextlib.suppress(OSError):
        folders = [path.name for path in root.parent.iterdir() if path.is_dir()]
        if name := nearest_name(root.name, folders):
            return f": did you mean {str(root.parent / name)!r}?"
    return ""


def _stages(root: Path) -> list[Path]:
    others = (HOLDS, IDENTITIES)
    found = (Path(item.path) for item in os.scandir(root) if item.is_dir(follow_symlinks=False))
    return sorted(path for path in found if path.name not in others and not path.name.startswith("."))


def _members(stage: Path) -> dict[str, list[str]]:
    """{key: what follows it in the names}, of names that only this package gives."""
    found: dict[str, list[str]] = {}
    for item in os.scandir(stage):
        if match := KEY.fullmatch(item.name):
            found.setdefault(match["key"], []).append(match["rest"])
    return found


def _add_stage(found: Survey, stage: Path) -> None:
    for key, kinds in _members(stage).items():
        pieces = {kind: stage / f"{key}{kind}" for kind in kinds}
        works = f"{stage.name}/{key}" in found.in_use.entries or ("" not in kinds and is_locked(stage / f"{key}{LOCK}"))
        for kind, path in pieces.items():
            if kind == "" and (entry := _entry(stage.name, path)):
                found.entries.append(entry)
            elif kind == ".partial":
                (found.computing if works else found.leftovers).append(Piece(path, _size(path)))
            elif kind.endswith(EVICTED) or (kind == LOCK and "" not in kinds and not works):
                found.leftovers.append(Piece(path, _size(path)))


def _entry(stage: str, path: Path) -> Stored | None:
    """None where it has gone meanwhile."""
    try:
        return Stored(stage, path.name, path, _size(path), path.stat().st_mtime, last_use(path))
    except FileNotFoundError:
        return None


def last_use(path: Path) -> float:
    """Of an entry, seconds since the epoch; of one without a manifest, the time it was made."""
    try:
        return (path / MANIFEST).stat().st_mtime
    except FileNotFoundError:
        return path.stat().st_mtime


def _size(path: Path) -> int:
    """Of a file, or of all files in a folder; what goes meanwhile does not count."""
    return sum(size for size in _sizes(path))


def _sizes(path: Path) -> Iterator[int]:
    with contextlib.suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            for item in os.scandir(path):
                yield from _sizes(Path(item.path))
        else:
            yield path.lstat().st_size
