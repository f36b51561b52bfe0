"""What the job API answers: the JSON of its routes, and errors with all that is wrong at once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect

from cosmos_exp.common.errors import UserError, ValidationErrors
from cosmos_exp.remote.wire import JobRequest, Message, complaints
from cosmos_exp.serving.service import FULL, reason
from cosmos_exp.serving.store import QueueFull

MOST_ERRORS = 100


class Errors(Message):
    errors: list[str]


class Problem(Message):
    """The answer to what cannot be done."""

    detail: Errors


class Submission(Message):
    """manifest: what the client wants to remember of the clip; it comes back with the job's result."""

    request: JobRequest
    manifest: dict[str, Any] = Field(default_factory=dict, max_length=1000)


class BlobIds(Message):
    ids: Annotated[list[Annotated[str, Field(pattern="^[0-9a-f]{64}$")]], Field(max_length=10_000)]


class BlobsFound(Message):
    present: list[str]
    missing: list[str]


class BlobStored(Message):
    """existed: it was there before, and the bytes were not needed."""

    id: str
    size: int
    existed: bool


class Live(Message):
    status: str
    version: str


class WorkerState(Message):
    name: str
    device: str
    state: str
    message: str
    backends: list[str]


class Ready(Message):
    ready: bool
    profile: str
    backends: list[str]
    workers: list[WorkerState]


class ServerStatus(Message):
    """uptime: seconds. jobs: {model: {status: count}}. blobs, blob_bytes: uploads."""

    version: str
    uptime: float
    ready: bool
    workers: list[WorkerState]
    jobs: dict[str, dict[str, int]]
    blobs: int
    blob_bytes: int


def answers(*codes: int, **others: Any) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route: errors, beside those that every route may give."""
    return {code: {"model": Problem} for code in (401, 413, *codes)} | others


class Answer(HTTPException):
    """An error with its messages."""

    def __init__(self, status: int, *messages: str, **headers: str):
        super().__init__(status, {"errors": list(messages)}, headers or None)


def _problem(status: int, messages: Sequence[str], headers: dict[str, str] | None = None) -> Response:
    shown = [message.encode("utf-8", "replace").decode() for message in messages[:MOST_ERRORS]]
    return Response(json.dumps({"detail": {"errors": shown}}), status, headers, "application/json")


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    detail: Any = error.detail
    messages = detail["errors"] if isinstance(detail, dict) else [str(detail)]
    return _problem(error.status_code, messages, dict(error.headers or {}))


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _problem(400, complaints(error.errors()))


async def _on_user_error(request: Request, error: Exception) -> Response:
    if isinstance(error, QueueFull):
        return _problem(429, [str(error)], {"retry-after": "10"})
    return _problem(400, error.errors if isinstance(error, ValidationErrors) else [str(error)])


async def _on_disk(request: Request, error: Exception) -> Response:
    """A full disk is no mistake of anybody's; other errors are ours."""
    full = isinstance(error, OSError) and error.errno in FULL
    if full or (isinstance(error, sqlite3.OperationalError) and "full" in str(error)):
        return _problem(507, ["the server's disk is full: try again later"])
    if isinstance(error, OSError):
        return _problem(500, [f"the server cannot use its folder: {reason(error)}"])
    raise error


async def _on_gone(request: Request, error: Exception) -> Response:
    """Nobody reads the answer."""
    return Response(status_code=499)


HANDLERS: dict[type[Exception], Any] = {
    ClientDisconnect: _on_gone,
    StarletteHTTPException: _on_http,
    RequestValidationError: _on_invalid,
    UserError: _on_user_error,
    OSError: _on_disk,
    sqlite3.OperationalError: _on_disk,
}
