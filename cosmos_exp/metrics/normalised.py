"""A metric beside its ceiling and floor: 0 is a foreign scene in the same style, 1 the renderer's own picture."""

from __future__ import annotations

from collections.abc import Mapping

CEILING, FLOOR, NORMALISED = "ceiling", "floor", "normalised"


def normalised(value: float, reference: Mapping[str, float]) -> float | None:
    """(value - floor) / (ceiling - floor), not clipped; None where one of the two is unknown or they are equal."""
    ceiling, floor = reference.get(CEILING), reference.get(FLOOR)
    return None if ceiling is None or floor is None or ceiling == floor else (value - floor) / (ceiling - floor)


def beside_references(metrics: Mapping[str, float], references: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """`ceiling/<metric>`, `floor/<metric>` and `normalised/<metric>` of one style, as far as they are known."""
    found = {
        f"{end}/{key}": value
        for end in (CEILING, FLOOR)
        for key, ends in references.items()
        if (value := ends.get(end)) is not None
    }
    for key, value in metrics.items():
        if (share := normalised(value, references.get(key, {}))) is not None:
            found[f"{NORMALISED}/{key}"] = share
    return found
