"""Files as they come in and go out through Gradio, and who asks for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cosmos_exp.common.errors import UserError

CACHE = "GRADIO_TEMP_DIR"
"""Environment variable by which Gradio is told where files arrive and are handed out from."""
OUTPUT = "output.mp4"
"""Name of every result, as the server of Cosmos-Transfer1 has it."""


def folder() -> Path:
    return Path(os.environ[CACHE])


def arrived(path: str) -> Path:
    """A file that came through Gradio's own upload; UserError for any other."""
    found = Path(path).resolve()
    if not found.is_relative_to(folder().resolve()) or not found.is_file():
        raise UserError("no file that was uploaded here")
    return found


def handed_out(video: Path, job: str) -> Path:
    """A result as a file that Gradio may send."""
    target = folder() / "results" / job / OUTPUT
    partial = target.with_name(f".{os.getpid()}_{os.urandom(4).hex()}.partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(video, partial)
    os.replace(partial, target)
    return target


def token_of(request: Any) -> str | None:
    """Who asks, as the server's check of tokens has noted it."""
    return getattr(getattr(request, "state", None), "token_id", None)
