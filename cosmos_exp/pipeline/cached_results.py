"""Results of stages: looked up in the cache by what they follow from, or made, stored, and their cost remembered."""

from __future__ import annotations

import json
import mmap
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from cosmos_exp.common.cache import Entry, StageCache, stage_key
from cosmos_exp.common.progress import Tick
from cosmos_exp.config.run_spec import Settings
from cosmos_exp.render.types import CameraRender
from cosmos_exp.runs.cost_history import Cost, History

# Raise a number when the stage's code changes what it computes from the same input.
VERSIONS = {
    "scene": 1,
    "render": 2,
    "controls": 2,
    "videos": 1,
    "captions": 1,
    "hints": 1,
    "input": 1,
    "text": 1,
    "single_view": 3,
    "multi_view": 3,
    "metrics": 3,
}

ARRAYS, VALUES = "result.safetensors", "result.json"
AT_ONCE = 4  # results, each of which may hold a clip
HEADER_SIZE = 8  # bytes in front of the header of a safetensors file, which say how long it is
DTYPES = {"BOOL": "?", "F16": "<f2", "F32": "<f4", "F64": "<f8"}
DTYPES |= {f"{kind.upper()}{8 * size}": f"<{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)}

Arrays = dict[str, np.ndarray]


class Stopwatch:
    """Times work that overlaps: while n pieces go on, each is charged 1/n, so that all sum to the time that has passed.

    now: the time in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic):
        self._now = now
        self._lock = Lock()
        self._running = 0
        self._at = self._charged = 0.0

    def begin(self) -> float:
        """What `end` of the same piece is given."""
        return self._advance(+1)

    def end(self, begun: float) -> float:
        """Seconds charged to a piece."""
        return self._advance(-1) - begun

    def _advance(self, begun: int) -> float:
        with self._lock:
            now = self._now()
            self._charged += (now - self._at) / max(1, self._running)
            self._at = now
            self._running += begun
            return self._charged


@dataclass
class Results:
    """hits, misses: {stage: lookups}, counted here. computed: seconds spent on results that were not there.

    Several threads may ask at the same time.
    """

    settings: Settings
    cache: StageCache
    hits: Counter[str] = field(default_factory=Counter)
    misses: Counter[str] = field(default_factory=Counter)
    computed: float = 0.0
    _stopwatch: Stopwatch = field(default_factory=Stopwatch)
    _counting: Lock = field(default_factory=Lock)

    @cached_property
    def history(self) -> History:
        return History(self.cache.root)

    def get(
        self,
        stage: str,
        config: Mapping[str, Any],
        inputs: list[str],
        compute: Callable[[], Arrays | dict],
        *,
        size: float = 1.0,
        passes: int = 1,
    ) -> Entry:
        """Look a result up, or compute and store it: arrays, or where `compute` returns other values, JSON.

        config, inputs: as `stage_key` takes them. size: million pixels it is made of, passes: of a network; with them
        its cost goes into the history.
        """

        def measured(folder: Path) -> None:
            begun = self._stopwatch.begin()
            try:
                _save(folder, compute())
            finally:
                seconds = self._stopwatch.end(begun)
            stored = sum(path.stat().st_size for path in folder.iterdir())
            with self._counting:
                self.computed += seconds
            self.history.add(Cost(stage, self.settings.cost_setting(stage), size, passes, seconds, stored))

        entry = self.cache.get_or_compute(stage, stage_key(stage, VERSIONS[stage], config, inputs), measured)
        with self._counting:
            (self.hits if entry.hit else self.misses)[stage] += 1
        return entry

    def together(self, lookups: Sequence[Callable[[], Entry]], tick: Tick) -> list[Entry]:
        """What lookups return that do not need each other; some are computed at the same time."""
        entries: list[Entry] = []
        with (
            ThreadPoolExecutor(min(AT_ONCE, self.settings.threads)) as pool,
            closing(pool.map(lambda lookup: lookup(), lookups)) as found,
        ):
            for entry in found:
                entries.append(entry)
                tick(len(entries), len(lookups))
        return entries

    def part(
        self, stage: str, name: str, config: Mapping[str, Any], inputs: list[str], compute: Callable[[], Arrays]
    ) -> Entry:
        """What several results of a stage have in common, kept as `name`; neither counted nor planned.

        config, inputs: as of `get`.
        """
        key = stage_key(name, VERSIONS[stage], config, inputs)
        return self.cache.get_or_compute(name, key, lambda folder: _save(folder, compute()))


def _save(folder: Path, result: Arrays | dict) -> None:
    if any(isinstance(value, np.ndarray) for value in result.values()):
        arrays = {name: np.ascontiguousarray(value) for name, value in result.items()}
        _write_arrays(arrays, folder / ARRAYS)
        (folder / ARRAYS).chmod(folder.stat().st_mode & 0o666)  # the library's files are for their owner alone
    else:
        (folder / VALUES).write_text(json.dumps(result))


def _write_arrays(arrays: Arrays, path: Path) -> None:
    """Raises OSError where the disk is full, which the library has a kind of error of its own for."""
    try:
        safetensors.numpy.save_file(arrays, path)
    except SafetensorError as error:
        if not (told := re.search(r"os error (\d+)", str(error))):
            raise
        code = int(told[1])
        raise OSError(code, os.strerror(code), str(path)) from error


def load_arrays(entry: Entry) -> Arrays:
    """Pages of the file, which are read when they are looked at; what is written into them stays in memory."""
    with open(entry.path / ARRAYS, "rb") as file:
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    start = HEADER_SIZE + int.from_bytes(pages[:HEADER_SIZE], "little")
    stated = json.loads(pages[HEADER_SIZE:start])
    return {
        name: np.ndarray(array["shape"], DTYPES[array["dtype"]], pages, start + array["data_offsets"][0])
        for name, array in stated.items()
    }


def load_json(entry: Entry) -> dict[str, Any]:
    return json.loads((entry.path / VALUES).read_text())


def load_render(entry: Entry, camera: str) -> CameraRender:
    arrays = load_arrays(entry)
    return CameraRender(camera=camera, times=arrays.pop("times"), **arrays)
