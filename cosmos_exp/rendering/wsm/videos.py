"""A clip -> one World Scenario video per camera, or pictures, frame by frame: memory does not grow with the clip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video import Encoding, VideoWriter
from cosmos_exp.rendering.clips.jobs import Job, JobResult, Tick
from cosmos_exp.rendering.clips.resample import Yuv420
from cosmos_exp.rendering.clips.videos import REFERENCE_ENCODING, write_png
from cosmos_exp.rendering.wsm.drawing import MERGE, WorldScenario
from cosmos_exp.rendering.wsm.sources import Source, chosen_cameras, open_source

SIZE = (1280, 720)
KIND = "wsm"


@dataclass(frozen=True)
class WsmContext:
    """What all jobs share. clips: {clip: folder}. cameras: None for all. images: PNGs instead of videos, of `frames` or
    of all. keep_existing: leave files alone that are there. scaled: as of `WorldScenario`."""

    clips: dict[str, Path]
    out: Path
    size: tuple[int, int] = SIZE
    cameras: tuple[str, ...] | None = None
    reference_compat: bool = False
    images: bool = False
    frames: tuple[int, ...] | None = None
    keep_existing: bool = False
    encoding: Encoding = REFERENCE_ENCODING
    default_ftheta: Path | None = None
    scaled: bool = False

    def renderer(self, clip_id: str) -> WsmRenderer:
        source = open_source(
            self.clips[clip_id], clip_id, reference_compat=self.reference_compat, default_ftheta=self.default_ftheta
        )
        return WsmRenderer(source, self.size, scaled=self.scaled)

    def with_encoder_threads(self, threads: int) -> WsmContext:
        return replace(self, encoding=replace(self.encoding, threads=self.encoding.threads or threads))

    def write(self, renderer: WsmRenderer, job: Job, tick: Tick) -> Iterator[Path]:
        if self.images:
            for frame, image in renderer.images(job.camera, self._pending_images(renderer, job.camera)):
                path = self._image_path(job.clip_id, job.camera, frame)
                path.parent.mkdir(parents=True, exist_ok=True)
                yield write_png(path, image)
                tick(1)
            return
        (width, height), path = self.size, video_path(self.out, job.clip_id, job.camera)
        planes = None if self.encoding.lossless else Yuv420(width, height, height)
        fps = renderer.source.fps
        with VideoWriter(path, width=width, height=height, fps=fps, encoding=self.encoding) as writer:
            for _, image in renderer.images(job.camera, renderer.source.frames(job.camera)):
                writer.write(planes(image) if planes else image)
                tick(1)
        yield path

    def plan(self) -> tuple[list[Job], list[JobResult]]:
        """The jobs, and failures and notes of planning."""
        jobs: list[Job] = []
        results: list[JobResult] = []
        for clip_id in self.clips:
            try:
                renderer = self.renderer(clip_id)
                cameras = chosen_cameras(renderer.source, self.cameras)
                new = [Job(clip_id, KIND, camera, self._pending(renderer, camera)) for camera in cameras]
            except (UserError, OSError) as error:
                results.append(JobResult(clip_id, error=str(error)))
                continue
            jobs += [job for job in new if job.frames]
            results.append(JobResult(clip_id, notes=tuple(renderer.notes)))
        return jobs, results

    def _pending(self, renderer: WsmRenderer, camera: str) -> int:
        """Frames that are still to be drawn."""
        if self.images:
            return len(self._pending_images(renderer, camera))
        if self.keep_existing and video_path(self.out, renderer.source.clip_id, camera).exists():
            return 0
        return len(renderer.source.frames(camera))

    def _pending_images(self, renderer: WsmRenderer, camera: str) -> list[int]:
        available = renderer.source.frames(camera)
        frames: Sequence[int] = available if self.frames is None else self.frames
        for frame in frames:
            if frame not in available:
                nearest = available[-1] if frame >= len(available) else 0
                raise UserError(f"frame {frame} is outside the clip's 0 to {available[-1]}: the nearest is {nearest}")
        clip_id = renderer.source.clip_id
        return [f for f in frames if not (self.keep_existing and self._image_path(clip_id, camera, f).exists())]

    def _image_path(self, clip_id: str, camera: str, frame: int) -> Path:
        return video_path(self.out, clip_id, camera).with_suffix("") / f"{frame:06d}.png"


class WsmRenderer:
    """Draws the frames of one clip. The map is read and prepared once, when first needed.

    samples: of a pixel, 4 or 1. scaled: as of `WorldScenario`. Raises UserError when broken or missing parts of the
    clip are read.
    """

    def __init__(self, source: Source, size: tuple[int, int] = SIZE, *, samples: int = 4, scaled: bool = False):
        self.source, self.size, self.samples, self.scaled = source, size, samples, scaled

    @property
    def notes(self) -> list[str]:
        return self.source.notes

    @cached_property
    def scenario(self) -> WorldScenario:
        compat = self.source.reference_compat
        merge = 0.0 if compat else MERGE
        return WorldScenario(
            self.source.elements(), reference_compat=compat, samples=self.samples, merge=merge, scaled=self.scaled
        )

    def images(self, camera: str, frames: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        """(frame, uint8 [H,W,3]); the array is valid until the next one."""
        frames = list(frames)
        model, poses = self.source.model(camera, self.size), self.source.poses(camera, frames)
        out = np.empty((model.height, model.width, 3), np.uint8)
        for frame in frames:
            yield frame, self.scenario.draw(model, poses[frame], self.source.boxes(frame), frame, out)


def video_path(out: Path, clip_id: str, camera: str) -> Path:
    """As the reference names it."""
    return out / clip_id / f"{clip_id}.{camera}.mp4"
