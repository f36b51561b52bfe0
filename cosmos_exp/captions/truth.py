"""What of a caption is true of its scene, and what of the scene it says: precision and recall by kind of statement.

The truth is that of the tracks and the map, in the sector that `describe` speaks of: within MAX_DISTANCE and 45 degrees
of straight ahead. A statement that the scene cannot decide, such as a billboard, counts on neither side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cosmos_exp.captions.describe import (
    TALL,
    VEHICLES,
    ahead_of_ego,
    color_name,
    observed_road,
    signal_ahead,
    surroundings,
)
from cosmos_exp.captions.facts import Mention, TextFacts, facts_of
from cosmos_exp.captions.vocabulary import ACTORS, HYPERNYMS, MANY, SOME
from cosmos_exp.scene.types import ActorClass, Scene

TOPICS = ("kinds", "counts", "colours", "signals", "road", "surroundings")
LEAST_SOME, LEAST_MANY = 2, 5
"""Things that "several" and "many" stand for at least."""
_AREAS = {
    "residential": {"residential", "suburban", "urban"},
    "downtown": {"downtown", "urban", "commercial"},
    "rural": {"rural", "village"},
}
_ROADS = {
    "straight_2lane": {"straight"},
    "straight_4lane": {"straight"},
    "curve": {"curve"},
    "intersection": {"intersection"},
    "t_junction": {"t_junction", "intersection"},
    "street": {"straight"},
}
_TOLD_ROADS = {
    "s_curve": {"curve"},
    "slope": {"hilly"},
    "residential": {"narrow"},
    "roundabout": {"roundabout"},
    "multilane_intersection": {"intersection"},
    "motorway": {"highway"},
}
"""Of roads that only a procedural scene tells of: other maps decide neither for nor against these names."""
_JUDGED_ROADS = frozenset().union(*_ROADS.values(), *_AREAS.values())
_JUDGED_KINDS = frozenset({*VEHICLES.values(), "pedestrian", "vehicle"})
_LANES = {"straight_2lane": "2", "straight_4lane": "4"}


@dataclass(frozen=True)
class SceneTruth:
    """counts: {kind of actor: its number at each instant}. colors: {kind: colours of those in at least half of the
    instants}, any_colors: of all. signals: states of the light ahead. road: names that are right for the road and its
    area, at best one of each set in `roads`. lanes: their number, or "". surroundings: what stands there; main: what
    ought to be said of it."""

    counts: dict[str, tuple[int, ...]]
    colors: dict[str, frozenset[str]]
    any_colors: dict[str, frozenset[str]]
    signals: frozenset[str]
    roads: tuple[frozenset[str], ...]
    lanes: str
    surroundings: frozenset[str]
    main: frozenset[str]


@dataclass(frozen=True)
class Verdict:
    """Of one topic. said, right: statements of the caption that the scene decides, and those that are true. true,
    found: what the scene has, and what the caption says of it."""

    said: int = 0
    right: int = 0
    true: int = 0
    found: int = 0

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict(
            self.said + other.said, self.right + other.right, self.true + other.true, self.found + other.found
        )

    @property
    def precision(self) -> float | None:
        return self.right / self.said if self.said else None

    @property
    def recall(self) -> float | None:
        return self.found / self.true if self.true else None


def scene_truth(scene: Scene, times: Sequence[float]) -> SceneTruth:
    """times: instants of the clip in seconds."""
    seen = [[track for track, _ in ahead_of_ego(scene, time)] for time in times]
    names = {**VEHICLES, ActorClass.PEDESTRIAN: "pedestrian"}
    numbers = [Counter(names[t.actor_class] for t in tracks if t.actor_class in names) for tracks in seen]
    painted = [
        {(names[t.actor_class], color_name(t.color)) for t in tracks if t.color and t.actor_class in VEHICLES}
        for tracks in seen
    ]
    often = Counter(pair for pairs in painted for pair in pairs)
    lasting = {pair for pair, count in often.items() if 2 * count >= len(times)}
    road = scene.facts.get("road") or observed_road(scene)
    near, main = _surroundings(scene, times)
    return SceneTruth(
        counts={kind: tuple(n[kind] for n in numbers) for kind in sorted({k for n in numbers for k in n})},
        colors=_by_kind(lasting),
        any_colors=_by_kind(often),
        signals=frozenset(state.value for time in times if (state := signal_ahead(scene, time))),
        roads=tuple(
            frozenset(names)
            for names in ((_ROADS | _TOLD_ROADS).get(road, set()), _AREAS.get(scene.facts.get("area", ""), set()))
            if names
        ),
        lanes=_LANES.get(road, scene.facts.get("lanes", "")),
        surroundings=near,
        main=main,
    )


def _by_kind(pairs: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for kind, color in pairs:
        found.setdefault(kind, set()).add(color)
    return {kind: frozenset(colors) for kind, colors in found.items()}


def _surroundings(scene: Scene, times: Sequence[float]) -> tuple[frozenset[str], frozenset[str]]:
    near: set[str] = set()
    heights, trees = surroundings(scene, times[0])
    for time in times:
        there, count = surroundings(scene, time)
        near |= {"building"} if there else set()
        near |= {"tall building"} if there and max(there) > TALL else set()
        near |= {"house"} if there and min(there) <= TALL else set()
        near |= {"tree"} if count else set()
    main = {"tree"} if trees >= 8 else set()
    if len(heights) >= 3:
        main |= {"tall building" if np.median(heights) > TALL else "house"}
    return frozenset(near), frozenset(main)


def judge(caption: str, truth: SceneTruth) -> dict[str, Verdict]:
    """{topic: verdict}, in the order of TOPICS. Sentences on style and camera state nothing that counts."""
    facts = facts_of(caption)
    actors = [m for m in facts.mentions if m.kind in ACTORS and m.kind in _JUDGED_KINDS]
    return {
        "kinds": _kinds(actors, truth),
        "counts": _counts(actors, truth),
        "colours": _colors(actors, truth),
        "signals": _signals(facts, truth),
        "road": _road(facts, truth),
        "surroundings": _scenery(facts, truth),
    }


def _below(kind: str) -> set[str]:
    """The kinds that a name covers, itself included."""
    return {kind} | {k for k, covers in HYPERNYMS.items() if covers == kind}


def _span(kind: str, truth: SceneTruth) -> tuple[int, int]:
    """(least, most) of a kind over the instants; most with the bicycles, where they may be meant."""
    names = _below(kind) & truth.counts.keys()
    rows = [sum(truth.counts[name][i] for name in names) for i in range(_instants(truth))]
    bicycles = truth.counts.get("cyclist", ()) if kind == "vehicle" else ()
    most = [row + (bicycles[i] if bicycles else 0) for i, row in enumerate(rows)]
    return (min(rows), max(most)) if rows else (0, 0)


def _instants(truth: SceneTruth) -> int:
    return len(next(iter(truth.counts.values()), ()))


def _lasting(truth: SceneTruth) -> list[str]:
    """Kinds that are there in at least half of the instants."""
    return [kind for kind, numbers in truth.counts.items() if 2 * sum(n > 0 for n in numbers) >= len(numbers)]


def _covers(mention: Mention, kind: str) -> bool:
    return mention.kind in (kind, HYPERNYMS.get(kind)) or (mention.kind == "vehicle" and kind == "cyclist")


def _kinds(actors: list[Mention], truth: SceneTruth) -> Verdict:
    said = {m.kind for m in actors if m.count != 0}
    lasting = _lasting(truth)
    return Verdict(
        said=len(said),
        right=sum(_span(kind, truth)[1] > 0 for kind in said),
        true=len(lasting),
        found=sum(any(_covers(m, kind) and m.count != 0 for m in actors) for kind in lasting),
    )


def _counts(actors: list[Mention], truth: SceneTruth) -> Verdict:
    counted = {m.kind for m in actors if m.count is not None}
    right = {kind for kind in counted if _count_is_right(kind, actors, truth)}
    lasting = _lasting(truth)
    found = sum(any(_covers(m, kind) and m.kind in right for m in actors) for kind in lasting)
    return Verdict(len(counted), len(right), len(lasting), found)


def _count_is_right(kind: str, actors: list[Mention], truth: SceneTruth) -> bool:
    """What is said of a kind, and of those it covers, in sum. "A car" and "vehicles" besides mean at least one."""
    said = [m.count for m in actors if m.kind in _below(kind) and m.count is not None]
    least, most = _span(kind, truth)
    if 0 in said:
        return least == 0
    number = sum({SOME: LEAST_SOME, MANY: LEAST_MANY}.get(str(n), n if isinstance(n, int) else 0) for n in said)
    open_ended = any(m.kind == HYPERNYMS.get(kind) for m in actors) or {SOME, MANY} & {*map(str, said)}
    return number <= most and (bool(open_ended) or max(said, key=_size) == 1 or least <= number)


def _size(count: int | str) -> int:
    return count if isinstance(count, int) else LEAST_MANY


def _colors(actors: list[Mention], truth: SceneTruth) -> Verdict:
    said = {(m.kind, color) for m in actors for color in m.colors if m.kind != "pedestrian"}
    true = {(kind, color) for kind, colors in truth.colors.items() for color in colors}
    right = sum(any(color in truth.any_colors.get(k, ()) for k in _below(kind)) for kind, color in said)
    found = sum(any(_covers(m, kind) and color in m.colors for m in actors) for kind, color in true)
    return Verdict(len(said), right, len(true), found)


def _signals(facts: TextFacts, truth: SceneTruth) -> Verdict:
    said = {color for m in facts.mentions if m.kind == "traffic light" for color in m.colors}
    both = len(said & truth.signals)
    return Verdict(len(said), both, len(truth.signals), both)


def _road(facts: TextFacts, truth: SceneTruth) -> Verdict:
    right_names = frozenset().union(*truth.roads)
    said = {c.value for c in facts.claims if c.topic == "road" and c.value in _JUDGED_ROADS | right_names}
    said = {name for name in said if right_names}
    lanes = {c.value for c in facts.claims if c.topic == "lanes"} if truth.lanes else set()
    items = [names for names in truth.roads if names != {"straight"}]
    return Verdict(
        said=len(said) + len(lanes),
        right=len(said & right_names) + len(lanes & {truth.lanes}),
        true=len(items) + bool(truth.lanes),
        found=sum(bool(names & said) for names in items) + (truth.lanes in lanes),
    )


def _scenery(facts: TextFacts, truth: SceneTruth) -> Verdict:
    judged = {"tree", "building", "tall building", "house"}
    said = {m.kind for m in facts.mentions if m.kind in judged and m.count != 0}
    found = sum(any(name in (kind, HYPERNYMS.get(kind)) for name in said) for kind in truth.main)
    return Verdict(len(said), len(said & truth.surroundings), len(truth.main), found)
