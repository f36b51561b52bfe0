"""Waiting for a server: several styles at a time, through its absences, until the run ends."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from cosmos_exp.models.base import ResultStore
from cosmos_exp.remote.server_client import Unreachable

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Result = TypeVar("Result", covariant=True)

LOOK = 0.1
"""Seconds between two looks at how far the jobs are."""
LONGEST_PAUSE = 10.0
"""Seconds between two tries to reach a server that is away."""
STEPS = 1000
"""Of a progress of 1."""


class GivenUp(Exception):
    """The run has ended."""


class Call(Protocol, Generic[Result]):
    """One style on its way. progress: 0 to 1. stop: set to give it up."""

    progress: float
    stop: threading.Event

    def entry(self) -> Result: ...


def in_flight(
    calls: Mapping[str, Call[Result]], most: int, store: ResultStore
) -> Generator[tuple[str, Result], None, None]:
    """(style, its result) of all calls in their order; at most `most` are on the server at the same time. Where the
    caller ends before, the others are told to stop, and waited for."""
    pool = ThreadPoolExecutor(max(1, min(most, len(calls))), "remote")
    try:
        waiting = {style: pool.submit(call.entry) for style, call in calls.items()}
        for style, future in waiting.items():
            with store.stage("generate", f"generate {style}") as tick:
                while not future.done():
                    tick(round(STEPS * calls[style].progress), STEPS)
                    time.sleep(LOOK)
                result = future.result()
            yield style, result
    finally:
        for call in calls.values():
            call.stop.set()
        pool.shutdown(cancel_futures=True)


class Patience:
    """seconds: that a server may be away. stop: set where the run has ended."""

    def __init__(self, seconds: float, stop: threading.Event):
        self.seconds, self.stop = seconds, stop

    def call(self, call: Callable[[], Answer]) -> Answer:
        """What a call returns, repeated while the server is away. GivenUp where the run ends meanwhile."""
        lost, pause = None, 0.5
        while True:
            try:
                return call()
            except Unreachable as error:
                lost = lost or time.monotonic()
                if time.monotonic() - lost + pause > self.seconds:
                    raise
                log.warning("%s; again in %.0f s", error, pause)
            self.sleep(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)

    def sleep(self, seconds: float) -> None:
        """GivenUp where the run ends meanwhile."""
        if self.stop.wait(seconds):
            raise GivenUp

    def check(self) -> None:
        """GivenUp where the run has ended."""
        if self.stop.is_set():
            raise GivenUp
