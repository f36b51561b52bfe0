"""One style on its way through a server: its chunks, each a job that is submitted, followed, fetched and split."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.stored_arrays import Arrays
from cosmos_exp.common.video import stream_video, video_shape
from cosmos_exp.guardrails.verdicts import Blocked
from cosmos_exp.models.base import GenerationRequest, ResultStore
from cosmos_exp.models.cosmos3.job_records import JobRecord
from cosmos_exp.models.cosmos3.spec import Cosmos3Spec
from cosmos_exp.models.remote.endpoints import shown
from cosmos_exp.models.remote.server import token_of
from cosmos_exp.models.remote.uploads import video_bytes
from cosmos_exp.models.remote.waiting import GivenUp, Patience
from cosmos_exp.remote.cosmos3_request import TransferRequest
from cosmos_exp.remote.server_client import ServerRefusal
from cosmos_exp.remote.video_client import VideoClient, VideoJob
from cosmos_exp.sampling.chunks import Chunk

log = logging.getLogger(__name__)

GONE, EXPIRED = 404, 410
"""HTTP status of a job that a server does not know, and of a video that it has deleted."""
GUARDRAIL = "guardrail"
"""In the error of a job that the server's guard stopped."""
RETRIES = 3
"""Of a call, before it counts as an absence of the server, which `model.patience` bounds."""


class Refused(UserError):
    """A job that would fail again."""


class StyleCall:
    """progress: over all chunks, 0 to 1. stop: set to give it up; with `model.cancel` its job is cancelled then."""

    def __init__(self, model: Cosmos3Spec, request: GenerationRequest, style: str, store: ResultStore) -> None:
        self.model, self.request, self.style, self.store = model, request, style, store
        self.progress = 0.0
        self.stop = threading.Event()
        self._patience = Patience(model.own.patience, self.stop)

    def entry(self) -> tuple[Entry, ...]:
        """Of every chunk: {view: uint8 [F,H,W,3]}."""
        chunks = self.model.video.chunks
        entries: list[Entry] = []
        for chunk in chunks:
            self._patience.check()
            entries.append(self._chunk(chunk, entries[-1] if entries else None))
            self.progress = len(entries) / len(chunks)
        return tuple(entries)

    def _chunk(self, chunk: Chunk, before: Entry | None) -> Entry:
        model = self.model
        named = self._request(chunk, before, lambda entry, array, own: f"{entry.key}/{array}/{own.start}+{own.size}")
        config = {"model": model.own.name, "request": asdict(named)}
        size = len(named.views) * chunk.size * model.video.shape.height * model.video.shape.width / 1e6
        return self.store.get(
            "generate", config, [], partial(self._compute, chunk, before), size=round(size, 6), passes=model.passes
        )

    def _request(self, chunk: Chunk, before: Entry | None, name_of: Any) -> TransferRequest:
        return self.model.transfer_request(self.request, self.style, chunk, before, name_of)

    def _compute(self, chunk: Chunk, before: Entry | None) -> Arrays:
        contents: dict[str, bytes] = {}

        def upload(entry: Entry, array: str, own: Chunk) -> str:
            content = video_bytes(self.store, entry, array, self.model.fps, own)
            sha256 = hashlib.sha256(content).hexdigest()
            contents[sha256] = content
            return sha256

        request = self._request(chunk, before, upload)
        record = JobRecord(self.model.own.endpoint, request.digest)
        client = VideoClient(self.model.own.endpoint, token_of(self.model.own), retries=RETRIES)
        with client, TemporaryDirectory() as folder:
            path = Path(folder) / "views.mp4"
            try:
                self._fetch(client, request, record, contents, path)
            except GivenUp:
                self._cancel(client, record)
                raise
            try:
                return self._split(path, request)
            finally:
                record.forget()

    def _fetch(
        self,
        client: VideoClient,
        request: TransferRequest,
        record: JobRecord,
        contents: Mapping[str, bytes],
        path: Path,
    ) -> None:
        """The file of all views. A request whose job is on record is not sent again while the server knows that job;
        what has become of a job of an earlier run counts for no attempt of this one."""
        attempt = 0
        while True:
            known = record.job()
            attempt += not known
            job_id = known or self._submitted(client, request, record, contents)
            try:
                job = self._followed(client, job_id)
                if job.status == "completed":
                    self._patience.call(partial(client.download, job_id, path, lambda *_: self._patience.check()))
                    log.info("%s, job %s: %s s of inference", shown(self.model.own), job_id, job.inference_time_s)
                    return
                trouble: UserError = self._failure(job)
            except ServerRefusal as error:
                if error.status not in (GONE, EXPIRED):
                    raise
                trouble = UserError(f"{shown(self.model.own)}: job {job_id} is not there any more: {error}")
            record.forget()
            if not known and (attempt >= self.model.own.attempts or isinstance(trouble, (Blocked, Refused))):
                raise trouble
            log.warning("%s; it is asked for again", trouble)

    def _submitted(
        self, client: VideoClient, request: TransferRequest, record: JobRecord, contents: Mapping[str, bytes]
    ) -> str:
        files = [contents[sha256] for sha256 in request.files]
        job = self._patience.call(partial(client.submit, request.fields(), files))
        record.keep(job.id)
        return job.id

    def _followed(self, client: VideoClient, job_id: str) -> VideoJob:
        """As it is when it is finished."""
        chunks, before = len(self.model.video.chunks), self.progress

        def follow() -> VideoJob:
            for job in client.watch(job_id, self._patience.sleep):
                self.progress = before + job.share_done / chunks
            return job

        try:
            return self._patience.call(follow)
        finally:
            self.progress = before

    def _failure(self, job: VideoJob) -> UserError:
        """In the server's words. Blocked where a guard stopped the job, Refused where it was wrong in itself."""
        error = job.error
        said = (error.message or error.code) if error else f"HTTP status {job.http_status}"
        told = f"{shown(self.model.own)}, job {job.id}: {said}"
        if error and GUARDRAIL in f"{error.code} {error.message}".lower():
            return Blocked(told)
        return Refused(told) if 400 <= job.http_status < 500 else UserError(told)

    def _cancel(self, client: VideoClient, record: JobRecord) -> None:
        """Of a run that has ended."""
        job_id = record.job()
        if not job_id or not self.model.own.cancel:
            return
        try:
            if not client.delete(job_id):
                log.warning("%s: the cancellation of job %s goes on still", shown(self.model.own), job_id)
        except UserError as error:
            log.warning("job %s could not be cancelled: %s", job_id, error)
            return
        record.forget()

    def _split(self, path: Path, request: TransferRequest) -> Arrays:
        """{view: uint8 [F,H,W,3]} of a file with all frames of the first view, then all of the next."""
        (width, height), frames = request.size, request.num_frames
        asked = (len(request.views) * frames, height, width)
        made = video_shape(path)
        if made != asked:
            texts = ["x".join(map(str, shape)) for shape in (made, asked)]
            raise UserError(
                f"{shown(self.model.own)} made {texts[0]} (frames, height, width), asked was {texts[1]}: "
                f"{len(request.views)} views of {frames} frames"
            )
        pictures = stream_video(path)
        videos = {}
        for view in request.views:
            videos[view.view] = np.empty((frames, height, width, 3), np.uint8)
            for number in range(frames):
                if (picture := next(pictures, None)) is None:
                    raise UserError(f"{shown(self.model.own)}: the video breaks off in frame {number} of {view.view}")
                videos[view.view][number] = picture
        return videos
