"""Sample files of NVIDIA's auto/multiview command: one JSON object, or one per line of a .jsonl file.

Everything is checked, and all mistakes of a file are told together. What the original lets fail later is a mistake
here. A negative prompt, which it ignores, counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from cosmos_exp.common.errors import UserError, ValidationErrors, attempt, repeated, unknown_name
from cosmos_exp.common.files import write_bytes
from cosmos_exp.common.guards import CAPTION_BYTES, parse_json, read_bytes, shortened
from cosmos_exp.common.input_files import did_you_mean
from cosmos_exp.models.transfer25.views import VIEW_KEYS

ENDINGS = (".json", ".jsonl")
FRAMES = 29  # of a chunk
SEEDS = 2**32
MOST_GUIDANCE, MOST_GIVEN = 7, 5
OVERLAPS = (1, 5)
VIEW_OF = {key: view for view, key in VIEW_KEYS.items()}
FILE_BYTES = 4 * CAPTION_BYTES


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
            entry: dict[str, Any] = {"control_path": _shown(files.control_path, folder)}
            if files.input_path is not None:
                entry["input_path"] = _shown(files.input_path, folder)
            if files.num_conditional_frames_per_view:
                entry["num_conditional_frames_per_view"] = files.num_conditional_frames_per_view
            views[VIEW_KEYS[view]] = entry
        return scalars | views


def write_samples(path: Path, samples: Sequence[Sample]) -> None:
    """A .json file of one sample, or a .jsonl file of any number; written atomically."""
    path = Path(path)
    _check_ending(path)
    if path.suffix == ".json" and len(samples) != 1:
        raise UserError(f"{path}: a .json file has one sample, not {len(samples)}; name it {path.stem}.jsonl")
    entries = [sample.to_json(path.parent) for sample in samples]
    indent = 2 if path.suffix == ".json" else None
    lines = [json.dumps(entry, indent=indent, ensure_ascii=False) + "\n" for entry in entries]
    write_bytes(path, "".join(lines).encode())


def read_samples(paths: Sequence[Path]) -> list[Sample]:
    """Of all files, in their order. Paths in a file are relative to its folder.

    ValidationErrors with every mistake: unknown keys, wrong types and ranges, files that do not exist, names that two
    samples have.
    """
    samples, problems = [], []
    for path in map(Path, paths):
        objects, errors = attempt(partial(_objects, path))
        problems += errors
        for place, text in objects or ():
            values, found = attempt(partial(parse_json, text, place))
            problems += found
            if found:
                continue
            sample = _sample(values, path.parent, found)
            problems += [f"{place}: {problem}" for problem in found]
            samples += [sample] if sample else []
    problems += repeated("name", [sample.name for sample in samples])
    if problems:
        raise ValidationErrors(problems)
    return samples


def _objects(path: Path) -> list[tuple[str, str]]:
    """(place, text) of each sample of a file."""
    _check_ending(path)
    try:
        text = read_bytes("samples", path, FILE_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"no file of samples {str(path)!r}{did_you_mean(path)}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error}") from None
    if path.suffix == ".json":
        return [(str(path), text)]
    lines = [(f"{path}:{number}", line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise UserError(f"{path} has no samples: write one object in each line")
    return lines


def _check_ending(path: Path) -> None:
    if path.suffix not in ENDINGS:
        raise UserError(f"{path}: samples are in files {' and '.join(ENDINGS)}, not {path.suffix or 'without ending'}")


Rule = tuple[Callable[[Any], bool], str]


def _whole(least: int, most: int | None = None) -> Rule:
    bounds = f"{least} or more" if most is None else f"{least} to {most}"
    return lambda v: type(v) is int and v >= least and (most is None or v <= most), f"a whole number, {bounds}"


def _text(value: Any) -> bool:
    return isinstance(value, str)


SCALARS: dict[str, Rule] = {
    "name": (lambda v: _text(v) and bool(v.strip()) and "/" not in v, "a text without /"),
    "prompt": (_text, "a text"),
    "prompt_path": (_text, "a path"),
    "negative_prompt": (_text, "a text"),
    "seed": _whole(0, SEEDS - 1),
    "guidance": _whole(0, MOST_GUIDANCE),
    "num_steps": _whole(1),
    "num_conditional_frames": (lambda v: type(v) is int and v in (0, *OVERLAPS), "0, 1 or 5"),
    "control_weight": (lambda v: type(v) in (int, float) and 0 < v <= 1, "a number above 0, at most 1"),
    "fps": _whole(1),
    "enable_autoregressive": (lambda v: isinstance(v, bool), "true or false"),
    "num_chunks": _whole(1),
    "chunk_overlap": (lambda v: type(v) is int and v in OVERLAPS, "1 or 5"),
    "save_combined_views": (lambda v: isinstance(v, bool), "true or false"),
}
OF_VIEW: dict[str, Rule] = {
    "control_path": (_text, "a path"),
    "input_path": (_text, "a path"),
    "num_conditional_frames_per_view": _whole(0, MOST_GIVEN),
}
FILES = ("prompt_path", "prompt")  # that are no fields of Sample as they stand
SETTABLE = tuple(key for key in SCALARS if key not in ("name", *FILES))
"""What the original's command line may give in place of the file's values."""


def _sample(values: Any, folder: Path, problems: list[str]) -> Sample | None:
    """None where there is a problem."""
    if not isinstance(values, dict):
        problems.append(f"a sample is an object, not {shortened(values)}")
        return None
    known = {**SCALARS, **dict.fromkeys(VIEW_OF)}
    problems += [unknown_name("key", key, known) for key in values if key not in known]
    problems += _wrong(values, SCALARS)
    if "name" not in values:
        problems.append("name is missing")
    views = {view: _view(key, values[key], folder, problems) for view, key in VIEW_KEYS.items() if key in values}
    prompt = _prompt(values, folder, problems)
    if problems:
        return None
    active = {view: files for view, files in views.items() if files}
    scalars = {key: values[key] for key in SCALARS if key in values and key not in FILES}
    sample = Sample(prompt=prompt, views=active, **scalars)
    problems += rules(sample)
    return None if problems else sample


def _wrong(values: Mapping[str, Any], rules: Mapping[str, Rule], prefix: str = "") -> Iterator[str]:
    for key, (is_right, needed) in rules.items():
        if key in values and not is_right(values[key]):
            yield f"{prefix}{key} is {shortened(values[key])}: needed is {needed}"


def _prompt(values: Mapping[str, Any], folder: Path, problems: list[str]) -> str:
    given, path = values.get("prompt"), values.get("prompt_path")
    if isinstance(given, str):
        text = given
    elif not isinstance(path, str):
        if "prompt" not in values and "prompt_path" not in values:  # else `_wrong` has told
            problems.append("needed is prompt, or prompt_path, the file of it")
        return ""
    elif not (folder / path).is_file():
        problems.append(f"prompt_path: no file {str(folder / path)!r}{did_you_mean(folder / path)}")
        return ""
    else:
        content, errors = attempt(lambda: read_bytes("prompt", folder / path, CAPTION_BYTES))
        problems += errors
        text = (content or b"-").decode("utf-8", "replace").strip()
    if not text.strip():
        problems.append("the prompt is empty: write what is to be seen")
    return text


def _view(key: str, values: Any, folder: Path, problems: list[str]) -> ViewFiles | None:
    """None where the view is not active, or has a problem."""
    if not isinstance(values, dict):
        problems.append(f"{key} is {shortened(values)}: needed are keys of a view")
        return None
    problems += [f"{key}: {unknown_name('key', name, OF_VIEW)}" for name in values if name not in OF_VIEW]
    wrong = list(_wrong(values, OF_VIEW, f"{key}."))
    problems += wrong
    if wrong or "control_path" not in values:
        return None
    paths = {name: folder / values[name] for name in ("control_path", "input_path") if name in values}
    problems += [
        f"{key}.{name}: no file {str(path)!r}{did_you_mean(path)}" for name, path in paths.items() if not path.is_file()
    ]
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


def _shown(path: Path, folder: Path) -> str:
    path, folder = Path(path).absolute(), Path(folder).absolute()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def with_values(sample: Sample, **values: Any) -> Sample:
    """The same with other values, checked; as the options of the original's command line override every sample."""
    problems = [
        *(unknown_name("key", key, SETTABLE) for key in values if key not in SETTABLE),
        *_wrong(values, SCALARS),
    ]
    if not problems:
        sample = replace(sample, **values)
        problems += rules(sample)
    if problems:
        raise ValidationErrors(problems)
    return sample
