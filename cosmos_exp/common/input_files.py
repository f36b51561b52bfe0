"""User-provided input files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cosmos_exp.common.errors import UserError, nearest_name
from cosmos_exp.common.guards import YAML_BYTES, parse_yaml, read_bytes


def did_you_mean(path: Path | str, *others: Path | str) -> str:
    """`: did you mean 'NEAREST'?` where something of a similar name is there for each part of a path that is not.
    others: what the path may stand for too."""
    found = {near.name: near for place in (path, *others) if (near := _nearest(Path(place)))}
    name = nearest_name(Path(path).name, found) or next(iter(found), None)
    return f": did you mean {str(found[name])!r}?" if name else ""


def _nearest(path: Path) -> Path | None:
    """With the parts that are not there replaced by the nearest name, or by one that begins with the part and `_`, as
    those of cells begin with their number."""
    parent = path.parent if path.parent.is_dir() or path.parent == path else _nearest(path.parent)
    try:
        names = sorted(other.name for other in parent.iterdir()) if parent else []
    except OSError:
        return None
    begun = [name for name in names if name.startswith(f"{path.name}_")]
    near = path.name if path.name in names else begun[0] if len(begun) == 1 else nearest_name(path.name, names)
    return parent / near if parent and near else None


def existing_file(what: str, path: Path | str) -> Path:
    """`path` as a Path if it is a file; UserError naming the nearest file of that folder if it is not."""
    path = Path(path)
    if path.is_file():
        return path
    if path.is_dir():
        raise UserError(f"{what} {str(path)!r} is a folder, not a file")
    if not path.parent.is_dir():
        raise UserError(f"{what} {str(path)!r} not found: there is no folder {str(path.parent)!r}")
    names = sorted(p.name for p in path.parent.iterdir() if p.is_file())
    same_kind = [name for name in names if path.suffix and name.endswith(path.suffix)]
    hint = nearest_name(path.name, same_kind) or nearest_name(path.name, names) or next(iter(same_kind), None)
    if hint is None:
        raise UserError(f"{what} {str(path)!r} not found, and {str(path.parent)!r} holds nothing like it")
    raise UserError(f"{what} {str(path)!r} not found: did you mean {str(path.parent / hint)!r}?")


def read_yaml(what: str, path: Path, *, give: str) -> Any:
    """The content of a YAML file. give: what the user may give instead, for the message that there is no such file."""
    try:
        return parse_yaml(read_bytes(what, path, YAML_BYTES), f"{what} {str(path)!r}")
    except FileNotFoundError:
        raise UserError(f"no {what} {str(path)!r}{did_you_mean(path) or f': give {give}'}") from None
