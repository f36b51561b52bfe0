"""What results have cost so far: one line per computed result, in a file beside the stage cache."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median

import numpy as np

from cosmos_exp.common.files import write_atomic

FILE = "history.jsonl"
MOST_BYTES = 2_000_000  # then the older half goes
REST = "videos, tracking"  # the stage that stands for all of a run that no stage keeps
USED = 30  # latest measurements that an estimate is the median of


@dataclass(frozen=True)
class Cost:
    """Of one result. setting: model, device and the like where the stage depends on them. size: million pixels of the
    clip. passes: network passes, 1 elsewhere. seconds: wall time. bytes: on disk."""

    stage: str
    setting: str
    size: float
    passes: int
    seconds: float
    bytes: int


@dataclass(frozen=True)
class Estimate:
    """seconds, bytes: of one result. of: number of measurements. scaled: none of them had this size."""

    seconds: float
    bytes: float
    of: int
    scaled: bool


class History:
    """root: folder of the stage cache."""

    def __init__(self, root: Path | str):
        self.path = Path(root) / FILE

    def add(self, cost: Cost) -> None:
        """Safe among many processes: a line is one write. A full disk loses the line, not the run."""
        line = json.dumps({**asdict(cost), "seconds": round(cost.seconds, 3)}) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                os.write(descriptor, line.encode())
                size = os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
            if size > MOST_BYTES:
                self._halve()
        except OSError:
            return

    def costs(self) -> list[Cost]:
        """Oldest first; lines that cannot be read are left out."""
        return list(self._read())

    def _read(self) -> Iterator[Cost]:
        known = {entry.name for entry in fields(Cost)}  # a newer version may write more
        if not self.path.exists():
            return
        for line in self.path.read_text(errors="replace").splitlines():
            try:
                yield Cost(**{name: value for name, value in json.loads(line).items() if name in known})
            except (ValueError, TypeError, AttributeError, RecursionError):
                continue

    def _halve(self) -> None:
        lines = self.path.read_bytes().splitlines(keepends=True)
        write_atomic(self.path, b"".join(lines[len(lines) // 2 :]))


def estimate(costs: list[Cost], stage: str, setting: str, size: float, passes: int = 1) -> Estimate | None:
    """From the latest measurements of a stage in a setting, at this size or else scaled by the pixels: the median for
    so many passes, or where these were never measured, what the others let expect. None without any measurement."""
    known = [cost for cost in costs if (cost.stage, cost.setting) == (stage, setting)]
    same = [cost for cost in known if cost.size == size]
    used = (same or known)[-USED:]
    if not used:
        return None
    by_passes: dict[int, list[float]] = defaultdict(list)
    for cost in used:
        by_passes[cost.passes].append(cost.seconds / cost.size)
    seconds = _at({count: median(values) for count, values in by_passes.items()}, passes) * size
    return Estimate(seconds, median(cost.bytes / cost.size for cost in used) * size, len(used), not same)


def _at(seconds: dict[int, float], passes: int) -> float:
    """Seconds at a number of passes, from those at others: along a line, where it has no negative part; else in
    proportion to the nearest."""
    if passes in seconds:
        return seconds[passes]
    if len(seconds) > 1:
        each, fixed = np.polyfit(list(seconds), list(seconds.values()), 1)
        if each > 0 and fixed >= 0:
            return float(fixed + each * passes)
    nearest = min(seconds, key=lambda count: abs(count - passes))
    return seconds[nearest] / nearest * passes
