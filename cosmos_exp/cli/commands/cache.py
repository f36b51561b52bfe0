"""`cosmos-exp cache [prune] [FOLDER]`: what the stage cache holds, and eviction of what was not used for long."""

from __future__ import annotations

import time
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError, nearest_name, unknown_name
from cosmos_exp.common.files import json_text
from cosmos_exp.common.units import age_text, parse_age, parse_size, size_text

if TYPE_CHECKING:
    from cosmos_exp.common.cache_prune import Pruned
    from cosmos_exp.common.cache_survey import Piece, Stored, Survey

PRUNE = "prune"
MOST_FAILURES = 3  # listed


def command_line() -> Parser:
    parser = Parser(
        "cache", f"What the stage cache holds. {PRUNE}: evict entries, never those that running processes use."
    )
    parser.add_argument("action", metavar=PRUNE, nargs="?", help="evict the least recently used entries")
    parser.add_argument("folder", metavar="FOLDER", nargs="?", type=Path, help="default: paths.cache of the config")
    parser.add_argument("--max-size", metavar="SIZE", help="until the whole cache is no larger: 20GB, 500MiB")
    parser.add_argument("--older-than", metavar="AGE", help="all that were not used for so long: 12h, 30d, 4w")
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and change nothing")
    parser.add_argument("--json", action="store_true", help="print JSON; sizes in bytes, times in UTC")
    return parser


def main(arguments: Sequence[str]) -> int:
    given = command_line().parse(arguments)
    if given.action == PRUNE:
        return _prune(given)
    if given.folder is not None:
        raise UserError(unknown_name("cosmos-exp cache command", given.action, [PRUNE]))
    if given.max_size or given.older_than or given.dry_run:
        raise UserError(f"--max-size, --older-than and --dry-run are options of `cosmos-exp cache {PRUNE}`")
    _show(Path(given.action) if given.action else None, as_json=given.json)
    return 0


def _show(given: Path | None, *, as_json: bool) -> None:
    from cosmos_exp.common.cache_survey import survey

    found = survey(_folder(given))
    if as_json:
        print(json_text(_record(found), indent=1))
    else:
        _print_survey(found)


def _prune(given: Namespace) -> int:
    from cosmos_exp.common.cache_prune import Limits, prune

    if given.max_size is None and given.older_than is None:
        raise UserError(f"cache {PRUNE}: give --max-size, such as 20GB, or --older-than, such as 30d, or both")
    limits = Limits(
        None if given.max_size is None else parse_size("--max-size", given.max_size),
        None if given.older_than is None else parse_age("--older-than", given.older_than),
    )
    folder = _folder(given.folder)
    pruned = prune(folder, limits, dry_run=given.dry_run)
    if given.json:
        print(json_text({"folder": str(folder), "dry_run": given.dry_run, **_pruned_record(pruned)}, indent=1))
    else:
        _print_pruned(pruned, limits.most_bytes, dry_run=given.dry_run)
    if pruned.failures:
        listed = [f"{path}: {reason}" for path, reason in pruned.failures.items()][:MOST_FAILURES]
        more = len(pruned.failures) - len(listed)
        raise UserError(
            f"{len(pruned.failures)} could not be removed: {'; '.join(listed)}" + (f"; and {more} more" if more else "")
        )
    return 0


def _folder(given: Path | None) -> Path:
    """The folder of the cache, absolute."""
    if given is not None:
        if not given.exists() and given.name == str(given) and nearest_name(str(given), [PRUNE]):
            raise UserError(f"no folder {str(given)!r}: did you mean `cosmos-exp cache {PRUNE}`?")
        return given.absolute()
    from cosmos_exp.config.compose import compose

    folder = Path(compose().paths.cache).absolute()
    if not folder.exists():
        raise UserError(f"no stage cache {str(folder)!r}: nothing has run from here; give FOLDER or COSMOS_EXP_OUTPUTS")
    return folder


def _by_stage(entries: Iterable[Stored]) -> dict[str, list[Stored]]:
    stages = defaultdict(list)
    for entry in entries:
        stages[entry.stage].append(entry)
    return dict(sorted(stages.items()))


def _print_survey(found: Survey) -> None:
    now = time.time()
    rows = []
    for stage, entries in _by_stage(found.entries).items():
        made, used = [entry.made for entry in entries], max(entry.used for entry in entries)
        ages = [age_text(now - moment) for moment in (min(made), max(made), used)]
        rows.append([stage, size_text(_bytes(entries)), str(len(entries)), *ages, _in_use(found, entries)])
    others = {"being computed": found.computing, "leftovers of dead processes": found.leftovers}
    others["identity (hashes of files)"] = found.identities
    for name, pieces in others.items():
        if pieces:
            rows.append([name, size_text(_bytes(pieces)), str(len(pieces)), "", "", "", ""])
    if found.history:
        rows.append(["history.jsonl", size_text(found.history), "", "", "", "", ""])
    count = len(found.entries)
    rows.append(["total", size_text(found.bytes), str(count), "", "", "", _in_use(found, found.entries)])
    _print_table(["", "size", "entries", "oldest", "newest", "last used", "in use"], rows)
    if found.in_use.processes:
        print(f"in use by running processes: {found.in_use.processes}")
    print(f"folder: {found.root}")


def _in_use(found: Survey, entries: Iterable[Stored]) -> str:
    return str(sum(entry.name in found.in_use.entries for entry in entries) or "")


def _print_pruned(pruned: Pruned, most_bytes: int | None, *, dry_run: bool) -> None:
    now, rows = time.time(), []
    for stage, entries in _by_stage(pruned.evicted).items():
        used = [age_text(now - moment) for moment in (min(e.used for e in entries), max(e.used for e in entries))]
        rows.append([stage, size_text(_bytes(entries)), str(len(entries)), *used])
    if rows:
        _print_table(["", "size", "entries", "last used, first", "last"], rows)
    would = "would evict" if dry_run else "evicted"
    print(f"{would} {_counted(pruned.evicted)}")
    if pruned.leftovers:
        removed = "would remove" if dry_run else "removed"
        print(f"{removed} leftovers of dead processes: {len(pruned.leftovers)}, {size_text(_bytes(pruned.leftovers))}")
    if pruned.in_use:
        print(f"kept {_counted(pruned.in_use)}: in use by running processes")
    more = f", more than {size_text(most_bytes)}" if most_bytes is not None and pruned.after > most_bytes else ""
    print(f"cache: {size_text(pruned.before)} before, {size_text(pruned.after)} after{more}")


def _counted(entries: Sequence[Stored]) -> str:
    return f"{len(entries)} {'entry' if len(entries) == 1 else 'entries'}, {size_text(_bytes(entries))}"


def _print_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Column, Table

    from cosmos_exp.common.console import Console

    columns = [Column(header, justify="right" if i else "left", no_wrap=True) for i, header in enumerate(headers)]
    table = Table(*columns, box=SIMPLE_HEAD)
    for row in rows:
        table.add_row(*row)
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 120
    console.print(table)


def _bytes(pieces: Iterable[Stored | Piece]) -> int:
    return sum(piece.bytes for piece in pieces)


def _utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="seconds")


def _record(found: Survey) -> dict[str, Any]:
    stages = [
        {
            "stage": stage,
            "bytes": _bytes(entries),
            "entries": len(entries),
            "oldest": _utc(min(entry.made for entry in entries)),
            "newest": _utc(max(entry.made for entry in entries)),
            "last_used": _utc(max(entry.used for entry in entries)),
            "in_use": sum(entry.name in found.in_use.entries for entry in entries),
        }
        for stage, entries in _by_stage(found.entries).items()
    ]
    return {
        "folder": str(found.root),
        "bytes": found.bytes,
        "entries": len(found.entries),
        "stages": stages,
        "computing": _pieces_record(found.computing),
        "leftovers": _pieces_record(found.leftovers),
        "identity": _pieces_record(found.identities),
        "history": {"bytes": found.history},
        "processes": found.in_use.processes,
    }


def _pruned_record(pruned: Pruned) -> dict[str, Any]:
    evicted = [
        {"stage": entry.stage, "key": entry.key, "bytes": entry.bytes, "last_used": _utc(entry.used)}
        for entry in pruned.evicted
    ]
    return {
        "before": pruned.before,
        "after": pruned.after,
        "evicted": evicted,
        "leftovers": _pieces_record(pruned.leftovers),
        "in_use": _pieces_record(pruned.in_use),
        "failures": {str(path): reason for path, reason in pruned.failures.items()},
    }


def _pieces_record(pieces: Sequence[Stored | Piece]) -> dict[str, int]:
    return {"count": len(pieces), "bytes": _bytes(pieces)}
