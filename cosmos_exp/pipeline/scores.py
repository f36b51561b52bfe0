"""The metrics of one style with their ceilings and floors, several computed at the same time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.progress import Tick
from cosmos_exp.common.stored_arrays import load_json
from cosmos_exp.metrics import READS_PERCEPTION, SURVIVAL
from cosmos_exp.pipeline.measuring import LABELS, Measured
from cosmos_exp.pipeline.references import Reference, References


@dataclass(frozen=True)
class Scores:
    """entries: {(metric, "value", "ceiling" or "floor"): its result}."""

    entries: Mapping[tuple[str, str], Entry]
    limits: References | None

    def values(self) -> dict[str, float]:
        """{key: value}"""
        entries = [entry for (_, which), entry in self.entries.items() if which == "value"]
        return {key: value for entry in entries for key, value in load_json(entry).items()}

    def references(self) -> dict[str, Reference]:
        """{key: ceiling and floor}; empty where none are wanted."""
        found: dict[str, Reference] = {}
        if self.limits is None:
            return found
        for name in dict.fromkeys(name for name, _ in self.entries):
            own = {w: entry for (metric, w), entry in self.entries.items() if metric == name and w != "value"}
            found |= self.limits.of(name, own)
        return found


def scored(measured: Measured, limits: References | None, names: Sequence[str], tick: Tick) -> Scores:
    """Look these metrics up, or compute them, and at the same time label verdicts and series of frames, which
    `measured` then finds in the cache. limits: None without ceilings and floors."""
    lookups: dict[tuple[str, str], Callable[[], Entry]] = {}
    lookups |= {(name, "value"): partial(measured.metric, name) for name in names}
    if limits is not None:
        for name in names:
            lookups |= {(name, which): lookup for which, lookup in limits.lookups(name).items()}
    every = lookups | {(name, "shown"): lookup for name, lookup in measured.shown(names).items()}
    order = sorted(every, key=lambda lookup: _rank(*lookup))
    entries = dict(zip(order, measured.results.together([every[what] for what in order], tick), strict=True))
    return Scores({what: entries[what] for what in lookups}, limits)


def _rank(name: str, which: str) -> int:
    """What reads videos early, each in one thread, and what waits for the same reading last. `survival` reads all that
    any metric does, and label verdicts follow from it."""
    if name == SURVIVAL[0]:
        return {"value": 0, "floor": 2}.get(which, 4)
    if name == LABELS:
        return 3
    return 4 if name in READS_PERCEPTION else 1
