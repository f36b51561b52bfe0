"""What a Python process of ours does otherwise at its start and its end, because large packages make both slow."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
from collections.abc import Iterator

GC_WHILE_LOADING = (500_000, 20, 1_000)
"""Thresholds of the garbage collector during the first run of a process; the usual ones traverse all modules, again and
again, while they load."""


@contextlib.contextmanager
def quick_exit() -> Iterator[None]:
    """End the process without the teardown of all loaded modules, which takes Python seconds, once all other exit
    handlers have run. Holds for a SystemExit raised inside; to be entered first of all."""
    end = _Exit()
    try:
        yield
    except SystemExit as leaving:
        if leaving.code is None or isinstance(leaving.code, int):
            end.code = leaving.code or 0
        raise


class _Exit:
    """code: to exit with; None leaves the end to Python."""

    def __init__(self) -> None:
        self.code: int | None = None
        atexit.register(self)  # first, so called last

    def __call__(self) -> None:
        if self.code is None:
            return
        logging.shutdown()
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError):  # a full disk, a closed pipe: Python's own end reports it
            return
        os._exit(self.code)
