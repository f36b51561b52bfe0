"""The videos of many clips and cameras: one job each, in this process or in several."""

from __future__ import annotations

import multiprocessing
import multiprocessing.sharedctypes
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

from cosmos_exp.common.errors import UserError
from cosmos_exp.render.clips.videos import (
    ClipRenderer,
    VideoSettings,
    wanted_videos,
    write_camera_videos,
    write_pictures,
)
from cosmos_exp.scene.rds_hq.clip import RdsHqClip

SECONDS_BETWEEN_TICKS = 0.2
Tick = Callable[[int], None]  # frames drawn since the last call


@dataclass(frozen=True)
class Workshop:
    """What all jobs have in common. pictures: PNGs in place of videos, of `frames`, or of all that videos would have.

    default_ftheta: tar of f-theta intrinsics for clips without.
    """

    root: Path
    out: Path
    settings: VideoSettings
    pictures: bool = False
    frames: tuple[int, ...] | None = None
    default_ftheta: Path | None = None

    def renderer(self, clip_id: str) -> ClipRenderer:
        return ClipRenderer(RdsHqClip(self.root, clip_id, default_ftheta=self.default_ftheta), self.settings)


@dataclass(frozen=True)
class Job:
    """All videos, or pictures, of one camera. frames: how many will be drawn."""

    clip_id: str
    kind: str
    camera: str
    frames: int


@dataclass(frozen=True)
class Outcome:
    """files: that were written. error: why it failed, in one message. notes: what was tolerated in the clip so far."""

    clip_id: str
    kind: str = ""
    camera: str = ""
    files: tuple[Path, ...] = ()
    error: str | None = None
    notes: tuple[str, ...] = ()


def plan(shop: Workshop, clip_ids: Iterable[str], kinds: Sequence[str]) -> tuple[list[Job], list[Outcome]]:
    """The jobs of the clips, and what already failed or was noted. LiDAR only of clips that have some."""
    jobs: list[Job] = []
    outcomes: list[Outcome] = []
    for clip_id in clip_ids:
        try:
            renderer = shop.renderer(clip_id)
            made = [kind for kind in kinds if kind != "lidar" or renderer.clip.lidar_frames()]
            new = [_job(shop, renderer, kind, camera) for camera in shop.settings.dataset.cameras for kind in made]
        except (UserError, OSError) as error:
            outcomes.append(Outcome(clip_id, error=str(error)))
            continue
        jobs += sorted((job for job in new if job.frames), key=lambda job: kinds.index(job.kind))
        outcomes.append(Outcome(clip_id, notes=_notes(renderer, kinds, made)))
    return jobs, outcomes


def _job(shop: Workshop, renderer: ClipRenderer, kind: str, camera: str) -> Job:
    if shop.pictures:
        frames = len(renderer.frames if shop.frames is None else shop.frames)
    else:
        videos = wanted_videos(renderer, kind, camera, shop.out)
        frames = len({position for chunk in videos.values() for position in chunk})
    return Job(renderer.clip.clip_id, kind, camera, frames)


def _notes(renderer: ClipRenderer, kinds: Sequence[str], made: Sequence[str]) -> tuple[str, ...]:
    absent = ["no lidar_raw: no LiDAR videos"] if "lidar" in kinds and "lidar" not in made else []
    return (*renderer.clip.notes, *absent)


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_jobs(
    shop: Workshop, jobs: Sequence[Job], *, workers: int = 1, tick: Tick = lambda frames: None
) -> Iterator[Outcome]:
    """Do every job; one that fails leaves the others alone. Jobs of a clip should stand together: it is read once.

    Processes are started by the call itself, before the first outcome is asked for.
    """
    workers = max(1, min(workers, len(jobs)))
    shop = _sharing_cores(shop, workers)
    return _in_processes(shop, jobs, workers, tick) if workers > 1 else _in_this_process(shop, jobs, tick)


class Bench:
    """Does jobs one after the other and keeps the clip of the last one open."""

    def __init__(self, shop: Workshop):
        self.shop = shop
        self._open: tuple[str, ClipRenderer] | None = None

    def renderer(self, clip_id: str) -> ClipRenderer:
        if self._open is None or self._open[0] != clip_id:
            self._open = None
            self._open = (clip_id, self.shop.renderer(clip_id))
        return self._open[1]

    def do(self, job: Job, tick: Tick) -> Outcome:
        try:
            files = tuple(self._make(job, tick))
        except (UserError, OSError) as error:
            return Outcome(job.clip_id, job.kind, job.camera, error=str(error))
        notes = tuple(self.renderer(job.clip_id).clip.notes)
        return Outcome(job.clip_id, job.kind, job.camera, files, notes=notes)

    def _make(self, job: Job, tick: Tick) -> Iterator[Path]:
        renderer, out = self.renderer(job.clip_id), self.shop.out
        if not self.shop.pictures:
            yield from write_camera_videos(renderer, job.kind, job.camera, out, lambda: tick(1))
            return
        frames = renderer.frames if self.shop.frames is None else self.shop.frames
        for files in write_pictures(renderer, job.kind, job.camera, out, frames):
            yield from files
            tick(1)


def _in_this_process(shop: Workshop, jobs: Sequence[Job], tick: Tick) -> Iterator[Outcome]:
    bench = Bench(shop)
    for job in jobs:
        yield bench.do(job, tick)


_bench: Bench
_drawn: multiprocessing.sharedctypes.Synchronized


def _start(shop: Workshop, drawn: multiprocessing.sharedctypes.Synchronized) -> None:
    global _bench, _drawn
    _bench, _drawn = Bench(shop), drawn


def _count(frames: int) -> None:
    with _drawn.get_lock():
        _drawn.value += frames


def _do(job: Job) -> Outcome:
    return _bench.do(job, _count)


def _in_processes(shop: Workshop, jobs: Sequence[Job], workers: int, tick: Tick) -> Iterator[Outcome]:
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    drawn = context.Value("q", 0)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(shop, drawn))
    pending = {pool.submit(_do, job): job for job in jobs}
    return _collected(pool, pending, drawn, tick)


def _sharing_cores(shop: Workshop, workers: int) -> Workshop:
    """Encoder threads: one where the processes fill the cores; else twice the cores, as its threads wait a lot."""
    threads = 1 if workers >= usable_cores() else 2 * usable_cores() // workers
    encoding = replace(shop.settings.encoding, threads=shop.settings.encoding.threads or threads)
    return replace(shop, settings=replace(shop.settings, encoding=encoding))


def _collected(
    pool: ProcessPoolExecutor,
    pending: dict[Future[Outcome], Job],
    drawn: multiprocessing.sharedctypes.Synchronized,
    tick: Tick,
) -> Iterator[Outcome]:
    told = 0
    try:
        while pending:
            done, _ = wait(pending, timeout=SECONDS_BETWEEN_TICKS, return_when=FIRST_COMPLETED)
            count = drawn.value
            tick(count - told)
            told = count
            for future in done:
                yield _result(pending.pop(future), future)
    finally:
        pool.shutdown(cancel_futures=True)


def _result(job: Job, future: Future[Outcome]) -> Outcome:
    try:
        return future.result()
    except BrokenProcessPool:
        reason = "its process ended early; was it killed for want of memory?"
        return Outcome(job.clip_id, job.kind, job.camera, error=reason)
