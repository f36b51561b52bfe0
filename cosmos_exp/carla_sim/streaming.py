"""The streams of sensor data: one TCP connection per stream and client, on the port after that of the RPC.

A client writes the stream's number (u32) and then only reads. What it does not read in time holds up the next tick,
for at most PATIENCE seconds; then its connection is closed, and that is logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)

WORLD_STREAM = 1
PATIENCE = 30.0  # seconds that a client may leave its data unread
ARRIVAL = 5.0  # seconds from the request of a stream's token to the connection
HIGH_WATER = 4 << 20  # bytes that may wait for a client before the next tick
TCP, AS_THE_RPC = 1, 0  # protocol; address: the host that the client has connected to


class Streams:
    """Connections of clients to streams. Used in the event loop's thread alone."""

    def __init__(self, on_subscribe: Callable[[int, asyncio.StreamWriter], None] = lambda stream, writer: None):
        self.port = 0
        self.on_subscribe = on_subscribe
        self._writers: dict[int, set[asyncio.StreamWriter]] = {}
        self._expected: dict[int, list[asyncio.Future]] = {}

    def token(self, stream: int) -> bytes:
        """The 24 bytes by which a client finds a stream."""
        return struct.pack("<IHBB16x", stream, self.port, TCP, AS_THE_RPC)

    def expect(self, stream: int) -> None:
        """A client has asked for the stream's token, and will connect at once."""
        self._expected.setdefault(stream, []).append(asyncio.get_running_loop().create_future())

    def listened(self, stream: int) -> bool:
        return bool(self._writers.get(stream))

    def close(self, stream: int) -> None:
        """End a stream: the sensor is gone."""
        self._resolve(stream, every=True)
        for writer in self._writers.pop(stream, ()):
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hold a client's connection to one stream until it closes."""
        stream = None
        try:
            (stream,) = struct.unpack("<I", await reader.readexactly(4))
            writer.transport.set_write_buffer_limits(high=HIGH_WATER)
            self._writers.setdefault(stream, set()).add(writer)
            self.on_subscribe(stream, writer)
            self._resolve(stream)
            while await reader.read(1 << 12):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            if stream is not None:
                self._writers.get(stream, set()).discard(writer)
                if not self._writers.get(stream):
                    self._writers.pop(stream, None)
            writer.close()

    def send(self, stream: int, data: Any) -> None:
        """Queue a message for all who listen to the stream."""
        for writer in self._writers.get(stream, ()):
            if not writer.is_closing():
                writer.write(data)

    async def ready(self) -> None:
        """Wait until announced connections are there and no client has too much unread."""
        expected = [future for futures in self._expected.values() for future in futures]
        if expected:
            _, late = await asyncio.wait(expected, timeout=ARRIVAL)
            if late:
                logger.warning("%d clients that asked for a stream did not connect within %g s", len(late), ARRIVAL)
            self._expected.clear()
        writers = [writer for writers in self._writers.values() for writer in writers]
        full = [w for w in writers if w.transport.get_write_buffer_size() > HIGH_WATER]
        if full:
            await asyncio.gather(*map(_drained, full))

    def close_all(self) -> None:
        for stream in list(self._writers):
            self.close(stream)

    def _resolve(self, stream: int, *, every: bool = False) -> None:
        futures = self._expected.get(stream, [])
        for future in futures if every else futures[:1]:
            if not future.done():
                future.set_result(None)
        self._expected[stream] = [] if every else futures[1:]
        if not self._expected[stream]:
            del self._expected[stream]


async def _drained(writer: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(writer.drain(), PATIENCE)
    except asyncio.TimeoutError:
        logger.warning("a client did not read a stream for %g s: its connection is closed", PATIENCE)
        writer.transport.abort()
