"""Calls of HTTP servers, repeated where they were lost or the server is overloaded."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Container
from itertools import count

import httpx

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0
"""Seconds before the first repetition, doubled each time, and at most."""
OVERLOADED = frozenset({429, 500, 502, 503, 504})


def attempts(
    ask: Callable[[], httpx.Response],
    retries: int,
    accepted: Container[int] = (),
    final: Callable[[httpx.Response], bool] = lambda answer: False,
) -> httpx.Response:
    """The answer of a call that may be repeated; that of the last repetition, whatever it says.

    accepted: statuses that are no reason to ask again. final: whether an answer is none, whatever its status. Raises
    httpx.TransportError where the last one is lost too.
    """
    for number in count(1):
        answer = None
        try:
            answer = ask()
            status = answer.status_code
            if number > retries or status in accepted or status not in OVERLOADED or final(answer):
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
