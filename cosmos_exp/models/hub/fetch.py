"""The transfer: every file resumed where it stopped, checked, and moved into place only when it is right."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from huggingface_hub.errors import HTTPError
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.hub.hub import RemoteFile, check_access, explained, is_outage, reason, url
from cosmos_exp.models.hub.local import digest_of, final_path, is_recorded, partial_path, record, size_of
from cosmos_exp.models.hub.plan import Plan, check_space, size

Say = Callable[[str], None]

SECONDS_TO_WAIT = (2.0, 10.0, 30.0, 90.0)  # between attempts that bring nothing


def download(plan: Plan, say: Say = print) -> None:
    """Fetch what is missing, check what is there. An interruption at any time leaves what has arrived to go on from.

    UserError where the disk is too small, access is refused, or a file is damaged twice.
    """
    check_space(plan)
    wanting = {item.file.repo: item.file for item in plan.items if item.present < item.file.size}
    for file in wanting.values():
        check_access(file)
    for item in plan.items:
        with explained(item.file.repo, item.file.commit):
            _obtain(plan.folder, item.file, say)


def _obtain(folder: Path, file: RemoteFile, say: Say) -> None:
    if is_recorded(folder, file):
        return
    path = final_path(folder, file)
    label = f"{file.repo}/{file.name}"
    if size_of(path) == file.size and path.is_file():
        say(f"{label}: there, checking {size(file.size)}")
        if digest_of(path, file.algorithm) == file.digest:
            record(folder, file)
            return
        say(f"{label}: damaged, fetching it again")
    for attempt in ("first", "second"):
        with _partial(folder, file) as stream:
            say(f"{label}: {size(file.size)}" + (f", {size(stream.tell())} of it there" if stream.tell() else ""))
            _transfer(file, stream, say)
            digest = digest_of(Path(stream.name), file.algorithm)
            if digest == file.digest:
                os.replace(stream.name, path)
                record(folder, file)
                return
            os.unlink(stream.name)
        if attempt == "first":
            say(f"{label}: damaged on the way, fetching it again")
    raise UserError(
        f"{label} arrived damaged twice: its {file.algorithm} is {digest}, the Hub says {file.digest}; "
        "a proxy or the disk may be at fault"
    )


@contextlib.contextmanager
def _partial(folder: Path, file: RemoteFile) -> Iterator[BinaryIO]:
    """The file of what has arrived, at its end; UserError while another process writes to it."""
    path = partial_path(folder, file)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"another download is writing {path}: wait until it ends") from error
        if stream.tell() > file.size:
            stream.truncate(0)
            stream.seek(0)
        yield stream


def _transfer(file: RemoteFile, stream: BinaryIO, say: Say) -> None:
    """Append what is missing, through outages that pass."""
    waits = iter(SECONDS_TO_WAIT)
    while True:
        before = stream.tell()
        try:
            _append(file, stream)
            return
        except (HTTPError, OSError) as error:
            if stream.tell() > before:
                waits = iter(SECONDS_TO_WAIT)
            wait = next(waits, None)
            if wait is None or not is_outage(error):
                raise
            say(f"{file.repo}/{file.name}: {reason(error)}; trying again in {wait:g} s")
            time.sleep(wait)


def _append(file: RemoteFile, stream: BinaryIO) -> None:
    """One attempt. A file that ends early or late is left to the check of its digest."""
    try:
        http_get(
            url(file),
            stream,
            resume_size=stream.tell(),
            headers=build_hf_headers() | {"Accept-Encoding": "identity"},
            expected_size=file.size,
            displayed_filename=file.name,
        )
    except OSError as error:
        wrong_size = type(error) is OSError and error.errno is None
        if not wrong_size:
            raise
    stream.flush()
