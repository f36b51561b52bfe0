"""Values as Hydra's command line has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

PLAIN = re.compile(r"(?!(null|true|false|nan|inf)$)[A-Za-z_][\w./-]*", re.IGNORECASE | re.ASCII)
"""Texts that need no quotes."""


def overrides_of(values: Mapping[str, Any]) -> list[str]:
    """`key=value` of each, which Hydra reads as that value. Numbers, texts, None, and lists of these."""
    return [f"{key}={_text(value)}" for key, value in values.items()]


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_text, value))}]"
    if not isinstance(value, str):
        return repr(value)
    return value if PLAIN.fullmatch(value) else quoted(value)


def quoted(text: str) -> str:
    """In single quotes, as a text that is no interpolation."""
    escaped = re.sub(r"(\\*)('|$(?![\s\S]))", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), literal(text))
    return f"'{escaped}'"


def literal(value: Any) -> Any:
    """Plain values for OmegaConf, with texts that mean themselves: a `${` in them is no interpolation."""
    if isinstance(value, dict):
        return {key: literal(own) for key, own in value.items()}
    if isinstance(value, list):
        return [literal(own) for own in value]
    if not isinstance(value, str):
        return value
    return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", value)
