"""Captions as the scenes give them, by the parts they are made of, so that a test can change one part."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

COLORS = ("white", "black", "grey", "silver", "red", "blue", "green", "yellow", "orange", "brown")
KINDS = ("car", "truck", "bus", "motorcycle")
COUNTS = ("two", "three", "four", "five", "six", "many")
ROADS = ("two-lane street", "four-lane road", "intersection", "T-junction")
AREAS = ("residential", "downtown", "rural")
STATES = ("red", "green", "yellow")


@dataclass(frozen=True)
class Parts:
    area: str
    road: str
    surroundings: tuple[str, ...]
    signal: str
    color: str
    kind: str
    place: str
    pedestrians: str
    traffic: str

    def text(self) -> str:
        beside = f" past {' and '.join(self.surroundings)}" if self.surroundings else ""
        leader = " ".join(filter(None, (self.color, self.kind)))
        clauses = [
            f"a {self.signal} light" if self.signal else "",
            f"a {leader} {self.place}".strip() if self.kind else "",
            f"{self.pedestrians} pedestrians" if self.pedestrians else "",
            f"{self.traffic} other vehicles" if self.traffic else "",
        ]
        place = " ".join(filter(None, (self.area, self.road)))
        return f"Driving along a {place}{beside} with {' and '.join(filter(None, clauses))}."


def random_parts(rng: random.Random) -> Parts:
    return Parts(
        area=rng.choice(AREAS),
        road=rng.choice(ROADS),
        surroundings=rng.choice((("houses", "trees"), ("tall buildings", "trees"), ("houses", "a fence"))),
        signal=rng.choice(STATES),
        color=rng.choice(COLORS),
        kind=rng.choice(KINDS),
        place=rng.choice(("ahead", "on the left", "on the right")),
        pedestrians=rng.choice(COUNTS),
        traffic=rng.choice(COUNTS),
    )


def lost(parts: Parts) -> dict[str, Parts]:
    """{what: the parts without it}."""
    fields = ("area", "road", "signal", "color", "kind", "place", "pedestrians", "traffic")
    without = {name: replace(parts, **{name: ""}) for name in fields}
    for thing in parts.surroundings:
        without[thing] = replace(parts, surroundings=tuple(s for s in parts.surroundings if s != thing))
    return without


def changed(parts: Parts, rng: random.Random) -> dict[str, Parts]:
    """{what: the parts with another value of it}."""
    others = {
        "area": AREAS,
        "road": ROADS,
        "signal": STATES,
        "color": COLORS,
        "kind": KINDS,
        "place": ("ahead", "on the left", "on the right"),
        "pedestrians": COUNTS,
        "traffic": COUNTS,
        "surroundings": (("houses", "trees"), ("tall buildings", "trees"), ("houses", "a fence")),
    }
    return {
        name: replace(parts, **{name: rng.choice([v for v in values if v != getattr(parts, name)])})
        for name, values in others.items()
    }
