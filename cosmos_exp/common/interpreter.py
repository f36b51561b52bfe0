"""How a process of ours loads large libraries, and how it ends: without the teardown of modules."""

from __future__ import annotations

import atexit
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def loading_modules() -> Iterator[None]:
    """The garbage collector rests meanwhile: modules stay, and it would traverse them again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextlib.contextmanager
def quick_exit() -> Iterator[None]:
    """End the process without the teardown of all loaded modules, which takes Python seconds, once all other exit
    handlers have run. Holds for a SystemExit raised inside, and for KeyboardInterrupt, of whose signal the process then
    dies, as Python does itself. To be entered first of all."""
    end = _Exit()
    try:
        yield
    except SystemExit as leaving:
        if leaving.code is None or isinstance(leaving.code, int):
            end.code = leaving.code or 0
        raise
    except KeyboardInterrupt:
        end.code = -signal.SIGINT
        raise


class _Exit:
    """code: to exit with, or less a signal to die of; None leaves the end to Python."""

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
        if self.code < 0:
            signal.signal(-self.code, signal.SIG_DFL)
            os.kill(os.getpid(), -self.code)
        os._exit(self.code)
