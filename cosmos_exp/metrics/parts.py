"""What stands after the slash of a metric's key: cameras, or the kind of objects or lane lines."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from cosmos_exp.common.views import ALL_VIEWS
from cosmos_exp.evaluators.types import OBJECT_CLASSES, PAINT_CLASSES
from cosmos_exp.metrics.objects import DISTANCES, OCCLUSIONS, SIZES

CAMERAS, PAIRS, OTHER = "Cameras", "Pairs of cameras", "Other"
KINDS: dict[str, Collection[str]] = {
    "Lane lines": PAINT_CLASSES,
    "Object classes": OBJECT_CLASSES,
    "Object sizes": SIZES,
    "Object distances": DISTANCES,
    "Object occlusion": OCCLUSIONS,
}
"""{kind: its parts}."""


def grouped_parts(parts: Iterable[str], views: Collection[str] = ALL_VIEWS) -> dict[str, list[str]]:
    """{kind: those of the parts that are of it}, both in the order in which they are shown. views: names of cameras."""
    parts = list(dict.fromkeys(parts))
    kinds = {CAMERAS: list(views), **KINDS}
    found = {kind: [part for part in of_kind if part in parts] for kind, of_kind in kinds.items()}
    known = {part for of_kind in found.values() for part in of_kind}
    rest = [part for part in parts if part not in known]
    found[PAIRS] = [part for part in rest if all(view in views for view in part.split("+"))]
    found[OTHER] = [part for part in rest if part not in found[PAIRS]]
    order = (CAMERAS, PAIRS, *KINDS, OTHER)
    return {kind: found[kind] for kind in order if found[kind]}
