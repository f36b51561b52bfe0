"""Samples of NVIDIA's auto/multiview command.

Everything is checked, and all mistakes are told together. What the original lets fail later is a mistake
here. A negative prompt, which it ignores, counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from cosmos_exp.common.errors import ValidationErrors, unknown_name
from cosmos_exp.common.guards import shortened
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
from cosmos_exp.models.transfer25.views import VIEW_KEYS

FRAMES = 29  # of a chunk
SEEDS = 2**32
MOST_GUIDANCE, MOST_GIVEN = 7, 5
OVERLAPS = (1, 5)
VIEW_OF = {key: view for view, key in VIEW_KEYS.items()}


@dataclass(frozen=True)
class ViewFiles:
    """control_path: World Scenario map. input_path: video whose first frames may be given. num_conditional_frames: of
    these, for long clips."""

    control_path: Path
    input_path: Path | None = None
    num_conditional_frames_per_view: int = 0


@dataclass(frozen=True)
class Sample:
    """One sample that passed every check; the names and defaults are those of the file. views: {view: its files} in the
    order of the network. negative_prompt: None is the model's own."""

    name: str
    prompt: str
    views: Mapping[str, ViewFiles]
    seed: int = 0
    guidance: int = 3
    num_steps: int = 35
    num_conditional_frames: int = 1
    control_weight: float = 1.0
    fps: int = 10
    enable_autoregressive: bool = False
    num_chunks: int = 2
    chunk_overlap: int = 1
    save_combined_views: bool = True
    negative_prompt: str | None = None

    def num_frames(self, chunk: int = FRAMES) -> int:
        """Of each view, of a model whose chunks have so many."""
        return chunk + (chunk - self.chunk_overlap) * (self.num_chunks - 1) if self.enable_autoregressive else chunk

    def given_frames(self) -> dict[str, int]:
        """{view: first pixel frames that are given}."""
        own = {view: files.num_conditional_frames_per_view for view, files in self.views.items()}
        if self.enable_autoregressive and any(own.values()):
            return own
        return dict.fromkeys(self.views, self.num_conditional_frames)

    def to_json(self, folder: Path) -> dict[str, Any]:
        """What the file says of it; paths relative to the file's folder where they are below it, else
        absolute."""
        scalars = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "views"}
        if self.negative_prompt is None:
            del scalars["negative_prompt"]
        views: dict[str, Any] = {}
        for view, files in self.views.items():
            entry: dict[str, Any] = {"control_path": shown(files.control_path, folder)}
            if files.input_path is not None:
                entry["input_path"] = shown(files.input_path, folder)
            if files.num_conditional_frames_per_view:
                entry["num_conditional_frames_per_view"] = files.num_conditional_frames_per_view
            views[VIEW_KEYS[view]] = entry
        return scalars | views


SCALARS: dict[str, Rule] = {
    "name": (lambda v: is_text(v) and bool(v.strip()) and "/" not in v, "a text without /"),
    "prompt": (is_text, "a text"),
    "prompt_path": (is_text, "a path"),
    "negative_prompt": (is_text, "a text"),
    "seed": whole(0, SEEDS - 1),
    "guidance": whole(0, MOST_GUIDANCE),
    "num_steps": whole(1),
    "num_conditional_frames": (lambda v: type(v) is int and v in (0, *OVERLAPS), "0, 1 or 5"),
    "control_weight": (lambda v: type(v) in (int, float) and 0 < v <= 1, "a number above 0, at most 1"),
    "fps": whole(1),
    "enable_autoregressive": (lambda v: isinstance(v, bool), "true or false"),
    "num_chunks": whole(1),
    "chunk_overlap": (lambda v: type(v) is int and v in OVERLAPS, "1 or 5"),
    "save_combined_views": (lambda v: isinstance(v, bool), "true or false"),
}
OF_VIEW: dict[str, Rule] = {
    "control_path": (is_text, "a path"),
    "input_path": (is_text, "a path"),
    "num_conditional_frames_per_view": whole(0, MOST_GIVEN),
}
TEXTS = ("prompt", "prompt_path", "negative_prompt")
FILES = ("prompt_path", "prompt")  # that are no fields of Sample as they stand
SETTABLE = tuple(key for key in SCALARS if key not in ("name", *FILES))
"""What the original's command line may give in place of the file's values."""


def read_sample(values: Any, folder: Path, problems: list[str]) -> Sample | None:
    """None where there is a problem."""
    if not isinstance(values, dict):
        problems.append(f"a sample is an object, not {shortened(values)}")
        return None
    values = without_nulls(values, (*TEXTS, *VIEW_OF))
    problems += wrong_keys(values, SCALARS, VIEW_OF)
    if "name" not in values:
        problems.append("name is missing")
    views = {view: _view(key, values[key], folder, problems) for view, key in VIEW_KEYS.items() if key in values}
    prompt = prompt_of(values, folder, problems)
    if problems:
        return None
    active = {view: files for view, files in views.items() if files}
    scalars = {key: values[key] for key in SCALARS if key in values and key not in FILES}
    sample = Sample(prompt=prompt, views=active, **scalars)
    problems += rules(sample)
    return None if problems else sample


def _view(key: str, values: Any, folder: Path, problems: list[str]) -> ViewFiles | None:
    """None where the view is not active, or has a problem."""
    if not isinstance(values, dict):
        problems.append(f"{key} is {shortened(values)}: needed are keys of a view")
        return None
    values = without_nulls(values, ("control_path", "input_path"))
    problems += [f"{key}: {unknown_name('key', name, OF_VIEW)}" for name in values if name not in OF_VIEW]
    mistakes = list(wrong(values, OF_VIEW, f"{key}."))
    problems += mistakes
    if mistakes or "control_path" not in values:
        return None
    paths = {name: folder / values[name] for name in ("control_path", "input_path") if name in values}
    problems += missing({f"{key}.{name}": path for name, path in paths.items()})
    given = values.get("num_conditional_frames_per_view", 0)
    return ViewFiles(paths["control_path"], paths.get("input_path"), given)


def rules(sample: Sample) -> Iterator[str]:
    """What is wrong between keys."""
    if not sample.views:
        yield f"no view has a control_path: give one to one or more of {', '.join(VIEW_KEYS.values())}"
    own = {view: files.num_conditional_frames_per_view for view, files in sample.views.items()}
    if sample.enable_autoregressive:
        if any(n not in (0, *OVERLAPS) for n in own.values()) or (any(own.values()) and not all(own.values())):
            listed = ", ".join(f"{VIEW_KEYS[view]} {n}" for view, n in own.items())
            yield f"num_conditional_frames_per_view of a long clip: all 0, or each 1 or 5; given are {listed}"
    elif any(own.values()):
        yield "num_conditional_frames_per_view goes with enable_autoregressive; give num_conditional_frames"
    given = sample.given_frames()
    for view, files in sample.views.items():
        if given[view] and files.input_path is None:
            yield f"{VIEW_KEYS[view]}.input_path is missing: its first {given[view]} frames are given"


def with_values(sample: Sample, **values: Any) -> Sample:
    """The same with other values, checked; as the options of the original's command line override every sample."""
    problems = [
        *(unknown_name("key", key, SETTABLE) for key in values if key not in SETTABLE),
        *wrong(values, SCALARS),
    ]
    if not problems:
        sample = replace(sample, **values)
        problems += rules(sample)
    if problems:
        raise ValidationErrors(problems)
    return sample
