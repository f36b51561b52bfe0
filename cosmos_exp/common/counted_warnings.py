"""Warnings about a file that are told once each, however often they come up in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

LONGEST = 200  # characters of a place


class CountedWarnings:
    """Kinds of warnings in the order in which they came up, each with its first place and how many more there are."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, kind: str, place: str = "", count: int = 1) -> None:
        """kind: of one of `count` defects; place: where the first of them is."""
        self._counts[kind] += count
        self._first.setdefault(kind, place)

    def __iter__(self) -> Iterator[str]:
        for kind, count in self._counts.items():
            place = self._first[kind]
            place = place if len(place) <= LONGEST else f"{place[:LONGEST]}..."
            more = f", and {count - 1} more" if count > 1 else ""
            yield f"{kind}: {place}{more}" if place else kind + more
