"""The seam between the pipeline and the video models: what a model is asked, what it is given, what it hands back.

The pipeline renders the scene, makes control videos and prompts, and gives them to `VideoModel.generate` as one
`GenerationRequest`. How a model makes its videos (stages, chunks, several networks, several GPUs) is its own business.
Everything in a request is a handle into the stage cache: arrays are read only where a result has to be computed. So the
same call, with a `ResultStore` that computes nothing, tells what a run would compute.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.progress import Tick
from cosmos_exp.common.stored_arrays import Arrays, load_arrays
from cosmos_exp.common.typed_config import identity
from cosmos_exp.models.clip_shapes import Shape, Videos, videos_of
from cosmos_exp.models.config import GenerationConfig, ModelConfig
from cosmos_exp.models.contract import Contract
from cosmos_exp.sampling.config import OwnSampling
from cosmos_exp.sampling.seeds import item_seed


class RenderRequest(NamedTuple):
    """One view at the frames and pixels that a model reads and makes it."""

    view: str
    shape: Shape


ByRequest = Mapping[RenderRequest, Entry]


@dataclass(frozen=True)
class GenerationRequest:
    """One scene in all styles that are asked for.

    clip: name of the scene's clip; seeds follow from it.
    prompts: {style: prompt} of the front view, in the order in which the clips are wanted.
    view_prompts: {style: {view: prompt}} of all views, each with the sentence that says where its camera looks.
    renders: the scene in its own weather: arrays rgb uint8 [F,H,W,3], depth float32 [F,H,W] metres, semantic uint8
    [F,H,W] and the others of `cosmos_exp.rendering.types.CameraRender`.
    targets: {style: the scene in that style}, rgb alone; of the styles that were rendered.
    controls: {control: its videos}, `video` uint8 [F,H,W,3]; of every control with a weight, at the requests that
    `VideoModel.control_requests` names.
    """

    clip: str
    prompts: Mapping[str, str]
    view_prompts: Mapping[str, Mapping[str, str]]
    renders: ByRequest
    targets: Mapping[str, ByRequest] = field(default_factory=dict)
    controls: Mapping[str, ByRequest] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredVideo:
    """A video in the stage cache. entries: its parts, whose keys are its identity. read: uint8 [F,H,W,3] RGB."""

    entries: tuple[Entry, ...]
    read: Callable[[], np.ndarray]


@dataclass(frozen=True)
class GeneratedVideos:
    """One style. front: the front view, at `VideoModel.front`. views: of several views, each at `VideoModel.views`;
    empty where the front view alone is made."""

    style: str
    front: StoredVideo
    views: Mapping[str, StoredVideo] = field(default_factory=dict)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Of all videos, each once."""
        return tuple(dict.fromkeys(e for video in (self.front, *self.views.values()) for e in video.entries))


class ResultStore(Protocol):
    """Where a model's results are looked up, or computed and stored, and its progress is shown."""

    def get(
        self,
        stage: str,
        config: Mapping[str, Any],
        inputs: list[str],
        compute: Callable[[], Arrays | dict[str, Any]],
        *,
        size: float = 1.0,
        passes: int = 1,
    ) -> Entry:
        """The result of one of the model's `stages`. config: plain values that change it. inputs: keys and hashes of
        what goes in. compute: makes it: arrays, or other values. size: million pixels it is made of, passes: of a
        network; its measured cost is kept with both, for `cosmos-exp plan`."""
        ...

    def part(
        self, stage: str, name: str, config: Mapping[str, Any], inputs: list[str], compute: Callable[[], Arrays]
    ) -> Entry:
        """What several results of a stage have in common, kept as `name`; neither counted nor planned."""
        ...

    def stage(self, name: str, label: str = "") -> AbstractContextManager[Tick]:
        """Times a stage and shows its progress; yields `tick(done, total)`."""
        ...

    def file_identity(self, path: Path | str) -> str:
        """sha256 of a file's content, remembered by path, size and time of change."""
        ...


class Notice(NamedTuple):
    """What a run says about its config. level: of `logging`."""

    level: int
    message: str


class VideoModel(ABC):
    """A model bound to the config of a run. Making one loads nothing: weights are read when a result is computed."""

    stages: ClassVar[Mapping[str, int]]
    """{stage: version} of the results that it stores, in their order. Raise a version when the code comes to another
    result for the same inputs."""

    reads_targets: bool = False
    """Whether it needs the scene rendered in every style."""

    has_front_stage: bool = False
    """Whether the front view is made before the others and without them, so that it is the same alone."""

    reads_seed: bool = True
    """Whether its videos follow from `sampler.seed`."""

    may_read: ClassVar[tuple[str, ...]] = ()
    """Outputs of `GenerationRequest.renders` that some of its results follow from, of rgb and semantic."""

    @property
    def reads_renders(self) -> tuple[str, ...]:
        """Those of `may_read` that its results follow from under this config."""
        return tuple(name for name in asked_renders(self.config) if name in self.may_read)

    def __init__(self, config: GenerationConfig, contract: Contract, *, known: Mapping[str, Contract] | None = None):
        """known: contracts of the models that messages may point to."""
        self.config = config
        self.contract = contract
        self._known = known or {}

    # What it makes

    @cached_property
    def videos(self) -> Videos:
        """Frames and pixels of the front view, and of each view where several are made. ValidationErrors where the
        config asks for what the contract does not allow."""
        aspect = self.config.aspect or self.contract.width / self.contract.height
        return videos_of(self.config.model, self.contract, len(self.config.views), aspect, known=self._known)

    @property
    def fps(self) -> float:
        return self.config.model.fps or self.contract.fps

    @property
    def front(self) -> RenderRequest:
        return RenderRequest(self.config.views[0], self.videos.single_view.shape)

    @property
    def views(self) -> dict[str, RenderRequest]:
        """Empty where the front view alone is made."""
        video = self.videos.multi_view
        return {view: RenderRequest(view, video.shape) for view in self.config.views} if video else {}

    @property
    def render_requests(self) -> tuple[RenderRequest, ...]:
        """Each once: the front view stands twice where it is made and read at two sizes."""
        return tuple(dict.fromkeys([self.front, *self.views.values()]))

    def control_requests(self, name: str) -> tuple[RenderRequest, ...]:
        """Where it reads the videos of a control that has a weight."""
        return self.render_requests

    # What its results follow from

    @abstractmethod
    def files(self, store: ResultStore) -> dict[str, str]:
        """{file name: sha256} of the weights and descriptions that its results follow from, for the provenance."""

    @property
    def in_effect(self) -> dict[str, float]:
        """{dotted key: value} of the numbers that a config may leave to the model, as they count."""
        return {f"sampler.{own.name}": getattr(self.config.sampler, own.name) for own in fields(OwnSampling)}

    @property
    def location(self) -> str:
        """Where these files lie; empty where there are none."""
        return ""

    def seeds(self, clip: str) -> dict[str, list[int]]:
        """{stage: seed of each of its noise tensors}."""
        return {}

    def cost_setting(self, stage: str) -> str:
        """What the time of one of its stages depends on, besides size and passes: as text, for the cost history."""
        return self.config.model.name

    @property
    def cost_note(self) -> str:
        """What `cosmos-exp plan` says of its cost beside the times of its stages; empty: nothing."""
        return ""

    # What a run says and shows of it

    @property
    def effective_weights(self) -> Mapping[str, Mapping[str, float]]:
        """{network: {control: weight as it counts}}; empty where weights count as given."""
        return {}

    def notices(self) -> Iterator[Notice]:
        yield from ()

    def weight_maps(self, request: RenderRequest, renders: Mapping[str, Entry]) -> dict[str, np.ndarray]:
        """{control: uint8 [F,H,W,3]}: how much of 1 each control has at every pixel of a view; empty where none has a
        weight map. renders: {view: render}, of all views."""
        return {}

    # Generation

    def load(self, tick: Tick) -> None:
        """Load what stays in the process from one request to the next, before the first one: where this does nothing,
        the first request does it. tick: called with (parts loaded, parts in all)."""
        tick(1, 1)

    @abstractmethod
    def generate(self, request: GenerationRequest, store: ResultStore) -> Iterator[GeneratedVideos]:
        """The videos of every style, in the order of `request.prompts`, as they are done."""


@dataclass(frozen=True)
class ClipInputs:
    """The inputs of one style as arrays.

    prompt: of the front view. view_prompts: {view: prompt}. seed: of the noise.
    controls: {control: {view: uint8 [F,H,W,3]}} of the controls with a weight. weights: {control: weight}.
    rgb: {view: uint8 [F,H,W,3]}, the scene in this style; empty unless the model `reads_targets`.
    """

    clip: str
    style: str
    prompt: str
    view_prompts: Mapping[str, str]
    seed: int
    weights: Mapping[str, float]
    controls: Mapping[str, Mapping[str, np.ndarray]]
    rgb: Mapping[str, np.ndarray]


class OneStageModel(VideoModel):
    """For models that make a style's views in one piece: implement `sample` and `files`.

    Its result is stored under the model's name, its own config, the sampler's, prompts, seed, control videos, weights
    and files. A model that reads less says so in `key_config`: a sweep over what it does not read is then one result.
    The front view and all views must have one shape (`contract.multi_view_clip` is None).
    """

    stages: ClassVar[Mapping[str, int]] = {"generate": 1}
    reads_controls: bool = True
    reads_prompts: bool = True

    @abstractmethod
    def sample(self, inputs: ClipInputs, tick: Tick) -> Mapping[str, np.ndarray]:
        """{view: uint8 [F,H,W,3]} of every view of the config, of the shape of `self.videos`.

        tick: called with (steps done, steps in all)."""

    def key_config(self) -> dict[str, Any]:
        """Plain values of the config that change its result."""
        return {"model": identity(self.config.model), "sampler": identity(self.config.sampler)}

    @property
    def passes(self) -> int:
        """Of a network, to make a clip."""
        return 1

    @property
    def reads_seed(self) -> bool:  # type: ignore[override]
        return self.reads_prompts

    def generate(self, request: GenerationRequest, store: ResultStore) -> Iterator[GeneratedVideos]:
        for style in request.prompts:
            with store.stage("generate", f"generate {style}") as tick:
                yield self._generated(request, style, store, tick)

    def seeds(self, clip: str) -> dict[str, list[int]]:
        return {"generate": [self.seed(clip)]} if self.reads_prompts else {}

    def seed(self, clip: str) -> int:
        return item_seed(self.config.sampler.seed, self.config.model.name, clip)

    def _generated(self, request: GenerationRequest, style: str, store: ResultStore, tick: Tick) -> GeneratedVideos:
        views = self.config.views
        requests = {view: self.views.get(view, self.front) for view in views}
        controls = request.controls if self.reads_controls else {}
        targets = request.targets[style] if self.reads_targets else {}
        prompts = [request.prompts[style], *request.view_prompts[style].values()] if self.reads_prompts else []
        weights = {name: control.weight for name, control in self.config.controls.used.items() if name in controls}

        def compute() -> Arrays:
            inputs = ClipInputs(
                clip=request.clip,
                style=style,
                prompt=request.prompts[style],
                view_prompts=request.view_prompts[style],
                seed=self.seed(request.clip),
                weights=weights,
                controls={
                    name: {view: load_arrays(videos[own])["video"] for view, own in requests.items() if own in videos}
                    for name, videos in controls.items()
                },
                rgb={view: load_arrays(targets[own])["rgb"] for view, own in requests.items()} if targets else {},
            )
            made = self.sample(inputs, tick)
            return {f"video/{view}": _checked(made, view, own.shape) for view, own in requests.items()}

        shape = self.videos.single_view.shape
        config = self.key_config() | {"weights": weights, "prompts": prompts, "fps": self.fps, "views": list(views)}
        config |= {"shape": list(shape)} | ({"seed": self.seed(request.clip)} if self.reads_prompts else {})
        inputs = [entry.key for _, videos in sorted(controls.items()) for entry in videos.values()]
        inputs += [targets[own].key for own in requests.values()] if targets else []
        inputs += [f"{name}={digest}" for name, digest in sorted(self.files(store).items())]
        size = len(views) * shape.megapixels
        entry = store.get("generate", config, inputs, compute, size=size, passes=self.passes)
        videos = {view: StoredVideo((entry,), _reader(entry, view)) for view in views}
        return GeneratedVideos(style, videos[views[0]], videos if len(views) > 1 else {})


def _reader(entry: Entry, view: str) -> Callable[[], np.ndarray]:
    return lambda: load_arrays(entry)[f"video/{view}"]


def _checked(made: Mapping[str, np.ndarray], view: str, shape: Shape) -> np.ndarray:
    """What a model made of a view; ValueError, with the model's mistake, where it is no video of that shape."""
    if view not in made:
        raise ValueError(f"the model made no {view}, but {', '.join(made) or 'nothing'}")
    video = made[view]
    if video.dtype != np.uint8 or video.shape != (*shape, 3):
        raise ValueError(f"the model made {view} as {video.dtype} {list(video.shape)}, asked was uint8 {[*shape, 3]}")
    return video


NamedContract = Callable[[str], Contract]


@dataclass(frozen=True)
class ModelFamily:
    """What is registered by name: models that share a config type and an implementation.

    config: type of the `model` group's options. contract: of a model, without loading it; UserError where its files are
    missing. Its second argument returns the contract of another model by name, for one that stands beside it. build:
    the model, with the contract that `contract` returned.
    check: what is wrong with a config besides what the contract says, one message per problem. `here`: whether the run
    is on this machine. known: {name: contract} of the models that exist by name, also without their weights.
    """

    config: type[ModelConfig]
    contract: Callable[[Any, NamedContract], Contract]
    build: Callable[[GenerationConfig, Contract], VideoModel]
    check: Callable[[GenerationConfig, Contract, bool], Iterable[str]] = lambda config, contract, here: ()
    known: Callable[[], Mapping[str, Contract]] = dict


def asked_renders(config: GenerationConfig) -> tuple[str, ...]:
    """Outputs of the renderer that a config asks a model to look at: rgb, to start from; semantic, for classes."""
    sampler = config.sampler
    areas = [*(c.weight_map for c in config.controls.used.values()), *config.captions.regions]
    asked = {"rgb": "rgb" in (sampler.input, sampler.first_frames), "semantic": any(area.classes for area in areas)}
    return tuple(name for name, is_asked in asked.items() if is_asked)


def keys_of(*entries: Entry | None) -> list[str]:
    return [entry.key for entry in entries if entry]


def views_of(renders: ByRequest, requests: Iterable[RenderRequest]) -> dict[str, Entry]:
    """{view: render} of these requests."""
    return {request.view: renders[request] for request in requests}
