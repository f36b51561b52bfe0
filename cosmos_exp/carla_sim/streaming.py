"""The streams of sensor data: one TCP connection per stream and client, on the port after that of the RPC.

A client writes the stream's number (u32) and then only reads. What it leaves unread holds up the next tick, for at most
`patience` seconds; then its connection is closed, and that is logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable

logger = logging.getLogger(__name__)

WORLD_STREAM = 1
PATIENCE = 30.0  # seconds that a client may leave its data unread, by default
ARRIVAL = 5.0  # seconds from the request of a stream's token to the connection
HIGH_WATER = 4 << 20  # bytes that may wait for a client when the next tick begins
SOCKET_BUFFER = 512 << 10  # bytes that the kernel holds; with more of them, they leave the processor's caches
SPARE = 256 << 20  # bytes of buffers that are kept for the next images
TCP, AS_THE_RPC = 1, 0  # protocol; address: the host that the client has connected to

Data = bytes | bytearray


class Buffers:
    """Memory of messages that have been sent, to be filled again: fresh memory costs a page fault every 4 KiB."""

    def __init__(self) -> None:
        self._spare: deque[bytearray] = deque()
        self._size = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> bytearray:
        """A buffer of that size; its contents are undefined."""
        with self._lock:
            for buffer in self._spare:
                if len(buffer) == size:
                    self._spare.remove(buffer)
                    self._size -= size
                    return buffer
        return bytearray(size)

    def give(self, buffer: bytearray) -> None:
        with self._lock:
            self._spare.append(buffer)
            self._size += len(buffer)
            while self._size > SPARE:
                self._size -= len(self._spare.popleft())


class Listener:
    """A client's connection to a stream."""

    def __init__(self, connection: socket.socket):
        self.connection = connection
        self.waiting: deque[tuple[Data, Callable[[], None]]] = deque()
        self.size = 0
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self.gone = asyncio.Event()

    def put(self, data: Data, sent: Callable[[], None]) -> None:
        """Queue a message. sent: called when it is sent, or will not be."""
        self.waiting.append((data, sent))
        self.size += len(data)
        self._filled.set()
        if self.size > HIGH_WATER:
            self._drained.clear()

    async def pump(self) -> None:
        """Send what is queued, until the connection breaks."""
        loop = asyncio.get_running_loop()
        while True:
            await self._filled.wait()
            while self.waiting:
                data, sent = self.waiting[0]
                await loop.sock_sendall(self.connection, data)
                self.waiting.popleft()
                self.size -= len(data)
                sent()
                if self.size <= HIGH_WATER:
                    self._drained.set()
            self._filled.clear()

    async def drained(self) -> None:
        await self._drained.wait()

    def close(self) -> None:
        while self.waiting:
            self.waiting.popleft()[1]()
        self._drained.set()
        self.gone.set()


class Streams:
    """Connections of clients to streams. Used in the event loop's thread alone.

    greeting: the first message of a stream, for a client that has just connected to it.
    """

    def __init__(self, greeting: Callable[[int], bytes | None] = lambda stream: None, patience: float = PATIENCE):
        self.port = 0
        self.patience = patience
        self.greeting = greeting
        self.buffers = Buffers()
        self._listeners: dict[int, set[Listener]] = {}
        self._expected: dict[int, list[asyncio.Future]] = {}
        self._tasks: dict[asyncio.Task, int] = {}

    def token(self, stream: int) -> bytes:
        """The 24 bytes by which a client finds a stream."""
        return struct.pack("<IHBB16x", stream, self.port, TCP, AS_THE_RPC)

    def expect(self, stream: int) -> None:
        """A client has asked for the stream's token, and will connect at once."""
        self._expected.setdefault(stream, []).append(asyncio.get_running_loop().create_future())

    def listened(self, stream: int) -> bool:
        return bool(self._listeners.get(stream))

    def send(self, stream: int, data: Data) -> None:
        """Queue a message for all who listen to the stream. A bytearray goes back to `buffers` when it is sent."""
        listeners = self._listeners.get(stream, ())
        left = len(listeners)

        def sent() -> None:
            nonlocal left
            left -= 1
            if left <= 0 and isinstance(data, bytearray):
                self.buffers.give(data)

        for listener in listeners:
            listener.put(data, sent)
        if not listeners:
            sent()

    async def ready(self) -> None:
        """Wait until announced connections are there and no client has too much unread."""
        expected = [future for futures in self._expected.values() for future in futures]
        if expected:
            _, late = await asyncio.wait(expected, timeout=ARRIVAL)
            if late:
                logger.warning("%d clients that asked for a stream did not connect within %g s", len(late), ARRIVAL)
            self._expected.clear()
        slow = [one for listeners in self._listeners.values() for one in listeners if one.size > HIGH_WATER]
        if slow:
            waits = [asyncio.ensure_future(listener.drained()) for listener in slow]
            await asyncio.wait(waits, timeout=self.patience)
            for listener, wait in zip(slow, waits):
                if not wait.done():
                    wait.cancel()
                    logger.warning("a client did not read a stream for %g s: its connection is closed", self.patience)
                    _shut(listener.connection)

    async def until_left(self, stream: int, seconds: float) -> None:
        """Wait until one of those who listen to the stream has closed its connection, for at most so long."""
        waits = [asyncio.ensure_future(listener.gone.wait()) for listener in self._listeners.get(stream, ())]
        if waits:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def serve(self, server: socket.socket) -> None:
        """Accept clients until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(server)
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
            task = asyncio.ensure_future(self._hold(connection))
            self._tasks[task] = 0
            task.add_done_callback(lambda task: self._tasks.pop(task, None))

    async def _hold(self, connection: socket.socket) -> None:
        """A client's connection to one stream, until either side closes it."""
        loop = asyncio.get_running_loop()
        listener = Listener(connection)
        stream = pump = None
        try:
            number = b""
            while len(number) < 4:
                part = await loop.sock_recv(connection, 4 - len(number))
                if not part:
                    return
                number += part
            (stream,) = struct.unpack("<I", number)
            self._listeners.setdefault(stream, set()).add(listener)
            pump = asyncio.ensure_future(listener.pump())
            first = self.greeting(stream)
            if first is not None:
                listener.put(first, lambda: None)
            self._arrived(stream)
            closed = asyncio.ensure_future(self._closed(connection))
            await asyncio.wait([pump, closed], return_when=asyncio.FIRST_COMPLETED)
            closed.cancel()
        except OSError:
            pass
        finally:
            if pump is not None:
                pump.cancel()
                await asyncio.gather(pump, return_exceptions=True)
            listener.close()
            if stream is not None:
                self._listeners.get(stream, set()).discard(listener)
                if not self._listeners.get(stream):
                    self._listeners.pop(stream, None)
            connection.close()

    @staticmethod
    async def _closed(connection: socket.socket) -> None:
        """Until the client closes its connection, whatever it writes before."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while await loop.sock_recv(connection, 1 << 12):
                pass

    def forget(self, stream: int) -> None:
        """The stream's sensor is gone: no client of it is waited for. Connections stay until the clients close them:
        CARLA's client would open one again at once, and ends its process where it closes it in the same moment."""
        for future in self._expected.pop(stream, ()):
            if not future.done():
                future.set_result(None)

    async def close_all(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _arrived(self, stream: int) -> None:
        futures = self._expected.get(stream)
        if futures:
            future = futures.pop(0)
            if not future.done():
                future.set_result(None)
            if not futures:
                del self._expected[stream]


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is closed already
        connection.shutdown(socket.SHUT_RDWR)
