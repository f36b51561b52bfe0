"""Values that are made once, also where several threads ask for them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock, RLock
from typing import Any, TypeVar

T = TypeVar("T")


class Memo(dict[Any, Any]):
    """{what: its value}. Whoever asks while a value is made waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self._locks: dict[Hashable, RLock] = {}
        self._own = Lock()

    def once(self, what: Hashable, make: Callable[[], T], *, keep: Callable[[T], bool] = lambda value: True) -> T:
        """The value of `what`, made where there is none. keep: whether it is kept for the next that asks."""
        with self._own:
            lock = self._locks.setdefault(what, RLock())
        with lock:
            if what in self:
                return self[what]
            value = make()
            if keep(value):
                self[what] = value
            return value
