"""Reads an offline W&B run back: the `.wandb` file that `wandb sync` would upload.

Format (as wandb 0.31 writes it): a 7-byte header `:W&B`, 0xBEE1, version; then blocks of 32 KiB as in LevelDB's log.
Each chunk is crc32 (4 bytes), length (2), type (1: full, 2: first, 3: middle, 4: last), payload, little-endian; the crc
is that of type and payload. A joined payload is one protobuf `wandb_internal.Record`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import parse_json

HEADER = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
BLOCK = 32 * 1024
CHUNK_HEADER = struct.Struct("<IHB")
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


@dataclass
class OfflineRun:
    """What one offline run holds. exit_code: None where the run was never finished. history: one dict per step.

    steps: {metric, or `prefix/*` of several: step metric of its curve}. staged: {path in the run's table artifact: file
    on this machine}.
    """

    run_id: str = ""
    project: str = ""
    entity: str = ""
    group: str = ""
    job_type: str = ""
    name: str = ""
    tags: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    steps: dict[str, str] = field(default_factory=dict)
    exit_code: int | None = None
    staged: dict[str, Path] = field(default_factory=dict)

    @property
    def media(self) -> dict[str, str]:
        """{key: path below the run's files folder} of the videos, tables and images in the history."""
        entries = (item for row in self.history for item in row.items())
        return {key: value["path"] for key, value in entries if isinstance(value, dict) and "_type" in value}


def run_files(folder: Path) -> list[Path]:
    """The `.wandb` files below `folder`, oldest first."""
    return sorted(folder.rglob("*.wandb"), key=lambda path: (path.parent.name, path.name))


def read_run(path: Path) -> OfflineRun:
    """Read one `.wandb` file. UserError where it is missing, damaged or no such file."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]  # made when it is imported

    run = OfflineRun()
    unsummed: list[str] = []  # metrics, or `prefix/*`, that are left out of the summary
    for payload in _records(path):
        record = Record()
        record.ParseFromString(payload)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run.run_id, run.project, run.entity = record.run.run_id, record.run.project, record.run.entity
            run.group, run.job_type, run.name = record.run.run_group, record.run.job_type, record.run.display_name
            run.tags = tuple(record.run.tags)
            _update(run.config, record.run.config.update)
        elif kind == "config":
            _update(run.config, record.config.update)
        elif kind == "summary":
            _update(run.summary, record.summary.update)
        elif kind == "history":
            row: dict[str, Any] = {}
            _update(row, record.history.item)
            run.history.append(row)
            run.summary |= {k: value for k, value in row.items() if not k.startswith("_") and not _matches(k, unsummed)}
        elif kind == "metric":
            name = record.metric.glob_name or record.metric.name
            if record.metric.step_metric:
                run.steps[name] = record.metric.step_metric
            unsummed += [name] if record.metric.summary.none else []
        elif kind == "artifact":
            run.staged |= {entry.path: Path(entry.local_path) for entry in record.artifact.manifest.contents}
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    return run


def is_finished(path: Path) -> bool:
    """Whether the file is whole and says how the run ended."""
    try:
        return read_run(path).exit_code is not None
    except UserError:
        return False


def _matches(key: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def _update(target: dict[str, Any], items: Any) -> None:
    for item in items:
        keys = list(item.nested_key) or [item.key]
        inner = target
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
        inner[keys[-1]] = parse_json(item.value_json, f"W&B value {keys[-1]!r}", finite=False)


def _records(path: Path) -> Iterator[bytes]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the W&B file {path}: {error.strerror}") from error
    if data[: len(HEADER)] != HEADER:
        raise UserError(f"{path} is not an offline W&B run: its header is {data[: len(HEADER)]!r}")
    position, parts = len(HEADER), []
    while position + CHUNK_HEADER.size <= len(data):
        room = BLOCK - position % BLOCK
        if room < CHUNK_HEADER.size:
            position += room
            continue
        crc, length, kind = CHUNK_HEADER.unpack_from(data, position)
        if not (crc or length or kind):  # padding to the end of the block
            position += room
            continue
        start = position + CHUNK_HEADER.size
        payload = data[start : start + length]
        if len(payload) < length or zlib.crc32(bytes([kind]) + payload) != crc:
            raise UserError(f"{path} is damaged at byte {position}: was the run killed while it was written?")
        parts.append(payload)
        position = start + length
        if kind in (FULL, LAST):
            yield b"".join(parts)
            parts = []
