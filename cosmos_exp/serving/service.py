"""What a server has: its queue, its uploads, its tokens, its model; what it deletes, and when."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

from cosmos_exp.common.errors import UserError, ValidationErrors, unknown_name
from cosmos_exp.common.locks import locked
from cosmos_exp.common.units import parse_age, parse_size
from cosmos_exp.config.schema import Config
from cosmos_exp.remote.wire import JobInfo, JobRequest, ModelInfo, ResultManifest, Status
from cosmos_exp.serving.blobs import BlobStore
from cosmos_exp.serving.config import ServeConfig, Settings
from cosmos_exp.serving.generation import check_request, model_info
from cosmos_exp.serving.store import JobStore, job_id
from cosmos_exp.serving.tokens import TokenStore

log = logging.getLogger(__name__)

CHECKS = 4
"""Requests that are checked at the same time; each may decode videos."""
CHECKED = "checks"
"""In the state folder, for links to files while a request is checked."""
USAGE_AGE = 5.0
"""Seconds for which the count of the uploads holds."""
TOMBSTONES = 10
"""A job is known for so many times as long as its result."""
AT_WORK = ("ready", "busy")


@dataclass
class Service:
    """config: of the models. workers: how many there are to be."""

    config: Config
    serve: ServeConfig
    workers: int = 1
    started: float = field(default_factory=time.time)

    @classmethod
    def of(cls, settings: Settings, workers: int = 1) -> Service:
        return cls(settings.config, settings.serve, workers)

    @property
    def state(self) -> Path:
        return Path(self.serve.state)

    @property
    def jobs_folder(self) -> Path:
        return self.state / "jobs"

    @cached_property
    def store(self) -> JobStore:
        return JobStore(self.state / "jobs.sqlite", most_attempts=self.serve.attempts)

    @cached_property
    def blobs(self) -> BlobStore:
        return BlobStore(self.state / "blobs")

    @cached_property
    def tokens(self) -> TokenStore:
        return TokenStore(self.state)

    @cached_property
    def stopping(self) -> threading.Event:
        """Set when the server ends, so that what is open for long ends too."""
        return threading.Event()

    # Models

    @cached_property
    def _model(self) -> ModelInfo:
        return model_info(self.config)

    @cached_property
    def identity(self) -> str:
        """SHA-256 of what results follow from beside their requests: weights, code, guards, the config's own values."""
        own = self._model.model_dump(mode="json", include={"id", "checkpoints", "versions", "defaults"})
        own["guardrails"] = asdict(self.config.guardrails)
        return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()

    def models(self) -> list[ModelInfo]:
        """With how many workers and waiting jobs they have now."""
        name = self._model.id
        able = sum(worker.state in AT_WORK and name in worker.backends for worker in self.store.workers())
        queued = self.store.counts().get(name, {}).get(Status.QUEUED, 0)
        return [self._model.model_copy(update={"workers": able, "queued": queued, "available": able > 0})]

    def model(self, name: str) -> ModelInfo:
        """UserError with the nearest name where there is none."""
        found = {model.id: model for model in self.models()}
        if name not in found:
            raise UserError(unknown_name("model of this server", name, found))
        return found[name]

    def is_ready(self) -> bool:
        """Whether every worker has its model loaded."""
        return sum(worker.state in AT_WORK for worker in self.store.workers()) >= self.workers

    # Jobs

    @cached_property
    def _checks(self) -> threading.BoundedSemaphore:
        return threading.BoundedSemaphore(CHECKS)

    def check(self, request: JobRequest) -> None:
        """Raises ValidationErrors with everything that is wrong with a request."""
        if request.backend != self.config.model.name:
            self.model(request.backend)
        if missing := self.blobs.missing(request.blobs):
            raise ValidationErrors(f"no file {sha256} was uploaded: PUT it first" for sha256 in missing)
        scratch = self.state / CHECKED
        scratch.mkdir(exist_ok=True)
        with self._checks:
            problems = check_request(self.config, request, self.blobs, scratch)
        if problems:
            raise ValidationErrors(problems)

    def submit(self, request: JobRequest, manifest: dict | None, token_id: str | None) -> tuple[JobInfo, bool]:
        """The job of a request, and whether it is to be computed now. Raises ValidationErrors, QueueFull."""
        self.blobs.touch(request.blobs)  # before the check, so that they are not deleted meanwhile
        if self.store.is_to_be_computed(job_id(request, self.identity)):
            self.check(request)
        most = self.serve.most_queued
        job, is_new = self.store.submit(request, manifest, token_id, model=self.identity, most_queued=most)
        if is_new:
            log.info("job %s queued%s", job.id, f" by {job.token_id}" if job.token_id else "")
        return job, is_new

    def manifest(self, job: str) -> ResultManifest | None:
        """Of a finished job; None where there is none any more."""
        try:
            content = (self.jobs_folder / job / "result" / "manifest.json").read_bytes()
        except OSError:
            return None
        return ResultManifest.model_validate_json(content)

    def result_file(self, job: str, name: str) -> Path | None:
        """A file that the manifest has."""
        manifest = self.manifest(job)
        if manifest is None or name not in [file.name for file in manifest.files]:
            return None
        path = self.jobs_folder / job / "result" / name
        return path if path.is_file() and not path.is_symlink() else None

    def delete(self, job: str) -> bool:
        """A finished job and its files; False where it is not finished."""
        if not self.store.delete(job):
            return False
        shutil.rmtree(self.jobs_folder / job, ignore_errors=True)
        return True

    # Retention

    @cached_property
    def largest_blob(self) -> int:
        return parse_size("serve.largest_blob", self.serve.largest_blob)

    @cached_property
    def _usage(self) -> list[tuple[float, tuple[int, int]]]:
        return []

    def usage(self) -> tuple[int, int]:
        """(uploads, bytes), a few seconds old."""
        if not self._usage or time.monotonic() - self._usage[0][0] > USAGE_AGE:
            self._usage[:] = [(time.monotonic(), self.blobs.usage())]
        return self._usage[0][1]

    def has_room(self, size: int) -> bool:
        """Whether serve.largest_state allows so many bytes more."""
        most = self.serve.largest_state
        return most is None or self.usage()[1] + size <= parse_size("serve.largest_state", most)

    def prune(self) -> None:
        """Delete what is older than it is kept; the uploads of waiting jobs stay."""
        kept = parse_age("serve.jobs_kept", self.serve.jobs_kept)
        for job in self.store.expire(kept):
            shutil.rmtree(self.jobs_folder / job, ignore_errors=True)
        self.store.forget_expired(TOMBSTONES * kept)
        if self.jobs_folder.is_dir():
            folders = [path for path in self.jobs_folder.iterdir() if path.is_dir()]
            known = self.store.known()  # after the folders were listed: a job is known before its folder is made
            for path in folders:
                if path.name not in known:
                    shutil.rmtree(path, ignore_errors=True)
        needed = self.store.blobs_needed()
        self.blobs.prune(parse_age("serve.blobs_kept", self.serve.blobs_kept), needed)


@contextlib.contextmanager
def opened(settings: Settings, workers: int) -> Iterator[Service]:
    """The service of a state folder, which no other server has meanwhile. UserError where it cannot be used."""
    state = Path(settings.serve.state).absolute()
    with contextlib.ExitStack() as stack:
        try:
            state.mkdir(parents=True, exist_ok=True, mode=0o700)
            stack.enter_context(locked(state / "server.lock", wait=False))
            service = Service.of(settings, workers)
            service.jobs_folder.mkdir(exist_ok=True)
            shutil.rmtree(state / CHECKED, ignore_errors=True)  # of a server that was killed
            service.blobs.usage()
            service.store.counts()
            service.tokens.tokens()
            _ = service.identity  # reads the weights, once
        except BlockingIOError:
            raise UserError(
                f"another server has the folder {str(state)!r}: stop it, or give serve.state=FOLDER"
            ) from None
        except sqlite3.DatabaseError as error:
            raise UserError(f"the jobs {str(state / 'jobs.sqlite')!r} cannot be read: {error}") from None
        except OSError as error:
            raise UserError(f"serve.state={settings.serve.state!r} cannot be used: {reason(error)}") from None
        try:
            yield service
        finally:
            service.store.close()


def reason(error: OSError) -> str:
    """Why a file cannot be used, in one line."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "no space left on the disk"
    return f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else "")
