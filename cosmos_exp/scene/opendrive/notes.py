"""What of a map is left out, and what the reader does not model: counted by kind, told once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar
from xml.etree.ElementTree import Element

from cosmos_exp.scene.opendrive.bounds import Malformed

Item = TypeVar("Item")
LEFT_OUT_KINDS = ("roads", "road marks", "signals", "signal references", "objects", "speed limits")
LEFT_OUT = {kind: f"{kind} are left out" for kind in LEFT_OUT_KINDS}
NOT_MODELLED = {  # path below the root: what it is
    "road/lateralProfile/crossfall": "crossfall records",
    "road/lateralProfile/shape": "lateral shape records",
    "road/lateralProfile/crossSectionSurface": "cross section surfaces",
    "road/lanes/laneSection/*/lane/height": "lane height records",
    "road/lanes/laneSection/*/lane/roadMark/type": "lines of road marks (their type and width are drawn)",
    "road/lanes/laneSection/*/lane/roadMark/explicit": "explicit lines of road marks",
    "road/lanes/laneSection/*/lane/roadMark/sway": "swaying road marks",
    "road/objects/object/markings": "markings of objects",
    "road/objects/object/borders": "borders of objects",
    "road/objects/objectReference": "object references",
    "road/objects/tunnel": "tunnels",
    "road/objects/bridge": "bridges",
    "road/signals/signal/positionInertial": "inertial positions of signals (s and t are taken)",
    "road/signals/signal/positionRoad": "positions of signals at other roads (s and t are taken)",
    "road/surface/CRG": "OpenCRG surfaces",
    "road/railroad": "railroads",
}


class Notes:
    """Counts of what a map has and the scene has not. Iterating gives a message per kind, with the first case."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, what: str, first: str = "", count: int = 1) -> None:
        """what: the kind, such as "signals are left out". first: where and why, told of the first case."""
        self._counts[what] += count
        self._first.setdefault(what, first)

    def add_not_modelled(self, root: Element) -> None:
        for path, what in NOT_MODELLED.items():
            if count := len(root.findall(path)):
                self.add(f"{what} are not modelled", count=count)

    def first(self, what: str) -> str | None:
        """Where and why of the first case of a kind."""
        return self._first.get(what)

    def __iter__(self) -> Iterator[str]:
        for what, count in self._counts.items():
            first = self._first[what]
            yield f"{count} {what}" + (f"; the first: {first}" if first else "")


def kept(
    elements: Iterable[Element], read: Callable[[Element], Iterable[Item]], kind: str, notes: Notes, place: str = ""
) -> Iterator[Item]:
    """What `read` makes of the elements, without those it cannot read, which are noted."""
    for element in elements:
        try:
            yield from read(element)
        except Malformed as error:
            notes.add(LEFT_OUT[kind], place + str(error))
