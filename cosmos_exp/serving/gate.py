"""What stands before every route: who asks, how much may be sent, and how slowly.

A request without a valid token is refused before its body is read. Browsers log in at /login and keep the token in a
cookie that no script sees and no other site can send.
"""

from __future__ import annotations

import asyncio
import html
import json
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from cosmos_exp.common.units import size_text
from cosmos_exp.remote.wire import API
from cosmos_exp.serving.config import is_loopback
from cosmos_exp.serving.tokens import TOKEN, TokenStore

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PUBLIC = (f"{API}/health/live", f"{API}/health/ready", "/login")
BLOBS, FORMS = f"{API}/blobs/", "/gradio_api/upload"
"""Where files are put, as they are and in a form."""
COOKIE = "cosmos_token"
COOKIE_AGE = 30 * 86400
LARGEST_BODY = 8 << 20
"""Bytes of a request that is no upload; prompts of all views at their longest are half of it."""
LONGEST_FORM = 4096
"""Bytes of what is posted to /login."""
FORM_PARTS = 1 << 20
"""Bytes that a form adds to the file in it."""
SLOWEST = 16 << 10
"""Bytes per second of a body, beyond the time that a client may be silent."""
IN_URL = frozenset({"token", "access_token", "auth", "authorization", "bearer", "api_key", "apikey"})


class Refused(Exception):
    """The request gets this answer and no other."""

    def __init__(self, status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()):
        super().__init__(message)
        self.status, self.headers = status, headers


@dataclass(frozen=True)
class Gate:
    """An ASGI middleware. tokens: None where none is asked for. host: address that the server listens on.

    largest_blob: bytes. idle_timeout: seconds.
    """

    app: Callable[[Scope, Receive, Send], Awaitable[None]]
    tokens: TokenStore | None
    host: str
    largest_blob: int
    idle_timeout: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _Body(receive, self.idle_timeout)
        answer = _Answer(send, body)
        try:
            headers = _headers(scope)
            self._check_url(scope)
            self._check_host(headers)
            _check_site(scope, headers)
            scope.setdefault("state", {})["token_id"] = self._owner(scope, headers)
            body.allow(self._limit(scope), headers)
            if scope["path"] == "/login" and self.tokens is not None:
                await self._login(scope, body, answer)
            else:
                await self.app(scope, body, answer)
        except Refused as refused:
            body.refused = body.refused or refused
        except Exception:
            if body.refused is None:  # else it came of that
                raise
        if body.refused and not answer.begun:
            await _refuse(send, body.refused)

    def _check_url(self, scope: Scope) -> None:
        query = scope["query_string"].decode("latin-1")
        keys = {key.lower() for key, _ in parse_qsl(query, keep_blank_values=True)}
        if keys & IN_URL or TOKEN.search(unquote_plus(query)) or TOKEN.search(scope["path"]):
            told = "a token in a URL ends up in logs: revoke it, and send the header `Authorization: Bearer TOKEN`"
            raise Refused(400, told)

    def _check_host(self, headers: dict[str, str]) -> None:
        """Without tokens, a page of another site that has its name point here would be served too."""
        name = re.sub(r":\d+$", "", headers.get("host", ""))
        if self.tokens is None and is_loopback(self.host) and name and not is_loopback(name):
            raise Refused(403, f"this server answers as {self.host} or localhost, not as {name[:80]!r}")

    def _limit(self, scope: Scope) -> int:
        if scope["method"] == "PUT" and scope["path"].startswith(BLOBS):
            return self.largest_blob
        return self.largest_blob + FORM_PARTS if scope["path"].startswith(FORMS) else LARGEST_BODY

    def _owner(self, scope: Scope, headers: dict[str, str]) -> str | None:
        """Id of the token; None where none is asked for, and of public routes."""
        if self.tokens is None or scope["path"] in PUBLIC:
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        token = given.strip() if scheme.lower() == "bearer" else _cookie(headers)
        owner = self.tokens.owner(token) if token else None
        if owner is not None:
            return owner
        if scope["method"] == "GET" and "text/html" in headers.get("accept", "") and not given:
            raise Refused(303, "log in", ((b"location", b"/login"),))
        told = "the token is not valid" if token else "a token is needed: send the header `Authorization: Bearer TOKEN`"
        raise Refused(401, told, ((b"www-authenticate", b"Bearer"),))

    async def _login(self, scope: Scope, body: Receive, send: Send) -> None:
        assert self.tokens is not None
        if scope["method"] not in ("GET", "POST"):
            raise Refused(405, "GET or POST", ((b"allow", b"GET, POST"),))
        if scope["method"] == "GET":
            await _page(send, 200, "")
            return
        content, more = b"", True
        while more and len(content) <= LONGEST_FORM:
            message = await body()
            content, more = content + message.get("body", b""), message.get("more_body", False)
        token = dict(parse_qsl(content[:LONGEST_FORM].decode("latin-1"))).get("token", "").strip()
        if self.tokens.owner(token) is None or re.search(r"[^!-~]|[;,\"\\]", token):
            await _page(send, 401, "This token is not valid.")
            return
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        cookie = f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={COOKIE_AGE}{secure}"
        await _respond(send, 303, b"", ((b"location", b"/"), (b"set-cookie", cookie.encode())))


class _Body:
    """`receive` of a request whose body has a limit, in bytes and in time. refused: why it was not read on."""

    def __init__(self, receive: Receive, idle_timeout: float):
        self.receive, self.idle_timeout = receive, idle_timeout
        self.limit, self.size, self.waited, self.complete = 0, 0, 0.0, False
        self.refused: Refused | None = None

    def allow(self, limit: int, headers: dict[str, str]) -> None:
        """Refuse what says that it is larger."""
        self.limit = limit
        declared = headers.get("content-length", "")
        if declared.isdigit() and (len(declared) > 18 or int(declared) > limit):
            raise self._too_large()

    async def __call__(self) -> Message:
        if self.complete:
            return await self.receive()  # until the client goes
        begun = time.monotonic()
        try:
            allowed = self.idle_timeout + self.size / SLOWEST - self.waited
            message = await asyncio.wait_for(self.receive(), max(0.1, allowed))
        except asyncio.TimeoutError:
            slow = f"too slow: {self.size} bytes of the body came, and then too few in {self.idle_timeout:g} s"
            self.refused = Refused(408, slow)
            raise self.refused from None
        self.waited += time.monotonic() - begun
        if message["type"] == "http.request":
            self.size += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)
        if self.size > self.limit:
            self.refused = self._too_large()
            raise self.refused
        return message

    def _too_large(self) -> Refused:
        return Refused(413, f"too large: at most {self.limit} bytes ({size_text(self.limit)}) are taken here")


class _Answer:
    """`send` of a request; what an application makes of a body that was refused is not sent."""

    def __init__(self, send: Send, body: _Body):
        self.send, self.body, self.begun = send, body, False

    async def __call__(self, message: Message) -> None:
        if self.body.refused and not self.begun:
            return
        self.begun = True
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), (b"x-content-type-options", b"nosniff")]
        await self.send(message)


def _headers(scope: Scope) -> dict[str, str]:
    return {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}


def _check_site(scope: Scope, headers: dict[str, str]) -> None:
    """A page of another site may make a browser send a form or a text here."""
    if scope["method"] not in ("GET", "HEAD") and headers.get("sec-fetch-site") == "cross-site":
        raise Refused(403, "this server takes no requests from pages of other sites")


def _cookie(headers: dict[str, str]) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


async def _refuse(send: Send, refused: Refused) -> None:
    body = json.dumps({"detail": {"errors": [str(refused)]}}).encode()
    headers = ((b"content-type", b"application/json"), (b"connection", b"close"), *refused.headers)
    await _respond(send, refused.status, body, headers)


async def _respond(send: Send, status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def _page(send: Send, status: int, problem: str) -> None:
    body = LOGIN.replace("{problem}", f'<p role="alert">{html.escape(problem)}</p>' if problem else "").encode()
    headers = (
        (b"content-type", b"text/html; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"),
        (b"referrer-policy", b"same-origin"),
    )
    await _respond(send, status, body, headers)


LOGIN = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>cosmos-exp: log in</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; }
form { width: min(22rem, 100vw - 2rem); display: grid; gap: .75rem; }
h1 { font-size: 1.25rem; margin: 0; }
p { margin: 0; }
input, button { font: inherit; padding: .5rem .75rem; border: 1px solid #8888; border-radius: .375rem; }
button { background: #2563eb; color: #fff; border-color: #2563eb; cursor: pointer; }
[role=alert] { color: #dc2626; }
</style>
</head>
<body>
<form method="post" action="/login">
<h1>cosmos-exp</h1>
{problem}
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button>
<p><small>The first one is in <code>initial_token.txt</code> in the server's state folder.</small></p>
</form>
</body>
</html>
"""
