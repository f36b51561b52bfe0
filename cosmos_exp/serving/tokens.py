"""Who may use a server: tokens `cc_<id>_<secret>`, of which only SHA-256 are kept, in `tokens.json` (mode 0600).

The file is read again when it has changed, so that a token that was added or revoked counts at once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import threading
import time
from pathlib import Path
from typing import NamedTuple

from cosmos_exp.common.errors import UserError, attempt, unknown_name
from cosmos_exp.common.files import file_version, partial_name
from cosmos_exp.common.guards import read_json
from cosmos_exp.common.locks import locked
from cosmos_exp.remote.server_client import TOKEN as TOKEN_VARIABLE
from cosmos_exp.remote.server_client import TOKEN_FILE, token_of_environment, token_of_file

FILE, INITIAL = "tokens.json", "initial_token.txt"
TOKEN = re.compile(r"cc_[0-9a-f]{8}_[A-Za-z0-9_-]{43}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_. @-]{0,79}")
LONGEST = 512
"""Characters of a token that is looked at."""


class Token(NamedTuple):
    """created: seconds since 1970. name: whose it is, for people."""

    id: str
    sha256: str
    name: str
    created: float


class TokenStore:
    """folder: the server's state."""

    def __init__(self, folder: Path):
        self.path = folder / FILE
        self._seen: tuple[tuple[int, ...], tuple[Token, ...]] | None = None
        self._lock = threading.Lock()

    def tokens(self) -> tuple[Token, ...]:
        """Those that are valid. UserError where the file is damaged."""
        with self._lock:
            try:
                version = file_version(self.path.stat())
                if self._seen is None or self._seen[0] != version:
                    self._seen = version, self._read()
                return self._seen[1]
            except FileNotFoundError:
                return ()

    def add(self, name: str = "") -> str:
        """A new token; it is shown this once, and cannot be read again."""
        if name and not NAME.fullmatch(name):
            raise UserError(f"name of a token {name[:80]!r}: up to 80 letters, digits, spaces and _ . @ -")
        key, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        token = f"cc_{key}_{secret}"
        with self._changing():
            self._write([*self.tokens(), Token(key, _sha256(token), name, time.time())])
        return token

    def revoke(self, given: str) -> Token:
        """By its id, or by a name that is only one's."""
        with self._changing():
            tokens = self.tokens()
            found = [token for token in tokens if given == token.id] or [t for t in tokens if given == t.name]
            if len(found) > 1:
                ids = ", ".join(token.id for token in found)
                raise UserError(f"{len(found)} tokens have the name {given!r}: give an id, one of {ids}")
            if not found:
                raise UserError(unknown_name("token", given, [token.id for token in tokens]))
            self._write([token for token in tokens if token != found[0]])
            return found[0]

    def owner(self, given: str) -> str | None:
        """The id of a token; None where it is not valid. Every known one is compared, in constant time."""
        sha256, found = _sha256(given[:LONGEST]), None
        for token in (*self.tokens(), *(attempt(_of_environment)[0] or ())):
            if hmac.compare_digest(token.sha256, sha256) and len(given) <= LONGEST:
                found = token.id
        return found

    def mint_first(self) -> Path | None:
        """The file with a first token, where there is none yet and none in the environment."""
        if self.tokens() or _of_environment():
            return None
        path = self.path.with_name(INITIAL)
        _write_private(path, f"{self.add('initial')}\n".encode())
        return path

    def places(self) -> list[str]:
        """Where those who start a server find a token that is valid, best first."""
        first = self.path.with_name(INITIAL)
        content, _ = attempt(lambda: token_of_file(first)) if first.is_file() else (None, [])
        found = [f"in {first}"] if content and self.owner(content) else []
        if _of_environment():
            found.append(f"that of {TOKEN_VARIABLE if os.environ.get(TOKEN_VARIABLE) else TOKEN_FILE}")
        return [*found, "of `cosmos-exp serve token add`"]

    def _changing(self):
        return locked(self.path.with_name(f".{FILE}.lock"))

    def _read(self) -> tuple[Token, ...]:
        try:
            return tuple(Token(**entry) for entry in read_json("the tokens", self.path)["tokens"])
        except (KeyError, TypeError):
            raise UserError(f"the tokens {str(self.path)!r} are damaged: restore the file, or delete it") from None

    def _write(self, tokens: list[Token]) -> None:
        content = json.dumps({"tokens": [token._asdict() for token in tokens]}, indent=1)
        _write_private(self.path, content.encode())


def _of_environment() -> tuple[Token, ...]:
    """Any text may be a token this way. UserError where its file cannot be read."""
    given = token_of_environment()
    return (Token("environment", _sha256(given), "", 0.0),) if given else ()


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _write_private(path: Path, content: bytes) -> None:
    """As `write_atomic` does, for the owner alone from the first byte on."""
    partial = path.with_name(partial_name(path.name))
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
