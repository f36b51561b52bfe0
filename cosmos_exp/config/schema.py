"""Types of every config group, and the names that a config gives to its run and sweep.

The YAML files below conf/ give values, these classes give types: an unknown key or a value of the wrong type is an
error when the config is composed. The types of the `scene` group stand in `cosmos_exp/scene/sources/`. `None` means "as
the stage or model says".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, get_type_hints

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import MISSING, DictConfig, OmegaConf

from cosmos_exp.config.launchers import LAUNCHERS
from cosmos_exp.scene.source import SceneConfig
from cosmos_exp.scene.sources import SOURCES

RUN_ID_GROUPS = ("scene", "sensors", "views", "controls", "captions", "model", "sampler", "metrics")


@dataclass
class SensorsConfig:
    """The cameras on the vehicle."""

    name: str = MISSING
    cameras: dict[str, Any] = MISSING
    """{camera name: model and mounting}."""
    camera_type: str | None = None
    """ftheta or pinhole: the cameras that the scene's clip was recorded with, by that calibration; null: `cameras`."""
    views: dict[str, str] = field(default_factory=dict)
    """{camera name: view of the model that it stands for}, where the two names differ."""
    file: str | None = None
    """Sensor file of CARLA's Cosmos exporter; its cameras are camera_0, camera_1 and so on, in place of `cameras`."""
    actor_origin: list[float] | None = None
    """x, y, z in metres of the ego actor in the rig frame, where the sensors of a file belong; null: the scene's."""


@dataclass
class ViewsConfig:
    """Which views are generated."""

    names: list[str] = MISSING
    """The first is the single view; several are generated together by the multi-view network."""


@dataclass
class AreaConfig:
    """A part of the picture: where all that is given meets."""

    classes: list[str] = field(default_factory=list)
    """Semantic classes of the scene, such as car or pedestrian; any of them."""
    box: list[float] | None = None
    """Left, top, right, bottom, as shares of width and height."""
    mask: str | None = None
    """File of values over the clip: .pt, .npy or .safetensors [T,H,W] or [H,W], a picture or a video; or a folder with
    one for each camera. A single file is of the front view."""


@dataclass
class WeightMapConfig(AreaConfig):
    """weight * (outside + (inside - outside) * area); where no area is given, the weight is the same everywhere."""

    inside: float = 1.0
    outside: float = 0.0


@dataclass
class RegionConfig(AreaConfig):
    prompt: str = ""
    """Half of what the area reads; the other half is the prompt of the whole picture."""


@dataclass
class ControlConfig:
    weight: float = 0.0
    """Share of this control in the guidance of the picture, >= 0; 0 leaves it out."""
    weight_map: WeightMapConfig = field(default_factory=WeightMapConfig)
    """Where in the picture it counts."""
    file: str | None = None
    """A ready control video of the front view, or a folder with one for each camera; null draws it from the scene."""


@dataclass
class EdgeConfig(ControlConfig):
    strength: str = "medium"
    """Canny thresholds: very_low (many edges) to very_high (few)."""
    class_filter: str | None = None
    """Class filter of CARLA's Cosmos exporter, or `carla` for its usual classes: only their edges stay."""
    drop_sky: bool = False
    """Edges in the sky go."""
    reference_compat: bool = False
    """Masked edges with the flaws of CARLA's exporter: edges along the mask, no vehicles."""


@dataclass
class VisConfig(ControlConfig):
    strength: str = "medium"
    """Blur: very_low to very_high."""


@dataclass
class DepthConfig(ControlConfig):
    min_depth: float = 0.01
    """Metres drawn white."""
    max_depth: float = 1000.0
    """Metres drawn black."""
    mapping: str = "log"
    """log: of these limits; inverse, linear: from the smallest value in the clip to its largest."""


@dataclass
class SegConfig(ControlConfig):
    mode: str = "semantic"
    """semantic: CityScapes colours; instance: one colour per object; shaded: both, with light from the right."""
    palette: str = "distinct"
    """Colours of objects: distinct, or prism as in CARLA's Cosmos exporter."""
    class_filter: str | None = None
    """Class filter of CARLA's Cosmos exporter; shaded: classes that keep their colour; null: its usual ones."""
    reference_compat: bool = False
    """Objects told apart by class and upper byte of their id only, as in CARLA's exporter."""


@dataclass
class ControlsConfig:
    """Weights above 1 in sum are scaled down to 1; below, they stand."""

    hdmap: ControlConfig = field(default_factory=ControlConfig)
    edge: EdgeConfig = field(default_factory=EdgeConfig)
    depth: DepthConfig = field(default_factory=DepthConfig)
    seg: SegConfig = field(default_factory=SegConfig)
    vis: VisConfig = field(default_factory=VisConfig)
    lidar: ControlConfig = field(default_factory=ControlConfig)
    """Made only where it has a weight or is among previews.names."""
    keypoint: ControlConfig = field(default_factory=ControlConfig)
    """Poses of people in OpenPose's colours. Made only where it has a weight, from a file."""
    upscale: ControlConfig = field(default_factory=ControlConfig)
    """The video that upscaler_4k enlarges, from a file."""


@dataclass
class PreviewsConfig:
    """What is made for people to look at."""

    names: list[str] = MISSING
    """Pictures written as videos beside the controls, any of `cosmos_exp.controls.PREVIEWS`; their parameters are those
    of controls.edge and controls.seg."""
    controls: str = "all"
    """all: every control of every view; used: only those that a network reads."""


@dataclass
class ViewPromptsConfig:
    """What is to be seen in a view; null: what `other_views` says."""

    front_wide_120fov: str | None = None
    cross_left_120fov: str | None = None
    cross_right_120fov: str | None = None
    rear_tele_30fov: str | None = None
    rear_left_70fov: str | None = None
    rear_right_70fov: str | None = None


@dataclass
class CaptionsConfig:
    styles: list[str] = MISSING
    """One generated clip per style."""
    variant: int = 0
    """Which phrasing of the styles."""
    prompt: str | None = None
    """Replaces the sentence that describes the scene; the style is still added to it."""
    view_prompts: ViewPromptsConfig = field(default_factory=ViewPromptsConfig)
    """In place of that sentence for some views, the style added too."""
    other_views: str = "same"
    """What the multi-view net reads of views without a text of their own, besides their camera's sentence: same, the
    scene's sentence in its style, or bare, nothing, as in Cosmos-Drive-Dreams."""
    regions: list[RegionConfig] = field(default_factory=list)
    """Texts that parts of the front view read besides its prompt."""
    negative_prompt: str | None = None
    """What guidance moves away from in the single view; null takes the model's own."""


@dataclass
class ModelConfig:
    """Which networks, and the clip to make with them."""

    name: str = MISSING
    weights: str | None = None
    """Folder with the model's weights; null takes those that ship with the package."""
    num_frames: int | None = None
    """Frames of the front view, in chunks where the model can continue one; null takes the model's own number."""
    multi_view_frames: int | None = None
    """Frames of all views together; null takes as many of the front view's as the multi-view network makes."""
    overlap: int | None = None
    """Frames that a further chunk of a long video begins with; null takes the fewest that the model knows."""
    height: int | None = None
    """Pixels; null: of the sizes that the model makes, that nearest in shape to the front camera's picture."""
    width: int | None = None
    """Pixels; null as for height."""
    fps: float | None = None
    """Frames per second; null takes the rate the model was trained at."""
    reference_compat: bool = False
    """Generate with the quirks of the reference implementation: rounded weights and noise levels among others."""


@dataclass
class SamplerConfig:
    guidance: float = 3.0
    """g in cond + g * (cond - uncond): 0 is no guidance; the scale of the other convention is g + 1."""
    num_steps: int = 8
    """Solver steps; the network is evaluated once more than this."""
    sigma_max: float = 80.0
    """Noise level at the start; with an input below 80, of the front view alone."""
    sigma_min: float = 0.002
    """Noise level at the end."""
    input: str | None = None
    """What the front view departs from: rgb, the scene's picture in scene.weather; a video file; null: noise alone."""
    first_frames: str | None = None
    """What all views begin with, where the multi-view network continues videos: rgb, the scene's pictures in
    scene.weather; a folder with a video per view; null: nothing but the front view is given."""
    seed: int = 0
    """Of the initial noise; the same seed gives the same noise at every guidance and weight."""


@dataclass
class SpeedConfig:
    """How the networks are evaluated. All but `compile` change the result a little."""

    attention: str = "auto"
    """Kernel of the self-attention: auto, cudnn, flash, efficient or math; fp8: on 8-bit floats."""
    linears: str = "plain"
    """Large linear layers: plain, in hardware.dtype; fp8, on 8-bit floats; te, the same by Transformer Engine."""
    compile: bool | None = None
    """Fuse the element-wise work, which needs a C compiler; null: on a GPU."""
    guidance_interval: list[float] | None = None
    """[lowest, highest] noise level with guidance; elsewhere the conditional pass stands alone. null: everywhere."""
    cache_threshold: float = 0.0
    """Evaluations whose first attention changed by less than this share reuse the later blocks; 0: none."""


@dataclass
class HardwareConfig:
    device: str = "cpu"
    """cpu, cuda, or cuda:N."""
    dtype: str = "float32"
    """Of the networks: float32 or bfloat16."""
    threads: int | None = None
    """CPU threads of renderer, OpenCV and networks; null takes all cores this process may use."""
    text_encoder: str = "stay"
    """swap: on the device while it works, gone before the other parts do; stay: always there; cpu: works there."""
    text_encoder_dtype: str = "float32"
    """float32, as in the original, or bfloat16."""
    resident: str = "all"
    """Networks on the device: all, or one, which leaves before the other comes."""
    offload: str = "none"
    """blocks: the networks' large weights wait in CPU memory and are copied one block ahead; none: on the device."""
    tokenizer_chunk: int | None = None
    """Latent frames that the tokenizer works on at a time; the result is the same. null: all."""
    memory_gb: float | None = None
    """GiB of the device's memory that this process may take; null: all."""
    jobs_per_gpu: int = 1
    """How many runs of this machine may share a GPU; a run waits until one has room."""
    processes: int | None = None
    """That sample a clip together, on a GPU each with device=cuda; null: one, or those that torchrun started."""


@dataclass
class MetricsConfig:
    names: list[str] = MISSING
    gate: bool = True
    """Fail the run on black, frozen or NaN frames."""


@dataclass
class TrackingConfig:
    mode: str = "offline"
    """offline, online or disabled."""
    project: str = "cosmos-exp"
    entity: str | None = None
    group: str | None = None
    """W&B group; null takes the sweep's name in a sweep."""
    tags: list[str] = field(default_factory=list)


@dataclass
class PathsConfig:
    outputs: str = MISSING
    """Run folders go to <outputs>/runs, sweeps to <outputs>/sweeps."""
    cache: str = MISSING
    """Stage results, shared by all runs."""


@dataclass
class Config:
    scene: SceneConfig = MISSING
    sensors: SensorsConfig = MISSING
    views: ViewsConfig = MISSING
    controls: ControlsConfig = MISSING
    previews: PreviewsConfig = MISSING
    captions: CaptionsConfig = MISSING
    model: ModelConfig = MISSING
    sampler: SamplerConfig = MISSING
    speed: SpeedConfig = MISSING
    hardware: HardwareConfig = MISSING
    metrics: MetricsConfig = MISSING
    tracking: TrackingConfig = MISSING
    paths: PathsConfig = MISSING
    name: str = MISSING
    """Name of the run and of its folder."""
    sweep_name: str | None = None
    """Folder of a multirun below <outputs>/sweeps, and its W&B group; null derives one from the overrides."""


def run_id(cfg: DictConfig) -> str:
    """8 hex digits that name the result of a config: equal where everything that changes the result is equal."""
    identity = {group: OmegaConf.to_container(cfg[group], resolve=True) for group in RUN_ID_GROUPS}
    identity["dtype"] = cfg.hardware.dtype
    if cfg.hardware.text_encoder_dtype != "float32":
        identity["text_encoder_dtype"] = cfg.hardware.text_encoder_dtype
    identity["speed"] = {k: v for k, v in OmegaConf.to_container(cfg.speed).items() if k != "compile"}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]


def sweep_folder(sweep_name: str | None, overrides: Sequence[str]) -> str:
    """Name of a multirun's folder: the given one, or a hash of the command's overrides."""
    return sweep_name or "sweep_" + hashlib.sha256(" ".join(sorted(overrides)).encode()).hexdigest()[:8]


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


def register() -> None:
    """Make the types and the resolvers `run_id` and `sweep_folder` known to Hydra."""
    Plugins.instance()  # an installed Hydra plugin registers launchers under some of the same names, before ours
    store = ConfigStore.instance()
    store.store(name="base_config", node=Config)
    for name in SOURCES:
        store.store(group="scene", name=f"base_{name}", node=scene_type(name))
    for kind in LAUNCHERS:
        store.store(group="hydra/launcher", name=kind, node=launcher_type(kind))
    OmegaConf.register_new_resolver("run_id", lambda *, _root_: run_id(_root_), replace=True)
    # Cached, so that the jobs of a multirun see the folder that its master process chose.
    OmegaConf.register_new_resolver("sweep_folder", sweep_folder, use_cache=True, replace=True)


def keys(config: type = Config) -> list[str]:
    """Every key that a config of this type can have, dotted, groups included; for `Config`, of all scene sources."""
    found = dict.fromkeys(_keys(config, ""))
    for source in SOURCES.values() if config is Config else ():
        found.update(dict.fromkeys(_keys(source.config, "scene.")))
    for launcher in LAUNCHERS.values():
        found.update(dict.fromkeys(_keys(launcher, "hydra.launcher.")))
    return list(found)


def _keys(config: type, prefix: str) -> list[str]:
    types = get_type_hints(config)
    found = []
    for entry in fields(config):
        found.append(prefix + entry.name)
        if is_dataclass(types[entry.name]):
            found += _keys(types[entry.name], f"{prefix}{entry.name}.")
    return found
