"""Samples of NVIDIA's single-view command: made without a scene, as a run of ours, and written from one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from cosmos_exp.captions.views import view_prompt
from cosmos_exp.common.cache import Entry
from cosmos_exp.common.errors import ValidationErrors, attempt
from cosmos_exp.common.stored_arrays import Arrays, load_arrays
from cosmos_exp.common.video import resize, write_video
from cosmos_exp.common.video_decoding import READING_VERSION, VideoInfo, video_info
from cosmos_exp.config.compose import compose
from cosmos_exp.config.override_text import overrides_of
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.config.schema import typed
from cosmos_exp.config.validate import check
from cosmos_exp.controls import make_control
from cosmos_exp.controls.user_videos import check_video, read_user_video
from cosmos_exp.models.base import GenerationRequest, RenderRequest
from cosmos_exp.models.clip_shapes import nearest_size
from cosmos_exp.models.registry import contract_of
from cosmos_exp.models.transfer25.general_file import PRESETS, ControlSource, GeneralSample
from cosmos_exp.pipeline.cached_results import Results
from cosmos_exp.pipeline.sample_results import STYLE, ModelCall
from cosmos_exp.rendering.types import CameraRender


@dataclass(frozen=True)
class GeneralRun:
    """A sample that passed every check. values: {option or dotted key: value} of the run that makes the same, without
    its files. cfg: that config. info: of its video."""

    sample: GeneralSample
    values: dict[str, Any]
    cfg: DictConfig
    info: VideoInfo
    notes: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        return self.values["model.num_frames"]


def planned(sample: GeneralSample, overrides: Sequence[str], config_dir: Path | None) -> GeneralRun:
    """Raises ValidationErrors with everything that is wrong with its files and the config."""
    info, problems = attempt(partial(video_info, sample.video_path))
    if info is None:
        raise ValidationErrors(f"{sample.name}: video_path: {problem}" for problem in problems)
    frames = min(info.frames, sample.max_frames or info.frames)
    files = {"video_path": sample.video_path}
    files |= {f"{name}.control_path": own.control_path for name, own in sample.controls.items() if own.control_path}
    for key, path in files.items():
        errors = attempt(partial(check_video, path, frames, info.rate))[1]
        problems += [f"{sample.name}: {key}: {error}" for error in errors]
    if sample.keep_input_resolution and (info.size[0] % 2 or info.size[1] % 2):
        size = f"{info.size[0]}x{info.size[1]}"
        problems.append(f"{sample.name}: a video of {size} does not play: give keep_input_resolution=false")
    name = "transfer25_general" if len(sample.controls) > 1 else f"transfer25_{next(iter(sample.controls))}"
    contract = contract_of(typed(compose([f"model={name}", *overrides], config_dir=config_dir)).model)
    height, width = nearest_size(contract, info.size[0] / info.size[1])
    if frames > contract.frames.most and sample.num_conditional_frames not in contract.overlaps:
        problems.append(
            f"{sample.name}: num_conditional_frames is {sample.num_conditional_frames}: its {frames} frames are "
            f"several chunks, which are continued from {' or '.join(map(str, contract.overlaps))}"
        )
    if problems:
        raise ValidationErrors(problems)
    values = dict(_values(sample, name, frames, info.rate)) | {"model.height": height, "model.width": width}
    own = [*overrides_of(values), "tracking=disabled", "previews=none", *overrides]
    cfg = compose(own, config_dir=config_dir)
    check(cfg)
    return GeneralRun(sample, values, cfg, info)


def _values(sample: GeneralSample, model: str, frames: int, fps: float) -> Iterator[tuple[str, Any]]:
    yield from {"model": model, "controls": next(iter(sample.controls)), "views": "single"}.items()
    for name, own in sample.controls.items():
        yield f"controls.{name}.weight", own.control_weight
        if name in PRESETS:
            yield f"controls.{name}.strength", own.strength
        if own.mask_path is not None:
            yield f"controls.{name}.weight_map.mask", str(own.mask_path)
    yield from {"captions.styles": [STYLE], "captions.prompt": sample.prompt, "captions.add_style": False}.items()
    if sample.negative_prompt is not None:
        yield "captions.negative_prompt", sample.negative_prompt
    yield from {"model.num_frames": frames, "model.fps": fps, "model.reference_compat": True}.items()
    if sample.num_conditional_frames:
        yield "model.overlap", sample.num_conditional_frames
    yield from {"sampler.seed": sample.seed, "sampler.guidance": float(sample.guidance)}.items()
    yield from {"sampler.num_steps": sample.num_steps, "scene.duration": float(math.ceil(frames / fps))}.items()


def run_sample(run: GeneralRun, out: Path, *, lossless: bool = False) -> list[Path]:
    """The video of a sample. Errors as of `samples.run_sample`."""
    call = ModelCall(run.cfg)
    made = call.made({"the prompt": run.sample.prompt}, partial(_request, run, call.spec))
    frames = made.front.read()
    if run.sample.keep_input_resolution:
        width, height = run.info.size
        frames = resize(frames, height, width)
    return [write_video(out / f"{run.sample.name}.mp4", frames, call.spec.fps, lossless=lossless)]


def _request(run: GeneralRun, spec: RunSpec, results: Results) -> GenerationRequest:
    sample, own = run.sample, spec.model.front
    read = partial(_read, results, own, spec.fps)
    rgb = read("render", "rgb", "rgb", sample.video_path)
    controls = {
        name: {own: read("controls", "video", name, source.control_path)}
        if source.control_path
        else {own: _made(results, own, name, source, rgb)}
        for name, source in sample.controls.items()
    }
    prompts = {STYLE: {own.view: view_prompt(own.view, sample.prompt)}}
    return GenerationRequest(sample.name, {STYLE: sample.prompt}, prompts, {own: rgb}, controls=controls)


def _read(results: Results, own: RenderRequest, fps: float, stage: str, array: str, kind: str, path: Path) -> Entry:
    def compute() -> Arrays:
        return {array: read_user_video(path, kind, **own.shape._asdict(), fps=fps)}

    config = {"sample": kind, "ready": READING_VERSION, "shape": list(own.shape)}
    return results.get(stage, config, [results.file_identity(path)], compute, size=own.shape.megapixels)


def _made(results: Results, own: RenderRequest, name: str, source: ControlSource, rgb: Entry) -> Entry:
    """A control of the input video."""

    def compute() -> Arrays:
        seen = CameraRender(own.view, np.arange(own.shape.frames), rgb=load_arrays(rgb)["rgb"])
        return {"video": make_control(name, seen, strength=source.strength)}

    config = {"control": name, "strength": source.strength}
    return results.get("controls", config, [rgb.key], compute, size=own.shape.megapixels)


def run_overrides(run: GeneralRun, folder: Path, overrides: Sequence[str]) -> list[str]:
    """See `samples.run_overrides`."""
    call = ModelCall(run.cfg)
    request, files = _request(run, call.spec, call.results), {}
    for name, videos in request.controls.items():
        (entry,) = videos.values()
        path = folder / run.sample.name / f"{name}.mp4"
        files[f"controls.{name}.file"] = str(
            write_video(path, load_arrays(entry)["video"], call.spec.fps, lossless=True)
        )
    return [*overrides_of(run.values | files), *overrides]


# Written from a run


def written(
    spec: RunSpec, request: GenerationRequest, folder: Path, names: Mapping[str, str], *, lossless: bool
) -> list[GeneralSample]:
    """A sample for each style, by its name, with its videos in `folder`."""
    config, own = spec.config, spec.model.front
    video = write_video(folder / "rgb.mp4", load_arrays(request.renders[own])["rgb"], spec.fps, lossless=lossless)
    sources = {}
    for name, videos in request.controls.items():
        control = config.controls.used[name]
        path = write_video(folder / f"{name}.mp4", load_arrays(videos[own])["video"], spec.fps, lossless=lossless)
        mask = control.weight_map.mask
        sources[name] = ControlSource(path, control.weight, Path(mask).absolute() if mask else None)
    overlap = spec.model.videos.single_view.overlap
    return [
        GeneralSample(
            names[style],
            request.prompts[style],
            video,
            sources,
            seed=config.sampler.seed,
            guidance=int(config.sampler.guidance),
            num_steps=spec.model.config.sampler.num_steps,
            num_conditional_frames=overlap,
            keep_input_resolution=False,
            negative_prompt=config.captions.negative_prompt,
        )
        for style in names
    ]


def check_written(spec: RunSpec) -> None:
    """Raises ValidationErrors with everything of the config that such a sample has no place for."""
    problems = []
    for name, control in spec.config.controls.used.items():
        rule = control.weight_map
        if rule.classes or rule.box is not None or (rule.inside, rule.outside) != (1.0, 0.0):
            problems.append(f"controls.{name}.weight_map: a sample has a file alone, as mask; leave the rest out")
    if problems:
        raise ValidationErrors(problems)


def notes_of(reference_compat: bool) -> Iterator[str]:
    """What NVIDIA's command will make otherwise than the run did."""
    if not reference_compat:
        yield (
            "the noise follows from the clip's name here, from the seed there: model.reference_compat=true makes both "
            "alike"
        )
