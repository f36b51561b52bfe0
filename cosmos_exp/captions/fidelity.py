"""Whether a caption that was rewritten in a style still says what it said: nothing lost, nothing added, nothing changed
but weather and light. By words alone (`facts.py`, `style_words.py`), so the same text has the same verdict always."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from cosmos_exp.captions.facts import Claim, Mention, TextFacts, facts_of
from cosmos_exp.captions.style_words import foreign_words, names_style
from cosmos_exp.captions.views import FACING, view_sentence
from cosmos_exp.captions.vocabulary import ACTORS, HYPERNYMS, MANY, SOME

PROMPT_BYTES = 256
"""What the text encoder of the nano model reads, its end mark included."""

_VEHICLES = frozenset(kind for kind, covers in HYPERNYMS.items() if covers == "vehicle") | {"vehicle"}
_EXACT = frozenset(ACTORS) | {"traffic light"}
"""Things of which "several" is not "many"."""

_LAMPLIGHT = re.compile(r"\b(lit|illuminated) by\b|\b(head|tail)?(lights|lamps) (are )?(on|glowing)\b")
_MARKERS = ("<think>", "</think>", "new caption:", "rewritten caption:", "caption:", "style:", "```", "{", "}", "**")


@dataclass(frozen=True)
class Profile:
    """What a model reads. max_bytes: of the caption alone; words: fewest and most. None: no such limit."""

    name: str
    max_bytes: int | None = None
    words: tuple[int, int] | None = None


PROFILES = {
    "nano": Profile("nano", max_bytes=PROMPT_BYTES - 1 - max(len(view_sentence(view)) + 1 for view in FACING)),
    "released": Profile("released", words=(80, 130)),
}
"""nano: with the longest sentence of a camera the prompt fills PROMPT_BYTES. released: the length of the captions that
the released models were trained on, within the 512 tokens of T5."""


@dataclass(frozen=True)
class Violation:
    """kind: lost, added, changed, style, light, form or length. detail: what, in words that a language model can act
    on."""

    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"


def violations(
    source: str,
    rewritten: str,
    style: str,
    profile: Profile = PROFILES["nano"],
    *,
    others: Mapping[str, str] | None = None,
    recolor: bool = False,
) -> tuple[Violation, ...]:
    """All that is wrong with `rewritten` as `source` in a style; empty where it is faithful.

    others: {style: text} of the same caption, from which it must differ. recolor: every vehicle that has a colour in
    the source has another one, instead of the same.
    """
    before, after = facts_of(source), facts_of(rewritten)
    return (
        *form_violations(source, rewritten, others or {}),
        *length_violations(rewritten, profile),
        *_fact_violations(_without_light(before, source, style), after, style, recolor),
        *style_violations(rewritten, style),
    )


def form_violations(source: str, rewritten: str, others: Mapping[str, str]) -> Iterator[Violation]:
    """One line of plain ASCII prose that ends with a full stop, unlike the source and the other styles."""
    lower = rewritten.lower()
    if not rewritten.strip():
        yield Violation("form", "the caption is empty")
        return
    for marker in _MARKERS:
        if marker in lower:
            yield Violation("form", f'leave out "{marker}": give the caption alone')
    if "\n" in rewritten or "\r" in rewritten:
        yield Violation("form", "write one line")
    if rewritten != rewritten.strip() or "  " in rewritten:
        yield Violation("form", "single blanks between words, none at the ends")
    if not rewritten.isascii():
        yield Violation("form", "use ASCII characters only")
    if '"' in rewritten or re.match(r"\s*([-*#]|\d+[.)])\s", rewritten):
        yield Violation("form", "no quotation marks and no list")
    if not rewritten.rstrip().endswith("."):
        yield Violation("form", "end with a full stop")
    if _plain(rewritten) == _plain(source):
        yield Violation("form", "the caption is unchanged")
    for other, text in others.items():
        if _plain(rewritten) == _plain(text):
            yield Violation("form", f"the caption is the same as that of {other}")


def length_violations(rewritten: str, profile: Profile) -> Iterator[Violation]:
    size, words = len(rewritten.encode()), len(rewritten.split())
    if profile.max_bytes is not None and size > profile.max_bytes:
        yield Violation("length", f"{size} bytes, at most {profile.max_bytes} are read")
    if profile.words and not profile.words[0] <= words <= profile.words[1]:
        yield Violation("length", f"{words} words, {profile.words[0]} to {profile.words[1]} are wanted")


def style_violations(rewritten: str, style: str) -> Iterator[Violation]:
    if not names_style(rewritten, style):
        yield Violation("style", f"nothing says that it is {style}")
    for word in foreign_words(rewritten, style):
        yield Violation("light", f'"{word}" does not belong in {style}')


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def _fact_violations(before: TextFacts, after: TextFacts, style: str, recolor: bool) -> Iterator[Violation]:
    if style == "Snowy":  # white from snow
        after = replace(after, mentions=tuple(_without_snow(m) for m in after.mentions))
    yield from _mention_violations(before.mentions, after.mentions, recolor)
    for claim in sorted(before.claims - after.claims, key=str):
        if not (claim == Claim("road", "road") and any(c.topic == "road" for c in after.claims)):
            yield Violation("lost", f'the {claim.topic} "{claim.value}"')
    for claim in sorted(after.claims - before.claims, key=str):
        if claim != Claim("road", "road"):  # "the wet road"
            yield Violation("added", f'the {claim.topic} "{claim.value}"')


def _without_light(before: TextFacts, source: str, style: str) -> TextFacts:
    """Without "lamps" that are not counted or placed, where the source is told in the light of another style or of
    lamps: they go with it."""
    if not foreign_words(source, style) and not _LAMPLIGHT.search(source.lower()):
        return before
    kept = tuple(m for m in before.mentions if m.kind != "lamp" or m.count is not None or m.positions)
    return replace(before, mentions=kept)


def _without_snow(mention: Mention) -> Mention:
    return mention if mention.kind in _EXACT else replace(mention, colors=mention.colors - {"white"})


def _mention_violations(before: tuple[Mention, ...], after: tuple[Mention, ...], recolor: bool) -> Iterator[Violation]:
    """Pairs the things of both texts, equal ones first; says what differs in a pair and what has no partner."""
    before, after = _introduced(before), _introduced(after)
    open_before, open_after = [m for m in before if not _known(m)], list(after)
    pairs = []
    for agree in (_equal, _same_but_color, _same_but_count, _same_kind):
        for mention in list(open_before):
            partner = next((m for m in open_after if not _known(m) and agree(mention, m)), None)
            if partner is not None:
                pairs.append((mention, partner))
                open_before.remove(mention)
                open_after.remove(partner)
    for old, new in pairs:
        yield from _differences(old, new, recolor)
    for mention in open_before:
        if not (mention.count is None and _covered(mention, after, recolor)):
            yield Violation("lost", f'"{mention.text}"')
    for mention in filter(_known, before):
        if not _covered(mention, after, recolor):
            yield Violation("lost", f'"{mention.text}"')
    for mention in open_after:
        if mention.kind != "lamp" and not (mention.count is None and _covered(mention, before, recolor)):
            yield Violation("added", f'"{mention.text}"')


def _introduced(mentions: tuple[Mention, ...]) -> tuple[Mention, ...]:
    """With "the car" as "a car" where no car was named before it."""
    read: list[Mention] = []
    for mention in mentions:
        others = tuple(read) + tuple(m for m in mentions if not _known(m))
        if _known(mention) and not _covered(mention, others, recolor=False):
            mention = replace(mention, definite=False, count=None if mention.plural else 1)
        read.append(mention)
    return tuple(read)


def _known(mention: Mention) -> bool:
    """Whether it speaks of things that were introduced elsewhere, as "the car"."""
    return mention.definite and mention.count is None


def _equal(a: Mention, b: Mention) -> bool:
    return _same_but_color(a, b) and a.colors == b.colors


def _same_but_color(a: Mention, b: Mention) -> bool:
    return _same_kind(a, b) and _same_count(a, b) and a.positions == b.positions


def _same_but_count(a: Mention, b: Mention) -> bool:
    return _same_kind(a, b) and a.colors == b.colors and a.positions == b.positions


def _same_kind(a: Mention, b: Mention) -> bool:
    return a.kind == b.kind


def _same_count(a: Mention, b: Mention) -> bool:
    if a.count == b.count and a.plural == b.plural:
        return True
    vague = (None, SOME) if a.kind in _EXACT else (None, SOME, MANY)
    return a.plural and b.plural and a.count in vague and b.count in vague


def _differences(old: Mention, new: Mention, recolor: bool) -> Iterator[Violation]:
    if recolor and old.kind in _VEHICLES:
        if old.colors and (not new.colors or old.colors & new.colors):
            yield Violation("changed", f'the colour of "{old.text}" is to be another one, not that of "{new.text}"')
        if new.colors and not old.colors:
            yield Violation("added", f'a colour: "{old.text}" has become "{new.text}"')
    elif old.colors != new.colors:
        kind = "lost" if not new.colors else "added" if not old.colors else "changed"
        yield Violation(kind, f'the colour: "{old.text}" has become "{new.text}"')
    if not _same_count(old, new):
        yield Violation("changed", f'the count: "{old.text}" has become "{new.text}"')
    for place in sorted(old.positions - new.positions):
        yield Violation("lost", f'where "{old.text}" is: {place}')
    for place in sorted(new.positions - old.positions):
        yield Violation("added", f'where "{new.text}" is: {place}')


def _covered(mention: Mention, others: tuple[Mention, ...], recolor: bool) -> bool:
    """Whether the other text has such things: of this kind or one that it covers, as many, of this colour and place.
    "Vehicles" are covered by "a car and two trucks", "the car" by "a red car"."""
    kin = [m for m in others if m.kind == mention.kind or HYPERNYMS.get(m.kind) == mention.kind]
    free = recolor and mention.kind in _VEHICLES
    if mention.colors and not free:
        kin = [m for m in kin if mention.colors <= m.colors]
    kin = [m for m in kin if mention.positions <= m.positions and m.count != 0]
    several = sum(1 if not m.plural else 2 for m in kin) >= 2
    return several if mention.plural else bool(kin)
