"""Addresses of servers, and what they know their users by."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from cosmos_exp.common.errors import UserError


def checked_url(key: str, url: str, example: str, secret: str) -> str:
    """An URL of a server without slashes at its end. UserError where it is none, or holds a secret, for which there is
    the environment variable `secret`."""
    text = url.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, brackets without an address
        raise UserError(f"{key} {url!r}: give an URL such as {example}") from None
    if not whole:
        nearest = f"; did you mean 'http://{text}'?" if text and "://" not in text else ""
        raise UserError(f"{key} {url!r}: give an URL such as {example}{nearest}")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise UserError(f"{key} {parts.scheme}://{parts.hostname}: no token or query; give the token as {secret}")
    return text


def checked_token(token: str) -> str:
    """Without spaces around it. UserError where it cannot be a header."""
    if not re.fullmatch(r"[!-~]{1,512}", token.strip()):
        raise UserError("the token has spaces or other characters that a token has not, or is empty")
    return token.strip()
