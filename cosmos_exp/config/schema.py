"""The main config: the types of all groups together, their registration with Hydra, and the names of runs and sweeps.

A group's type stands beside the code that it configures and holds the only defaults; the YAML files below conf/ are the
options and say what differs from them. An unknown key or a value of the wrong type is an error when the config is
composed. `None` means "as the stage or model says".
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, TypeVar, get_args, get_type_hints

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from omegaconf import DictConfig, ListConfig, OmegaConf

from cosmos_exp.captions.config import CaptionsConfig
from cosmos_exp.common.typed_config import NO_EFFECT, REQUIRED, identity
from cosmos_exp.config.generations import available_generations
from cosmos_exp.config.launchers import LAUNCHERS
from cosmos_exp.controls.config import ControlsConfig, PreviewsConfig
from cosmos_exp.evaluators.config import EvaluatorConfig
from cosmos_exp.filtering.config import FilterConfig
from cosmos_exp.guardrails.config import GuardrailsConfig
from cosmos_exp.llm.config import LLMConfig
from cosmos_exp.models.config import HardwareConfig, ModelConfig, SpeedConfig, ViewsConfig
from cosmos_exp.models.registry import config_types, other_families
from cosmos_exp.sampling.config import SamplerConfig
from cosmos_exp.scene.source import SceneConfig
from cosmos_exp.scene.sources import SOURCES
from cosmos_exp.sensors.config import SensorsConfig


@dataclass
class MetricsConfig:
    """How what was generated is measured."""

    names: list[str] = REQUIRED
    """Which metrics; `cosmos-exp explain METRIC` says what one is."""
    gate: bool = True
    """Fail the run on black, frozen or NaN frames."""
    references: bool = True
    """Also the ceiling and the floor of every metric, once per clip and style."""


@dataclass
class TrackingConfig:
    """The run's W&B run."""

    mode: str = "offline"
    """offline, online or disabled."""
    project: str = "cosmos-exp"
    entity: str | None = None
    group: str | None = None
    """W&B group; null takes the sweep's name in a sweep."""
    tags: list[str] = field(default_factory=list)


@dataclass
class PathsConfig:
    """Where results lie."""

    outputs: str = REQUIRED
    """Run folders go to `<outputs>/runs`, sweeps to `<outputs>/sweeps`."""
    cache: str = REQUIRED
    """Stage results, shared by all runs."""


@dataclass
class Config:
    scene: SceneConfig = REQUIRED
    sensors: SensorsConfig = REQUIRED
    views: ViewsConfig = REQUIRED
    controls: ControlsConfig = field(default_factory=ControlsConfig)
    previews: PreviewsConfig = field(default=REQUIRED, metadata=NO_EFFECT)
    captions: CaptionsConfig = REQUIRED
    llm: LLMConfig = field(default_factory=LLMConfig)
    model: ModelConfig = REQUIRED
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    filter: FilterConfig = field(default_factory=FilterConfig)
    speed: SpeedConfig = field(default_factory=SpeedConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    metrics: MetricsConfig = field(default=REQUIRED, metadata=NO_EFFECT)
    guardrails: GuardrailsConfig = field(default_factory=GuardrailsConfig)
    evaluator: EvaluatorConfig = field(default_factory=EvaluatorConfig, metadata=NO_EFFECT)
    tracking: TrackingConfig = field(default_factory=TrackingConfig, metadata=NO_EFFECT)
    paths: PathsConfig = field(default=REQUIRED, metadata=NO_EFFECT)
    name: str = field(default=REQUIRED, metadata=NO_EFFECT)
    """Name of the run and of its folder."""
    sweep_name: str | None = field(default=None, metadata=NO_EFFECT)
    """Folder of a multirun below `<outputs>/sweeps`, and its W&B group; null derives one from the overrides."""
    serve: Any = field(default=None, metadata=NO_EFFECT)
    """Settings of the server, `cosmos_exp.serving.config.ServeConfig`; null in a run."""
    verbose: bool = field(default=False, metadata=NO_EFFECT)
    """Whether a sweep shows every line of its cells; else one bar for all, with warnings and errors."""


Group = TypeVar("Group")
LONGEST_NAME = 60
"""Characters of what a sweep varies, in the name of its folder."""


def typed(cfg: DictConfig) -> Config:
    """The composed config as an object of its types. A value that is missing stays REQUIRED."""
    return typed_group(cfg, Config)


def typed_group(cfg: DictConfig | ListConfig, kind: type[Group]) -> Group:
    """The same of one group, which is of this type or of a subclass."""
    value = _object(cfg)
    if not isinstance(value, kind):
        raise TypeError(f"a config of the type {kind.__name__} was expected, not {OmegaConf.get_type(cfg)}")
    return value


def _object(node: Any) -> Any:
    """As OmegaConf.to_object, but for missing values, and for keys that the type does not have, which are left out."""
    if OmegaConf.is_list(node):
        return [_object(item) for item in node]
    if not OmegaConf.is_dict(node):
        return node
    kind = OmegaConf.get_type(node)
    if not is_dataclass(kind):
        return OmegaConf.to_container(node, resolve=True, throw_on_missing=False)
    keys = [entry.name for entry in fields(kind) if entry.name in node]
    return kind(**{key: REQUIRED if OmegaConf.is_missing(node, key) else _object(node[key]) for key in keys})


def run_id(config: Config) -> str:
    """8 hex digits that name the result of a config: equal where everything that changes the result is equal.

    Of the values, those that differ from the default of their type count; see `typed_config.identity`. Controls without
    a weight, metrics and previews change no result. The filter changes one where there are candidates, and so does the
    evaluator that it reads; a language model, where captions or filter ask it.
    """
    chooses = config.sampler.best_of > 1
    asks_model = config.captions.source != "template" or (chooses and config.filter.asks)
    unread = tuple(name for name, read in (("filter.", chooses), ("llm.", asks_model)) if not read)
    values = {key: value for key, value in identity(config).items() if not key.startswith(unread)}
    if chooses and not config.filter.asks:
        values |= {f"evaluator.{key}": value for key, value in identity(config.evaluator).items()}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


def _named_by(root: DictConfig) -> Config:
    """The groups that change a result, as an object; the others ask for the name that is made of these."""
    config = Config()
    for entry in fields(Config):
        if entry.metadata.get("changes_result", True) or entry.name == "evaluator":
            setattr(config, entry.name, typed_group(root[entry.name], object))
    return config


def sweep_folder(sweep_name: str | None, overrides: Sequence[str]) -> str:
    """Name of a multirun's folder: the given one, or what it varies and a hash of the command's overrides."""
    return sweep_name or f"{varied(overrides)}_{hashlib.sha256(' '.join(sorted(overrides)).encode()).hexdigest()[:8]}"


def varied(overrides: Sequence[str]) -> str:
    """What a sweep with these overrides varies, as part of a folder's name: `guidance_x_hdmap_weight`."""
    keys, chosen = [], []
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        if override.is_sweep_override():
            keys.append(override.key_or_group)
        elif override.key_or_group in ("experiment", "sweep"):
            chosen.append(override.get_value_element_as_str())
    short = [key.partition(".")[2] or key for key in keys]
    names = [name if short.count(name) == 1 else key for key, name in zip(keys, short)]
    told = "_x_".join(names) or "_".join(chosen) or "sweep"
    return re.sub(r"[^A-Za-z0-9]+", "_", told)[:LONGEST_NAME].strip("_")


def scene_type(source: str) -> DictConfig:
    """The `scene` group of a source, without values."""
    node = OmegaConf.structured(SOURCES[source].config(source=source))
    OmegaConf.set_struct(node.edits, False)  # so that an edit can be given without `+`
    return node


def launcher_type(kind: str) -> DictConfig:
    """The `hydra/launcher` group of a kind of launcher."""
    node = OmegaConf.structured(LAUNCHERS[kind](kind=kind))
    if "additional_parameters" in node:
        OmegaConf.set_struct(node.additional_parameters, False)  # so that one can be given without `+`
    return node


_registered: tuple[ConfigStore, Mapping[str, type[ModelConfig]]] | None = None


def register() -> None:
    """Make the types and the resolvers `run_id`, `sweep_folder` and `available_generations` known to Hydra."""
    global _registered
    Plugins.instance()  # an installed Hydra plugin registers launchers under some of the same names, before ours
    wanted = (ConfigStore.instance(), config_types())
    if wanted != _registered:  # takes a tenth of a second
        register_types(wanted[1])
        _registered = wanted


def register_types(families: Mapping[str, type[ModelConfig]] | None = None) -> None:
    """The same while Hydra looks for its plugins. families: `config_types()`."""
    store = ConfigStore.instance()
    store.store(name="base_config", node=Config)
    for name in SOURCES:
        store.store(group="scene", name=f"base_{name}", node=scene_type(name))
    for family, config in (config_types() if families is None else families).items():
        store.store(group="model", name=f"base_{family}", node=model_type(family, config))
        if family in other_families():
            store.store(group="model", name=family, node=OmegaConf.structured(config(name=family, family=family)))
    for kind in LAUNCHERS:
        store.store(group="hydra/launcher", name=kind, node=launcher_type(kind))
    OmegaConf.register_new_resolver("run_id", lambda *, _root_: run_id(_named_by(_root_)), replace=True)
    # Cached, so that the jobs of a multirun see the folder that its master process chose.
    OmegaConf.register_new_resolver("sweep_folder", sweep_folder, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("available_generations", available_generations, replace=True)


def model_type(family: str, config: type[ModelConfig]) -> DictConfig:
    """The `model` group of a family, without values."""
    return OmegaConf.structured(config(family=family))


def keys(config: type = Config) -> list[str]:
    """Every key that a config of this type can have, dotted, groups included; for `Config`, of all scene sources."""
    found = dict.fromkeys(_keys(config, ""))
    for source in SOURCES.values() if config is Config else ():
        found.update(dict.fromkeys(_keys(source.config, "scene.")))
    for family in config_types().values() if config is Config else ():
        found.update(dict.fromkeys(_keys(family, "model.")))
    for launcher in LAUNCHERS.values():
        found.update(dict.fromkeys(_keys(launcher, "hydra.launcher.")))
    return list(found)


def types() -> list[type]:
    """Every config type that a key of the main config or of a launcher may have, also inside lists."""
    found: dict[type, None] = {}
    waiting: list[Any] = [Config, *(s.config for s in SOURCES.values()), *config_types().values(), *LAUNCHERS.values()]
    while waiting:
        kind = waiting.pop()
        if is_dataclass(kind) and isinstance(kind, type) and kind not in found:
            found[kind] = None
            waiting += [part for hint in get_type_hints(kind).values() for part in (hint, *get_args(hint))]
    return list(found)


def _keys(config: type, prefix: str) -> list[str]:
    types = get_type_hints(config)
    found = []
    for entry in fields(config):
        found.append(prefix + entry.name)
        if is_dataclass(types[entry.name]):
            found += _keys(types[entry.name], f"{prefix}{entry.name}.")
    return found
