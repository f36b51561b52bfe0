"""Requests as clients of Cosmos-Transfer1's server send them, as requests of the job API.

A request is one JSON object: texts and numbers, and a table for each control. Files are named as the server named them
when they were uploaded; no other path is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from cosmos_exp.common.errors import UserError, ValidationErrors, attempt, unknown_name
from cosmos_exp.common.guards import parse_json, shortened
from cosmos_exp.common.video_decoding import video_info
from cosmos_exp.controls.user_videos import RATE_TOLERANCE, STRETCH_TOLERANCE
from cosmos_exp.models.contract import Contract
from cosmos_exp.remote.request_file import (
    CONTROL_KEY,
    DEFAULT_WEIGHT,
    INPUT_KEY,
    MAP,
    PRESETS,
    SCALARS,
    WEIGHT_KEY,
    WEIGHT_PROMPT_KEY,
    flattened,
)
from cosmos_exp.remote.wire import FRONT, ControlInput, Extra, JobRequest, blob_value
from cosmos_exp.sampling.sampler_params import SIGMA_MAX
from cosmos_exp.serving.job_config import control_names

UPLOADS = "uploads"
STRENGTH_KEYS = {"edge": "canny_threshold", "vis": "blur_strength"}
"""{control that is made from the input video: key of its preset}."""
KEYS = (*SCALARS, INPUT_KEY, "num_input_frames")
NO_NETWORK = "this server has no network to {what}"
INSTEAD = f"upload the control's weight at every pixel, a tensor [T,H,W] or [H,W] in a file {MAP}, as {WEIGHT_KEY}"
UPLOAD_NAME = re.compile(rf"{UPLOADS}/(?P<sha256>[0-9a-f]{{64}})/[^/]{{1,200}}")


class Blobs(Protocol):
    def path(self, sha256: str) -> Path: ...


@dataclass(frozen=True)
class Limits:
    """Of the server's model. fps: of its clips where the request's videos have no other, Hz. size: width and height of
    its pictures; None where it follows from the videos."""

    model: str
    contract: Contract
    fps: float
    size: tuple[int, int] | None


@dataclass(frozen=True)
class Translated:
    """notes: what was assumed or left out, for the client."""

    request: JobRequest
    notes: tuple[str, ...]


def upload_name(sha256: str, name: str) -> str:
    """By which clients name an uploaded file; no path of this machine."""
    safe = re.sub(r"[^\w.-]+", "_", PurePosixPath(name.replace("\\", "/")).name)[-80:].strip(".") or "file"
    return f"{UPLOADS}/{sha256}/{safe}"


def uploaded(name: Any, blobs: Blobs) -> str:
    """The SHA-256 of a file by its `upload_name`. UserError for any other path, and where it is no longer here."""
    found = UPLOAD_NAME.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        raise UserError(
            f"{shortened(name)} is no file that was uploaded here: upload it, and give the path in the answer"
        )
    if not blobs.path(found["sha256"]).is_file():
        raise UserError(f"{shortened(name)} is not here, or no longer: upload it again")
    return found["sha256"]


def parse_upstream(text: str) -> dict[str, Any]:
    """The values of a request's JSON text, flat. UserError where it is none."""
    values = parse_json(text, "the request")
    if not isinstance(values, dict):
        raise UserError(f"the request is {shortened(values)}: give a JSON object with a prompt and controls")
    return flattened(values)


def from_upstream(values: Mapping[str, Any], blobs: Blobs, limits: Limits) -> Translated:
    """A request of the front view. Raises ValidationErrors with every mistake.

    Frames are those of the videos, or as many as the key `num_frames` says: nothing is shortened unasked.
    """
    translation = _Translation(values, blobs, limits)
    request = translation.request()
    if translation.errors or request is None:
        raise ValidationErrors(translation.errors)
    return Translated(request, tuple(translation.notes))


class _Translation:
    def __init__(self, values: Mapping[str, Any], blobs: Blobs, limits: Limits):
        self.values = {key: value for key, value in values.items() if value is not None}
        self.blobs, self.limits = blobs, limits
        self.errors: list[str] = []
        self.notes: list[str] = []
        self.videos: dict[str, str] = {}  # {key: SHA-256} of those that are read
        self.config: dict[str, Any] = {}

    def request(self) -> JobRequest | None:
        controls = {key: value for key, value in self.values.items() if isinstance(value, dict)}
        for key, value in self.values.items():
            if key not in controls:
                self._scalar(key, value)
        if "prompt" not in self.values:
            self.errors.append("missing: prompt")
        own = self._input()
        starts = self._sigma(own)
        inputs = {name: self._control(name, table, own) for name, table in controls.items()}
        if own and (starts or any(control and control.derive for control in inputs.values())):
            self.videos[INPUT_KEY] = own
        else:
            own = None
        self._unused_presets(inputs)
        self._clip()
        if self.errors:
            return None
        return JobRequest(
            backend=self.limits.model,
            prompt=self.values["prompt"],
            negative_prompt=self.values.get("negative_prompt"),
            seed=self.values.get("seed"),
            guidance=self._float("guidance"),
            num_steps=self.values.get("num_steps"),
            priority="interactive",
            controls={name: control for name, control in inputs.items() if control},
            rgb={FRONT: own} if own else {},
            extra=Extra(config=self.config),
        )

    def _float(self, key: str) -> float | None:
        return float(self.values[key]) if key in self.values else None

    def _scalar(self, key: str, value: Any) -> None:
        if key in SCALARS:
            if error := SCALARS[key](value):
                self.errors.append(f"{key}={shortened(value)}: {error}")
        elif key == "num_input_frames":
            if value != 1 or isinstance(value, bool):
                self.errors.append(
                    f"{key}={shortened(value)}: a video starts from noise or from a whole video; 1 is usual"
                )
        elif key == "output_dir":
            self.errors.append(f"{key}={shortened(value)}: this server chooses where it writes; leave it out")
        elif key in control_names():
            self.errors.append(f"{key}={shortened(value)}: give an object with {WEIGHT_KEY} and {CONTROL_KEY}")
        elif key != INPUT_KEY:
            self.errors.append(unknown_name("key", key, (*KEYS, *control_names())))

    def _input(self) -> str | None:
        """SHA-256 of the input video."""
        given = self.values.get(INPUT_KEY, "")
        return self._file(INPUT_KEY, given) if given != "" else None

    def _file(self, key: str, given: Any) -> str | None:
        sha256, errors = attempt(lambda: uploaded(given, self.blobs))
        self.errors += [f"{key}: {error}" for error in errors]
        return sha256

    def _sigma(self, own: str | None) -> bool:
        """Whether the generation starts from the input video."""
        sigma = self.values.get("sigma_max")
        if sigma is None or SCALARS["sigma_max"](sigma):
            return False
        self.config["sampler.sigma_max"] = float(sigma)
        if sigma >= SIGMA_MAX:
            if own:
                self.notes.append(
                    f"sigma_max={sigma:g}: the generation starts from pure noise, not from the input video"
                )
            return False
        if INPUT_KEY not in self.values or self.values[INPUT_KEY] == "":
            self.errors.append(
                f"sigma_max={sigma:g}: below {SIGMA_MAX:g} the generation starts from a video: give {INPUT_KEY}"
            )
        self.config["sampler.input"] = "rgb"
        return True

    def _control(self, name: str, table: dict[str, Any], own: str | None) -> ControlInput | None:
        names = control_names()
        if name not in names:
            self.errors.append(unknown_name("control", name, names))
            return None
        for key in table:
            if key == WEIGHT_PROMPT_KEY:
                self.errors.append(f"{name}.{key}: {NO_NETWORK.format(what='find things in pictures')}; {INSTEAD}")
            elif key not in (WEIGHT_KEY, CONTROL_KEY):
                self.errors.append(f"{name}: {unknown_name('key', key, (WEIGHT_KEY, CONTROL_KEY))}")
        weight = self._weight(name, table.get(WEIGHT_KEY))
        if weight is None:
            return None
        given = table.get(CONTROL_KEY) or ""
        if given != "":
            sha256 = self._file(f"{name}.{CONTROL_KEY}", given)
            if sha256 and weight > 0:
                self.videos[f"{name}.{CONTROL_KEY}"] = sha256
            return ControlInput(blob=sha256, weight=weight) if sha256 else None
        return self._derived(name, weight, own)

    def _weight(self, name: str, given: Any) -> float | None:
        """Of a control; 1 where a file has its weight at every pixel. None where it is none."""
        key = f"{name}.{WEIGHT_KEY}"
        if given is None:
            self.notes.append(f"{name} has no {WEIGHT_KEY}: {DEFAULT_WEIGHT:g} is taken")
            return DEFAULT_WEIGHT
        if isinstance(given, str) and given.endswith(MAP):
            sha256 = self._file(key, given)
            if sha256:
                self.config[f"controls.{name}.weight_map.mask"] = blob_value(sha256, given)
            return 1.0 if sha256 else None
        if said := SCALARS["guidance"](given):
            self.errors.append(f"{key}={shortened(given)}: {said}, or a file {MAP} that was uploaded")
            return None
        return float(given)

    def _derived(self, name: str, weight: float, own: str | None) -> ControlInput | None:
        if name not in STRENGTH_KEYS:
            what = f"make {name} from an input video, as it makes {' and '.join(STRENGTH_KEYS)}"
            self.errors.append(f"{name}: {NO_NETWORK.format(what=what)}; upload a video of {name} as {CONTROL_KEY}")
            return None
        if own is None:
            if self.values.get(INPUT_KEY, "") == "":
                self.errors.append(f"{name}: give {CONTROL_KEY}, or {INPUT_KEY}, from which it can be made")
            return None
        preset = self.values.get(STRENGTH_KEYS[name])
        if preset in PRESETS[STRENGTH_KEYS[name]]:
            self.config[f"controls.{name}.strength"] = preset
        self.notes.append(f"{name} is made from the input video")
        return ControlInput(derive=True, weight=weight)

    def _unused_presets(self, inputs: Mapping[str, ControlInput | None]) -> None:
        for name, key in STRENGTH_KEYS.items():
            control = inputs.get(name)
            if key in self.values and not (control and control.derive):
                self.notes.append(f"{key} has no effect: no {name} is made from the input video")

    def _clip(self) -> None:
        """Frames and rate, as the videos have them."""
        counts, rates = dict[str, int](), dict[str, float]()
        for key, sha256 in self.videos.items():
            info, errors = attempt(partial(video_info, self.blobs.path(sha256)))
            path = str(self.blobs.path(sha256))
            self.errors += [f"{key}: {error.replace(path, 'the file')}" for error in errors]
            if info:
                counts[key], rates[key] = info.frames, info.rate
                self._size(key, info.size)
        if counts:
            self._frames(counts)
            self._rate(rates)
        elif "num_frames" in self.values and not SCALARS["num_frames"](self.values["num_frames"]):
            self.config["model.num_frames"] = self.values["num_frames"]

    def _size(self, key: str, size: tuple[int, int]) -> None:
        """Says what is resized."""
        if self.limits.size in (None, size):
            return
        (width, height), (new_width, new_height) = size, self.limits.size
        stretch = new_width * height / (new_height * width)
        how = f", which makes things {stretch:.2f} times as wide" if abs(stretch - 1) > STRETCH_TOLERANCE else ""
        self.notes.append(f"{key} is resized from {width}x{height} to {new_width}x{new_height}{how}")

    def _frames(self, counts: Mapping[str, int]) -> None:
        wanted, rule = self.values.get("num_frames"), self.limits.contract.video_frames
        if wanted is not None:
            if SCALARS["num_frames"](wanted):
                return
            short = {key: count for key, count in counts.items() if count < wanted}
            self.errors += [f"{key} has {count} frames, num_frames is {wanted}" for key, count in short.items()]
            longer = [key for key, count in counts.items() if count > wanted]
            if longer:
                self.notes.append(f"num_frames={wanted}: the first {wanted} frames of {', '.join(longer)} are used")
            self.config["model.num_frames"] = wanted
            return
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{key} {count}" for key, count in counts.items())
            self.errors.append(f"videos of unequal length: {listed} frames; cut them, or give num_frames")
            return
        (count,) = set(counts.values())
        if count not in rule.choices():
            fitting = max((n for n in rule.choices() if n <= count), default=rule.nearest(count))
            self.errors.append(
                f"the videos have {count} frames; this model makes {rule.describe()}: "
                + (
                    f"give num_frames={fitting} to use the first {fitting}"
                    if fitting <= count
                    else f"at least {fitting}"
                )
            )
        self.config["model.num_frames"] = count

    def _rate(self, rates: Mapping[str, float]) -> None:
        known = {key: rate for key, rate in rates.items() if rate}
        if not known:
            return
        low, high = min(known.values()), max(known.values())
        if high > (1 + RATE_TOLERANCE) * low:
            listed = ", ".join(f"{key} {rate:g}" for key, rate in known.items())
            self.errors.append(f"videos of unequal rate: {listed} frames per second; give all the same")
        elif abs(low - self.limits.fps) > RATE_TOLERANCE * self.limits.fps:
            self.config["model.fps"] = float(low)
            self.notes.append(f"the video has {low:g} frames per second, as those that were given")
