"""A procedural street as a request's videos: its controls as a run draws them, and a prompt in every style."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cosmos_exp.common.cache import StageCache
from cosmos_exp.common.progress import Tick
from cosmos_exp.common.stored_arrays import load_arrays
from cosmos_exp.common.styles import STYLES
from cosmos_exp.common.video import write_video
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.config.schema import Config
from cosmos_exp.controls.config import ControlConfig, ControlsConfig
from cosmos_exp.pipeline.cached_results import Results
from cosmos_exp.pipeline.context import RunContext
from cosmos_exp.pipeline.stages import describe, make_controls, render
from cosmos_exp.remote.wire import FRONT
from cosmos_exp.scene.sources.procedural import ProceduralConfig

RGB = "rgb"
NOT_DRAWN = ("keypoint", "upscale")
"""Controls that come from files alone."""


@dataclass(frozen=True)
class SceneVideo:
    """shown: playable. exact: the same frames bit for bit."""

    shown: Path
    exact: Path


@dataclass(frozen=True)
class SceneInputs:
    """videos: {control, or rgb: its video} of the front view. prompts: {style: text}."""

    videos: dict[str, SceneVideo]
    prompts: dict[str, str]


def scene_inputs(config: Config, seed: int, folder: Path, tick: Tick = lambda done, total: None) -> SceneInputs:
    """The street of a seed, as the front camera of the server's config sees it. folder: gets the files.

    Renders lie in the stage cache, so that a second call is fast. Raises UserError for an impossible seed.
    """
    context = _drawn(_config_of(config, seed, config.views.names[:1]), tick)
    spec, front = context.spec, context.spec.model.front
    entries = {name: made[front] for name, made in context.state.controls.items() if front in made}
    read: dict[str, Callable[[], np.ndarray]] = {
        name: lambda entry=entry: load_arrays(entry)["video"]  # type: ignore[misc]
        for name, entry in entries.items()
    }
    read[RGB] = lambda: load_arrays(context.scene_renders()[front])[RGB]
    tick(3, 4)
    return SceneInputs(
        {name: _written(folder / f"{seed}_{name}", frames(), spec.fps) for name, frames in read.items()},
        context.state.prompts,
    )


def view_controls(config: Config, seed: int, names: Sequence[str], folder: Path) -> dict[str, dict[str, Path]]:
    """{control: {view: its video without loss}} of the same street, of all views that the model reads; `FRONT` stands
    for the front view as it is made alone."""
    context = _drawn(_config_of(config, seed, config.views.names))
    model, fps = context.spec.model, context.spec.fps
    found: dict[str, dict[str, Path]] = {}
    for name in names:
        videos = found[name] = {}
        for own, entry in context.state.controls[name].items():
            place = folder / f"{seed}_{name}_{own.view}_{'x'.join(map(str, own.shape))}.mp4"
            path = write_video(place, load_arrays(entry)["video"], fps, lossless=True)
            if own == model.front:
                videos[FRONT] = path
            if own == model.views.get(own.view):
                videos[own.view] = path
    return found


def _drawn(config: Config, tick: Tick = lambda done, total: None) -> RunContext:
    spec = RunSpec(config)
    context = RunContext(spec, Results(spec, StageCache(config.paths.cache)))
    for number, stage in enumerate((describe, render, make_controls)):
        tick(number, 4)
        stage(context, lambda done, total: None)
    return context


def _config_of(config: Config, seed: int, views: list[str]) -> Config:
    spec = RunSpec(config)
    controls = ControlsConfig()
    for name in spec.contract.controls:
        if name not in NOT_DRAWN:
            control: ControlConfig = replace(getattr(config.controls, name), weight=1.0, file=None)
            setattr(controls, name, control)
    return replace(
        config,
        scene=ProceduralConfig(name="procedural", source="procedural", seed=seed),
        views=replace(config.views, names=views),
        controls=controls,
        previews=replace(config.previews, names=[], controls="used"),
        captions=replace(config.captions, source="template", styles=list(STYLES), prompt=None),
        metrics=replace(config.metrics, names=[], references=False),
    )


def _written(path: Path, frames: np.ndarray, fps: float) -> SceneVideo:
    exact = write_video(path.with_name(f"{path.name}_lossless.mp4"), frames, fps, lossless=True)
    even = frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]
    return SceneVideo(write_video(path.with_name(f"{path.name}.mp4"), even, fps), exact)
