"""The videos of many clips and cameras: one job each, in this process or in several.

`run_jobs` runs those of any kind of clip; `JobContext` and `plan` are those of RDS-HQ condition videos.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.sharedctypes
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from cosmos_exp.common.cores import usable_cores
from cosmos_exp.common.errors import UserError
from cosmos_exp.rendering.clips.videos import (
    ClipRenderer,
    VideoSettings,
    pending_videos,
    write_camera_videos,
    write_images,
)
from cosmos_exp.scene.rds_hq.clip import RdsHqClip

SECONDS_BETWEEN_TICKS = 0.2
Tick = Callable[[int], None]  # frames drawn since the last call


class ClipNotes(Protocol):
    """What draws the frames of one clip. notes: irregularities of the clip that were tolerated."""

    @property
    def notes(self) -> list[str]: ...


Renderer = TypeVar("Renderer", bound=ClipNotes)


class Context(Protocol[Renderer]):
    """What jobs of one kind share, and how one is done."""

    def renderer(self, clip_id: str) -> Renderer: ...

    def with_encoder_threads(self, threads: int) -> Context[Renderer]:
        """Where the context does not say how many, encode with these."""
        ...

    def write(self, renderer: Renderer, job: Job, tick: Tick) -> Iterator[Path]:
        """The files of a job, as they are complete. tick: told of drawn frames."""
        ...


@dataclass(frozen=True)
class JobContext:
    """Settings that all jobs share. images: PNGs instead of videos, of `frames` or, by default, of every video frame.

    default_ftheta: tar of f-theta intrinsics for clips without.
    """

    root: Path
    out: Path
    settings: VideoSettings
    images: bool = False
    frames: tuple[int, ...] | None = None
    default_ftheta: Path | None = None

    def renderer(self, clip_id: str) -> ClipRenderer:
        return ClipRenderer(RdsHqClip(self.root, clip_id, default_ftheta=self.default_ftheta), self.settings)

    def with_encoder_threads(self, threads: int) -> JobContext:
        encoding = replace(self.settings.encoding, threads=self.settings.encoding.threads or threads)
        return replace(self, settings=replace(self.settings, encoding=encoding))

    def write(self, renderer: ClipRenderer, job: Job, tick: Tick) -> Iterator[Path]:
        if not self.images:
            yield from write_camera_videos(renderer, job.kind, job.camera, self.out, lambda: tick(1))
            return
        frames = renderer.frames if self.frames is None else self.frames
        for files in write_images(renderer, job.kind, job.camera, self.out, frames):
            yield from files
            tick(1)


@dataclass(frozen=True)
class Job:
    """All videos, or images, of one camera. frames: how many will be drawn."""

    clip_id: str
    kind: str
    camera: str
    frames: int


@dataclass(frozen=True)
class JobResult:
    """files: that were written. error: message of a failure. notes: irregularities of the clip that were tolerated."""

    clip_id: str
    kind: str = ""
    camera: str = ""
    files: tuple[Path, ...] = ()
    error: str | None = None
    notes: tuple[str, ...] = ()


def plan(context: JobContext, clip_ids: Iterable[str], kinds: Sequence[str]) -> tuple[list[Job], list[JobResult]]:
    """The jobs of the clips, and the failures and notes of planning. LiDAR only for clips with LiDAR."""
    jobs: list[Job] = []
    results: list[JobResult] = []
    for clip_id in clip_ids:
        try:
            renderer = context.renderer(clip_id)
            made = [kind for kind in kinds if kind != "lidar" or renderer.clip.lidar_frames()]
            cameras = context.settings.dataset.cameras
            new = [_job(context, renderer, kind, camera) for camera in cameras for kind in made]
        except (UserError, OSError) as error:
            results.append(JobResult(clip_id, error=str(error)))
            continue
        jobs += sorted((job for job in new if job.frames), key=lambda job: kinds.index(job.kind))
        results.append(JobResult(clip_id, notes=_notes(renderer, kinds, made)))
    return jobs, results


def _job(context: JobContext, renderer: ClipRenderer, kind: str, camera: str) -> Job:
    if context.images:
        frames = len(renderer.frames if context.frames is None else context.frames)
    else:
        videos = pending_videos(renderer, kind, camera, context.out)
        frames = len({position for chunk in videos.values() for position in chunk})
    return Job(renderer.clip.clip_id, kind, camera, frames)


def _notes(renderer: ClipRenderer, kinds: Sequence[str], made: Sequence[str]) -> tuple[str, ...]:
    absent = ["no lidar_raw: no LiDAR videos"] if "lidar" in kinds and "lidar" not in made else []
    return (*renderer.clip.notes, *absent)


def run_jobs(
    context: Context, jobs: Sequence[Job], *, workers: int = 1, tick: Tick = lambda frames: None
) -> Iterator[JobResult]:
    """Run every job; a failure does not affect the others. Jobs of a clip should be adjacent, so that it is read once.

    Worker processes are started by the call itself, before the first result is consumed.
    """
    workers = max(1, min(workers, len(jobs)))
    context = _with_encoder_threads(context, workers)
    return _run_in_pool(context, jobs, workers, tick) if workers > 1 else _run_serially(context, jobs, tick)


class JobRunner:
    """Runs jobs sequentially and keeps the clip of the last one open."""

    def __init__(self, context: Context):
        self.context = context
        self._open: tuple[str, Any] | None = None

    def renderer(self, clip_id: str) -> Any:
        if self._open is None or self._open[0] != clip_id:
            self._open = None
            self._open = (clip_id, self.context.renderer(clip_id))
        return self._open[1]

    def do(self, job: Job, tick: Tick) -> JobResult:
        try:
            renderer = self.renderer(job.clip_id)
            files = tuple(self.context.write(renderer, job, tick))
        except (UserError, OSError) as error:
            return JobResult(job.clip_id, job.kind, job.camera, error=str(error))
        return JobResult(job.clip_id, job.kind, job.camera, files, notes=tuple(renderer.notes))


def _run_serially(context: Context, jobs: Sequence[Job], tick: Tick) -> Iterator[JobResult]:
    runner = JobRunner(context)
    for job in jobs:
        yield runner.do(job, tick)


_runner: JobRunner
_drawn: multiprocessing.sharedctypes.Synchronized


def _start(context: Context, drawn: multiprocessing.sharedctypes.Synchronized) -> None:
    global _runner, _drawn
    _runner, _drawn = JobRunner(context), drawn


def _count(frames: int) -> None:
    with _drawn.get_lock():
        _drawn.value += frames


def _do(job: Job) -> JobResult:
    return _runner.do(job, _count)


def _run_in_pool(context: Context, jobs: Sequence[Job], workers: int, tick: Tick) -> Iterator[JobResult]:
    mp_context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    drawn = mp_context.Value("q", 0)
    pool = ProcessPoolExecutor(workers, mp_context=mp_context, initializer=_start, initargs=(context, drawn))
    pending = {pool.submit(_do, job): job for job in jobs}
    return _collect(pool, pending, drawn, tick)


def _with_encoder_threads(context: Context, workers: int) -> Context:
    """Encoder threads: one where the processes use all cores; else twice the cores in total, as they are often idle."""
    return context.with_encoder_threads(1 if workers >= usable_cores() else 2 * usable_cores() // workers)


def _collect(
    pool: ProcessPoolExecutor,
    pending: dict[Future[JobResult], Job],
    drawn: multiprocessing.sharedctypes.Synchronized,
    tick: Tick,
) -> Iterator[JobResult]:
    reported = 0
    try:
        while pending:
            done, _ = wait(pending, timeout=SECONDS_BETWEEN_TICKS, return_when=FIRST_COMPLETED)
            count = drawn.value
            tick(count - reported)
            reported = count
            for future in done:
                yield _result(pending.pop(future), future)
    finally:
        pool.shutdown(cancel_futures=True)


def _result(job: Job, future: Future[JobResult]) -> JobResult:
    try:
        return future.result()
    except BrokenProcessPool:
        reason = "its process ended early; was it killed because memory ran out?"
        return JobResult(job.clip_id, job.kind, job.camera, error=reason)
