"""Errors that a user can cause. The command line prints them without a traceback."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Made = TypeVar("Made")
MAX_NAMES = 60  # listed in one message
MAX_ERRORS = 30  # of one file or config, listed
MAX_LENGTH = 8000  # characters of one message
MAX_NAME = 200  # characters of a name that a nearest one is looked for


class UserError(ValueError):
    """Something the user gave is wrong; the message names the value, what is allowed and the nearest valid one.

    A message that quotes a huge value is cut.
    """

    def __init__(self, message: str = ""):
        cut = f"{message[:MAX_LENGTH]} ... ({len(message) - MAX_LENGTH} more characters)"
        super().__init__(message if len(message) <= MAX_LENGTH else cut)


class ValidationErrors(UserError):
    """Several user errors found together, reported together; of many, the first."""

    def __init__(self, errors: Iterable[str]):
        self.errors = tuple(errors)
        listed = [f"- {e}" for e in self.errors[:MAX_ERRORS]]
        if len(self.errors) > MAX_ERRORS:
            listed.append(f"- and {len(self.errors) - MAX_ERRORS} more")
        super().__init__("\n".join(listed))

    def __reduce__(self):
        return type(self), (self.errors,)


def attempt(make: Callable[[], Made]) -> tuple[Made | None, list[str]]:
    """The result of `make` and no messages, or None and the messages of its user errors."""
    try:
        return make(), []
    except ValidationErrors as error:
        return None, list(error.errors)
    except UserError as error:
        return None, [str(error)]


def repeated(key: str, names: Iterable[str]) -> Iterator[str]:
    """A message for each name that a list of the config has more than once."""
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{key} names {name!r} more than once"


def nearest_name(value: str, allowed: Iterable[str]) -> str | None:
    """The allowed name closest in spelling to `value`, or None when nothing is close."""
    if len(str(value)) > MAX_NAME:
        return None
    lowered = {str(a).lower(): str(a) for a in allowed}
    match = difflib.get_close_matches(str(value).lower(), list(lowered), n=1, cutoff=0.4)
    return lowered[match[0]] if match else None


def unknown_name(what: str, value: str, allowed: Iterable[str]) -> str:
    """Message for a name outside a closed set: `unknown style 'Rain': did you mean 'Rainy'? allowed: ...`."""
    allowed = list(allowed)
    hint = nearest_name(value, allowed)
    suggestion = f" did you mean {hint!r}?" if hint else ""
    more = f" and {len(allowed) - MAX_NAMES} more" if len(allowed) > MAX_NAMES else ""
    return f"unknown {what} {value!r}:{suggestion} allowed: {', '.join(map(str, allowed[:MAX_NAMES]))}{more}"
