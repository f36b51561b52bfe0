"""Rules of user-provided videos, weight maps, and prompts of views and regions; a part of `validate`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

from cosmos_exp.captions.config import CaptionsConfig
from cosmos_exp.captions.views import OTHER_VIEWS
from cosmos_exp.common.errors import attempt, unknown_name
from cosmos_exp.config.schema import Config
from cosmos_exp.controls import CONTROLS
from cosmos_exp.controls.area import Area
from cosmos_exp.controls.config import WeightMapConfig
from cosmos_exp.controls.user_videos import camera_file, camera_files, check_video
from cosmos_exp.models.clip_shapes import Videos
from cosmos_exp.models.contract import Contract

Frames = dict[str, int]  # that each view needs of a file


def check_spatial(config: Config, contract: Contract, videos: Videos | None, *, drawn: bool = True) -> Iterator[str]:
    """One message per problem. videos: what the run makes; None where that is a problem already. drawn: whether
    controls that have no file are drawn from a scene."""
    views, fps = list(config.views.names), config.model.fps or contract.fps
    frames = dict.fromkeys(views, videos.multi_view.shape.frames if videos and videos.multi_view else 1)
    frames |= dict.fromkeys(views[:1], videos.single_view.shape.frames if videos else 1)
    front = {view: frames[view] for view in views[:1]}
    for name, control in config.controls.items():
        read_in = frames if name in contract.multi_view_controls else front
        if control.file is not None:
            yield from dict.fromkeys(_check_ready_video(name, Path(control.file), read_in, fps))
        elif drawn and control.weight > 0 and name in contract.controls and name not in CONTROLS:
            yield f"controls.{name}.weight={control.weight:g}: no scene draws it: give controls.{name}.file"
        yield from _check_weight_map(f"controls.{name}.weight_map", control.weight_map, read_in, fps)
    yield from _check_view_prompts(config.captions, views)
    for number, region in enumerate(config.captions.regions):
        key, area = f"captions.regions[{number}]", Area.of(region)
        if not region.prompt.strip():
            yield f"{key}.prompt is empty: write what is to be seen there"
        if area.is_whole:
            yield f"{key} is everywhere: say where, with classes, box or mask"
        yield from _check_area(key, area, front, fps)


def _check_ready_video(name: str, path: Path, frames: Frames, fps: float) -> Iterator[str]:
    views = list(frames)
    if path.is_file() and len(views) > 1:
        yield (
            f"controls.{name}.file={str(path)!r} is one video, of {views[0]}, and all views read {name}: give a folder "
            "with a video for each camera, or views=single"
        )
    for view in views[:1] if path.is_file() else views:
        files, errors = attempt(partial(camera_files, path, view))
        if files and len(files) == 1:  # of several, the clip's name decides, which is not known yet
            errors = attempt(partial(check_video, files[0], frames[view], fps))[1]
        yield from (f"controls.{name}.file: {error}" for error in errors)


def _check_weight_map(key: str, weight_map: WeightMapConfig, frames: Frames, fps: float) -> Iterator[str]:
    area = Area.of(weight_map)
    for side, usual in (("inside", 1), ("outside", 0)):
        if not 0 <= getattr(weight_map, side) < math.inf:
            yield f"{key}.{side}={getattr(weight_map, side):g}: a weight is 0 or more"
        elif area.is_whole and getattr(weight_map, side) != usual:
            value = f"{key}.{side}={getattr(weight_map, side):g}"
            yield f"{value} has no effect without an area: give {key}.classes, .box or .mask"
    yield from _check_area(key, area, frames, fps)


def _check_area(key: str, area: Area, frames: Frames, fps: float) -> Iterator[str]:
    """frames: of the views that the area is drawn in where its mask is a folder; a single file is the first one's."""
    yield from (f"{key}: {problem}" for problem in area.problems())
    if area.mask is not None:
        from cosmos_exp.models.dit.map_files import check_map

        views = list(frames) if area.mask.is_dir() else list(frames)[:1]
        for view in views:
            path, errors = attempt(partial(camera_file, area.mask, view))
            errors = attempt(partial(check_map, path, frames[view], fps))[1] if path else errors
            yield from (f"{key}.mask: {error}" for error in errors)


def _check_view_prompts(captions: CaptionsConfig, views: list[str]) -> Iterator[str]:
    for view, text in asdict(captions.view_prompts).items():
        if text is not None and view not in views:
            yield f"captions.view_prompts: {unknown_name('view of this run', view, views)}"
        elif text is not None and not text.strip():
            yield f"captions.view_prompts.{view} is empty: write a sentence, or leave the view out"
    if captions.other_views not in OTHER_VIEWS:
        yield f"captions.other_views: {unknown_name('text of other views', captions.other_views, OTHER_VIEWS)}"
