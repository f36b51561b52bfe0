"""Texts looked through for blocked words: also plural, with -ing and -ed, spelled with digits, spaced out or masked.

`words.txt` has the words of this package and `driving.txt` the phrases of driving scenes in which they count for
nothing. A list knows words, not meanings: what none of them names passes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import read_bytes

WORDS, DRIVING = Path(__file__).with_name("words.txt"), Path(__file__).with_name("driving.txt")
LIST_BYTES = 16 << 20
LEET = str.maketrans("013457@$!|€", "oieastasile")
LOOKALIKES = str.maketrans("аеорсухіѕԁɡαοιρν", "aeopcyxisdgaoipv")
"""Cyrillic and Greek letters that look like Latin ones."""
ROAD_NUMBER = re.compile(r"[a-z]{1,2}\d+")
"""A55, M25 and I5 are roads, not words spelled with digits."""
SPACED = re.compile(r"(?<![^\W_])(?:[^\W\d_][\s._-]{1,3}){3,}[^\W\d_](?![^\W_])")
"""Four letters or more that stand alone, one after the other."""
MASKABLE = 4
"""Letters of the shortest word that is known with asterisks in it."""


@dataclass(frozen=True)
class Hit:
    """word: as the text has it. entry: of the list."""

    word: str
    entry: str


class Blocklist:
    """entries: blocked words and phrases. allowed: phrases in which they count for nothing."""

    def __init__(self, entries: Iterable[str], allowed: Iterable[str] = ()):
        self.entries = tuple(dict.fromkeys(filter(None, map(_folded_entry, entries))))
        self.allowed = tuple(dict.fromkeys(filter(None, map(_folded_entry, allowed))))

    @cached_property
    def _blocked(self) -> re.Pattern[str]:
        return _any_of(self.entries, masked=True)

    @cached_property
    def _passing(self) -> re.Pattern[str]:
        return _any_of(self.allowed, masked=False)

    def hits(self, text: str) -> list[Hit]:
        """Blocked words of a text, in their order; a phrase that is allowed hides those that lie wholly in it."""
        if not self.entries:
            return []
        found: dict[Hit, None] = {}
        for form in _forms(text):
            passing = [match.span() for match in self._passing.finditer(form)] if self.allowed else []
            for match in self._blocked.finditer(form):
                start, end = match.span()
                if not any(a <= start and end <= b for a, b in passing):
                    entry = self.entries[int(str(match.lastgroup)[1:])]
                    found[Hit(" ".join(match[0].split()), entry)] = None
        return list(found)


@lru_cache(maxsize=8)
def blocklist(lists: tuple[str, ...] = (), allowed: tuple[str, ...] = ()) -> Blocklist:
    """The blocklist of this package with further lists and allowed phrases. UserError where a list cannot be read."""
    own = [*_lines(WORDS), *(entry for path in lists for entry in _entries_of(Path(path)))]
    return Blocklist(own, [*_lines(DRIVING), *allowed])


def _entries_of(path: Path) -> Iterator[str]:
    """Of a file, or of every file in a folder. UserError where there is none."""
    files = sorted(found for found in path.rglob("*") if found.is_file()) if path.is_dir() else [path]
    if not files:
        raise UserError(f"guardrails.lists: no files in the folder {str(path)!r}")
    for file in files:
        yield from _lines(file)


def _lines(path: Path) -> list[str]:
    """Entries of a list; what follows a # is a remark."""
    try:
        text = read_bytes("list of words", path, LIST_BYTES).decode()
    except FileNotFoundError:
        raise UserError(f"guardrails.lists: no file at {str(path)!r}") from None
    except UnicodeDecodeError:
        raise UserError(f"guardrails.lists: {str(path)!r} is no UTF-8 text") from None
    return [entry for line in text.splitlines() if (entry := line.partition("#")[0].strip())]


def _folded_entry(entry: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", _folded(entry)))


def _folded(text: str) -> str:
    """In lower case, without accents and invisible characters, lookalikes as Latin letters."""
    decomposed = unicodedata.normalize("NFKD", text)
    kept = (c for c in decomposed if unicodedata.category(c) not in ("Mn", "Cf"))
    return "".join(kept).casefold().translate(LOOKALIKES)


def _forms(text: str) -> Iterator[str]:
    """The text, and as far as they are others, the text with digits read as letters, and its spaced-out words."""
    plain = _folded(text)
    yield plain
    read = re.sub(r"\S*[\d@$!|€]\S*", lambda match: _read_digits(match[0]), plain)
    if read != plain:
        yield read
    if spaced := SPACED.findall(read):
        yield "\n".join(re.sub(r"[\s._-]", "", word) for word in spaced)


def _read_digits(token: str) -> str:
    stripped = token.strip(".,;:!?()[]\"'")
    if ROAD_NUMBER.fullmatch(stripped) or not any(c.isalpha() or c in "@$" for c in stripped):
        return token
    return token.replace(stripped, stripped.translate(LEET))


def _any_of(entries: tuple[str, ...], *, masked: bool) -> re.Pattern[str]:
    """Matches whole entries, the longest first; the group that matches has the number of the entry."""
    by_letter: dict[str, list[str]] = {}
    for number in sorted(range(len(entries)), key=lambda number: -len(entries[number])):
        by_letter.setdefault(entries[number][0], []).append(f"(?P<e{number}>{_pattern(entries[number], masked)})")
    parts = "|".join(f"(?={re.escape(letter)})(?:{'|'.join(own)})" for letter, own in by_letter.items())
    return re.compile(rf"(?<![^\W_])(?:{parts})(?![^\W_])")


def _pattern(entry: str, masked: bool) -> str:
    *words, last = entry.split()
    return r"[\W_]+".join([*(_letters(word, masked) for word in words), _inflected(last, masked)])


def _letters(word: str, masked: bool) -> str:
    """Each letter may be drawn out, and all but the first be an asterisk."""
    if not masked:
        return re.escape(word)
    first, rest = word[:1], word[1:]
    others = (rf"[{re.escape(c)}*]+" if len(word) >= MASKABLE else f"{re.escape(c)}+" for c in rest)
    return f"{re.escape(first)}+" + "".join(others)


def _inflected(word: str, masked: bool) -> str:
    """The word, its plural, and it with -ing and -ed: rape, rapes, raping, raped; strip, stripping."""
    whole = _letters(word, masked)
    if len(word) < 3 or not word.isalpha():
        return whole
    again = "" if masked else f"{re.escape(word[-1])}?"
    endings = [f"{whole}(?:{again}(?:ing|ed)|e?s|'s)?"]
    if word.endswith("e"):
        endings.append(f"{_letters(word[:-1], masked)}(?:ing|ed)")
    if word.endswith("y"):
        endings.append(f"{_letters(word[:-1], masked)}(?:ies|ied)")
    return f"(?:{'|'.join(endings)})"
