"""What the Gradio interface and the page do with a server: keep uploads, submit, follow a job, find its video."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import file_sha256
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.remote.wire import FRONT, JobInfo, JobRequest, Status
from cosmos_exp.serving.requests import Limits, upload_name
from cosmos_exp.serving.service import Service

LOOK = 0.25
"""Seconds between two looks at a job that is followed."""


class ServerEnds(UserError):
    """It will go on with the job when it is started again."""


@dataclass(frozen=True)
class Submissions:
    service: Service

    @cached_property
    def limits(self) -> Limits:
        spec = RunSpec(self.service.config)
        front = spec.model.front.shape
        own, several = self.service.config.model, len(spec.contract.all_sizes) > 1
        size = None if several and own.height is None and own.width is None else (front.width, front.height)
        return Limits(own.name, spec.contract, spec.fps, size)

    def keep(self, path: Path) -> str:
        """SHA-256 of a file that is now among the uploads. UserError where there is no room for it."""
        if not self.service.has_room(path.stat().st_size):
            raise UserError("the uploads have all the room that they may have (serve.largest_state): try again later")
        sha256 = file_sha256(path)
        with path.open("rb") as file:
            self.service.blobs.put(sha256, file, path.name)
        return sha256

    def upload(self, path: Path, instead: Mapping[str, str] = {}) -> str:
        """The `upload_name` of a file that is now among the uploads. instead: {SHA-256: that of the file to name}."""
        sha256 = self.keep(path)
        return upload_name(instead.get(sha256, sha256), path.name)

    def submit(self, request: JobRequest, token_id: str | None, client: str) -> JobInfo:
        """The job of a request; an equal one that is there is given as it is. Raises ValidationErrors, QueueFull."""
        return self.service.submit(request, {"client": client}, token_id)[0]

    async def follow(self, job: str) -> AsyncIterator[JobInfo]:
        """The job whenever it has changed, until it is finished. UserError where it is gone; ServerEnds."""
        seen = None
        while not self.service.stopping.is_set():
            update = await asyncio.to_thread(self.service.store.update, job)
            if update is None:
                raise UserError(f"job {job} was deleted")
            if update != seen:
                seen = update
                yield update.job
                if update.job.status.finished:
                    return
            await asyncio.sleep(LOOK)
        raise ServerEnds(f"the server is being stopped; job {job} stays in its queue")

    def video(self, job: str) -> Path:
        """Of the front view; the lossless one where its size is odd, which players do not show. UserError where the
        result was deleted."""
        manifest = self.service.manifest(job)
        files = [file for file in manifest.files if file.kind in ("video", "lossless")] if manifest else []
        if not files:
            raise UserError(f"the result of job {job} is no longer here: send the request again")
        best = min(files, key=lambda file: (file.kind != "video", file.view != FRONT))
        return self.service.jobs_folder / job / "result" / best.name


def told(job: JobInfo) -> str:
    """Where a job is, in a few words."""
    if job.status is Status.QUEUED:
        before = job.queue_position or 0
        return f"queued, {before} before it" if before else "queued, next"
    if job.status in (Status.FAILED, Status.BLOCKED):
        return f"{job.status.value}: {job.error}"
    return ", ".join(filter(None, [job.status.value, job.message]))
