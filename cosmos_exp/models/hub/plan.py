"""What a download would do: every file with its size, and how much of it is already there."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.hub.hub import RemoteFile, explained, list_files
from cosmos_exp.models.hub.local import final_path, is_recorded, partial_path, size_of
from cosmos_exp.models.hub.models import Request

UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One file of a plan. `state`: there (checked before), unchecked (right size), partial, or missing.

    `present` counts the bytes that need no fetching, `replaces` says that a file of another size is in the way.
    """

    file: RemoteFile
    state: str
    present: int
    replaces: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All files of some requests, and the folder they go to."""

    folder: Path
    requests: tuple[Request, ...]
    items: tuple[Item, ...]

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(item.file.size for item in self.items)

    @property
    def missing(self) -> int:
        """Bytes to fetch."""
        return sum(item.file.size - item.present for item in self.items)


def make_plan(requests: Sequence[Request], folder: Path) -> Plan:
    """Ask the Hub for the files of each request, and look which of them are in `folder`. Writes nothing."""
    items = []
    for request in requests:
        files = list_files(request)
        with explained(request.repo, request.revision):
            items += [_item(folder, file) for file in files]
    return Plan(folder=folder, requests=tuple(requests), items=tuple(items))


def _item(folder: Path, file: RemoteFile) -> Item:
    if is_recorded(folder, file):
        return Item(file=file, state="there", present=file.size)
    path = final_path(folder, file)
    if path.is_dir():
        raise UserError(f"{path} is a folder, but the file {file.name} of {file.repo} goes there")
    if path.is_file() and path.stat().st_size == file.size:
        return Item(file=file, state="unchecked", present=file.size)
    partial = size_of(partial_path(folder, file))
    if 0 < partial <= file.size:
        return Item(file=file, state="partial", present=partial, replaces=path.is_file())
    return Item(file=file, state="missing", present=0, replaces=path.is_file())


def free_space(folder: Path) -> int:
    """Bytes free on the disk that holds `folder`, which need not exist yet."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise UserError(f"{place} is a file; --to wants a folder")
    return shutil.disk_usage(place).free


def check_space(plan: Plan) -> None:
    """UserError unless the missing bytes fit on the disk."""
    free = free_space(plan.folder)
    if plan.missing > free:
        raise UserError(
            f"{size(plan.missing)} are missing, but the disk of {plan.folder} has only {size(free)} free: "
            f"free {size(plan.missing - free)} more, or name a folder on another disk with --to"
        )


def size(count: int) -> str:
    """`14.5 GB`: three digits of a number of bytes, in powers of 1000."""
    power = 0
    while count / 1000**power >= 999.5 and power < len(UNITS) - 1:
        power += 1
    return f"{count / 1000**power:.3g} {UNITS[power]}"


def format_plan(plan: Plan) -> str:
    """The plan as a table."""
    width = max(len(item.file.name) for item in plan.items)
    lines = []
    for request in plan.requests:
        items = [item for item in plan.items if item.file.repo == request.repo]
        lines.append(f"{request.repo} at {request.revision} ({items[0].file.commit[:8]}): {', '.join(request.models)}")
        lines += [f"  {i.file.name:<{width}}  {size(i.file.size):>8}  {_state(i)}" for i in items]
    present = plan.total - plan.missing
    lines.append(
        f"{len(plan.items)} files, {size(plan.total)}: {size(present)} there, {size(plan.missing)} to fetch "
        f"into {plan.folder} ({size(free_space(plan.folder))} free)"
    )
    return "\n".join(lines)


def _state(item: Item) -> str:
    words = {
        "there": "there",
        "unchecked": "there, checksum not yet checked",
        "partial": f"{size(item.present)} of it there",
        "missing": "missing",
    }
    return words[item.state] + (", a file of another size is replaced" if item.replaces else "")
