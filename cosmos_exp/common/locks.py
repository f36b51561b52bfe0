"""Files as locks. The kernel frees a lock however its process ends; who has it removes the file when done with it."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path

from cosmos_exp.common.cache_holds import is_removed


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True, before_waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the exclusive lock of a file, which is made where there is none and is gone afterwards.

    before_waiting: called where another process has it. Raises BlockingIOError then, where `wait` is false.
    """
    while True:
        with open(path, "a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not wait:
                    raise
                before_waiting()
                fcntl.flock(file, fcntl.LOCK_EX)
            if is_removed(file.fileno()):  # by the process that had it: others lock the file made since
                continue
            try:
                yield
            finally:
                if not is_removed(file.fileno()):
                    with contextlib.suppress(OSError):
                        path.unlink()
            return


def remove_unused(path: Path) -> None:
    """Remove a lock file that a killed process has left; one in use stays."""
    with contextlib.suppress(OSError), locked(path, wait=False):
        pass
