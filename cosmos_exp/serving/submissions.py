"""What the Gradio interface and the page do with the queue: keep uploads, submit, follow a job, find its video."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import file_sha256
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.config.schema import Config
from cosmos_exp.remote.wire import JobInfo, JobRequest, ResultManifest, Status
from cosmos_exp.serving.requests import FRONT, Limits, upload_name

LOOK = 0.25
"""Seconds between two looks at a job that is followed."""


@dataclass(frozen=True)
class Submissions:
    """config: of the server's model. store: `JobStore`. blobs: `BlobStore`. folder: of the jobs.

    check: raises ValidationErrors where a request cannot run. most_queued: jobs that may wait.
    """

    config: Config
    store: Any
    blobs: Any
    folder: Path
    check: Callable[[JobRequest], None]
    most_queued: int | None = None

    @cached_property
    def limits(self) -> Limits:
        spec = RunSpec(self.config)
        return Limits(self.config.model.name, spec.contract, spec.fps)

    def keep(self, path: Path) -> str:
        """SHA-256 of a file that is now among the uploads."""
        sha256 = file_sha256(path)
        with path.open("rb") as file:
            self.blobs.put(sha256, file, path.name)
        return sha256

    def upload(self, path: Path, instead: Mapping[str, str] = {}) -> str:
        """The `upload_name` of a file that is now among the uploads. instead: {SHA-256: that of the file to name}."""
        sha256 = self.keep(path)
        return upload_name(instead.get(sha256, sha256), path.name)

    def submit(self, request: JobRequest, token_id: str | None, client: str) -> JobInfo:
        """The job of a request; an equal one that is there is given as it is. Raises ValidationErrors, QueueFull."""
        self.check(request)
        self.blobs.touch(request.blobs)
        return self.store.submit(request, {"client": client}, token_id, most_queued=self.most_queued)[0]

    async def follow(self, job: str) -> AsyncIterator[JobInfo]:
        """The job whenever it has changed, until it is finished. UserError where it is gone."""
        seen = None
        while True:
            update = await asyncio.to_thread(self.store.update, job)
            if update is None:
                raise UserError(f"job {job} was deleted")
            if update != seen:
                seen = update
                yield update.job
                if update.job.status.finished:
                    return
            await asyncio.sleep(LOOK)

    def manifest(self, job: str) -> ResultManifest:
        """Of a finished job. UserError where its result was deleted."""
        path = self.folder / job / "result" / "manifest.json"
        try:
            return ResultManifest.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise UserError(f"the result of job {job} is no longer here: send the request again") from None

    def video(self, job: str) -> Path:
        """Of the front view; the lossless one where its size is odd, which players do not show."""
        files = [file for file in self.manifest(job).files if file.kind in ("video", "lossless")]
        ranked = sorted(files, key=lambda file: (file.kind != "video", file.view != FRONT))
        if not ranked:
            raise UserError(f"job {job} has no video")
        return self.folder / job / "result" / ranked[0].name


def told(job: JobInfo) -> str:
    """Where a job is, in a few words."""
    if job.status is Status.QUEUED:
        before = job.queue_position or 0
        return f"queued, {before} before it" if before else "queued, next"
    if job.status is Status.FAILED:
        return f"failed: {job.error}"
    return ", ".join(filter(None, [job.status.value, job.message]))
