"""User-provided input files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cosmos_exp.common.errors import UserError, nearest_name
from cosmos_exp.common.guards import YAML_BYTES, parse_yaml, read_bytes


def did_you_mean(path: Path | str) -> str:
    """`: did you mean 'NEAREST'?` where the folder of a path that is not there holds something of a similar name."""
    path = Path(path)
    try:
        near = nearest_name(path.name, sorted(other.name for other in path.parent.iterdir()))
    except OSError:
        return ""
    return f": did you mean {str(path.parent / near)!r}?" if near else ""


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
