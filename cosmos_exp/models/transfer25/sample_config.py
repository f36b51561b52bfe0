"""A sample of NVIDIA's command as the config of a run, and a run's config as such a sample."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from cosmos_exp.common.errors import UserError, ValidationErrors, attempt
from cosmos_exp.models.transfer25.spec import SEEDS, Transfer25Spec
from cosmos_exp.models.transfer25.spec_file import MOST_GUIDANCE, Sample, ViewFiles, rules

MODEL, CONTROL = "transfer25_auto_multiview", "wsm"


def run_values(sample: Sample, chunk: int, files: tuple[Path, Path] | None = None) -> dict[str, Any]:
    """{option or dotted key: value} of a run that makes the same videos of the views. chunk: frames of the model's.

    files: folders with a control video and with the given frames of each view; None: they come otherwise.
    """
    counts, frames = list(sample.given_frames().values()), sample.num_frames(chunk)
    values: dict[str, Any] = {
        "model": MODEL,
        "controls": CONTROL,
        "sensors": "nvidia_seven",
        "views.names": list(sample.views),
        "scene.duration": float(max(1, math.ceil((frames - 1) / sample.fps))),
        "captions.styles": ["Original"],
        "captions.prompt": sample.prompt,
        "captions.add_style": False,
        "controls.wsm.weight": float(sample.control_weight),
        "model.num_frames": frames,
        "model.fps": float(sample.fps),
        "model.given_frames": counts[:1] if len(set(counts)) == 1 else counts,
        "model.reference_compat": True,
        "sampler.seed": sample.seed,
        "sampler.guidance": float(sample.guidance),
        "sampler.num_steps": sample.num_steps,
    }
    if sample.negative_prompt is not None:
        values["captions.negative_prompt"] = sample.negative_prompt
    if sample.enable_autoregressive:
        values["model.overlap"] = sample.chunk_overlap
    if any(counts):
        values["sampler.first_frames"] = str(files[1]) if files else "rgb"
    if files:
        values["controls.wsm.file"] = str(files[0])
    return values


def sample_of(model: Transfer25Spec, name: str, clip: str, prompt: str) -> Sample:
    """What a run of this model samples of a clip; its views have no files yet.

    Raises ValidationErrors with everything of the config that a sample has no place for.
    """
    problems, values = list(_views_without_place(model)), dict(_values(model))
    given, errors = attempt(model.given_frames)
    problems += errors
    counts = dict(given or {})
    several = len(set(counts.values())) > 1
    shared = 0 if several else next(iter(counts.values()), 0)
    views = {view: ViewFiles(Path(), Path(), counts.get(view, 0) if several else 0) for view in model.ordered_views}
    if several or len(model.video.chunks) > 1:
        values["enable_autoregressive"] = True
    sample = Sample(name, prompt, views, num_conditional_frames=shared, **values)
    problems += [f"model.given_frames: {problem}" for problem in rules(sample)]
    chunk = model.contract.frames.most
    if sample.num_frames(chunk) != model.video.shape.frames:
        problems.append(
            f"model.num_frames={model.video.shape.frames}: a sample has {chunk} frames, or with further chunks "
            f"{chunk - model.video.overlap} more for each"
        )
    if problems:
        raise ValidationErrors(problems)
    return replace(sample, seed=model.seed(clip, model.video.chunks[0]))


def notes_of(model: Transfer25Spec) -> Iterator[str]:
    """What NVIDIA's command will make otherwise than the run did."""
    if len(model.video.chunks) > 1 and not model.model_config.reference_compat:
        yield (
            "the noise of further chunks follows from the clip's name here, from the seed there: "
            "model.reference_compat=true makes both alike"
        )
    if model.config.captions.negative_prompt is not None:
        yield "negative_prompt: NVIDIA's command ignores it and takes the model's own"


def _values(model: Transfer25Spec) -> Iterator[tuple[str, Any]]:
    sampler, video = model.config.sampler, model.video
    yield "guidance", int(sampler.guidance)
    yield "num_steps", sampler.num_steps
    yield "control_weight", float(model.weights.get(CONTROL, 0.0))
    yield "fps", round(model.fps)
    yield "num_chunks", len(video.chunks)
    yield "chunk_overlap", video.overlap or 1
    yield "negative_prompt", model.config.captions.negative_prompt


def check_place(model: Transfer25Spec) -> None:
    """Raises ValidationErrors with everything of the config that samples of no command have a place for."""
    config, own, problems = model.config, model.model_config, list[str]()
    guidance = config.sampler.guidance
    if guidance != int(guidance) or not 0 <= guidance <= MOST_GUIDANCE:
        nearest = min(max(round(guidance), 0), MOST_GUIDANCE)
        told = f"a sample has a whole number, 0 to {MOST_GUIDANCE}; nearest is {nearest}"
        problems.append(f"sampler.guidance={guidance:g}: {told}")
    if own.captions != "primary":
        problems.append(f"model.captions={own.captions}: a sample has one prompt, as it is; give primary")
    if not 0 <= config.sampler.seed < SEEDS:
        problems.append(f"sampler.seed={config.sampler.seed}: a sample has a seed of 0 to {SEEDS - 1}")
    for key in ("guidance_interval", "cache_threshold"):
        if getattr(config.speed, key):
            problems.append(f"speed.{key}: NVIDIA's command has none; leave it out")
    if problems:
        raise ValidationErrors(problems)


def _views_without_place(model: Transfer25Spec) -> Iterator[str]:
    if model.fps != round(model.fps):
        yield f"model.fps={model.fps:g}: a sample has a whole number; nearest is {round(model.fps)}"
    if CONTROL not in model.weights:
        yield f"controls.{CONTROL}.weight is 0: a sample has World Scenario maps; give controls={CONTROL}"
    if model.maps:
        yield f"controls.{CONTROL}.weight_map: a sample has one weight for all pictures; leave it out"


def family_of(model: object, name: str) -> Transfer25Spec:
    """UserError where a config's model is another than NVIDIA's command runs. name: of the model."""
    if not isinstance(model, Transfer25Spec):
        raise UserError(f"model={name}: samples are of Cosmos-Transfer2.5, such as {MODEL}")
    return model
