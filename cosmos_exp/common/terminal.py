"""What foreign text looks like on a terminal: names from files, logs and maps may hold escape codes that would move the
cursor, change the window's title or hide what stands there."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO

# C0 but tab and newline, DEL, C1, line separators, overrides of the direction of writing, halves of surrogate pairs.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    """The text with its control characters as Python writes them: `\\x1b` for an escape. Tabs and newlines stay."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class PlainFormatter(logging.Formatter):
    """Formats log records as `plain` does a text."""

    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


class PlainStream:
    """Writes to another stream what `plain` makes of a text. rich, which has codes of its own to write and escapes
    foreign ones in `console.Console`, goes past it."""

    def __init__(self, stream: TextIO):
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        self.rich_proxied_file.write(plain(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str):
        return getattr(self.rich_proxied_file, name)


@contextmanager
def plain_output() -> Iterator[None]:
    """Within, all that is printed is `plain`, and all that is logged where no handler is set up."""
    stream = sys.stdout
    if logging.lastResort:
        logging.lastResort.setFormatter(PlainFormatter())
    sys.stdout = PlainStream(stream)
    try:
        yield
    finally:
        sys.stdout = stream
