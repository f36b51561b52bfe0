"""What the config types of all groups have in common: required values, and what of a config names a result.

A group's type is a plain dataclass beside the code that it configures. Its defaults are the only ones: the YAML options
below `conf/` say what differs from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from typing import Any

REQUIRED: Any = "???"
"""What OmegaConf calls MISSING: a value that the user must give."""

NO_EFFECT = {"changes_result": False}
"""Metadata of a field that changes no result: a label, a place, a speed."""


def identity_name(name: str) -> dict[str, str]:
    """Metadata of a field whose key was renamed: the name under which it goes on to count in ids and cache keys."""
    return {"identity": name}


def identity(config: Any) -> dict[str, Any]:
    """{dotted key: value} of what changes the result and differs from the default of the config's type.

    config: instance of a config dataclass; one that is switched off says so by a property `changes_result`, and in
    words by COUNTS_WHERE, for `cosmos-exp explain`. So a new field with a default, or a renamed one with
    `identity_name`, leaves the identity of every config as it was.
    """
    return dict(_differing(config, ""))


def _differing(config: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for entry in fields(config):
        if not entry.metadata.get("changes_result", True):
            continue
        value, key = getattr(config, entry.name), prefix + entry.metadata.get("identity", entry.name)
        if is_dataclass(value) and not getattr(value, "changes_result", True):
            continue
        if is_dataclass(value):
            yield from _differing(value, f"{key}.")
        elif value != default_of(entry):
            yield key, plain(value)


def default_of(entry: Field) -> Any:
    """The default of a dataclass field; REQUIRED where it has none."""
    if entry.default_factory is not MISSING:
        return entry.default_factory()
    return REQUIRED if entry.default is MISSING else entry.default


def plain(value: Any) -> Any:
    """Dataclasses, also inside lists and mappings, as plain values that JSON takes."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value
