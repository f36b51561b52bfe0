"""Caption and prompt files: captions/<clip>.json and multi_view/<clip>_<style>/prompt.json."""

from __future__ import annotations

import json
from pathlib import Path

from cosmos_exp.common.errors import UserError, ValidationErrors, unknown_name
from cosmos_exp.common.files import write_json
from cosmos_exp.common.guards import CAPTION_BYTES, parse_json, read_bytes
from cosmos_exp.common.styles import STYLES
from cosmos_exp.common.views import ALL_VIEWS, VIEWS


def read_captions(path: Path) -> dict[str, str]:
    """{style: prompt} of a clip, any subset of the styles, in the file's order.

    A byte order mark and whitespace around prompts are ignored. Raises UserError on a missing file, text that is not
    JSON, a value that is not a non-empty text, or keys that are no styles (all of them in one error).
    """
    return checked(parse_json(read_text(path), str(path)), path, "style", STYLES)


def write_captions(path: Path, captions: dict[str, str]) -> None:
    """Write {style: prompt}; written atomically. Raises UserError as `read_captions` would."""
    write_json(path, checked(captions, path, "style", STYLES))


def read_prompts(path: Path) -> dict[str, str]:
    """{view: prompt} of a generated multi-view clip.

    Takes our JSON and the text that Cosmos-Transfer1 writes under the same name: the prompts of the six views, or of
    the five without the rear one, joined by ";". Raises UserError on anything else.
    """
    text = read_text(path)
    if text.lstrip().startswith("{"):
        return checked(parse_json(text, str(path)), path, "view", ALL_VIEWS)
    prompts = [p.strip() for p in text.strip().split(";")]
    orders = {len(VIEWS): VIEWS, len(VIEWS) - 1: tuple(v for v in VIEWS if v != "rear_tele_30fov")}
    if len(prompts) not in orders:
        found = f"{len(prompts)} prompt{'s' if len(prompts) > 1 else ''} joined by ';'"
        raise UserError(f"{path}: found {found}, neither JSON of {{view: prompt}} nor 5 or 6 prompts")
    return checked(dict(zip(orders[len(prompts)], prompts)), path, "view", VIEWS)


def write_prompts(path: Path, prompts: dict[str, str]) -> None:
    """Write {view: prompt} as JSON; written atomically. Raises UserError as `read_prompts` would."""
    write_json(path, checked(prompts, path, "view", ALL_VIEWS))


def read_text(path: Path) -> str:
    try:
        return read_bytes("file of prompts", Path(path), CAPTION_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def checked(value: object, path: Path, what: str, allowed: tuple[str, ...]) -> dict[str, str]:
    """The mapping with whitespace around prompts removed; UserError listing every error."""
    if not isinstance(value, dict) or not value:
        raise UserError(f"{path}: expected a JSON object {{{what}: prompt}}, got {json.dumps(value)[:60]}")
    errors = []
    for name, prompt in value.items():
        if name not in allowed:
            errors.append(f"{path}: {unknown_name(what, name, allowed)}")
        elif not isinstance(prompt, str) or not prompt.strip():
            errors.append(f"{path}: the prompt of {name!r} must be a non-empty text, got {json.dumps(prompt)[:60]}")
    if errors:
        raise UserError(errors[0]) if len(errors) == 1 else ValidationErrors(errors)
    return {name: prompt.strip() for name, prompt in value.items()}
