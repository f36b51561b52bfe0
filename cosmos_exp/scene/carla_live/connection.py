"""The connection to a CARLA server: the client's versions, its errors as messages, settings put back at the end."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import queue
import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any, TypeVar

from cosmos_exp.common.errors import UserError

log = logging.getLogger(__name__)

VERSIONS = ("0.9.13", "0.9.14", "0.9.15", "0.9.16")
"""Of client and server that a capture knows: tags, image formats and calls."""
LEAVING = 3.0  # seconds that a server is given for each answer when a capture ends
KNOCK = 3.0  # seconds for the connection itself
PROBE = 0.5  # seconds between two looks at whether a server that is waited for is still there
CACHE = "carlaCache"
UNREACHABLE = (errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH)

T = TypeVar("T")


class CaptureError(UserError):
    """A capture cannot go on, or would not be exact."""


@dataclass(frozen=True)
class Server:
    """timeout: seconds for every answer of the server, and for every image after its tick."""

    host: str = "127.0.0.1"
    port: int = 2000
    timeout: float = 30.0

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def carla_client() -> Any:
    """CARLA's module. Raises UserError that names the extra where it is not installed, and where it could not work."""
    if problem := home_problem():
        raise UserError(problem)
    try:
        import carla
    except ImportError as error:
        raise UserError(
            f"a capture needs CARLA's own client: pip install 'cosmos-exp[carla]', or the carla wheel of the "
            f"server's version ({error})"
        ) from None
    return carla


def home_problem() -> str | None:
    """Why CARLA's client cannot work here, None where it can: it keeps what servers send in $HOME/carlaCache, fails at
    its first call where it cannot write there, and without a HOME takes the process down when it is imported."""
    home = os.environ.get("HOME", "")
    folder = os.path.abspath(os.path.join(home, CACHE))
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    if home and os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK):
        return None
    why = f"cannot write to {folder!r}" if home else "HOME is not set"
    return f"CARLA's client keeps what servers send in $HOME/{CACHE}, and {why}: set HOME to a folder of your own"


class Connection:
    """A client of a server. What it asks runs in a thread of its own, one call after the other, so that a call whose
    server is gone is given up at once: CARLA's client itself would wait for its whole timeout.

    client: a `carla.Client`.
    """

    def __init__(self, server: Server, client: Any):
        self.server = server
        self.client = client
        self._calls: queue.SimpleQueue[tuple[Future, Callable[[], Any]] | None] = queue.SimpleQueue()
        threading.Thread(target=_work, args=(self._calls,), name="carla client", daemon=True).start()

    def ask(self, what: str, call: Callable[[], T]) -> T:
        """The result of a function that calls the client. Raises CaptureError that begins with `what` where the client
        raises an error, or the server is gone."""
        asked: Future[T] = Future()
        self._calls.put((asked, call))
        while not wait([asked], PROBE).done:
            self.require_there(what)
        try:
            return asked.result()
        except RuntimeError as error:
            raise CaptureError(f"{what}: {' '.join(str(error).split())}") from None

    def require_there(self, what: str) -> None:
        """Raises CaptureError that begins with `what` where the server is gone."""
        error = _unreachable(self.server, PROBE)
        if isinstance(error, ConnectionError) or (error and error.errno in UNREACHABLE):
            raise CaptureError(f"{what}: the server at {self.server} is gone ({error.strerror or error})")

    def close(self) -> None:
        self._calls.put(None)


def _work(calls: queue.SimpleQueue[tuple[Future, Callable[[], Any]] | None]) -> None:
    while (job := calls.get()) is not None:
        asked, call = job
        try:
            asked.set_result(call())
        except BaseException as error:
            asked.set_exception(error)
        del job, asked, call  # or they live until the next one


def connect(server: Server) -> Connection:
    """A connection to a server of the client's version. Raises UserError where there is none at that address, it does
    not answer in time, or client and server are of different or unknown versions."""
    carla = carla_client()
    _knock(server)
    client = carla.Client(server.host, server.port)
    client.set_timeout(server.timeout)
    connection = Connection(server, client)
    try:
        what = f"what listens at {server} does not answer as a CARLA server"
        theirs = connection.ask(what, client.get_server_version)
        check_versions(client.get_client_version(), theirs, server)
    except BaseException:
        connection.close()
        raise
    return connection


def _knock(server: Server) -> None:
    """Raises UserError where nothing listens there: the client itself would wait for its whole timeout."""
    if error := _unreachable(server, min(server.timeout, KNOCK)):
        raise UserError(
            f"no CARLA server at {server} ({error.strerror or error}): start one, or give its scene.host and "
            "scene.port; `cosmos-exp carla-sim` starts one that needs no GPU"
        )


def _unreachable(server: Server, timeout: float) -> OSError | None:
    """Why no connection to the server can be made; None where one can."""
    try:
        socket.create_connection((server.host, server.port), timeout=timeout).close()
    except OSError as error:
        return error
    return None


def check_versions(ours: str, theirs: str, server: Server) -> None:
    """Raises UserError unless client and server are of one version, and that is in VERSIONS."""
    number = release(theirs)
    if number is None or release(ours) != number:
        wanted = f"pip install carla=={number}" if number in VERSIONS else f"use a server of {release(ours) or ours}"
        raise UserError(
            f"the server at {server} is CARLA {theirs}, the installed client is {ours}: they must be of one version; "
            f"{wanted}"
        )
    if number not in VERSIONS:
        raise UserError(f"the server at {server} is CARLA {theirs}; captures know {', '.join(VERSIONS)}")


def release(version: str) -> str | None:
    """`0.9.16-dirty` -> `0.9.16`; None where it begins with no such number."""
    found = re.match(r"\d+\.\d+(\.\d+)?(?![\d.])", version)
    return found[0] if found else None


@contextlib.contextmanager
def restoring(connection: Connection, world: Any) -> Iterator[Undoing]:
    """What is to be undone when the capture ends, however it ends; the settings of the world are undone last. A server
    that is gone or no longer answers is told nothing more."""
    client = connection.client
    found = connection.ask("the server does not tell its settings", world.get_settings)
    undoing = Undoing(connection)
    undoing.add("the settings cannot be put back", lambda: client.get_world().apply_settings(found))
    try:
        yield undoing
    finally:
        client.set_timeout(LEAVING)
        undoing.undo()


class Undoing:
    """Steps that are taken at the end, the last one first; where the server does not take one, those after it are
    skipped."""

    def __init__(self, connection: Connection):
        self._connection = connection
        self._steps = contextlib.ExitStack()
        self._given_up = False

    def add(self, what: str, step: Callable[[], Any]) -> None:
        """what: what is said where the step cannot be taken."""
        self._steps.callback(self._take, lambda: self._connection.ask(what, step))

    def undo(self) -> None:
        self._take(lambda: self._connection.require_there("nothing is put back"))
        self._steps.close()

    def _take(self, step: Callable[[], Any]) -> None:
        try:
            if not self._given_up:
                step()
        except CaptureError as error:
            self._given_up = True
            log.warning("%s", error)
