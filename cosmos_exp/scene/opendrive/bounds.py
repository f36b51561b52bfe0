"""Attributes of OpenDRIVE records as numbers within bounds. A record that is out of them is Malformed."""

from __future__ import annotations

from xml.etree.ElementTree import Element

import numpy as np

LARGEST = 1e12  # of any number
FARTHEST = 1e8  # metres of any point from the origin; northings in the world's grids have up to 1e7
LONGEST_ROAD = 1e6  # metres
LARGEST_OFFSET = 1e4  # metres between a signal or object and its reference line
LARGEST_SIZE = 1000.0  # metres: of objects, signals and painted lines
BEYOND_ROAD = 10.0  # metres that signals and objects may stand before or behind their road


class Malformed(ValueError):
    """A record that cannot be read; the message says which and why."""


def check_bounds(points: np.ndarray) -> None:
    """Raises Malformed if world points lie beyond FARTHEST or are not finite."""
    if not (np.abs(points) <= FARTHEST).all():
        size = np.abs(points).max()
        reach = f"{size:g} m" if np.isfinite(size) else "no finite place, or one"
        raise Malformed(f"it reaches {reach} from the origin; {FARTHEST:g} m are allowed")


def number(element: Element, name: str, default: float | None = None, *, most: float = LARGEST) -> float:
    """A finite number of size `most` at the most."""
    text = element.get(name)
    if text is None or text == "":
        if default is not None:
            return default
        raise Malformed(f"<{element.tag}> lacks the attribute {name!r}")
    try:
        value = float(text)
    except ValueError as error:
        raise Malformed(f"<{element.tag}> has {name}={text[:40]!r}, a number is needed") from error
    if not np.isfinite(value):
        raise Malformed(f"<{element.tag}> has {name}={text[:40]!r}, a finite number is needed")
    if abs(value) > most:
        raise Malformed(f"<{element.tag}> has {name}={text[:40]!r}, the largest allowed is {most:g}")
    return value


def size(element: Element, name: str, default: float | None = 0.0) -> float:
    return number(element, name, default, most=LARGEST_SIZE)


def whole_number(element: Element, name: str) -> int:
    value = number(element, name)
    if value != int(value):
        raise Malformed(f"<{element.tag}> has {name}={element.get(name)!r}, a whole number is needed")
    return int(value)


def cubic(element: Element, start: str = "s", offset: float = 0.0) -> tuple[float, float, float, float, float]:
    a, b, c, d = (number(element, k, 0.0) for k in "abcd")
    return number(element, start) + offset, a, b, c, d


def station(element: Element, length: float) -> float:
    """Its s, which may lie a little beyond the road's ends."""
    s = number(element, "s")
    if not -BEYOND_ROAD <= s <= length + BEYOND_ROAD:
        raise Malformed(f"<{element.tag}> has s={element.get('s')!r}, but the road is {length:g} m long")
    return s
