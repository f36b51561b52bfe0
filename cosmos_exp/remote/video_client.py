"""A client of `/v1/videos`, the video jobs of vLLM-Omni: submit, watch, fetch, delete.

A failed job comes with an error status of HTTP and the job as its body: that is an answer, and not repeated. The server
names jobs by chance, so a request whose answer is lost may be at work there although it is sent again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict

from cosmos_exp.common import http_calls
from cosmos_exp.common.files import partial_name
from cosmos_exp.common.progress import Tick
from cosmos_exp.remote.server_client import BLOCK, ServerClient
from cosmos_exp.remote.wire import API

log = logging.getLogger(__name__)

POLL, SLOWEST_POLL = 0.5, 10.0
"""Seconds between two looks at a job, at first and at most."""
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""Losses before a server can have read anything."""
PENDING = 409
"""HTTP status while a cancellation is on its way."""


class JobError(BaseModel):
    """code: a word or a number. message: in the server's words."""

    code: str | int | None = None
    message: str = ""


class VideoJob(BaseModel):
    """progress: percent. inference_time_s: seconds that the finished job took on the server. http_status: with which
    the server told of it."""

    model_config = ConfigDict(extra="ignore")

    id: str
    status: Literal["queued", "in_progress", "completed", "failed"]
    progress: float | None = None
    error: JobError | None = None
    inference_time_s: float | None = None
    http_status: int = 200

    @property
    def finished(self) -> bool:
        return self.status in ("completed", "failed")

    @property
    def share_done(self) -> float:
        """0 to 1."""
        return min(1.0, max(0.0, (self.progress or 0.0) / 100))


class VideoClient(ServerClient):
    kind = "video jobs (/v1/videos)"

    def submit(self, fields: Mapping[str, str], files: Sequence[bytes]) -> VideoJob:
        """A new job. fields: of the form. files: the videos, in the order of their indices."""
        uploads = [("input_references", (f"{i}.mp4", content, "video/mp4")) for i, content in enumerate(files)]

        def attempt() -> httpx.Response:
            try:
                return self._http.post(f"{API}/videos", data=dict(fields), files=uploads)
            except httpx.TransportError as error:
                if not isinstance(error, NOT_SENT):
                    log.warning(
                        "%s: the answer to a request was lost (%s); its job may run there beside that of the next try",
                        self.endpoint,
                        str(error) or type(error).__name__,
                    )
                raise

        return self._job(self._attempts(attempt, final=_is_job))

    def job(self, job: str) -> VideoJob:
        """As it is. ServerRefusal with status 404 where the server does not know it."""
        return self._job(self._call("GET", _of(job), final=_is_job))

    def watch(self, job: str, sleep: Callable[[float], None]) -> Iterator[VideoJob]:
        """The job at every look at it, until it is finished. sleep: waits so many seconds."""
        pause = POLL
        while True:
            found = self.job(job)
            yield found
            if found.finished:
                return
            sleep(pause)
            pause = min(SLOWEST_POLL, 1.3 * pause)

    def download(self, job: str, path: Path, tick: Tick = lambda done, total: None) -> Path:
        """The video of a completed job, which appears under its path when it is complete."""
        part = path.with_name(partial_name(path.name))
        try:
            self._attempts(partial(self._fetch, job, part, tick))
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        return path

    def delete(self, job: str) -> bool:
        """Cancel a job, or remove one that is finished. False where its cancellation goes on still; one that the server
        does not know counts as removed."""
        for number in range(1, self.retries + 2):
            answer = self._call("DELETE", _of(job), also=(PENDING, 404))
            if answer.status_code != PENDING:
                return True
            if number <= self.retries:
                http_calls.pause(number, answer)
        return False

    def _fetch(self, job: str, path: Path, tick: Tick) -> httpx.Response:
        with self._http.stream("GET", f"{API}{_of(job)}/content") as answer:
            if answer.status_code != 200:
                answer.read()
                return answer
            total, done = int(answer.headers.get("content-length", 0)), 0
            with path.open("wb") as target:
                for block in answer.iter_bytes(BLOCK):
                    target.write(block)
                    done += len(block)
                    tick(done, total or done)
        return answer

    def _job(self, answer: httpx.Response) -> VideoJob:
        value: Any = self._json(answer)
        told = {**value, "http_status": answer.status_code} if isinstance(value, dict) else value
        return self._parsed(VideoJob, told)


def _is_job(answer: httpx.Response) -> bool:
    try:
        found = answer.json()
    except ValueError:
        return False
    return isinstance(found, dict) and {"id", "status"} <= found.keys()


def _of(job: str) -> str:
    return f"/videos/{quote(job, safe='')}"
