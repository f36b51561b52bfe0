"""Request files of CARLA's Cosmos client: TOML with a prompt, the sampler's values and a table for each control.

Flat, or the same below `[controlnet_specs]`. Everything is checked before anything is sent, and all mistakes are
reported together.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from cosmos_exp.common.errors import UserError, ValidationErrors, attempt, nearest_name, unknown_name
from cosmos_exp.common.files import file_sha256
from cosmos_exp.common.guards import MIB, read_bytes, shortened
from cosmos_exp.common.input_files import existing_file
from cosmos_exp.common.video_decoding import pictures, video_info
from cosmos_exp.controls.edge import CANNY_THRESHOLDS
from cosmos_exp.controls.user_videos import RATE_TOLERANCE
from cosmos_exp.controls.vis import BLUR_PRESETS
from cosmos_exp.remote.wire import LONGEST_PROMPT
from cosmos_exp.sampling.sampler_params import MAX_STEPS, SIGMA_MAX

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TOML_BYTES = MIB
NESTED = "controlnet_specs"
INPUT = "input"
INPUT_KEY, CONTROL_KEY, WEIGHT_KEY = "input_video_path", "input_control", "control_weight"
WEIGHT_PROMPT_KEY = "control_weight_prompt"
"""What is to be found in the picture, where the control is to count: by a network that servers of Cosmos-Transfer1
have."""
MAP = ".pt"
"""Ending of a file with a control's weight over the clip, in place of a number."""
CONTROLS = ("edge", "depth", "seg", "vis")
"""In the order in which their videos are uploaded, after the input video."""
MORE_CONTROLS = ("hdmap", "lidar", "wsm", "keypoint", "upscale")
DERIVED = ("edge", "vis")
"""Controls that any server makes from the input video where they have no video of their own."""
DEFAULT_WEIGHT = 0.5
"""Of a control that is given without one, as the server of Cosmos-Transfer1 has it."""
REQUIRED = ("prompt", "negative_prompt", "guidance", "sigma_max", "num_steps", "seed")
PRESETS = {"blur_strength": tuple(BLUR_PRESETS), "canny_threshold": tuple(CANNY_THRESHOLDS)}
OTHERS = ("num_frames", "num_input_frames", "output_dir")
"""Further keys that a server knows."""
KEYS = (*REQUIRED, INPUT_KEY, *PRESETS, *OTHERS)


@dataclass(frozen=True)
class Overrides:
    """What the command line gives in place of the file's values. videos: {input or a control: path}."""

    videos: Mapping[str, Path] = field(default_factory=dict)
    seed: int | None = None


CheckMap = Callable[[Path, int], object]
"""Raises UserError where a file is no map of the weight over a clip of so many frames."""


@dataclass(frozen=True)
class VideoRequest:
    """A request that passed every check.

    name: of its file. values: flat, as a server reads them, without the files. files: {input or a control: video;
    `map_key` of a control: its weight over the clip}. notes: what was assumed, for the user.
    """

    name: str
    values: Mapping[str, Any]
    files: Mapping[str, Path]
    notes: tuple[str, ...] = ()

    @property
    def seed(self) -> int:
        return self.values["seed"]

    def with_seed(self, seed: int) -> VideoRequest:
        """The same with another seed; UserError for one that cannot be."""
        if error := SCALARS["seed"](seed):
            raise UserError(f"seed={seed}: {error}")
        return replace(self, values={**self.values, "seed": seed})

    def with_paths(self, paths: Mapping[str, str]) -> dict[str, Any]:
        """The values with the names that the server has given to the files."""
        message = {key: dict(value) if isinstance(value, dict) else value for key, value in self.values.items()}
        for name, path in paths.items():
            control, _, key = name.partition(".")
            if name == INPUT:
                message[INPUT_KEY] = path
            else:
                message[control][key or CONTROL_KEY] = path
        return message

    def digest(self) -> str:
        """SHA-256 of its values and of the contents of its files."""
        content = self.with_paths({name: file_sha256(path) for name, path in self.files.items()})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def map_key(control: str) -> str:
    """By which `VideoRequest.files` has the file of a control's weight."""
    return f"{control}.{WEIGHT_KEY}"


def read_request(
    path: Path, overrides: Overrides = Overrides(), check_map: CheckMap = lambda path, frames: None
) -> VideoRequest:
    """A request file, checked together with what the command line gives in place of its values.

    Its paths are relative to its folder, or where there is no such file, to the working directory; those of the command
    line to the working directory. Raises ValidationErrors with every mistake.
    """
    parsed = _parsed(path)
    values, told = attempt(lambda: flattened(parsed))
    if values is None:
        raise UserError(f"{path}: {told[0]}")
    checks = _Checks(path, values, overrides)
    request = VideoRequest(path.stem, checks.checked(), checks.files, tuple(checks.notes))
    errors = [*checks.errors, *_file_errors(request, check_map)]
    if errors:
        raise ValidationErrors(f"{path}: {text}" for text in (*errors, *(f"note: {note}" for note in request.notes)))
    return request


def _parsed(path: Path) -> dict[str, Any]:
    try:
        content = read_bytes("request file", path, TOML_BYTES)
    except FileNotFoundError:
        raise UserError(str(attempt(lambda: existing_file("request file", path))[1][0])) from None
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise UserError(f"{path} is not TOML: {error}") from None


def flattened(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values below `NESTED` beside those at the top. Raises UserError where both give a key."""
    flat = dict(values)
    nested = flat.pop(NESTED, {})
    if not isinstance(nested, dict):
        raise UserError(f"{NESTED}={shortened(nested)}: give a table of keys and values")
    if twice := sorted(set(nested) & set(flat)):
        raise UserError(f"{', '.join(twice)}: given at the top and below {NESTED}; give it once")
    return flat | nested


class _Checks:
    """One pass over the values of a file; what it finds is in `errors`, `notes` and `files`."""

    def __init__(self, path: Path, values: dict[str, Any], overrides: Overrides):
        self.folder = path.parent
        self.given = dict(values)
        self.overrides = overrides
        self.errors: list[str] = []
        self.notes: list[str] = []
        self.files: dict[str, Path] = {}
        self.has_input = False

    def checked(self) -> dict[str, Any]:
        """The values as they are sent, without the files."""
        if self.overrides.seed is not None:
            self.given["seed"] = self.overrides.seed
        if missing := [key for key in REQUIRED if key not in self.given]:
            self.errors.append(f"missing: {', '.join(missing)}")
        found: dict[str, Any] = {}
        input_path = self.given.pop(INPUT_KEY, "")
        self.has_input = INPUT in self.overrides.videos or input_path != ""
        for key, value in self.given.items():
            if not isinstance(value, dict):
                found[key] = value
                self._scalar(key, value)
        self._input(input_path)
        for name in dict.fromkeys((*CONTROLS, *MORE_CONTROLS, *self.given)):
            table = self.given.get(name, {})
            if isinstance(table, dict) and (name in self.given or name in self.overrides.videos):
                found[name] = self._control(name, table)
        self._sources(found)
        return found

    def _scalar(self, key: str, value: Any) -> None:
        error = SCALARS[key](value) if key in SCALARS else None
        if error:
            self.errors.append(f"{key}={shortened(value)}: {error}")
        elif key in (*CONTROLS, *MORE_CONTROLS):
            self.errors.append(f"{key}={shortened(value)}: a table, such as [{key}] with {WEIGHT_KEY} = 0.5")
        elif key not in KEYS:
            if isinstance(value, (list, tuple)) or not isinstance(value, (str, bool, int, float)):
                self.errors.append(f"{key}={shortened(value)}: a text, a number, true or false")
            else:
                self._note_unknown("key", key, (*KEYS, *CONTROLS))

    def _note_unknown(self, what: str, name: str, known: tuple[str, ...]) -> None:
        nearest = nearest_name(name, known)
        hint = f": did you mean {nearest!r}?" if nearest else ""
        self.notes.append(f"{what} {name!r} is none that is known here{hint}; it is sent as it is")

    def _input(self, given: Any) -> None:
        if INPUT in self.overrides.videos:
            self._file(INPUT, "--input-video", self.overrides.videos[INPUT], own=False)
        elif given != "":
            self._file(INPUT, INPUT_KEY, given)

    def _control(self, name: str, table: dict[str, Any]) -> dict[str, Any]:
        """The values of a table without its file."""
        if name not in (*CONTROLS, *MORE_CONTROLS):
            self.errors.append(unknown_name("control", name, (*CONTROLS, *MORE_CONTROLS)))
            return {}
        values = {key: value for key, value in table.items() if key != CONTROL_KEY}
        self._weight(name, values)
        for key, value in values.items():
            if isinstance(value, (dict, list)):
                self.errors.append(f"{name}.{key}={shortened(value)}: a text, a number, true or false")
            elif key not in (WEIGHT_KEY, WEIGHT_PROMPT_KEY):
                self._note_unknown("key", f"{name}.{key}", (f"{name}.{WEIGHT_KEY}", f"{name}.{CONTROL_KEY}"))
        if name in self.overrides.videos:
            self._file(name, f"--{name}-video", self.overrides.videos[name], own=False)
        elif table.get(CONTROL_KEY, "") != "":
            self._file(name, f"{name}.{CONTROL_KEY}", table[CONTROL_KEY])
        return values

    def _weight(self, name: str, values: dict[str, Any]) -> None:
        """A number, or the file of a map, which is left out of the values."""
        given = values.get(WEIGHT_KEY)
        if WEIGHT_KEY not in values:
            self._default_weight(name, values)
        elif isinstance(given, str) and given.endswith(MAP):
            self._file(map_key(name), map_key(name), values.pop(WEIGHT_KEY))
        elif error := _number(0.0)(given):
            self.errors.append(f"{map_key(name)}={shortened(given)}: {error}, or a file {MAP}")
        if not isinstance(prompt := values.get(WEIGHT_PROMPT_KEY, "-"), str) or not prompt.strip():
            self.errors.append(f"{name}.{WEIGHT_PROMPT_KEY}={shortened(prompt)}: a text that is not empty")

    def _default_weight(self, name: str, values: dict[str, Any]) -> None:
        """Of a control of the command line alone; a table states its own."""
        if name in self.given:
            self.errors.append(f"missing: {name}.{WEIGHT_KEY}")
        else:
            self.notes.append(f"the file has no table [{name}]: --{name}-video has the weight {DEFAULT_WEIGHT:g}")
        values[WEIGHT_KEY] = DEFAULT_WEIGHT

    def _file(self, name: str, key: str, given: Any, *, own: bool = True) -> None:
        if not isinstance(given, (str, Path)):
            self.errors.append(f"{key}={shortened(given)}: a path of a video")
            return
        path = Path(given).expanduser()
        beside = self.folder / path
        found, errors = attempt(
            lambda: existing_file(key, beside if own and (beside.exists() or not path.exists()) else path)
        )
        self.errors += errors
        if found:
            self.files[name] = found

    def _sources(self, found: dict[str, Any]) -> None:
        """Whether there is an input video where one is needed."""
        bare = [name for name in found if name in (*CONTROLS, *MORE_CONTROLS) and not self._names_file(name)]
        if self.has_input:
            self.notes += [
                f"{name} has no {CONTROL_KEY}: the server makes it from the input video, if it can"
                for name in bare
                if name not in DERIVED
            ]
            return
        sigma = found.get("sigma_max")
        if sigma is not None and _number(0.0, SIGMA_MAX)(sigma) is None and sigma < SIGMA_MAX:
            self.errors.append(
                f"missing: {INPUT_KEY}; sigma_max={sigma:g} starts from it, sigma_max={SIGMA_MAX:g} needs none"
            )
        self.errors += [
            f"{name}: give {CONTROL_KEY}, or {INPUT_KEY}, from which the server can make it" for name in bare
        ]

    def _names_file(self, name: str) -> bool:
        table = self.given.get(name)
        named = isinstance(table, dict) and table.get(CONTROL_KEY, "") != ""
        return named or name in self.overrides.videos


def _number(least: float, most: float = math.inf) -> Callable[[Any], str | None]:
    """What is wrong with a value that is to be a number in a range; None: nothing."""
    rule = f"a number of {least:g} to {most:g}" if most < math.inf else f"a number of {least:g} or more"

    def error(value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
            return rule
        if value > most:
            return f"{rule}; nearest is {most:g}"
        if value < least:
            return f"{rule}; nearest is {least:g}"
        return rule if math.isinf(value) else None

    return error


def _whole(least: int, most: int) -> Callable[[Any], str | None]:
    def error(value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int):
            return f"a whole number of {least} to {most}"
        if not least <= value <= most:
            return f"a whole number of {least} to {most}; nearest is {min(max(value, least), most)}"
        return None

    return error


def _prompt(least: int) -> Callable[[Any], str | None]:
    def error(value: Any) -> str | None:
        if not isinstance(value, str):
            return "a text"
        if len(value.strip()) < least:
            return "a text that is not empty"
        return f"{len(value)} characters, at most {LONGEST_PROMPT}" if len(value) > LONGEST_PROMPT else None

    return error


def _preset(name: str) -> Callable[[Any], str | None]:
    return lambda value: None if value in PRESETS[name] else unknown_name(name, value, PRESETS[name])


SCALARS: dict[str, Callable[[Any], str | None]] = {
    "prompt": _prompt(1),
    "negative_prompt": _prompt(0),
    "guidance": _number(0.0),
    "sigma_max": _number(0.0, SIGMA_MAX),
    "num_steps": _whole(1, MAX_STEPS),
    "seed": _whole(0, 2**63 - 1),
    "num_frames": _whole(1, 100_000),
    **{name: _preset(name) for name in PRESETS},
}
"""{key: what is wrong with a value of it}."""


def _file_errors(request: VideoRequest, check_map: CheckMap) -> Iterator[str]:
    """Files that do not decode, controls of other lengths or rates than the others, and maps that are none."""
    maps = {name: path for name, path in request.files.items() if name.endswith(f".{WEIGHT_KEY}")}
    lengths: dict[str, tuple[int, float]] = {}
    for name, path in request.files.items():
        if name in maps:
            continue
        length, errors = attempt(partial(_length, path))
        yield from (f"{name}: {error}" for error in errors)
        if length:
            lengths[name] = length
    sigma = request.values.get("sigma_max", 0.0)
    derives = any(name not in request.files for name in request.values if name in (*CONTROLS, *MORE_CONTROLS))
    if isinstance(sigma, (int, float)) and sigma >= SIGMA_MAX and not derives:
        lengths.pop(INPUT, None)  # nothing is made from it
    frames = {name: count for name, (count, _) in lengths.items()}
    if len(set(frames.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in frames.items())
        yield f"videos of unequal length: {listed} frames; cut them to {min(frames.values())}"
    count = request.values.get("num_frames")
    count = count if isinstance(count, int) and count > 0 else min(frames.values(), default=1)
    for name, path in maps.items():
        yield from (f"{name}: {error}" for error in attempt(partial(check_map, path, count))[1])
    rates = {name: rate for name, (_, rate) in lengths.items()}
    if rates and max(rates.values()) > (1 + RATE_TOLERANCE) * min(rates.values()):
        listed = ", ".join(f"{name} {rate:g}" for name, rate in rates.items())
        yield f"videos of unequal rate: {listed} frames per second; give all the same"


def _length(path: Path) -> tuple[int, float]:
    """Frames and frame rate in Hz of a video, of which every frame was decoded."""
    rate = video_info(path, 1).rate
    return sum(1 for _ in pictures(path)), rate
