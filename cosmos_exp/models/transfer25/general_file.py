"""Samples of NVIDIA's single-view command: edge, blur, depth, segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from cosmos_exp.common.errors import ValidationErrors, unknown_name
from cosmos_exp.common.guards import shortened
from cosmos_exp.controls.edge import CANNY_THRESHOLDS
from cosmos_exp.controls.vis import BLUR_PRESETS
from cosmos_exp.models.transfer25 import spec_file
from cosmos_exp.models.transfer25.sample_json import (
    Rule,
    is_text,
    missing,
    prompt_of,
    shown,
    whole,
    without_nulls,
    wrong,
    wrong_keys,
)

CONTROLS = ("edge", "vis", "depth", "seg")
PRESETS = {"edge": "preset_edge_threshold", "vis": "preset_blur_strength"}
"""{control that is made of the input video: key of its strength}."""
CHUNK = 93
USUAL_STRENGTH = "medium"


@dataclass(frozen=True)
class ControlSource:
    """control_path: its video; None: it is made of the input video. mask_path: its share of the weight over the clip.
    strength: of edge and vis that are made."""

    control_path: Path | None = None
    control_weight: float = 1.0
    mask_path: Path | None = None
    strength: str = USUAL_STRENGTH


@dataclass(frozen=True)
class GeneralSample:
    """One sample that passed every check; the names and defaults are those of the file. negative_prompt: None is the
    model's own. max_frames: None is all of the video."""

    name: str
    prompt: str
    video_path: Path
    controls: Mapping[str, ControlSource]
    seed: int = 2025
    guidance: int = 3
    num_steps: int = 35
    num_conditional_frames: int = 1
    max_frames: int | None = None
    keep_input_resolution: bool = True
    negative_prompt: str | None = None

    def to_json(self, folder: Path) -> dict[str, Any]:
        """See `sample_json.Written`."""
        named = ("video_path", "controls")
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in named}
        values = {key: value for key, value in values.items() if value is not None}
        values["video_path"] = shown(self.video_path, folder)
        for control, source in self.controls.items():
            entry: dict[str, Any] = {"control_weight": source.control_weight}
            for key in ("control_path", "mask_path"):
                if (path := getattr(source, key)) is not None:
                    entry[key] = shown(path, folder)
            if control in PRESETS and source.control_path is None:
                entry[PRESETS[control]] = source.strength
            values[control] = entry
        return values


def _only(value: Any, why: str) -> Rule:
    return lambda v: v is None or (type(v) is type(value) and v == value), f"{value!r}, {why}"


NOT_OFFERED: Rule = (lambda v: v is None, "null: this is not offered here")
SCALARS: dict[str, Rule] = {
    **{key: spec_file.SCALARS[key] for key in ("name", "prompt", "prompt_path", "negative_prompt", "seed", "guidance")},
    "num_steps": spec_file.SCALARS["num_steps"],
    "num_conditional_frames": (lambda v: type(v) is int and v in (0, 1, 2), "0, 1 or 2"),
    "max_frames": (lambda v: v is None or (type(v) is int and v >= 1), "a whole number, 1 or more, or null"),
    "keep_input_resolution": (lambda v: isinstance(v, bool), "true or false"),
    "video_path": (is_text, "a path"),
    "resolution": _only("720", "the only one that the networks are for"),
    "num_video_frames_per_chunk": _only(CHUNK, "the only one that the networks are for"),
    "sigma_max": (lambda v: v is None or is_text(v) or type(v) in (int, float), "a number; it is not read"),
    "show_control_condition": _only(False, "as each video is written by itself"),
    "show_input": _only(False, "as each video is written by itself"),
    **dict.fromkeys(("image_context_path", "context_frame_index", "guided_generation_mask"), NOT_OFFERED),
    "guided_generation_foreground_labels": NOT_OFFERED,
    "guided_generation_step_threshold": whole(0),  # of the mask alone
}
SETTABLE = (*("seed", "guidance", "num_steps", "num_conditional_frames", "max_frames"),
            *("keep_input_resolution", "negative_prompt"))  # fmt: skip
"""What the original's command line may give in place of the file's values."""
OF_CONTROL: dict[str, Rule] = {
    "control_path": (lambda v: v is None or is_text(v), "a path, or null"),
    "control_weight": spec_file.SCALARS["control_weight"],
    "mask_path": (lambda v: v is None or is_text(v), "a path, or null"),
    "mask_prompt": NOT_OFFERED,
}


def read_sample(values: Any, folder: Path, problems: list[str]) -> GeneralSample | None:
    """See `sample_json.Parse`."""
    values = without_nulls(values, (*spec_file.TEXTS, *CONTROLS))
    problems += wrong_keys(values, SCALARS, CONTROLS)
    problems += [f"{key} is missing" for key in ("name", "video_path") if key not in values]
    controls = {name: _control(name, values[name], folder, problems) for name in CONTROLS if name in values}
    if not controls:
        problems.append(f"no control is given: give one or more of {', '.join(CONTROLS)}")
    prompt = prompt_of(values, folder, problems)
    video = values.get("video_path")
    if isinstance(video, str):
        problems += missing({"video_path": folder / video})
    if problems:
        return None
    sources = {name: source for name, source in controls.items() if source}
    scalars = {key: values[key] for key in SETTABLE if key in values}
    return GeneralSample(values["name"], prompt, folder / values["video_path"], sources, **scalars)


def _control(name: str, values: Any, folder: Path, problems: list[str]) -> ControlSource | None:
    if not isinstance(values, dict):
        problems.append(f"{name} is {shortened(values)}: needed are keys of a control")
        return None
    own: dict[str, Rule] = dict(OF_CONTROL)
    presets = CANNY_THRESHOLDS if name == "edge" else BLUR_PRESETS
    if name in PRESETS:
        own[PRESETS[name]] = (lambda v: is_text(v) and v in presets, f"one of {', '.join(presets)}")
    if name == "seg":
        own["control_prompt"] = (lambda v: v is None or is_text(v), "a text, or null")
    problems += [f"{name}: {unknown_name('key', key, own)}" for key in values if key not in own]
    mistakes = list(wrong(values, own, f"{name}."))
    paths = {key: folder / values[key] for key in ("control_path", "mask_path") if isinstance(values.get(key), str)}
    mistakes += missing({f"{name}.{key}": path for key, path in paths.items()})
    if "control_path" not in paths and name not in PRESETS:
        mistakes.append(f"{name}.control_path is missing: the network that makes {name} of a video is not here")
    problems += mistakes
    if mistakes:
        return None
    strength = values.get(PRESETS.get(name, ""), USUAL_STRENGTH)
    weight = float(values.get("control_weight", 1.0))
    return ControlSource(paths.get("control_path"), weight, paths.get("mask_path"), strength)


def with_values(sample: GeneralSample, **values: Any) -> GeneralSample:
    """The same with other values, checked; as the options of the original's command line override every sample."""
    problems = [unknown_name(f"key of {sample.name}", key, SETTABLE) for key in values if key not in SETTABLE]
    problems += wrong(values, SCALARS)
    if problems:
        raise ValidationErrors(problems)
    return replace(sample, **values)
