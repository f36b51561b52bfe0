"""A generation request of the pipeline as a request of the job API, and what it follows from.

The same function makes the request that is sent and the config of the result's cache key: in the latter the keys of the
entries stand in place of the hashes of the videos that are made of them. So whatever is sent is in the key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from cosmos_exp.common.cache import Entry
from cosmos_exp.controls.config import ControlConfig, WeightMapConfig
from cosmos_exp.controls.user_videos import camera_file, view_file
from cosmos_exp.models.base import ByRequest, GenerationRequest, VideoModel
from cosmos_exp.remote.wire import FRONT, ControlInput, Extra, JobRequest, blob_value

BlobOf = Callable[[Entry, str], str]
"""(entry, its array) -> 64 hex digits that name the video."""
FileOf = Callable[[Path], str]
"""File -> its SHA-256."""


def job_request(
    model: VideoModel,
    backend: str,
    request: GenerationRequest,
    style: str,
    blob_of: BlobOf,
    file_of: FileOf,
    *,
    reads_controls: bool = True,
) -> JobRequest:
    """One style of a request. blob_of, file_of: name the videos and files that go with it."""
    config = model.config
    several = bool(model.views)
    renders = {output: _by_view(model, request.renders, output, blob_of) for output in model.reads_renders}
    rgb = renders.pop("rgb", {})
    if model.reads_targets:
        renders["target"] = _by_view(model, request.targets[style], "rgb", blob_of)
    controls = request.controls if reads_controls else {}
    return JobRequest(
        backend=backend,
        prompt=request.prompts[style],
        seed=config.sampler.seed,
        guidance=float(config.sampler.guidance),
        num_steps=config.sampler.num_steps,
        controls={
            name: _control(model, videos, config.controls.used[name], blob_of) for name, videos in controls.items()
        },
        views=list(config.views) if several else [],
        rgb=rgb,
        extra=Extra(
            clip=request.clip,
            view_prompts=dict(request.view_prompts[style]) if several else {},
            config=dict(_values(model, file_of, controls)),
            renders=renders,
        ),
    )


def _by_view(model: VideoModel, entries: ByRequest, array: str, blob_of: BlobOf) -> dict[str, str]:
    """{view: video}; the front view under `FRONT` too, where it is made at two shapes."""
    named = {own.view: own for own in model.views.values()} or {model.front.view: model.front}
    if model.front not in named.values():
        named[FRONT] = model.front
    return {name: blob_of(entries[own], array) for name, own in named.items()}


def _control(model: VideoModel, videos: ByRequest, control: ControlConfig, blob_of: BlobOf) -> ControlInput:
    views = {own: entry for own, entry in videos.items() if model.views.get(own.view) == own}
    together = {own.view: blob_of(entry, "video") for own, entry in views.items()}
    alone = None if model.front in views else blob_of(videos[model.front], "video")
    return ControlInput(weight=float(control.weight), blobs=together, blob=alone)


def _values(model: VideoModel, file_of: FileOf, controls: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """{dotted key: value} of what has no field of its own in a request, given in full: the server may have other
    defaults."""
    config, shape, multi = model.config, model.videos.single_view.shape, model.videos.multi_view
    yield from (("model.num_frames", shape.frames), ("model.height", shape.height), ("model.width", shape.width))
    yield "model.fps", float(model.fps)
    yield "model.overlap", config.model.overlap
    yield "model.multi_view_frames", multi.shape.frames if multi else None
    sampler = config.sampler
    yield from (("sampler.sigma_max", float(sampler.sigma_max)), ("sampler.sigma_min", float(sampler.sigma_min)))
    yield "sampler.input", _file(sampler.input, file_of)
    yield from _given_frames(model, file_of)
    yield "captions.negative_prompt", config.captions.negative_prompt
    yield "captions.regions", [_region(asdict(region), config.views[0], file_of) for region in config.captions.regions]
    for name in controls:
        yield from _weight_map(f"controls.{name}.weight_map", config.controls.used[name].weight_map, model, file_of)


def _given_frames(model: VideoModel, file_of: FileOf) -> Iterator[tuple[str, Any]]:
    given, views = model.config.sampler.first_frames, model.config.views
    if given in (None, "rgb"):
        yield "sampler.first_frames", given
    else:
        yield from ((f"sampler.first_frames.{v}", _named(view_file(given, v, views), file_of)) for v in views)


def _weight_map(key: str, weight_map: WeightMapConfig, model: VideoModel, file_of: FileOf) -> Iterator[tuple[str, Any]]:
    for entry in fields(WeightMapConfig):
        value = getattr(weight_map, entry.name)
        if entry.name == "mask" and value is not None and Path(value).is_dir():
            views = model.views or [model.front.view]
            yield from ((f"{key}.mask.{view}", _named(camera_file(value, view), file_of)) for view in views)
        elif entry.name == "mask":
            yield f"{key}.mask", _file(value, file_of)
        else:
            yield f"{key}.{entry.name}", value


def _region(region: dict[str, Any], view: str, file_of: FileOf) -> dict[str, Any]:
    mask = region.pop("mask")
    return region | {"mask": None if mask is None else _named(camera_file(mask, view), file_of)}


def _file(value: str | None, file_of: FileOf) -> str | None:
    return value if value in (None, "rgb") else _named(Path(value), file_of)


def _named(path: Path, file_of: FileOf) -> str:
    return blob_value(file_of(path), path.name)
