"""The stages of a run, in their order: one list for running, planning, provenance and the display of progress.

A stage reads what those before it left in `RunContext.state`, looks its own results up, and writes files where the
context has a run folder. Without one, and with results that compute nothing, the same stages are a dry run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

from cosmos_exp.captions.files import write_captions, write_prompts
from cosmos_exp.common.cache import Entry
from cosmos_exp.common.files import write_atomic, write_bytes, write_json
from cosmos_exp.common.progress import Tick, tick_of_part
from cosmos_exp.common.stored_arrays import load_arrays
from cosmos_exp.common.video import compose_grid, write_video
from cosmos_exp.models.base import GeneratedVideos, RenderRequest
from cosmos_exp.pipeline.context import RunContext
from cosmos_exp.pipeline.references import Reference
from cosmos_exp.pipeline.scene_loading import check_length
from cosmos_exp.runs.run_folder import RunFolder

log = logging.getLogger(__name__)

VIDEOS = "videos"


@dataclass(frozen=True)
class Stage:
    """name: in status.json and of its results in the cache. run: does its work; is given where to tell its progress.

    label: what the user sees, where it is more than the name. has_own: it times and shows stages of its own. needed:
    whether a run has it.
    """

    name: str
    run: Callable[[RunContext, Tick], None]
    label: str = ""
    has_own: bool = False
    needed: Callable[[RunContext], bool] = lambda context: True


def capture(context: RunContext, tick: Tick) -> None:
    """The pictures of a scene that comes with them."""
    context.scene.take_pictures(tick)


def describe(context: RunContext, tick: Tick) -> None:
    """The clip's name, its description, and the prompt of each style. UserError where the scene is too short."""
    state, prompts = context.state, context.prompts
    caption = prompts.caption()
    state.clip, state.description, state.notes = caption.clip, caption.description, caption.notes
    for note in state.notes:
        log.warning("%s", note)
    check_length(context.spec, caption.seconds, caption.notes)
    state.description = prompts.described(state.description)
    prompts.prepare(state.description, tick)
    state.prompts = prompts.of_front(state.description)
    if context.folder:
        context.require_safe_texts()
        write_captions(context.folder.captions(state.clip), state.prompts)
        _write_rewrites(context, context.folder)


def _write_rewrites(context: RunContext, folder: RunFolder) -> None:
    """How the texts of a language model came about."""
    models = context.prompts.models
    if models and models.records:
        write_json(folder.rewrites(context.state.clip), models.records)
        for name in models.by_template():
            log.warning("%s is by template: no answer of the language model was faithful", name)


def render(context: RunContext, tick: Tick) -> None:
    """All outputs in the scene's weather, and rgb in each style that metrics or model compare with."""
    spec, state = context.spec, context.state
    wanted = {spec.weather: spec.outputs} | {style: ("rgb",) for style in context.target_styles}
    requests = spec.model.render_requests
    for i, (weather, outputs) in enumerate(wanted.items()):
        state.renders[weather] = {}
        for j, request in enumerate(requests, 1):
            state.renders[weather][request] = context.renders.render(request, weather, outputs)
            tick(i * len(requests) + j, len(wanted) * len(requests))


def make_controls(context: RunContext, tick: Tick) -> None:
    """Control videos, drawn from the renders or user-provided."""
    spec, state = context.spec, context.state
    names = spec.controls
    if given := [name for name in names if spec.control_file(name)]:
        log.info("%s from files: metrics still compare with the pictures of the scene", ", ".join(given))
    for i, name in enumerate(names, 1):
        requests = spec.control_requests(name)
        state.controls[name] = {request: _control(context, name, request) for request in requests}
        tick(i, len(names))


def _control(context: RunContext, name: str, request: RenderRequest) -> Entry:
    file = context.spec.control_file(name)
    if file:
        return context.renders.user_control(name, file, request, context.state.clip)
    return context.renders.control(name, request, context.scene_renders()[request])


def encode_control_videos(context: RunContext, tick: Tick) -> None:
    """Controls and previews of every view as encoded videos."""
    spec, state, renders = context.spec, context.state, context.renders
    names = [name for name in spec.preview_names if name not in state.controls]
    files: dict[tuple[str, str], Callable[[], Entry]] = {}
    for view, request in spec.shown_requests.items():
        seen = context.scene_renders()[request]
        files |= {(view, name): partial(renders.preview_file, name, request, seen) for name in names}
        made = {name: videos[request] for name, videos in state.controls.items() if request in videos}
        files |= {(view, name): partial(renders.control_file, request, entry) for name, entry in made.items()}
    entries = context.results.together(list(files.values()), tick)
    state.shown = {view: {} for view in spec.shown_requests}
    for (view, name), entry in zip(files, entries, strict=True):
        state.shown[view][name] = entry
    if context.folder:
        _write_control_videos(context, context.folder)


def _write_control_videos(context: RunContext, folder: RunFolder) -> None:
    spec, state = context.spec, context.state
    for view, request in spec.shown_requests.items():
        for name, entry in state.shown[view].items():
            write_bytes(folder.control(name, view, state.clip), load_arrays(entry)["mp4"].tobytes())
        for name, picture in spec.model.weight_maps(request, context.renders_of_view(request)).items():
            write_video(folder.control(f"{name}_weight", view, state.clip), picture, spec.fps)


def generate(context: RunContext, tick: Tick) -> None:
    """The model's videos of every style, as the guards let them pass; the model has stages of its own."""
    for made in context.spec.model.generate(context.generation_request(), context.results):
        videos = context.guarding.guarded(made)
        context.state.made[made.style], context.state.generated[made.style] = made, videos
        if context.folder:
            with context.results.stage(VIDEOS, f"videos {videos.style}"):
                _write_generated(context, context.folder, videos)


def _write_generated(context: RunContext, folder: RunFolder, made: GeneratedVideos) -> None:
    spec, clip, style = context.spec, context.state.clip, made.style
    path = write_video(folder.single_view(clip, style), made.front.read(), spec.fps)
    write_atomic(path.with_suffix(".txt"), context.state.prompts[style].encode())
    if not made.views:
        return
    views = {view: made.views[view].read() for view in spec.views}
    for index, view in enumerate(spec.views):
        write_video(folder.view(clip, style, index), views[view], spec.fps)
    write_prompts(folder.prompt(clip, style), context.prompts.of_views(style, context.state.description))
    write_video(folder.grid(clip, style), compose_grid(views), spec.fps)


def measure(context: RunContext, tick: Tick) -> None:
    """The sanity gate, then every metric of every style, with its ceiling and floor."""
    spec, folder = context.spec, context.folder
    values: dict[str, dict[str, float]] = {}
    limits: dict[str, dict[str, Reference]] = {}
    frames: dict[str, dict[str, list[float | None]]] = {}
    for i, style in enumerate(spec.styles):
        measured = context.measured(style)
        if folder and spec.config.metrics.gate:
            measured.require_sane()
        scores = context.scores(measured, tick_of_part(tick, i, len(spec.styles)))
        if folder:
            values[style], limits[style] = scores.values(), scores.references()
            measured.write_labels(folder)
            frames[style] = measured.frame_series(context.metrics(style))
    if folder:
        write_json(folder.metrics, values)
        write_json(folder.frames, frames)
        folder.write_not_measured({style: context.not_measured(style) for style in spec.styles})
    if folder and spec.references:
        write_json(folder.references, limits)


STAGES = (
    Stage("capture", capture, needed=lambda context: context.scene.has_pictures),
    Stage("captions", describe),
    Stage("render", render),
    Stage("controls", make_controls),
    Stage(VIDEOS, encode_control_videos, "control videos"),
    Stage("generate", generate, has_own=True),
    Stage("metrics", measure),
)
"""In their order. `generate` stands for the stages of the model."""


def run_stages(context: RunContext, *, without: Collection[str] = ()) -> None:
    """All stages but those named in `without`, which nothing that runs may need."""
    for stage in STAGES:
        if stage.name in without or not stage.needed(context):
            continue
        if stage.has_own:
            stage.run(context, lambda done, total: None)
        else:
            with context.results.stage(stage.name, stage.label) as tick:
                stage.run(context, tick)
