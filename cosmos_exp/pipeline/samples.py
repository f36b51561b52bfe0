"""Samples of NVIDIA's commands: made without a scene, as a run of ours, and written from one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from cosmos_exp.captions.views import view_prompt
from cosmos_exp.common.cache import Entry, StageCache
from cosmos_exp.common.errors import UserError, ValidationErrors, attempt
from cosmos_exp.common.files import write_bytes
from cosmos_exp.common.stored_arrays import Arrays, load_arrays
from cosmos_exp.common.video import compose_grid, write_video
from cosmos_exp.common.video_decoding import READING_VERSION
from cosmos_exp.config.compose import compose
from cosmos_exp.config.override_text import overrides_of
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.config.schema import typed
from cosmos_exp.config.validate import check
from cosmos_exp.models.base import ByRequest, GenerationRequest, RenderRequest
from cosmos_exp.models.registry import contract_of
from cosmos_exp.models.transfer25.general_file import GeneralSample
from cosmos_exp.models.transfer25.sample_config import (
    CONTROL,
    MODEL,
    check_place,
    family_of,
    notes_of,
    run_values,
    sample_of,
)
from cosmos_exp.models.transfer25.sample_json import write_samples
from cosmos_exp.models.transfer25.sample_videos import SampleVideo, SampleVideos, read_frames, sample_videos
from cosmos_exp.models.transfer25.samples import AnySample
from cosmos_exp.models.transfer25.spec_file import Sample, ViewFiles
from cosmos_exp.models.transfer25.views import VIEW_KEYS
from cosmos_exp.pipeline import general_samples
from cosmos_exp.pipeline.api import ProgressBars
from cosmos_exp.pipeline.cached_results import Results
from cosmos_exp.pipeline.context import RunContext
from cosmos_exp.pipeline.general_samples import GeneralRun
from cosmos_exp.pipeline.sample_results import STYLE, ModelCall
from cosmos_exp.pipeline.stages import run_stages

COLUMNS = 3
"""Of NVIDIA's picture of all views, which has as many rows."""
AFTER_CONTROLS = ("videos", "filter", "generate", "metrics")


@dataclass(frozen=True)
class SampleRun:
    """A sample that passed every check, with the config that makes it. overrides: of that config."""

    sample: Sample
    videos: SampleVideos
    cfg: DictConfig
    chunk: int

    @property
    def notes(self) -> tuple[str, ...]:
        return self.videos.notes


AnyRun = SampleRun | GeneralRun


def planned(samples: Sequence[AnySample], overrides: Sequence[str], config_dir: Path | None = None) -> list[AnyRun]:
    """overrides: further ones, such as model.weights. Raises ValidationErrors with the mistakes of all samples."""
    runs, errors = list[AnyRun](), list[str]()
    for sample in samples:
        run, told = attempt(partial(_planned, sample, overrides, config_dir))
        runs += [run] if run else []
        errors += told
    if errors:
        raise ValidationErrors(dict.fromkeys(errors))
    return runs


def _planned(sample: AnySample, overrides: Sequence[str], config_dir: Path | None) -> AnyRun:
    if isinstance(sample, GeneralSample):
        return general_samples.planned(sample, overrides, config_dir)
    model = typed(compose([f"model={MODEL}", *overrides], config_dir=config_dir)).model
    chunk = contract_of(model).frames.most
    videos = sample_videos(sample, chunk)
    own = [*overrides_of(run_values(videos.sample, chunk)), "tracking=disabled", "previews=none", *overrides]
    cfg = compose(own, config_dir=config_dir)
    family_of(RunSpec(check(cfg)).model, cfg.model.name)
    return SampleRun(videos.sample, videos, cfg, chunk)


# Made without a scene


def run_sample(run: AnyRun, out: Path, *, lossless: bool = False) -> list[Path]:
    """The videos of a sample as the original names them, and `<name>.json`, what they were made of.

    Raises Blocked where a guard stops it, UserError where the memory is too small or a file turns out to be damaged.
    """
    if isinstance(run, GeneralRun):
        files = general_samples.run_sample(run, out, lossless=lossless)
    else:
        files = _run_views(run, out, lossless=lossless)
    write_bytes(out / f"{run.sample.name}.json", (json.dumps(run.sample.to_json(out), indent=2) + "\n").encode())
    return files


def _run_views(run: SampleRun, out: Path, *, lossless: bool) -> list[Path]:
    sample, call = run.sample, ModelCall(run.cfg)
    made = call.made({"the prompt": sample.prompt}, partial(_request, run, call.spec))
    videos = {view: (made.views.get(view) or made.front).read() for view in sample.views}
    fps = call.spec.fps
    return [write_video(out / name, frames, fps, lossless=lossless) for name, frames in _named(sample, videos)]


def _named(sample: Sample, videos: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """(file name, uint8 [F,H,W,3]): all views one after another; or each, and all in one picture."""
    if sample.save_combined_views:
        yield f"{sample.name}.mp4", np.concatenate(list(videos.values()))
        return
    yield from ((f"{sample.name}_{VIEW_KEYS[view]}.mp4", frames) for view, frames in videos.items())
    tiles = [*videos, *[None] * (COLUMNS * COLUMNS - len(videos))]
    rows = [tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)]
    yield f"{sample.name}_grid.mp4", compose_grid(videos, rows=rows)


def _request(run: SampleRun, spec: RunSpec, results: Results) -> GenerationRequest:
    sample, model = run.sample, spec.model
    requests = {own.view: own for own in model.render_requests}

    def read(stage: str, name: str, video: SampleVideo, own: RenderRequest) -> Entry:
        shape = own.shape._replace(frames=min(own.shape.frames, video.frames))

        def compute() -> Arrays:
            return {name: read_frames(video, *shape)}

        config = {"sample": name, "ready": READING_VERSION, "step": video.step, "shape": list(shape)}
        return results.get(stage, config, [results.file_identity(video.path)], compute, size=shape.megapixels)

    controls: ByRequest = {
        requests[view]: read("controls", "video", video, requests[view]) for view, video in run.videos.controls.items()
    }
    inputs: ByRequest = {
        requests[view]: read("render", "rgb", video, requests[view]) for view, video in run.videos.inputs.items()
    }
    return GenerationRequest(
        clip=sample.name,
        prompts={STYLE: sample.prompt},
        view_prompts={STYLE: {view: view_prompt(view, sample.prompt) for view in sample.views}},
        renders=inputs,
        controls={CONTROL: controls},
    )


# As a run


def run_overrides(run: AnyRun, folder: Path, overrides: Sequence[str]) -> list[str]:
    """Overrides of a run that makes the same videos, beside the scene that it renders. overrides: further ones.

    folder: gets the sample's control videos and given frames as the model reads them, exact to the bit.
    """
    if isinstance(run, GeneralRun):
        return general_samples.run_overrides(run, folder, overrides)
    height, width = RunSpec(typed(run.cfg)).model.front.shape[1:]
    frames, fps = run.sample.num_frames(run.chunk), run.sample.fps
    places = folder / run.sample.name / CONTROL, folder / run.sample.name / "given"
    for place, videos in zip(places, (run.videos.controls, run.videos.inputs)):
        for view, video in videos.items():
            read = read_frames(video, min(frames, video.frames), height, width)
            write_video(place / f"{view}.mp4", read, fps, lossless=True)
    return [*overrides_of(run_values(run.sample, run.chunk, places)), *overrides]


# Written from a run


def written(cfg: DictConfig, path: Path, *, styles: Sequence[str] = (), lossless: bool = False) -> list[str]:
    """Write a file of a sample for each style of a run, and beside it a folder with its videos; what is to be told.

    cfg: of the run, whose scene is rendered where its controls are not in the cache. path: .json for one style, .jsonl.
    styles: which; empty: all. lossless: videos exact to the bit. Raises ValidationErrors with everything that samples
    have no place for.
    """
    spec = RunSpec(check(cfg))
    model = family_of(spec.model, cfg.model.name)
    if spec.chooses:
        raise UserError(f"sampler.best_of={cfg.sampler.best_of}: a sample has one seed; give 1")
    wanted = tuple(styles) or spec.styles
    if path.suffix == ".json" and len(wanted) > 1:
        raise UserError(f"{path}: a .json file has one sample, of one style; name one, or the file {path.stem}.jsonl")
    several = CONTROL in spec.contract.controls
    check_place(model)  # before anything is rendered
    if several:
        sample_of(model, "sample", "clip", "prompt")
    else:
        general_samples.check_written(spec)
    results = Results(spec, StageCache(spec.config.paths.cache), reporter=ProgressBars())
    context = RunContext(spec, results)
    run_stages(context, without=AFTER_CONTROLS)
    request, folder = context.generation_request(), path.with_suffix("")
    names = {style: f"{request.clip}_{style}".replace(" ", "_").replace("/", "_") for style in wanted}
    if not several:
        write_samples(path, general_samples.written(spec, request, folder, names, lossless=lossless))
        return list(general_samples.notes_of(model.model_config.reference_compat))
    files = dict(_view_files(spec, request, folder, lossless=lossless))
    samples = []
    for style, name in names.items():
        sample = sample_of(model, name, request.clip, request.prompts[style])
        views = {
            view: replace(files[view], num_conditional_frames_per_view=own.num_conditional_frames_per_view)
            for view, own in sample.views.items()
        }
        samples.append(replace(sample, views=views))
    write_samples(path, samples)
    return list(notes_of(model))


def _view_files(
    spec: RunSpec, request: GenerationRequest, folder: Path, *, lossless: bool
) -> Iterator[tuple[str, ViewFiles]]:
    given = spec.config.sampler.first_frames
    for own, entry in request.controls[CONTROL].items():
        key, source = VIEW_KEYS[own.view], None
        control = write_video(folder / f"{key}_{CONTROL}.mp4", load_arrays(entry)["video"], spec.fps, lossless=lossless)
        if given == "rgb":
            rgb = load_arrays(request.renders[own])["rgb"]
            source = write_video(folder / f"{key}_rgb.mp4", rgb, spec.fps, lossless=lossless)
        elif given is not None:
            from cosmos_exp.controls.user_videos import view_file

            source = view_file(given, own.view, spec.views).absolute()
        yield own.view, ViewFiles(control, source)
