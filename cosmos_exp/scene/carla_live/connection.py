"""The connection to a CARLA server: the client's versions, its errors as messages, settings put back at the end."""

from __future__ import annotations

import contextlib
import logging
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cosmos_exp.common.errors import UserError

log = logging.getLogger(__name__)

VERSIONS = ("0.9.13", "0.9.14", "0.9.15", "0.9.16")
"""Of client and server that a capture knows: tags, image formats and calls."""
LEAVING = 3.0  # seconds that a server is given for each answer when a capture ends
KNOCK = 3.0  # seconds for the connection itself


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
    """CARLA's module. Raises UserError that names the extra where it is not installed."""
    try:
        import carla
    except ImportError as error:
        raise UserError(
            f"a capture needs CARLA's own client: pip install 'cosmos-exp[carla]', or the carla wheel of the "
            f"server's version ({error})"
        ) from None
    return carla


def connect(server: Server) -> Any:
    """A `carla.Client` of a server of the same version. Raises UserError where there is none at that address, it does
    not answer in time, or client and server are of different or unknown versions."""
    carla = carla_client()
    _knock(server)
    client = carla.Client(server.host, server.port)
    client.set_timeout(server.timeout)
    with answers(f"what listens at {server} does not answer as a CARLA server"):
        theirs = client.get_server_version()
    check_versions(client.get_client_version(), theirs, server)
    return client


def _knock(server: Server) -> None:
    """Raises UserError where nothing listens there: the client itself would wait for its whole timeout."""
    if error := _unreachable(server):
        raise UserError(
            f"no CARLA server at {server} ({error.strerror or error}): start one, or give its scene.host and "
            "scene.port; `cosmos-exp carla-sim` starts one that needs no GPU"
        )


def _unreachable(server: Server) -> OSError | None:
    """Why no connection to the server can be made; None where one can."""
    try:
        socket.create_connection((server.host, server.port), timeout=min(server.timeout, KNOCK)).close()
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
def answers(what: str) -> Iterator[None]:
    """Turns what CARLA's client raises within into a CaptureError that begins with `what`."""
    try:
        yield
    except RuntimeError as error:
        raise CaptureError(f"{what}: {' '.join(str(error).split())}") from None


@contextlib.contextmanager
def restoring(server: Server, client: Any, world: Any) -> Iterator[contextlib.ExitStack]:
    """A stack of what is to be undone when the capture ends, however it ends; the settings of the world are undone
    last. A server that is gone or no longer answers is told nothing more."""
    with answers("the server does not tell its settings"):
        found = world.get_settings()
    undoing = contextlib.ExitStack()
    undo(undoing, "the settings cannot be put back", lambda: client.get_world().apply_settings(found))
    try:
        yield undoing
    finally:
        client.set_timeout(LEAVING)
        if _unreachable(server):
            undoing.pop_all()
            log.warning("the server at %s is gone: nothing is put back", server)
        undoing.close()


def undo(undoing: contextlib.ExitStack, what: str, step: Any) -> None:
    """Call `step` at the end; where the server does not answer, say `what` and skip the steps after it."""

    def attempt() -> None:
        try:
            step()
        except RuntimeError as error:
            undoing.pop_all()
            log.warning("%s: %s", what, " ".join(str(error).split()))

    undoing.callback(attempt)
