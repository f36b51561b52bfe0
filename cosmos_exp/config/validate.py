"""Rules that cross config groups, all checked before any work begins."""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from cosmos_exp.captions.config import captions_problems
from cosmos_exp.common import torchrun
from cosmos_exp.common.errors import ValidationErrors, attempt, repeated, unknown_name
from cosmos_exp.common.gpu_memory import GIB
from cosmos_exp.common.input_files import did_you_mean
from cosmos_exp.common.styles import STYLES
from cosmos_exp.common.typed_config import REQUIRED
from cosmos_exp.common.views import ALL_VIEWS
from cosmos_exp.config.run_spec import front_aspect, generation_config
from cosmos_exp.config.schema import Config, typed, typed_group
from cosmos_exp.config.validate_spatial import check_spatial
from cosmos_exp.controls import PREVIEWS
from cosmos_exp.controls.class_filter import CANNY, SHADED, find_filter
from cosmos_exp.controls.config import ControlsConfig
from cosmos_exp.controls.depth import DEPTH_MAPPINGS
from cosmos_exp.controls.edge import CANNY_THRESHOLDS, check_compat
from cosmos_exp.controls.seg import PALETTES, SEG_MODES
from cosmos_exp.controls.vis import BLUR_PRESETS
from cosmos_exp.evaluators import evaluator_problems
from cosmos_exp.filtering.config import best_of_problems, filter_problems
from cosmos_exp.guardrails.problems import guardrail_problems
from cosmos_exp.llm.config import llm_problems
from cosmos_exp.metrics import metric_problems
from cosmos_exp.models.base import VideoModel
from cosmos_exp.models.clip_shapes import Videos
from cosmos_exp.models.config import HardwareConfig
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.dit.memory import DTYPES, memory_problems
from cosmos_exp.models.kernels.speed import EIGHT_BITS, NO_TRANSFORMER_ENGINE, speed_problems
from cosmos_exp.models.registry import contract_of, find_family
from cosmos_exp.sampling.config import BoundSampler, OwnSampling
from cosmos_exp.sampling.sampler_params import sampler_problems
from cosmos_exp.sampling.seeds import seed_problems
from cosmos_exp.scene.edits.scene_edits import config_problems
from cosmos_exp.scene.source import SceneConfig, own_options
from cosmos_exp.scene.sources import SOURCES, load_rig
from cosmos_exp.sensors.rigs import rig_of_views
from cosmos_exp.tracking.wandb.run import check_mode

SHOWN_CONTROLS = ("all", "used")
FLOAT8_CAPABILITY = (8, 9)
LONGEST_NAME = 200  # bytes; file systems allow 255, and files beside it have longer names
MOST_THREADS = 1024
DEVICE = r"cpu|cuda(:\d{1,3})?"
_VIEWS_OPTION = {1: "single", 5: "waymo_five", 6: "six"}


def check(cfg: DictConfig) -> Config:
    """The config as an object of its types. Raises ValidationErrors with every problem that `validate` finds."""
    errors = validate(cfg)
    if errors:
        raise ValidationErrors(errors)
    return typed(cfg)


def validate(cfg: DictConfig, *, here: bool = True) -> list[str]:
    """Everything wrong with a composed config, one message per problem; empty when it can run.

    here: whether on this machine, so that it must have the devices.
    """
    errors = [*_missing(cfg, ""), *_unknown_keys(cfg, "")]
    config = typed(cfg)
    errors += _check_model(config, here)
    for rule in (
        _check_places,
        _check_scene,
        _check_previews,
        _check_captions,
        _check_filter,
        _check_speed,
        _check_metrics,
        _check_evaluator,
        _check_tracking,
    ):
        errors += rule(config)
    errors += [*llm_problems(config.llm, here), *guardrail_problems(config.guardrails, here)]
    return list(dict.fromkeys([*errors, *_check_hardware(config, here)]))


def _missing(cfg: DictConfig, prefix: str) -> list[str]:
    return [f"{prefix}{key} is required: give {prefix}{key}=..." for key in sorted(OmegaConf.missing_keys(cfg))]


def _check_places(config: Config) -> Iterator[str]:
    """Where results go, and that names stay below it."""
    for key, folder in (("outputs", config.paths.outputs), ("cache", config.paths.cache)):
        if not folder.strip():
            told = "; COSMOS_EXP_OUTPUTS is empty" if os.environ.get("COSMOS_EXP_OUTPUTS") == "" else ""
            yield f"paths.{key}={folder!r}: must name a folder, such as the default, outputs{told}"
    for key, name in (("name", config.name), ("sweep_name", config.sweep_name)):
        if name is not None and name != REQUIRED and not _is_below(name):
            nearest = re.sub(r"[^\w.=+-]+", "_", name).strip("._")[:LONGEST_NAME] or "mine"
            yield f"{key}={name!r}: must name a folder below paths.outputs; nearest: {nearest}"


def _is_below(name: str) -> bool:
    """Whether a relative path leads neither out of a folder nor to it, and can be a folder's name."""
    parts = name.split("/")
    return name.isprintable() and all(
        part.strip() not in ("", ".", "..") and len(part.encode()) <= LONGEST_NAME for part in parts
    )


def _check_model(config: Config, here: bool) -> Iterator[str]:
    """The rules of the model's contract and of its family; a released model's contract is known without its weights."""
    model, problems = _bound(config, lambda contract: _aspect(config, contract))
    yield from problems
    yield from _check_sampler(config, model)
    if model is None:
        return
    videos, problems = attempt(lambda: model.videos)
    yield from problems
    yield from _check_clip(config, model.contract, videos)
    yield from _check_controls(config.controls, model.contract)
    yield from _check_rig(config)
    yield from _check_views(config, model.contract)
    yield from check_spatial(config, model.contract, videos)
    yield from _check_candidates(config, model)
    yield from _check_processes(config, here)
    yield from find_family(config.model.family).check(model.config, model.contract, here)


def request_problems(config: Config, aspect: float | None) -> Iterator[str]:
    """What is wrong with a config whose control videos and pictures come with a request, and from no scene.

    aspect: width / height of the front view's videos.
    """
    model, problems = _bound(config, lambda contract: aspect)
    yield from problems
    if model is not None:
        videos, problems = attempt(lambda: model.videos)
        yield from problems
        yield from _check_rate(config, model.contract)
        if not videos or any(model.control_requests(name) for name in model.contract.controls):
            yield from _check_controls(config.controls, model.contract)
        yield from _check_views(config, model.contract)
        yield from check_spatial(config, model.contract, videos, drawn=False)
        yield from find_family(config.model.family).check(model.config, model.contract, True)
    yield from _check_sampler(config, model)
    yield from alone_problems(config.sampler.best_of)


def _bound(config: Config, aspect: Callable[[Contract], float | None]) -> tuple[VideoModel | None, list[str]]:
    family, problems = attempt(lambda: find_family(config.model.family))
    if family is None:
        return None, problems
    contract, problems = attempt(lambda: contract_of(config.model))
    contract = contract or family.known().get(config.model.name)
    if contract is None:
        return None, problems
    return family.build(generation_config(config, contract, aspect(contract)), contract), problems


def _aspect(config: Config, contract: Contract) -> float | None:
    """Of the front camera, where it matters and can be told."""
    names = list(config.views.names)
    if not names or len(contract.all_sizes) == 1 or _needs_a_scene(config):
        return None
    return attempt(lambda: front_aspect(config.scene, config.sensors, names[0]))[0]


def check_scene(cfg: DictConfig) -> None:
    """Raise ValidationErrors with every problem of the `scene` group alone."""
    problems = (problem for problem in scene_problems(typed_group(cfg.scene, SceneConfig)) if problem)
    errors = [*_missing(cfg.scene, "scene."), *_unknown_keys(cfg.scene, "scene."), *problems]
    if errors:
        raise ValidationErrors(errors)


def _unknown_keys(node: DictConfig, prefix: str) -> Iterator[str]:
    """Keys added with `+` to a group that has no such key."""
    kind = OmegaConf.get_type(node)
    known = [entry.name for entry in fields(kind)] if is_dataclass(kind) else []
    for key in map(str, node):
        if key not in known:
            yield unknown_name("config key", prefix + key, [prefix + k for k in known])
        elif OmegaConf.is_dict(node._get_node(key)) and OmegaConf.get_type(node, key) is not dict:
            yield from _unknown_keys(node[key], f"{prefix}{key}.")


def _check_clip(config: Config, contract: Contract, videos: Videos | None) -> Iterator[str]:
    problems = list(_check_rate(config, contract))
    yield from problems
    count, fps = videos.single_view.shape.frames if videos else 0, config.model.fps or contract.fps
    seconds, available = (count - 1) / fps, getattr(config.scene, "duration", None)
    if not problems and available is not None and 0 < available < seconds:
        yield (
            f"scene.duration={available:g}: {count} frames (model.num_frames) at {fps:g} Hz (model.fps) need "
            f"{seconds:.3g} s"
        )


def _check_rate(config: Config, contract: Contract) -> Iterator[str]:
    model, fps = config.model, config.model.fps
    if fps is not None and not 1 <= fps <= 120:
        yield f"model.fps={fps:g}: must be 1 to 120; {model.name} was trained at {contract.fps:g}"


def _needs_a_scene(config: Config) -> bool:
    """Whether the rig is that of a scene which has problems of its own."""
    return bool(config.sensors.camera_type) and bool(list(scene_problems(config.scene)))


def _check_controls(controls: ControlsConfig, contract: Contract) -> Iterator[str]:
    for name, control in controls.items():
        if not math.isfinite(control.weight) or control.weight < 0:
            yield f"controls.{name}.weight={control.weight:g}: a weight is 0 (off) or more"
        if control.weight > 0 and name not in contract.controls:
            unknown = unknown_name("control of this model", name, contract.controls)
            yield f"controls.{name}.weight={control.weight:g}: {unknown}"
    for name, strengths in (("edge", CANNY_THRESHOLDS), ("vis", BLUR_PRESETS)):
        if getattr(controls, name).strength not in strengths:
            yield f"controls.{name}.strength: {unknown_name('strength', getattr(controls, name).strength, strengths)}"
    for key, given, allowed in (
        ("seg.mode", controls.seg.mode, SEG_MODES),
        ("seg.palette", controls.seg.palette, PALETTES),
        ("depth.mapping", controls.depth.mapping, DEPTH_MAPPINGS),
    ):
        if given not in allowed:
            yield f"controls.{key}: {unknown_name(key.replace('.', ' control '), given, allowed)}"
    for name, classes in (("edge", CANNY), ("seg", SHADED)):
        given = getattr(controls, name).class_filter
        found, errors = attempt(partial(find_filter, given))
        errors = errors or attempt(partial(found.required, classes))[1] if found else errors
        yield from (f"controls.{name}: {error}" for error in errors)
    yield from attempt(lambda: check_compat(controls.edge.class_filter, controls.edge.reference_compat))[1]
    nearest, farthest = controls.depth.min_depth, controls.depth.max_depth
    if not 0 < nearest < farthest < math.inf:
        yield f"controls.depth: min_depth={nearest:g} and max_depth={farthest:g} must satisfy 0 < min_depth < max_depth"
    if not controls.used:
        yield f"every control has weight 0: give one of {', '.join(contract.controls)} a weight above 0"


def _check_rig(config: Config) -> Iterator[str]:
    if _needs_a_scene(config):
        return
    rig, errors = attempt(lambda: load_rig(config.scene, config.sensors))
    yield from errors
    known = [name for name in config.views.names if name in ALL_VIEWS]
    if rig:
        yield from attempt(lambda: rig_of_views(rig, config.sensors.views, known))[1]


def _check_views(config: Config, contract: Contract) -> Iterator[str]:
    names, model = list(config.views.names), config.model.name
    if contract.subsets:
        yield from repeated("views.names", names)
        unknown = [name for name in names if name in ALL_VIEWS and name not in contract.views]
        if unknown or not names:
            yield f"views.names={names}: {model} makes any of {', '.join(contract.views)}"
    elif names not in ([contract.views[0]], list(contract.views)):
        alone = f"{contract.views[0]} alone (views=single)"
        option = _VIEWS_OPTION.get(len(contract.views))
        together = f" or all of {', '.join(contract.views)}, in this order" + (f" (views={option})" if option else "")
        yield f"views.names={names}: {model} makes {alone}{together if len(contract.views) > 1 else ''}"
    for name in names:
        if name not in ALL_VIEWS:
            yield f"views.names: {unknown_name('view', name, contract.views)}"


def _check_scene(config: Config) -> Iterator[str]:
    yield from (problem for problem in scene_problems(config.scene) if problem)


def scene_problems(scene: SceneConfig) -> Iterator[str]:
    """What is wrong with the values of the `scene` group, one message per problem; an empty one for a value that is
    missing, of which another rule tells."""
    if scene.weather not in STYLES:
        yield f"scene.weather: {unknown_name('style', scene.weather, STYLES)}"
    source = SOURCES.get(scene.source)
    if source is None or type(scene) is not source.config:
        yield f"scene.source: is not set by itself, but by the option scene=NAME, one of {', '.join(SOURCES)}"
        return
    values = {entry.name: getattr(scene, entry.name) for entry in fields(scene)}
    missing = [key for key, value in values.items() if value == REQUIRED]
    yield from ("" for _ in missing)
    for key in source.files:
        if key not in missing and not Path(values[key]).is_file():
            yield f"scene.{key}: no file {values[key]!r}{did_you_mean(values[key])}"
    for key in source.folders:
        if key not in missing and not Path(values[key]).is_dir():
            yield f"scene.{key}: no folder {values[key]!r}{did_you_mean(values[key])}"
    if isinstance(seed := values.get("seed"), int):
        yield from seed_problems("scene.seed", seed)
    if not missing:
        yield from source.check(own_options(scene))
    yield from config_problems(scene.ego_edit, scene.edits, values.get("duration") or math.inf)
    if source.take:
        yield from _captured_problems(scene)


def _captured_problems(scene: SceneConfig) -> Iterator[str]:
    """Of values that pictures which were captured cannot follow."""
    default = SceneConfig()
    if scene.weather != default.weather:
        yield f"scene.weather={scene.weather}: scene={scene.source} has the weather of its pictures; leave it out"
    if scene.edits or scene.ego_edit != default.ego_edit:
        yield (
            "scene.edits and scene.ego_edit change no captured picture: leave them out, or draw the capture with "
            "scene=carla_log scene.log=FOLDER/scene.log scene.map=FOLDER/TOWN.xodr"
        )


def _check_previews(config: Config) -> Iterator[str]:
    for name in config.previews.names:
        if name not in PREVIEWS:
            yield f"previews.names: {unknown_name('preview', name, PREVIEWS)}"
    yield from repeated("previews.names", config.previews.names)
    if config.previews.controls not in SHOWN_CONTROLS:
        yield f"previews.controls: {unknown_name('choice', config.previews.controls, SHOWN_CONTROLS)}"


def _check_captions(config: Config) -> Iterator[str]:
    yield from captions_problems(config.captions, llm=config.llm.name, used=config.controls.used)


def _check_sampler(config: Config, model: VideoModel | None) -> Iterator[str]:
    """model: None where nothing is known of it."""
    own = model.contract.own_sampling if model else OwnSampling()
    sampler, speed = BoundSampler.of(config.sampler, own), config.speed
    yield from seed_problems("sampler.seed", sampler.seed)
    yield from sampler_problems(
        num_steps=sampler.num_steps,
        guidance=sampler.guidance,
        sigma_max=sampler.sigma_max,
        sigma_min=sampler.sigma_min,
        guidance_interval=speed.guidance_interval,
        cache_threshold=speed.cache_threshold,
        own_sigma_min=own.sigma_min,
        left_to_model=config.sampler.sigma_min is None,
    )


def _check_filter(config: Config) -> Iterator[str]:
    yield from filter_problems(config.filter)
    yield from best_of_problems(config.sampler.best_of)
    if config.filter.asks and config.sampler.best_of > 1 and config.llm.name == "nano":
        yield "filter=vlm: llm=nano sees no pictures; give llm=endpoint or llm=vllm, and a vision-language model"


def alone_problems(best_of: int) -> Iterator[str]:
    """Of a server, which makes the video that is asked for."""
    if best_of != 1:
        yield f"sampler.best_of={best_of}: must be 1 in a server; its clients choose: model=remote sampler.best_of=4"


def _check_candidates(config: Config, model: VideoModel) -> Iterator[str]:
    """Whether there is anything to choose between, and anything to choose by."""
    best_of = config.sampler.best_of
    if best_of > 1 and not model.reads_seed:
        yield f"sampler.best_of={best_of}: every candidate of model={config.model.name} is the same video; give 1"


def _check_speed(config: Config) -> Iterator[str]:
    speed = config.speed
    yield from speed_problems(attention=speed.attention, linears=speed.linears)
    if speed.compile or (speed.compile is None and config.hardware.device != "cpu"):
        compilers = [os.environ.get("CC"), "cc", "gcc", "clang"]
        if not any(name and shutil.which(name) for name in compilers):
            yield "speed.compile: no C compiler found (CC, cc, gcc, clang); install one, or give speed.compile=false"
    if speed.linears == "te" and config.hardware.device == "cpu":
        yield "speed.linears=te: needs a CUDA device; with hardware.device=cpu give speed.linears=fp8"


def _check_hardware(config: Config, here: bool) -> Iterator[str]:
    hardware = config.hardware
    if hardware.dtype not in DTYPES:
        yield f"hardware.dtype: {unknown_name('dtype', hardware.dtype, DTYPES)}"
    if hardware.threads is not None and not 1 <= hardware.threads <= MOST_THREADS:
        yield f"hardware.threads={hardware.threads}: must be 1 to {MOST_THREADS}, or null for all cores"
    if hardware.jobs_per_gpu < 1:
        yield f"hardware.jobs_per_gpu={hardware.jobs_per_gpu}: must be 1 (alone on a GPU) or more"
    kind, _, index = hardware.device.partition(":")
    if not re.fullmatch(DEVICE, hardware.device):
        yield f"hardware.device: {unknown_name('device', hardware.device, ('cpu', 'cuda', 'cuda:0'))}"
    elif kind == "cuda" and here:
        yield from _check_cuda(config, int(index or 0))
    yield from _check_memory(hardware, on_gpu=kind == "cuda")


def _check_cuda(config: Config, index: int) -> Iterator[str]:
    import torch

    hardware, count = config.hardware, _cuda_devices()
    if index >= count:
        yield f"hardware.device={hardware.device}: this machine has {count} CUDA devices; hardware=cpu runs without"
        return
    card = torch.cuda.get_device_properties(index)
    if hardware.memory_gb is not None and hardware.memory_gb * GIB > card.total_memory:
        total = card.total_memory / GIB
        yield f"hardware.memory_gb={hardware.memory_gb:g}: this GPU has {total:.1f}; null takes all"
    if config.speed.linears in EIGHT_BITS and (card.major, card.minor) < FLOAT8_CAPABILITY:
        yield (
            f"speed.linears={config.speed.linears}: {card.name} (compute capability {card.major}.{card.minor}) has no "
            "8-bit floats, which came with 8.9; give speed.linears=plain"
        )
    if config.speed.linears == "te" and not find_spec("transformer_engine"):
        yield NO_TRANSFORMER_ENGINE


def _check_memory(hardware: HardwareConfig, *, on_gpu: bool) -> Iterator[str]:
    yield from memory_problems(
        text_encoder=hardware.text_encoder,
        resident=hardware.resident,
        offload=hardware.offload,
        tokenizer_chunk=hardware.tokenizer_chunk,
        text_encoder_dtype=hardware.text_encoder_dtype,
    )
    if hardware.offload == "blocks" and not on_gpu:
        yield "hardware.offload=blocks: needs a CUDA device; with hardware.device=cpu give hardware.offload=none"
    if hardware.memory_gb is not None and hardware.memory_gb <= 0:
        yield f"hardware.memory_gb={hardware.memory_gb:g}: must be more than 0, or null for all of the device's memory"
    if hardware.memory_gb is not None and not on_gpu:
        yield f"hardware.memory_gb={hardware.memory_gb:g}: limits a CUDA device; give null with hardware.device=cpu"


def _check_processes(config: Config, here: bool) -> Iterator[str]:
    """Whether there is a device for each process."""
    given, started, device = config.hardware.processes, torchrun.processes(), config.hardware.device
    if given is not None and given < 1:
        yield f"hardware.processes={given}: must be 1 or more, or null for one"
        return
    if given and started and given != started:
        yield f"hardware.processes={given}: torchrun started {started}; give it null, or torchrun {given}"
        return
    processes = torchrun.process_count(given)
    if processes == 1:
        return
    named = f"hardware.processes={processes}"
    if device not in ("cpu", "cuda"):
        yield f"{named}, hardware.device={device}: each takes its own GPU, cuda:0 and on: give hardware.device=cuda"
    elif device == "cuda" and here and processes > (count := _cuda_devices()):
        yield f"{named}: each takes its own GPU, and this machine has {count}; nearest is {max(1, count)}"


def _cuda_devices() -> int:
    import torch

    return torch.cuda.device_count()


def _check_metrics(config: Config) -> Iterator[str]:
    for problem in metric_problems(config.metrics.names):
        yield f"metrics.names: {problem}"
    yield from repeated("metrics.names", config.metrics.names)


def _check_evaluator(config: Config) -> Iterator[str]:
    yield from evaluator_problems(config.evaluator)


def _check_tracking(config: Config) -> Iterator[str]:
    yield from attempt(lambda: check_mode(config.tracking.mode))[1]
