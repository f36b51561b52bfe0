"""What a run would compute: its stages walked without computing.

The keys of all results follow from the config, so the same stages tell which results are wanted and which of them are
in the cache.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cosmos_exp.common.cache import Entry, StageCache
from cosmos_exp.common.progress import Tick
from cosmos_exp.common.stored_arrays import Arrays
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.pipeline.cached_results import Results
from cosmos_exp.pipeline.context import RunContext
from cosmos_exp.pipeline.stages import run_stages


@dataclass(frozen=True)
class Wanted:
    """A result that a run needs. cached: it is in the cache."""

    stage: str
    key: str
    setting: str
    size: float
    passes: int
    cached: bool


@dataclass(frozen=True)
class DryRun:
    """wanted: {key: result}. generated: entries of the videos as the model makes them. stages: names of all that store
    results, in order. notes: of the scene, what the user should know."""

    wanted: Mapping[str, Wanted]
    generated: tuple[Entry, ...]
    stages: tuple[str, ...]
    notes: tuple[str, ...]


def dry_run(spec: RunSpec) -> DryRun:
    """Builds the scene where its caption is not in the cache, because prompts follow from it; computes nothing else.

    Raises UserError where the scene cannot be loaded or is too short.
    """
    results = DryRunResults(spec, StageCache(spec.config.paths.cache))
    context = RunContext(spec, results)
    with _quiet():
        run_stages(context)
    generated = [entry for videos in context.state.made.values() for entry in videos.entries]
    return DryRun(results.wanted, tuple(generated), tuple(results.versions), context.state.notes)


@dataclass
class DryRunResults(Results):
    """Notes what is wanted, in `wanted` by key, and computes nothing but captions."""

    wanted: dict[str, Wanted] = field(default_factory=dict)

    def get(
        self,
        stage: str,
        config: Mapping[str, Any],
        inputs: list[str],
        compute: Callable,
        *,
        size: float = 1.0,
        passes: int = 1,
    ) -> Entry:
        key = self.key(stage, config, inputs)
        entry = Entry(key, self.cache.root / stage / key, hit=self.cache.has(stage, key))
        if stage == "captions" or (stage == "rewrites" and entry.hit):  # is read, so an eviction must leave it
            super().get(stage, config, inputs, compute)
            entry = replace(entry, hit=True)
        self.wanted[key] = Wanted(stage, key, self.spec.cost_setting(stage), size, passes, entry.hit)
        return entry

    def part(
        self, stage: str, name: str, config: Mapping[str, Any], inputs: list[str], compute: Callable[[], Arrays]
    ) -> Entry:
        key = self.part_key(stage, name, config, inputs)
        return Entry(key, self.cache.root / name / key, hit=self.cache.has(name, key))

    def is_known(self, entry: Entry) -> bool:
        return entry.hit

    def together(self, lookups: Sequence[Callable[[], Entry]], tick: Tick) -> list[Entry]:
        return [lookup() for lookup in lookups]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What the stages log belongs to the run."""
    log = logging.getLogger("cosmos_exp")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
