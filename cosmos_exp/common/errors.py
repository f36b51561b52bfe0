"""Errors that a user can cause. The command line prints them without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import TypeVar

Made = TypeVar("Made")
MAX_NAMES = 60  # listed in one message


class UserError(ValueError):
    """Something the user gave is wrong; the message names the value, what is allowed and the nearest valid one."""


class ValidationErrors(UserError):
    """Several user errors found together, reported together."""

    def __init__(self, errors: Iterable[str]):
        self.errors = tuple(errors)
        super().__init__("\n".join(f"- {e}" for e in self.errors))

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


def nearest_name(value: str, allowed: Iterable[str]) -> str | None:
    """The allowed name closest in spelling to `value`, or None when nothing is close."""
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
