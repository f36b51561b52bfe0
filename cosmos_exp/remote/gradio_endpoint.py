"""A server with the Gradio interface of Cosmos-Transfer1's: `/upload_file` and `/generate_video`."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import shortened
from cosmos_exp.common.progress import Tick
from cosmos_exp.remote.server_client import TOKEN, TOKEN_FILE, checked_endpoint

UPLOAD, GENERATE = "/upload_file", "/generate_video"
CONNECT_SECONDS = 30.0
BUSY = "try again later"
"""In the text of an error after which the same call may work."""
LOOK = 0.2
"""Seconds between looks at whether a call has ended."""


class Lost(UserError):
    """A server that cannot be reached or is busy; the same call may work later."""


class Stopped(Exception):
    """The caller asked to stop."""


@dataclass(frozen=True)
class Retry:
    """Sleeps `initial * multiplier ** attempt` seconds and up to `jitter` more after each lost attempt."""

    retries: int = 3
    initial: float = 1.5
    multiplier: float = 2.0
    jitter: float = 0.5

    def pauses(self) -> Iterator[float]:
        for attempt in range(self.retries):
            yield self.initial * self.multiplier**attempt + random.uniform(0, self.jitter)


@dataclass(frozen=True)
class Waiting:
    """How a call is waited for. poll: seconds between reports. result: seconds for a finished result to arrive.

    report: gets what the server says of a call. stop: set to give up.
    """

    retry: Retry = Retry()
    poll: float = 5.0
    result: float = 120.0
    report: Callable[[str], None] = lambda text: None
    stop: threading.Event = field(default_factory=threading.Event)


class GradioEndpoint:
    """Calls of one thread. token: sent as a header. folder: where results are downloaded to, made if it is not there.

    Calls are repeated as `waiting.retry` says where the connection is lost or the server is too busy; Lost, where all
    attempts were. What the server refuses raises a UserError with its own text at once.
    """

    def __init__(self, url: str, token: str | None, folder: Path, waiting: Waiting = Waiting()):
        self.url, self.token, self.folder, self.waiting = checked_endpoint(url) + "/", token, folder, waiting
        self._counting = _Counting()
        self._client: Any = None

    def upload(self, path: Path, tick: Tick = lambda done, total: None) -> str:
        """The name that the server gives a file. tick: bytes sent, bytes of the file."""

        def call() -> str:
            self._counting.expect(tick, path.stat().st_size)
            return _server_path(self._call(UPLOAD, _file(path)))

        return self._repeated(f"upload of {path.name}", call)

    def generate(self, message: dict[str, Any]) -> tuple[Path, str]:
        """The video as a local file in `folder`, and what the server says of it."""
        text = json.dumps(message)
        return self._repeated("generation", lambda: _result(self._call(GENERATE, text)))

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _repeated(self, what: str, call: Callable[[], Any]) -> Any:
        pauses = self.waiting.retry.pauses()
        while True:
            try:
                return call()
            except Lost as error:
                pause = next(pauses, None)
                if pause is None:
                    raise
                self.waiting.report(f"{what}: {error}; again in {pause:.1f} s")
                self.close()  # the next attempt connects anew
                if self.waiting.stop.wait(pause):
                    raise Stopped from None

    def _call(self, name: str, argument: Any) -> Any:
        with _translated(self.url):
            if self._client is None:
                self._client = self._connected()
            return self._waited_for(self._client.submit(argument, api_name=name))

    def _connected(self) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        client = _client_class()(
            self.url,
            verbose=False,
            headers=headers,
            download_files=str(self.folder),
            analytics_enabled=False,
            httpx_kwargs={
                "auth": self._counting,
                "timeout": httpx.Timeout(self.waiting.result, connect=CONNECT_SECONDS),
            },
        )
        offered = sorted(client.view_api(print_info=False, return_format="dict")["named_endpoints"])
        if missing := [name for name in (UPLOAD, GENERATE) if name not in offered]:
            raise UserError(
                f"{self.url} is no server for requests: it has no {' and no '.join(missing)}, "
                f"it has {', '.join(offered[:20]) or 'nothing'}"
            )
        return client

    def _waited_for(self, job: Any) -> Any:
        """The result of a call, with a report now and then of where it is."""
        started = last = time.monotonic()
        while not job.done():
            if self.waiting.stop.wait(LOOK):
                job.cancel()
                raise Stopped
            if time.monotonic() - last >= self.waiting.poll:
                last = time.monotonic()
                self.waiting.report(f"{_said(job.status())}, {last - started:.0f} s")
        return job.result(timeout=self.waiting.result)


def _client_class() -> Any:
    try:
        from gradio_client import Client
    except ImportError:
        raise UserError('requests to a server need the Gradio client: pip install "cosmos-exp[gradio]"') from None
    return Client


def _file(path: Path) -> Any:
    from gradio_client import handle_file

    return handle_file(str(path))


class _Counting(httpx.Auth):
    """Sees every request of a client, and reports how much of an upload is sent."""

    def __init__(self) -> None:
        self._tick: Tick | None = None
        self._size = 0

    def expect(self, tick: Tick, size: int) -> None:
        self._tick, self._size = tick, size

    def auth_flow(self, request: httpx.Request) -> Any:
        if request.headers.get("content-type", "").startswith("multipart/") and self._tick:
            request.stream = _CountedStream(request.stream, self._tick, self._size)
        yield request


class _CountedStream(httpx.SyncByteStream):
    def __init__(self, stream: Any, tick: Tick, size: int):
        self._stream, self._tick, self._size = stream, tick, size

    def __iter__(self) -> Iterator[bytes]:
        sent = 0
        for block in self._stream:
            yield block
            sent += len(block)
            self._tick(min(sent, self._size), self._size)


class _translated:
    """Errors of the Gradio client, and of what is below it, as Lost or as a UserError with the server's own text."""

    def __init__(self, url: str):
        self.url = url

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, (UserError, Stopped)) or not isinstance(error, Exception):
            return
        for cause in _causes(error):
            if isinstance(cause, httpx.HTTPStatusError):
                raise self._of_status(cause.response) from None
            if isinstance(cause, (httpx.TransportError, ConnectionError, TimeoutError)):
                said = str(cause) or type(cause).__name__
                raise Lost(f"{self.url} cannot be reached, or the connection was lost: {said}") from None
        kind_name, said = type(error).__name__, str(error) or type(error).__name__
        if kind_name in ("TimeoutError", "CancelledError"):
            raise Lost(f"{self.url}: the call was lost: {said}") from None
        if kind_name == "AuthenticationError" or " 401" in said:
            raise self._refused_token() from None
        if BUSY in said:
            raise Lost(f"{self.url} is busy: {said}") from None
        raise UserError(f"{self.url} refuses it: {said}") from None

    def _of_status(self, answer: httpx.Response) -> UserError:
        if answer.status_code == 401:
            return self._refused_token()
        try:
            text = answer.text.strip()
        except httpx.ResponseNotRead:
            text = ""
        said = f"{self.url} answers {answer.status_code} {answer.reason_phrase}: {shortened(text, 400)}"
        return Lost(said) if answer.status_code == 429 or answer.status_code >= 500 else UserError(said)

    def _refused_token(self) -> UserError:
        return UserError(f"{self.url} wants a token that it knows: give it in {TOKEN} or in the file {TOKEN_FILE}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _said(status: Any) -> str:
    """Of a status of the Gradio client."""
    code = str(getattr(status.code, "value", status.code)).lower().replace("_", " ")
    words = [] if status.progress_data else [code]
    if status.rank is not None and "queue" in code:
        words.append(f"place {status.rank + 1} of {status.queue_size or status.rank + 1}")
    for unit in status.progress_data or ():
        share = unit.progress if unit.progress is not None else unit.index / unit.length if unit.length else None
        words.append(" ".join(filter(None, [f"{share:.0%}" if share is not None else "", unit.desc or ""])))
    if status.eta is not None:
        words.append(f"about {status.eta:.0f} s left")
    return ", ".join(word for word in words if word)


def _server_path(answer: Any) -> str:
    """From what `/upload_file` returns: a JSON text, or what it stands for."""
    found = answer
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError:
            raise UserError(f"the server refuses the upload: {shortened(answer, 2000)}") from None
    if isinstance(found, list) and found:
        found = found[0]
    if isinstance(found, dict) and isinstance(found.get("path"), str):
        return found["path"]
    said = found.get("error") if isinstance(found, dict) else None
    raise UserError(f"the server refuses the upload: {said or shortened(answer, 2000)}")


def _result(answer: Any) -> tuple[Path, str]:
    """From what `/generate_video` returns: (video or None, text). A failure comes as a text without a video."""
    items = list(answer) if isinstance(answer, (list, tuple)) else [answer]
    texts = [item for item in items if isinstance(item, str) and not _is_video(item)]
    for item in items:
        path = item.get("video") if isinstance(item, dict) else item
        if isinstance(path, dict):
            path = path.get("path")
        if isinstance(path, str) and _is_video(path):
            return Path(path), "\n".join(texts)
    raise UserError(f"the server refuses the request: {chr(10).join(texts) or shortened(answer, 2000)}")


def _is_video(text: str) -> bool:
    return text.lower().endswith((".mp4", ".webm", ".mkv", ".mov")) and "\n" not in text
