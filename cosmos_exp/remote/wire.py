"""Requests, jobs and results as they travel between a client and a server: version 1 of the job API.

A request names its videos by the SHA-256 of their bytes (blobs), which are uploaded once. It has no file names of
either machine. Equal requests have equal digests, and a server computes each once.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StringConstraints,
    model_validator,
)

API = "/v1"
LONGEST_PROMPT = 20_000  # characters; the longest prompt of the released models is below 2 000
MOST_STEPS = 1000
FRONT = "single_view"
"""Stands in place of a view for the front view as it is made alone: in `rgb`, `renders` and results."""
BLOB = "blob:"
"""Stands in a config value before the SHA-256 of a file that was uploaded, such as `sampler.input`."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$", strict=True)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$", strict=True)]
Text = Annotated[str, StringConstraints(max_length=LONGEST_PROMPT, strict=True)]
Number = Annotated[StrictFloat, Field(allow_inf_nan=False)]
"""A JSON number, also without a decimal point; true is none."""
ConfigValue = StrictBool | StrictInt | StrictFloat | Annotated[str, StringConstraints(strict=True)] | list[Any] | None


class Message(BaseModel):
    """A JSON object with these keys and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Status(str, Enum):
    """queued -> preparing (inputs are read and checked) -> running -> done, failed, cancelled or blocked by a guard."""

    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    BLOCKED = "blocked"

    @property
    def finished(self) -> bool:
        return self in (Status.DONE, Status.FAILED, Status.CANCELLED, Status.BLOCKED)


class ControlInput(Message):
    """The videos of one control.

    blob: of the front view, as it is generated alone. blobs: {view: video}, as all views are generated together; a
    model whose two networks work at one size reads the front view's from either. derive: the server makes it from
    `rgb`.
    """

    blob: Sha256 | None = None
    blobs: dict[Name, Sha256] = Field(default_factory=dict, max_length=32)
    derive: StrictBool = False
    weight: Annotated[Number, Field(ge=0)] = 1.0

    @model_validator(mode="after")
    def _has_a_source(self) -> ControlInput:
        if self.derive == bool(self.blob or self.blobs):
            raise ValueError("give its videos (blob, blobs) or derive, one of them")
        return self


class Extra(Message):
    """What of a run's config and inputs has no field of its own.

    clip: name, from which the seeds of the noise follow. view_prompts: {view: prompt} where several views are
    generated. config: {dotted key: value} of the groups `model`, `sampler`, `controls` and `captions`, such as
    sampler.sigma_max; a file is named by "blob:SHA-256". renders: {output: {view: video}}, the scene as it was
    rendered, for models that read it: `target`, in the style; `semantic`, tags in all three channels, lossless.
    The view `single_view` is the front view as it is made alone, where all views together have other frames or pixels.
    """

    clip: Name = "clip"
    view_prompts: dict[Name, Text] = Field(default_factory=dict, max_length=32)
    config: dict[Annotated[str, StringConstraints(max_length=200, strict=True)], ConfigValue] = Field(
        default_factory=dict, max_length=200
    )
    renders: dict[Name, dict[Name, Sha256]] = Field(default_factory=dict, max_length=16)


class JobRequest(Message):
    """One clip of one prompt. backend: the model, one of those that the server lists. What is null or left out is as
    the server's config has it."""

    backend: Name
    prompt: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_PROMPT, strict=True)]
    negative_prompt: Text | None = None
    seed: Annotated[StrictInt, Field(ge=0, lt=2**63)] | None = None
    guidance: Annotated[Number, Field(ge=0)] | None = None
    num_steps: Annotated[StrictInt, Field(ge=1, le=MOST_STEPS)] | None = None
    resolution: Annotated[str, StringConstraints(pattern=r"^[1-9]\d{0,4}(x[1-9]\d{0,4})?$", strict=True)] | None = None
    """HEIGHTxWIDTH in pixels, or the height alone."""
    priority: Literal["interactive", "batch"] = "batch"
    """Interactive jobs are taken before those of a batch."""
    controls: dict[Name, ControlInput] = Field(default_factory=dict, max_length=32)
    views: list[Name] = Field(default_factory=list, max_length=32)
    """In the model's order; empty: the front view alone."""
    rgb: dict[Name, Sha256] = Field(default_factory=dict, max_length=32)
    """{view: video}: what the generation starts from where sampler.input is rgb, and what controls are derived from;
    `single_view` as in `extra.renders`."""
    extra: Extra = Field(default_factory=Extra)

    @property
    def blobs(self) -> frozenset[str]:
        """SHA-256 of every file that it names."""
        named = {blob for control in self.controls.values() for blob in (control.blob, *control.blobs.values()) if blob}
        named |= {blob for views in self.extra.renders.values() for blob in views.values()} | set(self.rgb.values())
        return frozenset(named | set(_blobs_in(list(self.extra.config.values()))))

    @property
    def digest(self) -> str:
        """SHA-256 of everything that changes the result: equal requests have equal digests."""
        values = self.model_dump(mode="json", exclude={"priority"}, exclude_defaults=True)
        text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _blobs_in(value: Any) -> Iterator[str]:
    """Of a config value, also within lists and mappings."""
    if isinstance(value, str) and value.startswith(BLOB):
        yield value.removeprefix(BLOB)
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _blobs_in(item)


class JobInfo(Message):
    """A job as the server shows it. created, started, finished: seconds since 1970. progress: 0 to 1. queue_position:
    jobs before it, or null where it does not wait. token_id: who submitted it."""

    model_config = ConfigDict(extra="ignore", frozen=True)  # a newer server may say more

    id: str
    backend: str
    status: Status
    priority: str = "batch"
    token_id: str | None = None
    created: float
    started: float | None = None
    finished: float | None = None
    progress: float = 0.0
    message: str = ""
    error: str | None = None
    views: list[str] = Field(default_factory=list)
    worker: str | None = None
    queue_position: int | None = None


class ResultFile(Message):
    """kind: video, playable; lossless, the same frames bit for bit; prompt. view: `single_view` is the front view as it
    was generated alone."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    sha256: Sha256
    size: int
    view: str | None = None
    kind: str = "video"

    @model_validator(mode="after")
    def _is_a_file_name(self) -> ResultFile:
        if PurePosixPath(self.name).name != self.name or not re.fullmatch(r"[\w.-]{1,200}", self.name):
            raise ValueError(f"no file name: {self.name[:80]!r}")
        return self


class ResultManifest(Message):
    """What a finished job made. worker: facts of where: model, checkpoints {file: sha256}, versions. timings: {stage:
    seconds}. fps: of the videos, Hz."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    job: str
    backend: str
    request: dict[str, Any]
    fps: float | None = None
    files: list[ResultFile]
    worker: dict[str, Any] = Field(default_factory=dict)
    timings: dict[str, float] = Field(default_factory=dict)


class ModelInfo(Message):
    """A model of a server. contract: as `cosmos_exp.models.contract.Contract.to_dict`, or of another server, as it has
    it. reads_targets: whether it needs `extra.renders["target"]`, the scene in the style. may_read: other pictures that
    it may need: rgb, semantic. reads_controls: whether it reads the videos of controls. checkpoints: {file: sha256}
    of what its results follow from. versions: {stage: version} of its code."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    contract: dict[str, Any]
    reads_targets: bool = False
    may_read: list[str] = Field(default_factory=list)
    reads_controls: bool = True
    checkpoints: dict[str, str] = Field(default_factory=dict)
    versions: dict[str, int] = Field(default_factory=dict)
    defaults: dict[str, Any] = Field(default_factory=dict)
    """{dotted key: value} of the server's config, for what a request leaves out."""
    available: bool = True
    workers: int = 0
    queued: int = 0
