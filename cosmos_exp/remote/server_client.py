"""What clients of HTTP servers have in common: address, token, repeated calls, refusals in the server's own words.

Calls are repeated where the connection was lost or the server is overloaded. What a server refuses is a `ServerRefusal`
at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from cosmos_exp.common import http_calls
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.urls import checked_token, checked_url
from cosmos_exp.remote.wire import API, complaints

URL, TOKEN, TOKEN_FILE = "COSMOS_URL", "COSMOS_TOKEN", "COSMOS_TOKEN_FILE"
"""Environment variables: endpoint, token, and a file with a token."""
DEFAULT_URL = "http://127.0.0.1:8080"
RETRIES = 6
CONNECT_TIMEOUT, SILENCE = 10.0, 120.0
"""Seconds for a connection, and without a byte of an answer."""
BLOCK = 1 << 20

Parsed = TypeVar("Parsed")
Client = TypeVar("Client", bound="ServerClient")
Final = Callable[[httpx.Response], bool]


class ServerRefusal(UserError):
    """The server's answer to what it does not do. status: of HTTP. errors: all that it says."""

    def __init__(self, status: int, errors: Iterable[str]):
        self.status, self.errors = status, tuple(errors) or (f"HTTP status {status}",)
        super().__init__(self.errors[0] if len(self.errors) == 1 else "\n".join(f"- {error}" for error in self.errors))

    def __reduce__(self):
        return type(self), (self.status, self.errors)


class Unreachable(UserError):
    """The server did not answer, however often it was asked."""


class DamagedAnswer(UserError):
    """What came is not what the server said it would send."""


class ServerClient:
    """endpoint: URL such as http://gpu:8080. token: None takes that of the environment, see `token_of_environment`.

    retries: how often a call is repeated. Usable from several threads.
    """

    kind = "this API"
    """What a server is none of where its answers cannot be read."""

    def __init__(self, endpoint: str, token: str | None = None, *, retries: int = RETRIES):
        self.endpoint = checked_endpoint(endpoint)
        self.retries = retries
        given = token_of_environment() if token is None else checked_token(token)
        self._http = httpx.Client(
            base_url=self.endpoint,
            headers={"user-agent": "cosmos-exp"} | ({"authorization": f"Bearer {given}"} if given else {}),
            timeout=httpx.Timeout(SILENCE, connect=CONNECT_TIMEOUT),
            limits=httpx.Limits(max_connections=64),
            follow_redirects=False,
        )

    def close(self) -> None:
        self._http.close()

    def __enter__(self: Client) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(
        self, method: str, path: str, *, content: Callable[[], Any] = lambda: None, also: tuple[int, ...] = (),
        headers: Mapping[str, str] = {}, params: Mapping[str, Any] = {}, final: Final = lambda answer: False,
    ) -> httpx.Response:  # fmt: skip
        """content: made again for each attempt. also: answers beside 2xx that are none to refuse. final: whether an
        answer is one, whatever its status."""
        own = {"content-type": "application/json", **headers} if method in ("POST", "PUT") else dict(headers)
        return self._attempts(
            lambda: self._http.request(method, API + path, content=content(), headers=own, params=params), also, final
        )

    def _attempts(
        self, attempt: Callable[[], httpx.Response], also: tuple[int, ...] = (), final: Final = lambda answer: False
    ) -> httpx.Response:
        try:
            answer = http_calls.attempts(attempt, self.retries, accepted=also, final=final)
        except httpx.TransportError as error:
            raise self._unreachable(error) from None
        if answer.is_success or answer.status_code in also or final(answer):
            return answer
        raise self._refusal(answer)

    def _unreachable(self, error: httpx.TransportError) -> Unreachable:
        why = str(error) or type(error).__name__
        return Unreachable(f"{self.endpoint} does not answer ({why}); asked {self.retries + 1} times")

    def _refusal(self, answer: httpx.Response) -> ServerRefusal:
        status = answer.status_code
        texts = _told(answer.content)
        if not texts:
            texts = [f"{self.endpoint} answered HTTP {status}: {' '.join(answer.text[:200].split())}"]
        if status == 401:
            texts = [f"{text} ({TOKEN}, or {TOKEN_FILE}, is for it)" for text in texts]
        return ServerRefusal(status, texts)

    def _json(self, answer: httpx.Response) -> Any:
        try:
            return json.loads(answer.content)
        except ValueError:
            raise UserError(f"{self.endpoint} is no server of {self.kind}: its answer is not JSON") from None

    def _parsed(self, kind: type[Parsed], value: Any) -> Parsed:
        try:
            return TypeAdapter(kind).validate_python(value, strict=False)
        except ValidationError as error:
            name = kind.__name__ if isinstance(kind, type) and issubclass(kind, BaseModel) else "list"
            told = complaints(error.errors())[0]
            raise UserError(f"{self.endpoint} is no server of {self.kind}: {name} {told}") from None


def _told(content: bytes) -> list[str]:
    """The errors in the body of a refusal, as this project's servers, FastAPI and OpenAI's interface word them."""
    try:
        found = json.loads(content)
    except ValueError:
        return []
    if not isinstance(found, dict):
        return []
    error = found.get("error")
    detail = found.get("detail", error.get("message") if isinstance(error, dict) else error)
    errors = detail.get("errors", [detail]) if isinstance(detail, dict) else detail
    listed = errors if isinstance(errors, list) else [errors]
    return [text if isinstance(text, str) else _worded(text) for text in listed if text is not None]


def _worded(error: Any) -> str:
    """Of FastAPI's validation: {loc: path of the field, msg: what is wrong}."""
    if isinstance(error, dict) and isinstance(error.get("loc"), list) and "msg" in error:
        return f"{'.'.join(map(str, error['loc'][1:]))}: {error['msg']}"
    return json.dumps(error)


def checked_endpoint(endpoint: str) -> str:
    """An URL of a server without what follows its port or folder. UserError where it is none."""
    return checked_url("endpoint", endpoint.strip().rstrip("/").removesuffix(API), DEFAULT_URL, TOKEN)


def endpoint_of_environment() -> str:
    return os.environ.get(URL) or DEFAULT_URL


def token_of_environment() -> str | None:
    """`COSMOS_TOKEN`, or the content of the file `COSMOS_TOKEN_FILE`."""
    if given := os.environ.get(TOKEN):
        return checked_token(given)
    if path := os.environ.get(TOKEN_FILE):
        return token_of_file(Path(path))
    return None


def token_of_file(path: Path) -> str:
    try:
        return checked_token(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the token file {str(path)!r} cannot be read: {getattr(error, 'strerror', error)}") from None
