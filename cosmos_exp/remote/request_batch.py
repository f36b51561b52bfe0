"""Many requests to one server: where their videos go, which are there already, several in flight."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cosmos_exp.common.errors import UserError, ValidationErrors, attempt
from cosmos_exp.common.files import file_sha256, sync_to_disk, write_json
from cosmos_exp.common.guards import read_json
from cosmos_exp.common.progress import console, steps
from cosmos_exp.remote.gradio_endpoint import GradioEndpoint, Lost, Stopped, Waiting
from cosmos_exp.remote.request_file import VideoRequest

log = logging.getLogger(__name__)

FOLDER = "outputs"
SIDECAR = ".json"
"""After the name of a video: the record of the request that it belongs to."""
REFUSED, LOST = 2, 75  # exit status
MIB = 1 << 20


@dataclass(frozen=True)
class Wanted:
    """A request and where its video goes. done: whether it is there already."""

    request: VideoRequest
    target: Path
    digest: str
    done: bool

    @property
    def label(self) -> str:
        return f"{self.request.name} seed {self.request.seed}"


def planned(requests: Sequence[VideoRequest], output: str | None, *, overwrite: bool = False) -> list[Wanted]:
    """output: a file, for a single request; a folder, one that is there or ends in /; None: `FOLDER`.

    In a folder a video is named FILE_seed_SEED.mp4. Raises ValidationErrors for each name that two requests have, or
    that is that of something else.
    """
    folder = output is None or output.endswith("/") or Path(output).is_dir()
    if output and not folder and len(requests) > 1:
        raise UserError(
            f"--output {output!r} is one file for {len(requests)} requests: give a folder, {output + '/'!r}"
        )
    found, errors, taken = [], [], dict[Path, str]()
    for request in requests:
        name = f"{request.name}_seed_{request.seed}.mp4"
        target = Path(output or FOLDER) / name if folder else Path(str(output))
        if target in taken:
            errors.append(f"{target}: two requests have this name; rename a file, or give another --output")
        taken[target] = name
        wanted, own = attempt(partial(_wanted, request, target, overwrite))
        errors += own
        found += [wanted] if wanted else []
    if errors:
        raise ValidationErrors(errors)
    return found


def _wanted(request: VideoRequest, target: Path, overwrite: bool) -> Wanted:
    """Raises UserError where something else has the name."""
    digest, sidecar = request.digest(), target.with_name(target.name + SIDECAR)
    if not (target.exists() or target.is_symlink()):
        return Wanted(request, target, digest, False)
    if target.is_dir():
        raise UserError(f"{str(target)!r} is a folder: give a name ending in / for a file in it")
    record, _ = attempt(lambda: _record(sidecar))
    own = isinstance(record, dict) and record.get("request_digest") == digest
    if own and record and record.get("video_sha256") == file_sha256(target):
        return Wanted(request, target, digest, True)
    if not overwrite:
        whose = "was changed since it was made" if own else "is there already, of another request"
        raise UserError(f"{target} {whose}: give another --output, or --overwrite")
    return Wanted(request, target, digest, False)


def _record(sidecar: Path) -> dict | None:
    try:
        return read_json("record of a video", sidecar)
    except FileNotFoundError:
        return None


class Batch:
    """Sends requests, `parallel` at the same time, each with a connection of its own. A file is uploaded once."""

    def __init__(self, url: str, token: str | None, waiting: Waiting, parallel: int = 1):
        self.url, self.token, self.parallel = url, token, parallel
        self.waiting = replace(waiting, stop=threading.Event())
        self._uploads = _Uploads()

    def run(self, wanted: Sequence[Wanted]) -> int:
        """Prints the paths of the videos. Returns the exit status: 0, all are there; REFUSED; LOST."""
        todo = [one for one in wanted if not one.done]
        for one in wanted:
            if one.done:
                _say(f"{one.target}: is there already")
        for note in dict.fromkeys(f"{one.request.name}: {note}" for one in todo for note in one.request.notes):
            _say(f"note: {note}")
        with ThreadPoolExecutor(self.parallel, thread_name_prefix="request") as pool:
            futures = [pool.submit(self._one, one) for one in todo]
            try:
                states = [future.result() for future in futures]
            except BaseException as error:
                self.waiting.stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                if isinstance(error, KeyboardInterrupt) and todo:
                    _say("what was sent stays on the server: the same command goes on with it")
                raise
        failed = {one.target for one, state in zip(todo, states) if state}
        for one in wanted:
            if one.target not in failed:
                print(one.target)
        return next((state for state in (REFUSED, LOST) if state in states), 0)

    def _one(self, one: Wanted) -> int:
        try:
            self._make(one)
            return 0
        except Lost as error:
            _say(f"{one.label}: {error}", "red")
            return LOST
        except UserError as error:
            _say(f"{one.label}: {error}", "red")
            return REFUSED
        except Stopped:
            return LOST

    def _make(self, one: Wanted) -> None:
        with _folder_beside(one.target) as folder:
            waiting = replace(self.waiting, report=lambda text: _say(f"{one.label}: {text}"))
            endpoint = GradioEndpoint(self.url, self.token, folder, waiting)
            try:
                paths = {name: self._uploaded(endpoint, file) for name, file in one.request.files.items()}
                video, said = endpoint.generate(one.request.with_paths(paths))
            finally:
                endpoint.close()
            _move(video, one.target)
        record = {
            "request_digest": one.digest,
            "video_sha256": file_sha256(one.target),
            "endpoint": self.url,
            "request": one.request.with_paths({name: str(file) for name, file in one.request.files.items()}),
            "server": said,
        }
        write_json(one.target.with_name(one.target.name + SIDECAR), record)
        _say(f"{one.label}: {said.strip() or 'done'}")

    def _uploaded(self, endpoint: GradioEndpoint, file: Path) -> str:
        """Its name on the server. A bar is shown where there is only one upload at a time."""

        def upload() -> str:
            if self.parallel > 1:
                return endpoint.upload(file)
            with steps(f"upload of {file.name}, MiB") as tick:
                return endpoint.upload(file, lambda done, total: tick(-(-done // MIB), -(-total // MIB)))

        return self._uploads.name(file, upload)


class _Uploads:
    """{content of a file: its name on the server}; threads that have the same file wait for the first one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._names: dict[str, str] = {}

    def name(self, file: Path, upload: Callable[[], str]) -> str:
        sha = file_sha256(file)
        with self._lock:
            lock = self._locks.setdefault(sha, threading.Lock())
        with lock:
            if sha not in self._names:
                self._names[sha] = upload()
            return self._names[sha]


@contextmanager
def _folder_beside(target: Path) -> Iterator[Path]:
    """A temporary folder on the target's disk; UserError where there is none to be had."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=".request_", dir=target.parent)
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror or error}") from None
    with folder as name:
        yield Path(name)


def _move(video: Path, target: Path) -> None:
    """Raises UserError where it cannot be moved; the video is then kept elsewhere."""
    try:
        sync_to_disk(video)
        os.replace(video, target)
    except OSError as error:
        kept = Path(tempfile.mkdtemp(prefix="request_")) / target.name
        shutil.copyfile(video, kept)
        raise UserError(f"{target} cannot be written: {error.strerror or error}; the video is kept as {kept}") from None


def _say(text: str, style: str | None = None) -> None:
    console.print(text, style=style, highlight=False)
