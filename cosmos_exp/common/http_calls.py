"""Calls of HTTP servers: addresses, and the repetition of calls that were lost or came to an overloaded server."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Container
from itertools import count
from urllib.parse import urlsplit

import httpx

from cosmos_exp.common.errors import UserError

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0
"""Seconds before the first repetition, doubled each time, and at most."""
OVERLOADED = frozenset({429, 500, 502, 503, 504})


def attempts(ask: Callable[[], httpx.Response], retries: int, accepted: Container[int] = ()) -> httpx.Response:
    """The answer of a call that may be repeated; that of the last repetition, whatever it says.

    accepted: statuses that are no reason to ask again. Raises httpx.TransportError where the last one is lost too.
    """
    for number in count(1):
        answer = None
        try:
            answer = ask()
            if number > retries or answer.status_code in accepted or answer.status_code not in OVERLOADED:
                return answer
        except httpx.TransportError:
            if number > retries:
                raise
        pause(number, answer)
    raise AssertionError("not reached")


def pause(number: int, answer: httpx.Response | None = None) -> None:
    """Wait before repetition `number`, from 1 on: longer each time, and at least as long as the answer asks for."""
    asked = answer.headers.get("retry-after", "") if answer is not None else ""
    seconds = FIRST_PAUSE * 2 ** (number - 1) * random.uniform(0.8, 1.2)
    time.sleep(min(LONGEST_PAUSE, max(seconds, float(asked) if re.fullmatch(r"\d{1,4}", asked) else 0.0)))


def checked_url(key: str, url: str, example: str, secret: str) -> str:
    """An URL of a server without slashes at its end. UserError where it is none, or holds a secret, for which there is
    the environment variable `secret`."""
    text = url.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, brackets without an address
        raise UserError(f"{key} {url!r}: give an URL such as {example}") from None
    if not whole:
        nearest = f"; did you mean 'http://{text}'?" if text and "://" not in text else ""
        raise UserError(f"{key} {url!r}: give an URL such as {example}{nearest}")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise UserError(f"{key} {parts.scheme}://{parts.hostname}: no token or query; give the token as {secret}")
    return text


def checked_token(token: str) -> str:
    """Without spaces around it. UserError where it cannot be a header."""
    if not re.fullmatch(r"[!-~]{1,512}", token.strip()):
        raise UserError("the token has spaces or other characters that a token has not, or is empty")
    return token.strip()
