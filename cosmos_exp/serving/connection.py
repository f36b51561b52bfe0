"""HTTP connections that end when their client has gone, or says nothing.

uvicorn waits without a limit for the head of a request, and for a client that does not read its answer.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


def patient_for(idle_timeout: float) -> type[H11Protocol]:
    """The protocol with so many seconds of patience."""

    class Connection(H11Protocol):
        _since = 0.0
        """When it began to wait for the head of a request, or for room to write."""
        _blocked = False
        _check: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._since = time.monotonic()
            self._look()

        def connection_lost(self, exc: Exception | None) -> None:
            if self._check is not None:
                self._check.cancel()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            self._blocked, self._since = True, time.monotonic()
            super().pause_writing()

        def resume_writing(self) -> None:
            self._blocked, self._since = False, time.monotonic()
            super().resume_writing()

        def on_response_complete(self) -> None:
            self._since = time.monotonic()
            super().on_response_complete()

        def _look(self) -> None:
            waits = self._blocked or self.cycle is None or self.cycle.response_complete
            if not waits:
                self._since = time.monotonic()
            elif time.monotonic() - self._since > idle_timeout:
                self.transport.abort()
                return
            self._check = self.loop.call_later(idle_timeout / 4, self._look)

    return Connection
