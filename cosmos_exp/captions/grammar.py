"""Captions and the same captions rewritten in a style, without end: what the rewriter that ships is trained on.

A caption is drawn as a body, sentences with places for words of light (`style_phrases.py`). With other light or none in
them it is the caption to be rewritten; with phrases of the wanted style it is the answer. All else is the same in both,
so that what is learned is to copy facts, known words and unknown ones alike, and to exchange the light.
"""

from __future__ import annotations

import random
import re
import unicodedata
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from cosmos_exp.captions.describe import JUNCTIONS, MAX_BYTES, ROADS, counted, sentence
from cosmos_exp.captions.fidelity import PROFILES, Profile
from cosmos_exp.captions.style_phrases import ATMOSPHERE, OTHER_LIGHT, TIMES, WANTED, WEATHERS
from cosmos_exp.captions.traffic_words import (
    ACTIONS,
    AMOUNTS,
    AREAS,
    BESIDE,
    COLOURS,
    CROSSINGS,
    DOINGS,
    EGO,
    FOOTAGE,
    PARTS_OF_SIGNALS,
    PEOPLE,
    PEOPLE_ACTIONS,
    PLACES_OF_THINGS,
    ROAD_NOUNS,
    SCENERY,
    SENTENCES,
    SMALL_WORDS,
    TRAFFIC,
    VEHICLE_NOUNS,
    VEHICLES,
)

LIMITS = (100, 256)  # bytes
MARGIN = 5  # bytes or words that an answer stays within its limits
PLACES = ("adjective", "after_road", "things", "aside", "scene", "tail")  # those inside the first sentence
CONSTRUCTIONS = (
    ("lead",),
    ("opening", "adjective"),
    ("lead", "after_road"),
    ("opening", "things"),
    ("lead", "adjective"),
    ("opening", "after_road"),
    ("lead", "tail"),
    ("opening",),
    ("lead", "things"),
    ("opening", "tail"),
)
"""Which places an answer fills."""
USUAL = 0.9  # share of answers in the construction that belongs to the words of the road; the others draw theirs


@dataclass(frozen=True)
class Pair:
    """`caption`, in `style` and of the length of `profile`, is `rewritten`."""

    caption: str
    style: str
    profile: Profile
    rewritten: str


@dataclass(frozen=True)
class Body:
    """sentences: without full stops; the first has places of light in <> and <a> for an article that depends on the
    next word. road: the words by which the construction is chosen. proper: the first word keeps its capital."""

    sentences: tuple[str, ...]
    road: str
    proper: bool = False

    def has(self, place: str) -> bool:
        return place not in PLACES or f"<{place}>" in self.sentences[0]


def pair(seed: int) -> Pair:
    """The pair of a seed."""
    rng = random.Random(seed)
    style = rng.choice(list(WANTED))
    while True:
        profile = _profile(rng)
        families = LONG_FAMILIES if profile.words else FAMILIES
        body = rng.choices(list(families), list(families.values()))[0](rng)
        rewritten = answer(rng, body, style, profile)
        caption = _as_typed(rng, _source(rng, body))
        if rewritten is not None and rewritten != caption:
            return Pair(caption, style, profile, rewritten)


def _profile(rng: random.Random) -> Profile:
    kind = rng.random()
    if kind < 0.2:
        return PROFILES["released"]
    return PROFILES["nano"] if kind < 0.75 else Profile("other", max_bytes=rng.randint(*LIMITS))


def answer(rng: random.Random, body: Body, style: str, profile: Profile) -> str | None:
    """The body in the style; None where no phrase is short enough, or the body is too long."""
    key = zlib.crc32(f"{body.road}|{style}".encode()) if rng.random() < USUAL else rng.getrandbits(32)
    phrases = WANTED[style]
    turn = key % len(CONSTRUCTIONS)
    for construction in (*CONSTRUCTIONS[turn:], *CONSTRUCTIONS[:turn]):
        if all(place in phrases and body.has(place) for place in construction):
            chosen = {place: phrases[place][key // 16 % len(phrases[place])] for place in construction}
            text = _of_length(rng, plain_ascii(say(body, chosen)), style, key, profile)
            if text is not None:
                return text
    return _of_length(rng, plain_ascii(say(body, {"opening": phrases["short"][0]})), style, key, profile)


_DESCRIBED = re.compile(r"(Driving (?:along|through)) an? (.+?)( past .+?)?( with .+)?\.")


def described_in(rng: random.Random, caption: str, style: str) -> str | None:
    """A caption of `describe` in the style, in other words than a template's; None where it is none or is too long, or
    the style is `Original`, which has no words of its own."""
    if style not in WANTED or (match := _DESCRIBED.fullmatch(caption)) is None:
        return None
    start, road, past, things = match.groups("")
    past = past.replace(" past ", " past <things>", 1)
    body = Body((f"{start.lower()} <a> <adjective>{road}<after_road>{past}{things}<tail>",), road)
    return answer(rng, body, style, PROFILES["nano"])


def _of_length(rng: random.Random, text: str, style: str, key: int, profile: Profile) -> str | None:
    """The text, with sentences about the atmosphere where it has too few words; None where it is too long."""
    if profile.words is None:
        return text if profile.max_bytes is None or len(text) <= profile.max_bytes - MARGIN else None
    fewest, most = profile.words
    sentences = ATMOSPHERE[style]
    number = len(text.split())
    for i in range(len(sentences)):
        if number >= fewest + 2 * MARGIN:
            break
        added = sentences[(key // 64 + 5 * i) % len(sentences)]
        text, number = f"{text} {added}", number + len(added.split())
    return text if fewest + MARGIN <= number <= most - MARGIN else None


def say(body: Body, phrases: dict[str, str], between: str = "") -> str:
    """The body with phrases in its places. between: a sentence of light after the first sentence."""
    first, *others = body.sentences
    for place in PLACES:
        first = first.replace(f"<{place}>", phrases.get(place, ""))
    first = re.sub(r"<a> (\W*)(\w{0,3})", lambda m: f"{_article(m[2])} {m[1]}{m[2]}", first)
    if "lead" in phrases:
        first = phrases["lead"] + first
    elif not body.proper:
        first = upper_first(first)
    written = ". ".join([first, *filter(None, [between.strip(" .")]), *map(upper_first, others)]) + "."
    opening, closing = phrases.get("opening", ""), phrases.get("closing", "")
    return " ".join(filter(None, (opening, written, closing)))


def _article(word: str) -> str:
    return "an" if word[:1].lower() in tuple("aeiou") and word.lower() not in ("one", "uni") else "a"


def upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]


def plain_ascii(text: str) -> str:
    """Without accents and quotation marks."""
    folded = unicodedata.normalize("NFKD", text.replace("\u00df", "ss"))
    return folded.encode("ascii", "ignore").decode().replace('"', "")


DATED = {"lead": "On a {}, ", "tail": " on a {}", "opening": "A {}.", "scene": "{} ", "aside": " on a {}"}
"""How a day and its weather stand in these places."""


def _source(rng: random.Random, body: Body) -> str:
    """The body as it is given: half of all without light, the others with some of any style or of none of them."""
    number = rng.choices((0, 1, 2, 3), (0.5, 0.3, 0.15, 0.05))[0]
    open_places = [p for p in OTHER_LIGHT if body.has(p)]
    chosen = {}
    for place in rng.sample(open_places, min(number, len(open_places))):
        styled = WANTED[rng.choice(list(WANTED))].get(place, ())
        chosen[place] = rng.choice(styled if styled and rng.random() < 0.35 else OTHER_LIGHT[place])
        if place in DATED and rng.random() < 0.3:
            chosen[place] = DATED[place].format(f"{rng.choice(WEATHERS)} {rng.choice(TIMES)}")
    if len(body.sentences) > 3 and rng.random() < 0.3:
        chosen["closing"] = rng.choice(ATMOSPHERE[rng.choice(list(ATMOSPHERE))])
    between = ""
    if "closing" in chosen and len(body.sentences) > 1 and rng.random() < 0.5:
        between = chosen.pop("closing")
    return say(body, chosen, between)


def _as_typed(rng: random.Random, text: str) -> str:
    """Now and then without the capital or the full stop."""
    if rng.random() < 0.1:
        text = text[:1].lower() + text[1:] if not text[:2].isupper() else text
    return text[:-1] if rng.random() < 0.12 else text


def described(rng: random.Random) -> Body:
    """As `describe` words its scenes."""
    kind = rng.choice([*ROADS, "street", "intersection", "curve", rng.choice(ROAD_NOUNS)])
    before, noun = ROADS.get(kind, ("", kind))
    area = rng.choices(["residential", "downtown", "rural", "", rng.choice(AREAS)], [4, 4, 3, 2, 1])[0]
    road = " ".join(filter(None, (before, area, noun)))
    opening = f"driving {_preposition(kind)} <a> <adjective>{road}<after_road>"
    leader = rng.random() < 0.5
    clauses = []
    if rng.random() < 0.4:
        clauses.append(f"a {rng.choice(('red', 'green', 'yellow', 'red', 'green'))} light")
    if leader:
        noun = rng.choice(("car", "car", "car", "truck", "bus", "train", "motorcycle", "cyclist"))
        colour = "" if noun == "cyclist" or rng.random() < 0.1 else rng.choice(COLOURS[:10])
        clauses.append(f"{_with_article(f'{colour} {noun}'.strip())} ahead")
    if rng.random() < 0.75:
        clauses.append(counted(rng.randint(1, 8), "pedestrian"))
    if rng.random() < 0.8:
        number, noun = rng.randint(1, 8), rng.choice(("car", "car", "vehicle", "vehicle", "truck", "bus", "cyclist"))
        several = counted(number, noun, "other " if leader else "")
        clauses.append(f"another {noun}" if leader and number == 1 else several)
    past = rng.choice(("", "houses and trees", "tall buildings and trees", "trees", "houses", "tall buildings"))
    longer = f"{opening} past <things>{past}" if past else opening
    for chosen in (longer, opening):
        for clause in range(len(clauses), -1, -1):
            text = sentence(chosen, clauses[:clause])[:-1]
            if len(re.sub("<[a-z_]+>", "", text)) <= MAX_BYTES and (clause or chosen == longer):
                return Body((f"{text}<tail>",), road)
    return Body((f"{opening}<tail>",), road)


def _preposition(kind: str) -> str:
    return "through" if kind in CROSSINGS or kind in JUNCTIONS else "along"


def written(rng: random.Random, weights: tuple[int, ...] = (1, 4, 5, 3, 1)) -> Body:
    """As people word theirs: one sentence, or more. weights: how often it names 0, 1, 2, ... things."""
    road, start, proper = _start(rng)
    items = [_item(rng) for _ in range(rng.choices(range(len(weights)), weights)[0])]
    past = f"{rng.choice((' past ', ' with ', ' lined with ', ' between ', ' flanked by '))}<things>{_scenery(rng)}"
    start += past if rng.random() < 0.35 else ""
    if items and rng.random() < 0.6:
        number = rng.randint(1, min(4, len(items)))
        now, later = items[:number], items[number:]
        now[0] += "<aside>"
        joined = now[0] if number == 1 else f"{', '.join(now[:-1])}{rng.choice((' and ', ', and '))}{now[-1]}"
        first = f"{start}{' with ' if ' with ' not in start else ', '}{joined}<tail>"
    else:
        first, later = f"{start}<tail>", items
    return Body((first, *(_statement(rng, item) for item in later)), road, proper)


def written_at_length(rng: random.Random) -> Body:
    return written(rng, (0, 0, 1, 1, 2, 2, 2, 2, 1, 1, 1))


def _start(rng: random.Random) -> tuple[str, str, bool]:
    """Words of the road, the beginning of the sentence, whether it begins with a name."""
    kind = rng.choice((*ROAD_NOUNS, *CROSSINGS))
    noun = _word(rng) if rng.random() < 0.08 else kind
    area = rng.choice(AREAS) if rng.random() < 0.6 else ""
    if rng.random() < 0.06:
        area = f"{area} {_word(rng)}".strip()
    road = f"{area} {noun}".strip()
    if rng.random() < 0.12:
        name = f"{_word(rng).capitalize()} {rng.choice(('Street', 'Avenue', 'Road', 'Boulevard', 'Drive', 'Square'))}"
        return name, *rng.choice(((f"{name}<after_road>", True), (f"driving along {name}<after_road>", False)))
    phrase = f"<a> <adjective>{road}<after_road>"
    how = rng.random()
    if how < 0.45:
        return road, f"{rng.choice(EGO)} {_along(rng, kind)} {phrase}", False
    if how < 0.7:
        return road, f"{rng.choice(FOOTAGE)} {phrase}", False
    if how < 0.85:
        return road, phrase, False
    return road, f"{_vehicle(rng)} {rng.choice(ACTIONS)} {rng.choice(('on', 'along', 'at', 'near'))} {phrase}", False


def _along(rng: random.Random, kind: str) -> str:
    return (
        rng.choice(("through", "across", "into", "over")) if kind in CROSSINGS else rng.choice(("along", "down", "on"))
    )


def _item(rng: random.Random) -> str:
    return rng.choices(
        (_vehicle, _people, _signal, _scenery, lambda r: r.choice(TRAFFIC), _unknown_thing), (8, 4, 3, 3, 1, 1.5)
    )[0](rng)


def _vehicle(rng: random.Random) -> str:
    noun = rng.choice(VEHICLES)
    colour = rng.choice(COLOURS) if rng.random() < 0.5 else ""
    where = f" {rng.choice(PLACES_OF_THINGS)}" if rng.random() < 0.5 else ""
    if rng.random() < 0.5:
        return f"{_with_article(f'{colour} {noun}'.strip())}{where}"
    amount = rng.choice(AMOUNTS)
    return " ".join(filter(None, (amount, colour, _plural(noun)))) + where


def _people(rng: random.Random) -> str:
    one, more = rng.choice(PEOPLE)
    doing = f" {rng.choice(PEOPLE_ACTIONS)}" if rng.random() < 0.6 else ""
    return (_with_article(one) if rng.random() < 0.4 else f"{rng.choice(AMOUNTS)} {more}") + doing


def _signal(rng: random.Random) -> str:
    state = rng.choice(("red", "green", "yellow"))
    where = f" {rng.choice(('ahead', 'at the corner', 'above the road', 'on the right'))}" if rng.random() < 0.3 else ""
    return rng.choice(PARTS_OF_SIGNALS).format(state=state) + where


def _scenery(rng: random.Random) -> str:
    chosen = rng.sample(SCENERY, rng.choice((1, 2, 2, 3)))
    listed = chosen[0] if len(chosen) == 1 else f"{', '.join(chosen[:-1])} and {chosen[-1]}"
    return listed + (f" {rng.choice(PLACES_OF_THINGS)}" if rng.random() < 0.3 else "")


def _unknown_thing(rng: random.Random) -> str:
    words = " ".join(_word(rng) for _ in range(rng.choice((1, 1, 2))))
    number = rng.random()
    if number < 0.5:
        return _with_article(words)
    return f"{rng.randint(2, 99) if number < 0.7 else rng.choice(AMOUNTS)} {words}s"


def brief(rng: random.Random) -> Body:
    """Few words, as notes are."""
    road, start, proper = _start(rng)
    kind = rng.random()
    if kind < 0.2:
        noun = f"{rng.choice(AREAS)} {rng.choice((*ROAD_NOUNS, *CROSSINGS))}"
        start, road, proper = f"<adjective>{noun}<after_road>", noun, False
        text = f"{start}{rng.choice((' with ', ', ', ' and '))}{_item(rng)}<aside>"
    elif kind < 0.4:
        text = f"<scene>{rng.choice(('on', 'at', 'in', 'near', 'along'))} {start}" if start.startswith("<a>") else start
        text += f", {_item(rng)}<aside>" if rng.random() < 0.8 else ""
    elif kind < 0.6:
        where = f"{rng.choice(('on', 'at', 'in', 'near'))} <a> <adjective>{road}<after_road>"
        text, proper = f"{rng.choice((_vehicle, _people))(rng)} {where}", False
    elif kind < 0.8:
        text = f"{start} {rng.choice(BESIDE).format(thing=_vehicle(rng))}"
    else:
        parts = [f"{rng.choice((_vehicle, _people))(rng)} {rng.choice(DOINGS)}" for _ in range(rng.choice((1, 2)))]
        text, proper = f"{parts[0]}<aside>", False
        text += f"{rng.choice((', ', '; ', ' while ', ' and '))}{parts[1]}" if len(parts) > 1 else ""
    if rng.random() < 0.25:
        text += f"{rng.choice((', ', ' and ', '; '))}{_item(rng)}"
    return Body((f"{text}<tail>",), road, proper)


def _statement(rng: random.Random, item: str) -> str:
    return rng.choice(SENTENCES).format(item=item)


def unknown(rng: random.Random) -> Body:
    """Words that mean nothing, between small words: they are to be copied."""
    words = []
    for _ in range(rng.randint(3, 16)):
        kind = rng.random()
        pick = _word(rng) if kind < 0.55 else rng.choice(SMALL_WORDS) if kind < 0.85 else rng.choice(VEHICLE_NOUNS)
        words.append(pick + (rng.choice((",", ";", ":", "-", "")) if rng.random() < 0.12 else ""))
    if rng.random() < 0.15:
        at = rng.randrange(len(words))
        words[at] = f'"{words[at]}"' if rng.random() < 0.7 else f"({words[at]})"
    return Body((" ".join(words).strip(",;:- ") + "<tail>",), words[0].lower(), words[0][:1].isupper())


def _word(rng: random.Random) -> str:
    """A word that nobody knows: syllables, letters, digits."""
    kind = rng.random()
    if kind < 0.8:
        vowels = "aeiouy" if rng.random() < 0.97 else "\u00e9\u00fc\u00f6\u00e4\u00e8a"
        consonants = (
            "b",
            "c",
            "d",
            "f",
            "g",
            "h",
            "j",
            "k",
            "l",
            "m",
            "n",
            "p",
            "r",
            "s",
            "t",
            "v",
            "w",
            "z",
            "st",
            "tr",
            "ch",
        )
        parts = [rng.choice(consonants) + rng.choice(vowels) for _ in range(rng.choice((1, 2, 2, 3, 4)))]
        word = "".join(parts) + (rng.choice("nrstlmkdx") if rng.random() < 0.6 else "")
    elif kind < 0.93:
        word = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(2, 9)))
    else:
        word = f"{rng.choice('ABCDEKLMRSTX')}{rng.randint(1, 999)}"
    return word.capitalize() if rng.random() < 0.12 else word


def _with_article(noun: str) -> str:
    return f"{_article(noun[:3])} {noun}"


def _plural(noun: str) -> str:
    return noun + ("es" if noun.endswith(("s", "x", "ch")) else "s")


Family = Callable[[random.Random], Body]
FAMILIES: dict[Family, float] = {described: 0.3, written: 0.35, brief: 0.25, unknown: 0.1}
LONG_FAMILIES: dict[Family, float] = {described: 0.4, written_at_length: 0.4, brief: 0.15, unknown: 0.05}
"""{family: its share}."""
