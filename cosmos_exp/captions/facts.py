"""What a caption says: the things it mentions with their counts, colours and places, the road, the traffic, motion.

A reader of English as captions of driving videos use it, by tables of words (`vocabulary.py`) and the order of words;
no model. A thing that no table names is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from cosmos_exp.captions import vocabulary as words

Count = int | str | None
"""A number, "some", "many", or None where the text gives none ("trees", "the car")."""

_TOKEN = re.compile(r"[a-z0-9]+|[.,;:!?()]")
_ENDS = frozenset(".;:!?")
_LONGEST = 5  # words of a phrase


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DEFINITE = _listed("the its their this that these those each every all")
_BOUNDARY = _listed(
    """and or but with without of in on at by to from past near beside between behind under over along through into as
    while is are was were be being been has have had there it they that which who where moves move moving drives drive
    driving passes pass stands stand waits wait crosses walks walk line lines flank flanks fill fills"""
)
"""Words at which the description of a thing begins."""
_JOINS_COLOR = _listed(
    "is are was were in painted colored coloured looks appears turns turned turning shows showing glows glowing"
)
_COVERS = _listed("covered blanketed wrapped shrouded bathed drenched cloaked")
_SIGNAL_VERBS = _listed("turns turned turning shows showing")
_SIGNAL_COLORS = _listed("red green yellow")
_MATTER = _listed(
    """sky skies light lights lighting daylight glow hue hues tone tones shade shades cloud clouds sun sunlight sunset
    sunrise horizon haze fog mist snow snowflakes rain raindrops ground asphalt pavement surface surfaces air gradient
    darkness shadow shadows landscape winter blanket layer scene day night morning atmosphere reflections puddles
    rooftop rooftops roof roofs distance"""
)
"""What has a colour from weather and light."""


@dataclass(frozen=True)
class Mention:
    """A thing. text: as the caption says it. plural: "cars", not "car". definite: "the car", one that is known."""

    kind: str
    text: str
    count: Count = None
    plural: bool = False
    definite: bool = False
    colors: frozenset[str] = frozenset()
    positions: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Claim:
    """Something else that is said. topic: road, lanes, traffic, motion, position, number or colour."""

    topic: str
    value: str


@dataclass(frozen=True)
class TextFacts:
    mentions: tuple[Mention, ...]
    claims: frozenset[Claim]


@dataclass(frozen=True)
class _Item:
    """One word, or a phrase of the tables. kind: which table; "word" for others, "stop" for a sign."""

    kind: str
    name: str
    text: str
    plural: bool = False


@dataclass
class _Reading:
    items: list[_Item]
    used: set[int] = field(default_factory=set)
    """Colours, numbers and places that belong to a thing."""
    mentions: dict[int, Mention] = field(default_factory=dict)


def facts_of(text: str) -> TextFacts:
    """The facts of an English text. Case, hyphens and line breaks make no difference."""
    reading = _Reading(_items(text))
    for at, item in enumerate(reading.items):
        if item.kind == "thing" or _is_signal(reading.items, at):
            reading.mentions[at] = _mention(reading, at)
    claims = {*_roads(reading), *_positions(reading), *_motions(reading)}
    claims |= {*_loose_numbers(reading), *_loose_colors(reading)}
    return TextFacts(tuple(reading.mentions[at] for at in sorted(reading.mentions)), frozenset(claims))


def _tables() -> dict[tuple[str, ...], _Item]:
    found: dict[tuple[str, ...], _Item] = {}
    for kind, table in {
        "color": words.COLORS,
        "amount": words.AMOUNTS,
        "traffic": words.DENSITIES,
        "position": words.POSITIONS,
        "motion": words.MOTIONS,
        "road": words.ROAD_WORDS,
    }.items():
        found |= {phrase: _Item(kind, name, " ".join(phrase)) for phrase, name in words.phrases(table).items()}
    for number, names in words.NUMBERS.items():
        found |= {tuple(name.split()): _Item("number", str(number), name) for name in names}
    for table in (words.ACTORS, words.SCENERY, words.LIGHTS):
        found |= dict(_nouns("thing", table))
    return found | dict(_nouns("road", words.ROADS))


def _nouns(kind: str, table: dict[str, tuple[str, ...]]) -> Iterator[tuple[tuple[str, ...], _Item]]:
    for phrase, name in words.phrases(table).items():
        *before, noun = phrase
        many = words.plural(noun)
        yield (*before, many), _Item(kind, name, " ".join((*before, many)), plural=True)
        yield phrase, _Item(kind, name, " ".join(phrase))


_TABLE = _tables()


def _items(text: str) -> list[_Item]:
    plain = words.EGO.sub(" camera ", re.sub(r"\s+", " ", text.lower().replace("-", " ").replace("_", " ")))
    tokens = _TOKEN.findall(re.sub(r"'s?\b", " ", plain))
    items, at = [], 0
    while at < len(tokens):
        for length in range(min(_LONGEST, len(tokens) - at), 0, -1):
            if item := _TABLE.get(tuple(tokens[at : at + length])):
                break
        else:
            item, length = _plain(tokens[at]), 1
        following = tokens[at + length] if at + length < len(tokens) else ""
        if item.name in ("sign", "wall") and following == "of":  # "no signs of fading light", "a wall of fog"
            item = _plain(item.text)
        items.append(item)
        at += length
    return items


def _plain(token: str) -> _Item:
    if token.isdigit():
        return _Item("number", str(int(token)), token)
    return _Item("word" if token[0].isalnum() else "stop", token, token)


def _is_signal(items: list[_Item], at: int) -> bool:
    """Whether a bare "light" is a traffic light: "a red light", "the light is green", not "in yellow light"."""
    if items[at].name not in ("light", "lights"):
        return False
    before, two_before = _at(items, at - 1), _at(items, at - 2)
    if before.kind == "color" and before.name in _SIGNAL_COLORS:
        return two_before.kind in ("number", "amount") or two_before.name in ("the", "at")
    verb = at + 1 + (_at(items, at + 1).kind == "position")
    color = _at(items, verb + 1)
    if color.kind != "color" or color.name not in _SIGNAL_COLORS:
        return False
    return _at(items, verb).name in _SIGNAL_VERBS or (_at(items, verb).name in ("is", "are") and color.name != "yellow")


def _at(items: list[_Item], index: int) -> _Item:
    return items[index] if 0 <= index < len(items) else _Item("stop", ".", "")


def _mention(reading: _Reading, at: int) -> Mention:
    """The thing at an index, with what stands before it and what is said of its colour after it."""
    items, item = reading.items, reading.items[at]
    count: Count = None
    definite, first = False, at
    colors: set[str] = set()
    places: set[str] = set()
    for index in range(at - 1, max(at - 7, -1), -1):
        before = items[index]
        joined = before.name in ("and", ",") and _at(items, index - 1).kind == "color" and bool(colors)
        if not joined and (before.kind in ("stop", "thing", "traffic") or before.name in _BOUNDARY):
            break
        first = index
        if before.kind in ("color", "position", "number", "amount"):
            reading.used.add(index)
        if before.kind == "color":
            colors.add(before.name)
        elif before.kind == "position":
            places.add(before.name)
        elif before.kind == "number":
            count = int(before.name)
        elif before.kind == "amount":
            count = before.name
        definite = before.name in _DEFINITE
        if definite or count is not None:
            break
    colors |= _colors_after(reading, at)
    kind = "traffic light" if item.kind == "word" else item.name
    text = " ".join(i.text for i in items[first : at + 1])
    if kind == "lamp":
        colors = set()
    plural = item.plural or item.name == "lights"
    return Mention(kind, text, count, plural, definite, frozenset(colors), frozenset(places))


def _colors_after(reading: _Reading, at: int) -> set[str]:
    """Of "the car ahead is red", "a car painted red"."""
    items = reading.items
    for index in range(at + 1, min(at + 6, len(items))):
        item = items[index]
        if item.kind in ("stop", "thing") or item.name in ("and", "with", "while"):
            break
        following = _at(items, index + 1)
        covered = _at(items, index - 2).name in _COVERS
        if item.kind == "color" and items[index - 1].name in _JOINS_COLOR and not covered:
            if following.kind != "thing" and following.name not in _MATTER:
                reading.used.add(index)
                return {item.name}
            break
    return set()


def _roads(reading: _Reading) -> Iterator[Claim]:
    items = reading.items
    for at, item in enumerate(items):
        if item.kind == "road":
            yield Claim("road", item.name)
        elif item.kind == "traffic":
            yield Claim("traffic", item.name)
        elif item.name in ("lane", "lanes") and _at(items, at - 1).kind in ("number", "amount"):
            reading.used.add(at - 1)
            yield Claim("lanes", items[at - 1].name)


def _motions(reading: _Reading) -> Iterator[Claim]:
    return (Claim("motion", item.name) for item in reading.items if item.kind == "motion")


def _positions(reading: _Reading) -> Iterator[Claim]:
    """Gives each place to the nearest thing of its sentence; claims for those that have none near."""
    for at, item in enumerate(reading.items):
        if item.kind != "position" or at in reading.used:
            continue
        near = _nearest(reading, at)
        if near is None:
            yield Claim("position", item.name)
        elif near in reading.mentions:
            mention = reading.mentions[near]
            reading.mentions[near] = replace(mention, positions=mention.positions | {item.name})


def _nearest(reading: _Reading, at: int) -> int | None:
    """Index of the thing or road that a place at `at` belongs to: the nearest in its sentence, the one before it first.
    A comma or "and" between counts as three words."""
    costs = {}
    for index in range(max(at - 7, 0), min(at + 8, len(reading.items))):
        between = [item.name for item in reading.items[min(at, index) : max(at, index)]]
        if (index in reading.mentions or reading.items[index].kind == "road") and _ENDS.isdisjoint(between):
            costs[index] = abs(index - at) + 2 * sum(name in (",", "and") for name in between)
    nearest = min(costs, key=lambda index: (costs[index], index), default=None)
    return nearest if nearest is not None and costs[nearest] <= 7 else None


def _loose_numbers(reading: _Reading) -> Iterator[Claim]:
    for at, item in enumerate(reading.items):
        if item.kind == "number" and at not in reading.used and int(item.name) > 1:
            yield Claim("number", f"{item.name} {_at(reading.items, at + 1).text}".strip())


def _loose_colors(reading: _Reading) -> Iterator[Claim]:
    """Colours of things that no table names. Those of sky, ground and light belong to the weather."""
    for at, item in enumerate(reading.items):
        if item.kind != "color" or at in reading.used:
            continue
        following = [i for i in reading.items[at + 1 : at + 4] if i.kind != "color"]
        first = following[0] if following else _at([], 0)
        if first.kind != "word" or first.name in _BOUNDARY | {"a", "the"}:
            continue
        if not any(i.kind == "road" or i.name in _MATTER or i.name == "light" for i in following):
            yield Claim("colour", f"{item.name} {first.name}")
