"""Results of stages: looked up in the cache by what they follow from, or computed and stored, their cost remembered."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np

from cosmos_exp.common.cache import Entry, StageCache, stage_key
from cosmos_exp.common.progress import Tick
from cosmos_exp.common.stored_arrays import ArrayFile, Arrays, save_result
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.runs.cost_history import Cost, History

OWN_VERSIONS = {"captions": 2, "rewrites": 1, "render": 3, "controls": 2, "videos": 2, "guardrails": 1, "metrics": 4}
"""{stage: version} of the stages of the pipeline itself; a model's are its own. Raise a version when the stage's code
changes what it computes from the same input."""

AFTER_MODEL = ("guardrails", "metrics")
AT_ONCE = 4  # results, each of which may hold a clip
UNSYNCED = frozenset({"metrics"})
"""Stages of many small results, for which the disk is not waited: one that a power failure takes is soon made again."""


def stage_versions(spec: RunSpec) -> dict[str, int]:
    """{stage: version} of all results that a run may store, in the order of the stages."""
    model = spec.model.stages
    if taken := sorted(OWN_VERSIONS.keys() & model.keys()):
        raise ValueError(f"the model {spec.config.model.name} has stages of the pipeline's names: {', '.join(taken)}")
    by_model = spec.config.captions.source != "template"
    absent = AFTER_MODEL if by_model else (*AFTER_MODEL, "rewrites")
    before = {name: version for name, version in OWN_VERSIONS.items() if name not in absent}
    return before | dict(model) | {name: OWN_VERSIONS[name] for name in AFTER_MODEL}


class Reporter(Protocol):
    """What is told of a stage's progress."""

    def stage(self, name: str, label: str = "") -> AbstractContextManager[Tick]: ...


class NullReporter:
    """Shows and writes nothing."""

    @contextmanager
    def stage(self, name: str, label: str = "") -> Iterator[Tick]:
        yield lambda done, total: None


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
    """The `ResultStore` of a run. hits, misses: {stage: lookups}, counted here. computed: seconds spent on results that
    were not there. reporter: is told of the stages.

    Several threads may ask at the same time.
    """

    spec: RunSpec
    cache: StageCache
    hits: Counter[str] = field(default_factory=Counter)
    misses: Counter[str] = field(default_factory=Counter)
    reporter: Reporter = field(default_factory=NullReporter)
    computed: float = 0.0
    _stopwatch: Stopwatch = field(default_factory=Stopwatch)
    _counting: Lock = field(default_factory=Lock)

    @cached_property
    def history(self) -> History:
        return History(self.cache.root)

    @cached_property
    def versions(self) -> dict[str, int]:
        return stage_versions(self.spec)

    def stage(self, name: str, label: str = "") -> AbstractContextManager[Tick]:
        return self.reporter.stage(name, label)

    def file_identity(self, path: Path | str) -> str:
        return self.cache.file_identity(path)

    def key(self, stage: str, config: Mapping[str, Any], inputs: list[str]) -> str:
        return stage_key(stage, self.versions[stage], config, inputs)

    def part_key(self, stage: str, name: str, config: Mapping[str, Any], inputs: list[str]) -> str:
        return stage_key(name, self.versions[stage], config, inputs)

    def get(
        self,
        stage: str,
        config: Mapping[str, Any],
        inputs: list[str],
        compute: Callable[[], Mapping[str, np.ndarray | ArrayFile] | dict[str, Any]],
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
                save_result(folder, compute())
            finally:
                seconds = self._stopwatch.end(begun)
            stored = sum(path.stat().st_size for path in folder.iterdir())
            with self._counting:
                self.computed += seconds
            self.history.add(Cost(stage, self.spec.cost_setting(stage), size, passes, seconds, stored))

        entry = self.cache.get_or_compute(
            stage, self.key(stage, config, inputs), measured, synced=stage not in UNSYNCED
        )
        with self._counting:
            (self.hits if entry.hit else self.misses)[stage] += 1
        return entry

    def is_known(self, entry: Entry) -> bool:
        """Whether its values can be read; not in a dry run, where it is not in the cache."""
        return True

    def together(self, lookups: Sequence[Callable[[], Entry]], tick: Tick) -> list[Entry]:
        """Results that do not need each other, several of which are computed at the same time."""
        entries: list[Entry] = []
        with ThreadPoolExecutor(min(AT_ONCE, self.spec.threads)) as pool:
            waiting = [pool.submit(lookup) for lookup in lookups]
            try:
                for future in waiting:
                    entries.append(future.result())
                    tick(len(entries), len(lookups))
            finally:
                for future in waiting:
                    future.cancel()  # those that have not begun when one has failed
        return entries

    def part(
        self, stage: str, name: str, config: Mapping[str, Any], inputs: list[str], compute: Callable[[], Arrays]
    ) -> Entry:
        """What several results of a stage have in common, kept as `name`; neither counted nor planned.

        config, inputs: as of `get`.
        """
        key = self.part_key(stage, name, config, inputs)
        return self.cache.get_or_compute(
            name, key, lambda folder: save_result(folder, compute()), synced=stage not in UNSYNCED
        )
