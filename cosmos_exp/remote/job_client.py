"""A client of the job API, version 1, of this project's servers and of others that have the same routes.

Repeating a call is safe: files and jobs are named by their content.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import httpx

from cosmos_exp.common import http_calls
from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.files import file_sha256, partial_name
from cosmos_exp.common.progress import Tick
from cosmos_exp.remote.server_client import BLOCK, CONNECT_TIMEOUT, DamagedAnswer, ServerClient, ServerRefusal
from cosmos_exp.remote.wire import API, JobInfo, JobRequest, ModelInfo, ResultFile, ResultManifest

STREAM_SILENCE = 60.0
"""Seconds without a sign of life in a stream of events; a server sends one every 15."""
POLL, SLOWEST_POLL = 0.25, 3.0
"""Seconds between two looks at a job of a server without events, and at most."""


class JobClient(ServerClient):
    kind = "the job API"

    # What there is

    def health(self) -> dict[str, Any]:
        """What `/v1/health/ready` says: `ready`, `workers` and more."""
        return self._json(self._call("GET", "/health/ready", also=(503,)))

    def status(self) -> dict[str, Any]:
        return self._json(self._call("GET", "/status"))

    def models(self) -> list[ModelInfo]:
        found = self._json(self._call("GET", "/models"))
        return self._parsed(list[ModelInfo], found.get("models", []) if isinstance(found, dict) else found)

    def model(self, name: str) -> ModelInfo:
        return self._parsed(ModelInfo, self._json(self._call("GET", f"/models/{quote(name, safe='')}")))

    # Files

    def missing(self, sha256s: Iterable[str]) -> set[str]:
        """Those of the files that the server does not have."""
        asked = sorted(set(sha256s))
        if not asked:
            return set()
        found = self._json(self._call("POST", "/blobs/check", content=lambda: json.dumps({"ids": asked}).encode()))
        return set(found.get("missing", ()))

    def put_blob(self, source: Path | bytes, name: str = "", tick: Tick = lambda done, total: None) -> str:
        """Upload a file, unless the server has it; returns its SHA-256. tick: bytes sent, and in all."""
        is_file = isinstance(source, Path)
        sha256 = file_sha256(source) if isinstance(source, Path) else hashlib.sha256(source).hexdigest()
        size = source.stat().st_size if isinstance(source, Path) else len(source)
        if self.missing([sha256]):
            headers = {"content-type": "application/octet-stream", "content-length": str(size)}
            headers["x-filename"] = quote(name or (source.name if isinstance(source, Path) else ""))

            def content() -> Iterator[bytes]:
                with open(source, "rb") if is_file else io.BytesIO(source) as file:  # type: ignore[arg-type]
                    yield from _blocks(file, size, tick)

            self._call("PUT", f"/blobs/{sha256}", headers=headers, content=content)
        tick(size, size)
        return sha256

    # Jobs

    def submit(self, request: JobRequest, manifest: Mapping[str, Any] | None = None) -> JobInfo:
        """The job of a request; the same one for an equal request. Its files must have been uploaded."""
        body = {"request": request.model_dump(mode="json"), "manifest": dict(manifest or {})}
        return self._parsed(JobInfo, self._json(self._call("POST", "/jobs", content=lambda: json.dumps(body).encode())))

    def job(self, job: str) -> JobInfo:
        return self._parsed(JobInfo, self._json(self._call("GET", _of(job))))

    def jobs(self, **wanted: Any) -> list[JobInfo]:
        """The newest first. wanted: status, backend, mine, limit."""
        given = {key: str(value).lower() if isinstance(value, bool) else value for key, value in wanted.items()}
        given = {key: value for key, value in given.items() if value is not None}
        found = self._json(self._call("GET", "/jobs", params=given))
        return self._parsed(list[JobInfo], found.get("jobs", []) if isinstance(found, dict) else found)

    def cancel(self, job: str) -> JobInfo:
        """Cancel a job that waits or runs; forget one that is finished, with its files."""
        answer = self._call("DELETE", _of(job))
        return self._parsed(JobInfo, self._json(answer)) if answer.content else self.job(job)

    def watch(self, job: str) -> Iterator[JobInfo]:
        """The job whenever it has changed, until it is finished. UserError where it is deleted meanwhile."""
        last = self.job(job)
        yield last
        failures, pause, streams = 0, POLL, True
        while not last.status.finished:
            try:
                for found in self._events(job) if streams else (self.job(job),):
                    failures = 0
                    if found != last:
                        last, pause = found, POLL
                        yield last
                    if last.status.finished:
                        return
            except _NoEvents:
                streams = False
            except httpx.TransportError as error:
                failures += 1
                if failures > self.retries:
                    raise self._unreachable(error) from None
                http_calls.pause(failures)
            if not streams:
                time.sleep(pause)
                pause = min(SLOWEST_POLL, 1.3 * pause)

    def wait(self, job: str) -> JobInfo:
        """As it is when it is finished."""
        *_, last = self.watch(job)
        return last

    def result(self, job: str) -> ResultManifest:
        """ServerRefusal with status 409 where the job is not done, 410 where its result was deleted."""
        return self._parsed(ResultManifest, self._json(self._call("GET", f"{_of(job)}/result")))

    def download(self, job: str, file: ResultFile | str, path: Path, tick: Tick = lambda done, total: None) -> None:
        """A file of a result, or that of a name, which appears under its path when it is complete and has its
        SHA-256."""
        if isinstance(file, str):
            files = {found.name: found for found in self.result(job).files}
            if file not in files:
                raise UserError(unknown_name(f"file of job {job}", file, files))
            file = files[file]
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(partial_name(path.name))
        try:
            self._attempts(functools.partial(self._fetch, job, file, partial, tick))
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    def _fetch(self, job: str, file: ResultFile, partial: Path, tick: Tick) -> httpx.Response:
        url, digest, size = f"{API}{_of(job)}/result/{quote(file.name, safe='')}", hashlib.sha256(), 0
        with self._http.stream("GET", url) as answer, partial.open("wb") as target:
            if answer.status_code != 200:
                answer.read()
                return answer
            for block in answer.iter_bytes(BLOCK):
                size += len(block)
                if size > file.size:
                    break
                digest.update(block)
                target.write(block)
                tick(size, file.size)
        if digest.hexdigest() != file.sha256:
            raise DamagedAnswer(f"{file.name} of job {job} has another SHA-256 than its result says")
        return answer

    def _events(self, job: str) -> Iterator[JobInfo]:
        timeout = httpx.Timeout(STREAM_SILENCE, connect=CONNECT_TIMEOUT)
        with self._http.stream("GET", f"{API}{_of(job)}/events", timeout=timeout) as answer:
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                raise _NoEvents
            kind = ""
            for line in answer.iter_lines():
                key, _, value = line.partition(": ")
                if key == "event":
                    kind = value
                elif key == "data" and kind == "job":
                    yield self._parsed(JobInfo, json.loads(value))
                elif key == "data" and kind == "deleted":
                    raise ServerRefusal(404, [f"job {job} was deleted"])
        # The server ends the stream when it stops; then the next call waits for it, or finds the job finished.
        yield self.job(job)


class _NoEvents(Exception):
    """The server has no stream of events."""


def _of(job: str) -> str:
    return f"/jobs/{quote(job, safe='')}"


def _blocks(file: BinaryIO, size: int, tick: Tick) -> Iterator[bytes]:
    sent = 0
    while block := file.read(BLOCK):
        yield block
        sent += len(block)
        tick(min(sent, size), size)
