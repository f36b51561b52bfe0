"""What a config means for a run: the model bound to it, views and styles, what is rendered, which controls are made.

Made once from the config. Everything here follows from the config, the model's contract and the cameras' description;
nothing is loaded or computed.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import cached_property
from typing import Any

from omegaconf import DictConfig

from cosmos_exp.common.cores import usable_cores
from cosmos_exp.common.typed_config import identity
from cosmos_exp.config.schema import Config, typed
from cosmos_exp.models.base import RenderRequest, VideoModel
from cosmos_exp.models.config import GenerationConfig
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.registry import contract_of, find_family
from cosmos_exp.rendering.types import OPTIONAL_OUTPUTS, OUTPUTS
from cosmos_exp.sampling.config import BoundSampler
from cosmos_exp.scene.source import SceneConfig
from cosmos_exp.scene.sources import load_rig
from cosmos_exp.sensors.config import SensorsConfig
from cosmos_exp.sensors.rigs import rig_of_views

OPTIONAL_CONTROLS = (*OPTIONAL_OUTPUTS, "wsm", "keypoint", "upscale")  # made only where asked for
FILTER = "filter"
"""The stage whose results are answers of a vision-language model."""
PARAMETERS_OF_WEIGHT = ("weight", "weight_map", "file")


class RunSpec:
    """config: has passed `validate`. aspect: width / height of the front view's videos; None: of its camera."""

    def __init__(self, config: Config, aspect: float | None = None):
        self.config = config
        self._aspect = aspect
        self.threads = num_threads(config.hardware.threads)
        self.views: tuple[str, ...] = tuple(config.views.names)
        self.styles: tuple[str, ...] = tuple(config.captions.styles)
        self.weather: str = config.scene.weather
        self.scene: SceneConfig = config.scene
        self.sensors: SensorsConfig = config.sensors
        self.metrics: tuple[str, ...] = tuple(config.metrics.names)
        self.references: bool = config.metrics.references and bool(self.metrics)
        self.preview_names: tuple[str, ...] = tuple(config.previews.names)

    @classmethod
    def of(cls, cfg: DictConfig) -> RunSpec:
        return cls(typed(cfg))

    @cached_property
    def model(self) -> VideoModel:
        contract = contract_of(self.config.model)
        aspect = self._aspect
        if aspect is None and len(contract.all_sizes) > 1:
            aspect = front_aspect(self.scene, self.sensors, self.views[0])
        return find_family(self.config.model.family).build(generation_config(self.config, contract, aspect), contract)

    def seeded(self, seed: int, *, front_alone: bool = False) -> VideoModel:
        """The model with another `sampler.seed`. front_alone: without the further views, where it makes the front view
        in a stage of its own, so that it is the same without them."""
        model = self.model
        config = replace(model.config, sampler=replace(model.config.sampler, seed=seed))
        if front_alone and model.has_front_stage:
            own = replace(config.model, multi_view_frames=None)
            config = replace(config, views=config.views[:1], model=own)
        return find_family(self.config.model.family).build(config, model.contract)

    @property
    def contract(self) -> Contract:
        return self.model.contract

    @property
    def fps(self) -> float:
        return self.model.fps

    @property
    def chooses(self) -> bool:
        """Whether several candidates of each style are made."""
        return self.config.sampler.best_of > 1

    @property
    def scores_labels(self) -> bool:
        """Whether label survival chooses among candidates."""
        return self.chooses and not self.config.filter.asks and self.config.evaluator.name != "none"

    # What is rendered

    @property
    def shown_requests(self) -> dict[str, RenderRequest]:
        """{view: what is shown of it}; the front view as it is made alone."""
        return {**self.model.views, self.model.front.view: self.model.front}

    @property
    def truth_requests(self) -> dict[str, RenderRequest]:
        """{view: what its generated video is compared with}."""
        return self.model.views or {self.model.front.view: self.model.front}

    @property
    def outputs(self) -> tuple[str, ...]:
        """Of the renderer: what the controls and previews show."""
        shown = {*self.controls, *self.preview_names}
        return (*OUTPUTS, *(name for name in OPTIONAL_OUTPUTS if name in shown))

    # Controls

    @property
    def shows_all_controls(self) -> bool:
        """Whether controls that no network reads are made too."""
        return self.config.previews.controls == "all"

    @property
    def controls(self) -> tuple[str, ...]:
        """Controls to make: those with a weight, and where all are shown, those without that are not optional or are
        previews."""
        used = self.config.controls.used
        if not self.shows_all_controls:
            return tuple(used)
        asked = {*used, *self.preview_names}
        names = [name for name, _ in self.config.controls.items()]
        return tuple(name for name in names if name in asked or name not in OPTIONAL_CONTROLS)

    def control_file(self, name: str) -> str | None:
        """The user-provided video, or folder of videos, in place of a control drawn from the scene."""
        return getattr(self.config.controls, name).file

    def control_requests(self, name: str) -> tuple[RenderRequest, ...]:
        """Those that a control is made for: what the model reads, and where all are shown, what is shown of views."""
        read = self.model.control_requests(name) if name in self.config.controls.used else ()
        shown: tuple[RenderRequest, ...] = ()
        if self.shows_all_controls:
            shown = (self.model.front,) if self.control_file(name) else tuple(self.shown_requests.values())
        return tuple(dict.fromkeys([*read, *shown]))

    def control_params(self, name: str) -> dict[str, Any]:
        """What makes a control's video from a render: its config without weight and user-provided video."""
        values = asdict(getattr(self.config.controls, name))
        return {key: value for key, value in values.items() if key not in PARAMETERS_OF_WEIGHT}

    def control_identity(self, name: str) -> dict[str, Any]:
        """Of these parameters, what differs from the defaults: for cache keys."""
        values = identity(getattr(self.config.controls, name))
        return {key: value for key, value in values.items() if key.partition(".")[0] not in PARAMETERS_OF_WEIGHT}

    # What time and space go with

    @property
    def megapixels(self) -> float:
        """Of all that is generated for one style."""
        videos = self.model.videos
        views = len(self.views) * videos.multi_view.shape.megapixels if videos.multi_view else 0.0
        return videos.single_view.shape.megapixels + views

    def cost_setting(self, stage: str) -> str:
        """What the time of a stage depends on, besides its size and passes."""
        if stage == FILTER:
            return self.config.llm.model or ""
        return self.model.cost_setting(stage) if stage in self.model.stages else ""


def generation_config(config: Config, contract: Contract, aspect: float | None = None) -> GenerationConfig:
    """What of a config a model of this contract may depend on. aspect: width / height of the front camera."""
    one_candidate = replace(config.sampler, best_of=1)
    return GenerationConfig(
        model=config.model,
        views=tuple(config.views.names),
        controls=config.controls,
        captions=config.captions,
        sampler=BoundSampler.of(one_candidate, contract.own_sampling),
        speed=config.speed,
        hardware=config.hardware,
        threads=num_threads(config.hardware.threads),
        aspect=aspect,
    )


def front_aspect(scene: SceneConfig, sensors: SensorsConfig, front: str) -> float:
    """Width / height of the front view's camera as it is described; one without a size of its own counts 1280 x 704."""
    rig = rig_of_views(load_rig(scene, sensors), sensors.views, [front])
    model = rig.camera(front).model
    return model.width / model.height


def num_threads(threads: int | None) -> int:
    """The given number, or as many as this process may use."""
    return threads or usable_cores()
