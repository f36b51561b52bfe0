"""The videos of a sample: whether they can be read at its rate, how long they are, and their frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from cosmos_exp.common.errors import UserError, ValidationErrors, attempt
from cosmos_exp.common.video_decoding import pictures, video_info
from cosmos_exp.controls.user_videos import RATE_TOLERANCE, check_video
from cosmos_exp.models.transfer25.spec_file import Sample
from cosmos_exp.models.transfer25.views import VIEW_KEYS


@dataclass(frozen=True)
class SampleVideo:
    """A file of a view that is read. step: every so many frames one is taken. frames: that the file gives then."""

    path: Path
    step: int
    frames: int


@dataclass(frozen=True)
class SampleVideos:
    """controls, inputs: by view; inputs are those of views with given frames. sample: with as many chunks as the
    controls are long enough for. notes: what was changed."""

    sample: Sample
    controls: dict[str, SampleVideo]
    inputs: dict[str, SampleVideo]
    notes: tuple[str, ...] = ()


def sample_videos(sample: Sample, chunk: int) -> SampleVideos:
    """chunk: frames of the model's. ValidationErrors with every file that cannot be read, is too short, or whose rate
    is no multiple of the sample's or not that of the other files."""
    problems: list[str] = []
    files = {f"{VIEW_KEYS[view]}.control_path": own.control_path for view, own in sample.views.items()}
    given = {view: count for view, count in sample.given_frames().items() if count}
    files |= {f"{VIEW_KEYS[view]}.input_path": path for view in given if (path := sample.views[view].input_path)}
    found: dict[str, SampleVideo] = {}
    rates: dict[str, float] = {}
    for key, path in files.items():
        video, errors = attempt(partial(_video, path, sample.fps))
        problems += [f"{sample.name}: {key}: {error}" for error in errors]
        if video:
            found[key], rates[key] = video, video.step * sample.fps
    if len(set(rates.values())) > 1:
        listed = ", ".join(f"{key} {rate:g}" for key, rate in rates.items())
        problems.append(f"{sample.name}: its videos have different frame rates: {listed}")
    controls = {view: found[key] for view in sample.views if (key := f"{VIEW_KEYS[view]}.control_path") in found}
    inputs = {view: found[key] for view in given if (key := f"{VIEW_KEYS[view]}.input_path") in found}
    problems += _short(sample, chunk, controls, {view: (inputs[view], given[view]) for view in inputs})
    if problems:
        raise ValidationErrors(problems)
    return _clamped(SampleVideos(sample, controls, inputs), chunk)


def _video(path: Path, fps: int) -> SampleVideo:
    info = video_info(path)
    step = round(info.rate / fps)
    if not info.rate or step < 1 or abs(info.rate / fps - step) > RATE_TOLERANCE * step:
        raise UserError(
            f"{path} has {info.rate:g} frames per second, which is no multiple of fps={fps}: give an fps of which it "
            "is one, or another video"
        )
    check_video(path, info.frames, step * fps)
    return SampleVideo(path, step, 1 + (info.frames - 1) // step)


def _short(
    sample: Sample, chunk: int, controls: dict[str, SampleVideo], inputs: dict[str, tuple[SampleVideo, int]]
) -> Iterator[str]:
    for view, video in controls.items():
        if video.frames < chunk:
            key = f"{VIEW_KEYS[view]}.control_path"
            yield f"{sample.name}: {key}: {video.path} has {_counted(video, sample)}, needed are {chunk} or more"
    for view, (video, count) in inputs.items():
        if video.frames < count:
            key = f"{VIEW_KEYS[view]}.input_path"
            yield f"{sample.name}: {key}: {video.path} has {_counted(video, sample)}, of which {count} are given"


def _counted(video: SampleVideo, sample: Sample) -> str:
    return f"{video.frames} frames at {sample.fps} Hz"


def _clamped(videos: SampleVideos, chunk: int) -> SampleVideos:
    """As the original: of long clips, as many chunks as the shortest control is long enough for."""
    sample, shortest = videos.sample, min(video.frames for video in videos.controls.values())
    if sample.num_frames(chunk) <= shortest:
        return videos
    able = 1 + (shortest - chunk) // (chunk - sample.chunk_overlap)
    has = f"its videos have {shortest} frames at {sample.fps} Hz"
    notes = (f"{sample.name}: {has}, so num_chunks={sample.num_chunks} is {able}",)
    return replace(videos, sample=replace(sample, num_chunks=able), notes=notes)


def read_frames(video: SampleVideo, frames: int, height: int, width: int) -> np.ndarray:
    """The first frames, uint8 [frames,height,width,3], resized without crop or border as in the original: bilinear,
    with a wider filter where the picture is made smaller."""
    picked = islice(pictures(video.path), 0, (frames - 1) * video.step + 1, video.step)
    read = [picture.stored() for picture in picked]
    if len(read) < frames:
        raise UserError(f"{video.path} has {len(read)} frames, needed are {frames}; is it truncated?")
    return np.stack([_resized(frame, height, width) for frame in read])


def _resized(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    if frame.shape[:2] == (height, width):
        return frame
    import torch
    from torch.nn.functional import interpolate

    pixels = torch.from_numpy(frame.copy()).permute(2, 0, 1)[None]
    resized = interpolate(pixels, (height, width), mode="bilinear", antialias=True, align_corners=False)
    return resized[0].permute(1, 2, 0).contiguous().numpy()
