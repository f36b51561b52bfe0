"""msgpack-rpc over TCP, as rpclib speaks it: requests [0, id, method, params], responses [1, id, nil, result].

Requests of a connection begin in their order. One that has to wait, such as a tick, does not hold up those behind it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgpack

logger = logging.getLogger(__name__)

LARGEST = 64 << 20  # bytes of one request: an OpenDRIVE map is the largest
MOST_WAITING = 256  # requests of one connection that may be in progress
CHUNK = 1 << 16

Answer = Callable[[str, list], Any]  # method, params -> result, or an awaitable of it


class RpcConnection:
    """One client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer):
        self.reader, self.writer, self.answer = reader, writer, answer
        self.waiting: set[asyncio.Task] = set()

    async def serve(self) -> None:
        """Answer until the client closes the connection or sends what is no request."""
        unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=LARGEST, unicode_errors="replace")
        try:
            while data := await self.reader.read(CHUNK):
                unpacker.feed(data)
                for request in unpacker:
                    await self._handle(request)
        except (ValueError, msgpack.exceptions.UnpackException, RecursionError) as error:
            logger.warning("a client's connection was closed: it sent what is no request (%s)", error)
        except ConnectionError:
            pass
        finally:
            for task in self.waiting:
                task.cancel()
            self.writer.close()

    async def _handle(self, request: Any) -> None:
        kind = request[0] if isinstance(request, list) and request else None
        if kind == 2:  # a notification, which has no answer
            return
        if kind != 0 or len(request) != 4 or not isinstance(request[2], str) or not isinstance(request[3], list):
            raise ValueError(f"{str(request)[:60]} is not [0, id, method, params]")
        _, number, method, params = request
        result = self.answer(method, params)
        if isinstance(result, Awaitable):
            task = asyncio.ensure_future(self._answer_later(number, result))
            self.waiting.add(task)
            task.add_done_callback(self.waiting.discard)
            if len(self.waiting) > MOST_WAITING:
                await asyncio.wait(self.waiting, return_when=asyncio.FIRST_COMPLETED)
        else:
            self._send(number, result)
            await self.writer.drain()

    async def _answer_later(self, number: int, result: Awaitable) -> None:
        self._send(number, await result)

    def _send(self, number: int, result: Any) -> None:
        if not self.writer.is_closing():
            self.writer.write(msgpack.packb([1, number, None, result], use_bin_type=True))
