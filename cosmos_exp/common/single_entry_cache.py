"""A cache of one value, for what a process keeps from one run to the next: scene, renderer, model."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import RLock
from typing import Any


class SingleEntryCache:
    """One value that is costly to make, kept as long as the same key is asked for."""

    def __init__(self) -> None:
        self._key: Hashable = None
        self._value: Any = None
        self._lock = RLock()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value of `key`. The value of another key is evicted before this one is made. Who asks meanwhile waits."""
        with self._lock:
            if self._key is None or key != self._key:
                self._key = self._value = None
                self._value = make()
                self._key = key
            return self._value
