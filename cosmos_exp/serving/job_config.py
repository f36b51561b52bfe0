"""A request as the config of a run: that of the server, with the values of the request in it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cosmos_exp.captions.config import RegionConfig, ViewPromptsConfig
from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.guards import shortened
from cosmos_exp.config.schema import Config, typed_group
from cosmos_exp.controls.config import ControlsConfig, WeightMapConfig
from cosmos_exp.remote.wire import BLOB, BLOB_VALUE, JobRequest
from cosmos_exp.sampling.config import SamplerConfig

STYLE = "Original"
"""The one style of a job: its prompt is as the request has it."""

CLIP_KEYS = ("num_frames", "multi_view_frames", "overlap", "height", "width", "fps")
SAMPLER_KEYS = tuple(entry.name for entry in fields(SamplerConfig) if entry.name != "best_of")
GROUPS = ("model", "views", "controls", "captions", "sampler")
"""Of the config, those that a request has values of."""
STRENGTHS = ("edge", "vis")
FILE_KEYS = ("sampler.input", "sampler.first_frames")
RGB = "rgb"

FileOf = Callable[[str, str | None, Path], Path]
"""Puts a blob at a path without a suffix, and returns it with one: that which is given, or of the uploaded file."""


@dataclass
class JobValues:
    """{dotted key: value} that a request has, its regional prompts, and what is wrong with them. place: puts the files
    that they name."""

    request: JobRequest
    place: FileOf
    values: dict[str, Any] = field(default_factory=dict)
    regions: list[RegionConfig] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def collect(self) -> None:
        request = self.request
        for key, value in request.extra.config.items():
            self._take_config(key, value)
        for key, value in (
            ("sampler.seed", request.seed),
            ("sampler.guidance", request.guidance),
            ("sampler.num_steps", request.num_steps),
            ("captions.negative_prompt", request.negative_prompt),
            *resolution(request.resolution),
        ):
            if value is not None:
                self._take(key, value)
        for name, control in request.controls.items():
            if name in control_names():
                self._take(f"controls.{name}.weight", float(control.weight))

    def _take(self, key: str, value: Any) -> None:
        given = self.values.get(key, value)
        if given != value:
            self.errors.append(f"{key} is given twice: {shortened(given)} in extra.config, and {shortened(value)}")
        self.values[key] = value

    def _take_config(self, key: str, value: Any) -> None:
        file_key, view = split_view(key)
        allowed = config_keys()
        if file_key not in allowed:
            near = [name for name in allowed if name.split(".")[:-1] == key.split(".")[:-1]] or allowed
            self.errors.append(unknown_name("key of extra.config", key, near))
        elif file_key in FILE_KEYS or file_key.endswith(".mask"):
            self._take_file(file_key, view, value)
        elif key == "captions.regions":
            self._take_regions(value)
        else:
            self._take(key, value)

    def _take_file(self, key: str, view: str, value: Any) -> None:
        if value is None or (value == RGB and key in FILE_KEYS and not view):
            self._take(key, value)
            return
        path = self._placed(f"{key}.{view}" if view else key, value, Path(key) / view if view else Path(key))
        if path:
            self.values[key] = str(path.parent if view else path)

    def _take_regions(self, regions: Any) -> None:
        if not isinstance(regions, list):
            self.errors.append(f"captions.regions={shortened(regions)}: needed is a list of regions")
            return
        for number, region in enumerate(regions):
            key = f"captions.regions[{number}]"
            if isinstance(region, dict) and region.get("mask") is not None:
                path = self._placed(f"{key}.mask", region["mask"], Path(f"captions.regions.{number}.mask"))
                region = {**region, "mask": str(path) if path else None}
            try:
                merged = OmegaConf.merge(OmegaConf.structured(RegionConfig), region)
                self.regions.append(typed_group(merged, RegionConfig))
            except (OmegaConfBaseException, ValueError, TypeError) as error:
                self.errors.append(f"{key}={shortened(region)}: {str(error).splitlines()[0]}")

    def _placed(self, key: str, value: Any, where: Path) -> Path | None:
        named = BLOB_VALUE.fullmatch(value) if isinstance(value, str) else None
        if named is None:
            self.errors.append(f"{key}={shortened(value)}: upload the file, and name it by {BLOB}SHA-256.ENDING")
            return None
        try:
            return self.place(named["sha256"], named["ending"], where)
        except UserError as error:
            self.errors.append(f"{key}: {error}")
            return None


def job_config(config: Config, request: JobRequest, place: FileOf) -> tuple[Config, list[str]]:
    """The config of a job, and what is wrong with the values of the request, besides what the model says of them.

    config: of the server, which has passed `validate`. A control that the request does not name has no weight.
    """
    own = {group: copy.deepcopy(getattr(config, group)) for group in GROUPS}
    given = JobValues(request, place)
    given.collect()
    errors = given.errors
    if request.backend != config.model.name:
        errors.append(f"backend: {unknown_name('model of this server', request.backend, [config.model.name])}")
    for name in request.controls:
        if name not in control_names():
            errors.append(f"controls: {unknown_name('control', name, control_names())}")
    for name, control in own["controls"].items():
        control.weight, control.file = 0.0, None
        if name not in request.controls and given.values.get(f"controls.{name}.weight"):
            errors.append(f"controls.{name}.weight has a value, but controls lacks {name}: give its videos there")
    own["captions"] = replace(
        own["captions"], styles=[STYLE], prompt=None, view_prompts=ViewPromptsConfig(), regions=given.regions
    )
    own["sampler"] = replace(own["sampler"], input=None, first_frames=None)
    own["views"].names = list(request.views) or [own["views"].names[0]]
    for key, value in given.values.items():
        errors += _set(own, key, value)
    return replace(config, **own), list(dict.fromkeys(errors))


def _set(groups: dict[str, Any], key: str, value: Any) -> Iterator[str]:
    """Set a value of one of the groups. Yields a message where it is not of the key's type; a number in quotes is
    none."""
    *path, name = key.split(".")
    owner = reduce(getattr, path[1:], groups[path[0]])
    try:
        node = OmegaConf.structured(type(owner))
        node[name] = value
        taken = typed_group(node[name], object) if OmegaConf.is_config(node[name]) else node[name]
    except OmegaConfBaseException as error:
        yield f"{key}={shortened(value)}: {str(error.msg or error).splitlines()[0]}"
        return
    if isinstance(value, (str, bool)) != isinstance(taken, (str, bool)):
        yield f"{key}={shortened(value)}: needed is a number"
    setattr(owner, name, taken)


def resolution(text: str | None) -> Iterator[tuple[str, Any]]:
    """The height and width of `704x1280`, or of `704` the height alone."""
    if text:
        height, _, width = text.partition("x")
        yield "model.height", int(height)
        yield "model.width", int(width) if width else None


def control_names() -> list[str]:
    return [entry.name for entry in fields(ControlsConfig)]


def config_keys() -> list[str]:
    """What `extra.config` may have, without the views of file-valued keys."""
    keys = [f"model.{name}" for name in CLIP_KEYS] + [f"sampler.{name}" for name in SAMPLER_KEYS]
    for name in control_names():
        keys += [f"controls.{name}.weight"]
        keys += [f"controls.{name}.weight_map.{entry.name}" for entry in fields(WeightMapConfig)]
        keys += [f"controls.{name}.strength"] if name in STRENGTHS else []
    return [*keys, "captions.negative_prompt", "captions.regions"]


def split_view(key: str) -> tuple[str, str]:
    """A key of files, and the view whose file a further part of it names: `sampler.first_frames.rear_tele_30fov`."""
    for name in ("sampler.first_frames", *(f"controls.{control}.weight_map.mask" for control in control_names())):
        if key.startswith(f"{name}.") and re.fullmatch(r"\w{1,60}", key[len(name) + 1 :]):
            return name, key[len(name) + 1 :]
    return key, ""
