"""Rules that cross config groups, all checked before any work begins."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from cosmos_exp.captions.rewrite import NUM_PHRASINGS
from cosmos_exp.common import gpu, torchrun
from cosmos_exp.common.errors import UserError, ValidationErrors, attempt, unknown_name
from cosmos_exp.common.styles import STYLES
from cosmos_exp.common.views import VIEWS
from cosmos_exp.config.validate_spatial import check_places
from cosmos_exp.controls import PREVIEWS
from cosmos_exp.controls.class_filter import CANNY, SHADED, find_filter
from cosmos_exp.controls.depth import DEPTH_MAPPINGS
from cosmos_exp.controls.edge import CANNY_THRESHOLDS, check_compat
from cosmos_exp.controls.seg import PALETTES, SEG_MODES
from cosmos_exp.controls.user_videos import check_video, view_file
from cosmos_exp.controls.vis import BLUR_PRESETS
from cosmos_exp.metrics import METRICS
from cosmos_exp.models.checkpoints import released
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.kernels.speed import ATTENTION, EIGHT_BITS, LINEARS, NO_TRANSFORMER_ENGINE
from cosmos_exp.models.transfer1.clip_shapes import Video, Videos, front_aspect, videos_of
from cosmos_exp.models.transfer1.layout import check_fits
from cosmos_exp.models.transfer1.memory import OFFLOAD, RESIDENT, TEXT_ENCODER
from cosmos_exp.scene.edits.scene_edits import config_problems
from cosmos_exp.scene.source import own_options
from cosmos_exp.scene.sources import SOURCES, load_rig
from cosmos_exp.sensors.rigs import rig_of_views
from cosmos_exp.tracking.wandb.run import check_mode

SHIPPED_WEIGHTS = Path(__file__).parents[1] / "models" / "transfer1" / "weights"
DTYPES = ("float32", "bfloat16")
SHOWN_CONTROLS = ("all", "used")
FLOAT8_CAPABILITY = (8, 9)
MAX_STEPS = 1000
_VIEWS_OPTION = {1: "single", 5: "waymo_five", 6: "six"}


def check(cfg: DictConfig) -> None:
    """Raise ValidationErrors with every problem that `validate` finds."""
    errors = validate(cfg)
    if errors:
        raise ValidationErrors(errors)


def validate(cfg: DictConfig, *, here: bool = True) -> list[str]:
    """Everything wrong with a composed config, one message per problem; empty when it can run.

    here: whether on this machine, so that it must have the devices.
    """
    errors = [f"{key} is required: give {key}=..." for key in sorted(OmegaConf.missing_keys(cfg))]
    errors += _unknown_keys(cfg, "")
    contract, problems = model_contract(cfg.model.name, cfg.model.weights)
    errors += problems
    if contract:
        errors += [*_check_clip(cfg, contract), *_check_controls(cfg.controls, contract), *_check_views(cfg, contract)]
        errors += [
            *_check_steps(cfg, contract),
            *check_places(cfg, contract, _videos(cfg, contract)[0]),
            *_check_processes(cfg, contract, here),
        ]
    for rule in (
        _check_scene,
        _check_previews,
        _check_captions,
        _check_sampler,
        _check_speed,
        _check_metrics,
        _check_tracking,
    ):
        errors += rule(cfg)
    return [*errors, *_check_hardware(cfg, here)]


def check_scene(cfg: DictConfig) -> None:
    """Raise ValidationErrors with every problem of the `scene` group alone."""
    errors = [f"{key} is required: give {key}=..." for key in sorted(OmegaConf.missing_keys(cfg.scene))]
    errors += [*_unknown_keys(cfg.scene, "scene."), *_check_scene(cfg)]
    if errors:
        raise ValidationErrors(errors)


def model_contract(name: str, weights: str | None) -> tuple[Contract | None, list[str]]:
    """What a model can make, and what is wrong with its folder; a released model's is known without its weights."""
    contract, problems = attempt(lambda: read_contract(model_folder(name, weights)))
    if contract is None and name in released.MODELS:
        contract = released.MODELS[name].contract
    return contract, problems


def model_folder(name: str, weights: str | None) -> Path:
    """The folder of a model: the given one, the one that ships with the package, or where released models are kept."""
    shipped = SHIPPED_WEIGHTS / name
    if weights is None and name in released.MODELS and not shipped.is_dir():
        folder = released.models_root() / name
        if not (folder / "model.json").is_file():
            raise UserError(f"no weights of {name} in {folder}: {released.how_to_get(name, folder)}")
        return folder
    folder = Path(weights) if weights else shipped
    if not folder.is_dir():
        raise UserError(f"model.weights: no folder {str(folder)!r}")
    return folder


def read_contract(folder: Path) -> Contract:
    """What the model in `folder` can make, without loading it."""
    path = folder / "model.json"
    try:
        return Contract.from_dict(json.loads(path.read_text())["contract"])
    except FileNotFoundError:
        raise UserError(f"model.weights: {str(folder)!r} holds no model.json, so it is no model folder") from None
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} does not describe a model: {error}") from error


def _unknown_keys(node: DictConfig, prefix: str) -> Iterator[str]:
    """Keys added with `+` to a group that has no such key."""
    known = [entry.name for entry in fields(OmegaConf.get_type(node))]
    for key in node:
        if key not in known:
            yield unknown_name("config key", prefix + key, [prefix + k for k in known])
        elif OmegaConf.is_dict(node._get_node(key)) and OmegaConf.get_type(node, key) is not dict:
            yield from _unknown_keys(node[key], f"{prefix}{key}.")


def _videos(cfg: DictConfig, contract: Contract) -> tuple[Videos | None, list[str]]:
    model = OmegaConf.to_container(cfg.model)
    aspect, names = None, list(cfg.views.names)
    if names and len(contract.all_sizes) > 1 and not _needs_a_scene(cfg):
        sensors = OmegaConf.to_container(cfg.sensors)
        aspect, _ = attempt(lambda: front_aspect(cfg.scene, sensors, names[0]))
    aspect = aspect or contract.width / contract.height
    return attempt(lambda: videos_of(model, contract, len(names), aspect))


def _check_clip(cfg: DictConfig, contract: Contract) -> Iterator[str]:
    videos, errors = _videos(cfg, contract)
    yield from errors
    if cfg.model.fps is not None and not 1 <= cfg.model.fps <= 120:
        yield f"model.fps={cfg.model.fps:g}: must be 1 to 120; {cfg.model.name} was trained at {contract.fps:g}"
        return
    count, fps = videos.single_view.shape.frames if videos else 0, cfg.model.fps or contract.fps
    yield from _check_input(cfg.sampler.input, count, fps)
    yield from _check_first_frames(cfg, contract, videos and videos.multi_view, fps)
    seconds, available = (count - 1) / fps, cfg.scene.get("duration")
    if available is not None and 0 < available < seconds:
        yield (
            f"scene.duration={available:g}: {count} frames (model.num_frames) at {fps:g} Hz (model.fps) need "
            f"{seconds:.3g} s"
        )


def _check_input(given: str | None, frames: int, fps: float) -> Iterator[str]:
    if given in (None, "rgb"):
        return
    if not Path(given).is_file():
        yield f"sampler.input: no file {given!r}: give rgb (the scene's picture), a video file or null (noise alone)"
        return
    for problem in attempt(lambda: check_video(Path(given), frames, fps))[1]:
        yield f"sampler.input: {problem}"


def _check_first_frames(cfg: DictConfig, contract: Contract, video: Video | None, fps: float) -> Iterator[str]:
    given = cfg.sampler.first_frames
    if given is None:
        return
    if not contract.multi_view_overlaps or len(cfg.views.names) == 1:
        able = ", ".join(name for name, model in released.MODELS.items() if model.contract.multi_view_overlaps)
        yield f"sampler.first_frames={given}: goes with all views of a model that continues them ({able}); give null"
        return
    if given == "rgb" or video is None:
        return
    if not Path(given).is_dir():
        yield f"sampler.first_frames: no folder {given!r}: give rgb (the scene's pictures), a folder of videos or null"
        return
    for view in cfg.views.names:
        path, errors = attempt(lambda view=view: view_file(given, view, list(cfg.views.names)))
        errors = errors or attempt(lambda path=path: check_video(path, video.overlap, fps))[1]
        yield from (f"sampler.first_frames: {error}" for error in errors)


def _needs_a_scene(cfg: DictConfig) -> bool:
    """Whether the rig is that of a scene which has problems of its own."""
    return bool(cfg.sensors.camera_type and (OmegaConf.missing_keys(cfg.scene) or any(_check_scene(cfg))))


def _check_controls(controls: DictConfig, contract: Contract) -> Iterator[str]:
    for name, control in controls.items():
        if not math.isfinite(control.weight) or control.weight < 0:
            yield f"controls.{name}.weight={control.weight:g}: a weight is 0 (off) or more"
        if control.weight > 0 and name not in contract.controls:
            yield unknown_name("control of this model", name, contract.controls)
    for name, strengths in (("edge", CANNY_THRESHOLDS), ("vis", BLUR_PRESETS)):
        if controls[name].strength not in strengths:
            yield f"controls.{name}.strength: {unknown_name('strength', controls[name].strength, strengths)}"
    for key, given, allowed in (
        ("seg.mode", controls.seg.mode, SEG_MODES),
        ("seg.palette", controls.seg.palette, PALETTES),
        ("depth.mapping", controls.depth.mapping, DEPTH_MAPPINGS),
    ):
        if given not in allowed:
            yield f"controls.{key}: {unknown_name(key.replace('.', ' control '), given, allowed)}"
    for name, classes in (("edge", CANNY), ("seg", SHADED)):
        given = controls[name].class_filter
        for error in attempt(lambda given=given, classes=classes: find_filter(given).required(classes))[1]:
            yield f"controls.{name}: {error}"
    yield from attempt(lambda: check_compat(controls.edge.class_filter, controls.edge.reference_compat))[1]
    nearest, farthest = controls.depth.min_depth, controls.depth.max_depth
    if not 0 < nearest < farthest < math.inf:
        yield f"controls.depth: min_depth={nearest:g} and max_depth={farthest:g} must satisfy 0 < min_depth < max_depth"
    if all(control.weight == 0 for control in controls.values()):
        yield f"every control has weight 0: give one of {', '.join(contract.controls)} a weight above 0"


def _check_views(cfg: DictConfig, contract: Contract) -> Iterator[str]:
    if _needs_a_scene(cfg):
        return
    rig, errors = attempt(lambda: load_rig(cfg.scene, OmegaConf.to_container(cfg.sensors)))
    yield from errors
    names = list(cfg.views.names)
    known = [name for name in names if name in VIEWS]
    if rig:
        yield from attempt(lambda: rig_of_views(rig, cfg.sensors.views, known))[1]
    if names not in ([contract.views[0]], list(contract.views)):
        alone = f"{contract.views[0]} alone (views=single)"
        together = f" or all of {', '.join(contract.views)}, in this order (views={_VIEWS_OPTION[len(contract.views)]})"
        yield f"views.names={names}: {cfg.model.name} makes {alone}{together if len(contract.views) > 1 else ''}"
    for name in names:
        if name not in VIEWS:
            yield f"views.names: {unknown_name('view', name, VIEWS)}"


def _check_scene(cfg: DictConfig) -> Iterator[str]:
    scene = cfg.scene
    if scene.weather not in STYLES:
        yield f"scene.weather: {unknown_name('style', scene.weather, STYLES)}"
    source = SOURCES.get(scene.get("source"))
    if source is None or OmegaConf.get_type(cfg, "scene") is not source.config:
        yield f"scene.source: is not set by itself, but by the option scene=NAME, one of {', '.join(SOURCES)}"
        return
    for key in source.files:
        if not OmegaConf.is_missing(scene, key) and not Path(scene[key]).is_file():
            yield f"scene.{key}: no file {scene[key]!r}"
    for key in source.folders:
        if not OmegaConf.is_missing(scene, key) and not Path(scene[key]).is_dir():
            yield f"scene.{key}: no folder {scene[key]!r}"
    if not OmegaConf.missing_keys(scene) and not any(_unknown_keys(scene, "scene.")):
        yield from source.check(own_options(scene))
    yield from config_problems(OmegaConf.to_container(scene), scene.get("duration") or math.inf)


def _check_previews(cfg: DictConfig) -> Iterator[str]:
    for name in cfg.previews.names:
        if name not in PREVIEWS:
            yield f"previews.names: {unknown_name('preview', name, PREVIEWS)}"
    if cfg.previews.controls not in SHOWN_CONTROLS:
        yield f"previews.controls: {unknown_name('choice', cfg.previews.controls, SHOWN_CONTROLS)}"


def _check_captions(cfg: DictConfig) -> Iterator[str]:
    styles = list(cfg.captions.styles)
    for style in styles:
        if style not in STYLES:
            yield f"captions.styles: {unknown_name('style', style, STYLES)}"
    if not styles:
        yield f"captions.styles is empty: give one or more of {', '.join(STYLES)}"
    for style in sorted({s for s in styles if styles.count(s) > 1}):
        yield f"captions.styles names {style!r} more than once"
    if not 0 <= cfg.captions.variant < NUM_PHRASINGS:
        yield f"captions.variant={cfg.captions.variant}: must be 0 to {NUM_PHRASINGS - 1}"
    if cfg.captions.prompt is not None and not cfg.captions.prompt.strip():
        yield "captions.prompt is empty: write a sentence, or null to describe the scene"


def _check_sampler(cfg: DictConfig) -> Iterator[str]:
    sampler = cfg.sampler
    if not math.isfinite(sampler.guidance) or sampler.guidance < 0:
        yield f"sampler.guidance={sampler.guidance:g}: must be 0 (no guidance) or more"
    if not 1 <= sampler.num_steps <= MAX_STEPS:
        yield f"sampler.num_steps={sampler.num_steps}: must be 1 to {MAX_STEPS}"
    if not 0 < sampler.sigma_min < sampler.sigma_max < math.inf:
        yield (
            f"sampler.sigma_min={sampler.sigma_min:g}, sampler.sigma_max={sampler.sigma_max:g}: "
            "must satisfy 0 < sigma_min < sigma_max; the usual pair is 0.002 and 80"
        )


def _check_speed(cfg: DictConfig) -> Iterator[str]:
    speed, sampler = cfg.speed, cfg.sampler
    for key, known in (("attention", ATTENTION), ("linears", LINEARS)):
        if speed[key] not in known:
            yield f"speed.{key}: {unknown_name(key, speed[key], known)}"
    if not 0 <= speed.cache_threshold < 1:
        yield f"speed.cache_threshold={speed.cache_threshold:g}: must be 0 (off) or more and less than 1"
    interval = speed.guidance_interval
    if interval is not None and (len(interval) != 2 or not 0 <= interval[0] < interval[1]):
        yield (
            f"speed.guidance_interval={list(interval)}: give [lowest, highest] noise level, 0 or more, or null; noise "
            f"levels go from sampler.sigma_max={sampler.sigma_max:g} to sampler.sigma_min={sampler.sigma_min:g}"
        )
    if speed.compile or (speed.compile is None and cfg.hardware.device != "cpu"):
        compilers = [os.environ.get("CC"), "cc", "gcc", "clang"]
        if not any(name and shutil.which(name) for name in compilers):
            yield "speed.compile: no C compiler found (CC, cc, gcc, clang); install one, or give speed.compile=false"
    if speed.linears == "te" and cfg.hardware.device == "cpu":
        yield "speed.linears=te: needs a CUDA device; with hardware.device=cpu give speed.linears=fp8"


def _check_steps(cfg: DictConfig, contract: Contract) -> Iterator[str]:
    steps = contract.num_steps
    if steps is not None and (cfg.sampler.num_steps != steps or cfg.sampler.guidance != 0):
        yield (
            f"sampler.num_steps={cfg.sampler.num_steps}, sampler.guidance={cfg.sampler.guidance:g}: "
            f"{cfg.model.name} is distilled to sampler.num_steps={steps} sampler.guidance=0"
        )


def _check_hardware(cfg: DictConfig, here: bool) -> Iterator[str]:
    hardware = cfg.hardware
    if hardware.dtype not in DTYPES:
        yield f"hardware.dtype: {unknown_name('dtype', hardware.dtype, DTYPES)}"
    if hardware.text_encoder_dtype not in DTYPES:
        yield f"hardware.text_encoder_dtype: {unknown_name('dtype', hardware.text_encoder_dtype, DTYPES)}"
    if hardware.threads is not None and hardware.threads < 1:
        yield f"hardware.threads={hardware.threads}: must be 1 or more, or null for all cores"
    if hardware.jobs_per_gpu < 1:
        yield f"hardware.jobs_per_gpu={hardware.jobs_per_gpu}: must be 1 (alone on a GPU) or more"
    kind, _, index = hardware.device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        yield f"hardware.device: {unknown_name('device', hardware.device, ('cpu', 'cuda', 'cuda:0'))}"
    elif kind == "cuda" and here:
        yield from _check_cuda(cfg, int(index or 0))
    yield from _check_memory(hardware, on_gpu=kind == "cuda")


def _check_cuda(cfg: DictConfig, index: int) -> Iterator[str]:
    import torch

    hardware, count = cfg.hardware, _cuda_devices()
    if index >= count:
        yield f"hardware.device={hardware.device}: this machine has {count} CUDA devices; hardware=cpu runs without"
        return
    card = torch.cuda.get_device_properties(index)
    if hardware.memory_gb is not None and hardware.memory_gb * gpu.GIB > card.total_memory:
        total = card.total_memory / gpu.GIB
        yield f"hardware.memory_gb={hardware.memory_gb:g}: this GPU has {total:.1f}; null takes all"
    if cfg.speed.linears in EIGHT_BITS and (card.major, card.minor) < FLOAT8_CAPABILITY:
        yield (
            f"speed.linears={cfg.speed.linears}: {card.name} (compute capability {card.major}.{card.minor}) has no "
            "8-bit floats, which came with 8.9; give speed.linears=plain"
        )
    if cfg.speed.linears == "te" and not find_spec("transformer_engine"):
        yield NO_TRANSFORMER_ENGINE


def _check_memory(hardware: DictConfig, *, on_gpu: bool) -> Iterator[str]:
    for key, known in (("text_encoder", TEXT_ENCODER), ("resident", RESIDENT), ("offload", OFFLOAD)):
        if hardware[key] not in known:
            yield f"hardware.{key}: {unknown_name(key, hardware[key], known)}"
    if hardware.offload == "blocks" and not on_gpu:
        yield "hardware.offload=blocks: needs a CUDA device; with hardware.device=cpu give hardware.offload=none"
    if hardware.tokenizer_chunk is not None and hardware.tokenizer_chunk < 1:
        yield f"hardware.tokenizer_chunk={hardware.tokenizer_chunk}: must be 1 or more latent frames, or null for all"
    if hardware.memory_gb is not None and hardware.memory_gb <= 0:
        yield f"hardware.memory_gb={hardware.memory_gb:g}: must be more than 0, or null for all of the device's memory"
    if hardware.memory_gb is not None and not on_gpu:
        yield f"hardware.memory_gb={hardware.memory_gb:g}: limits a CUDA device; give null with hardware.device=cpu"


def _check_processes(cfg: DictConfig, contract: Contract, here: bool) -> Iterator[str]:
    """Whether there is a device for each process, and an even share of the clip."""
    given, started, device = cfg.hardware.processes, torchrun.processes(), cfg.hardware.device
    if given is not None and given < 1:
        yield f"hardware.processes={given}: must be 1 or more, or null for one"
        return
    if given and started and given != started:
        yield f"hardware.processes={given}: torchrun started {started}; give it null, or torchrun {given}"
        return
    processes = started or given or 1
    if processes == 1:
        return
    named = f"hardware.processes={processes}"
    if device not in ("cpu", "cuda"):
        yield f"{named}, hardware.device={device}: each takes its own GPU, cuda:0 and on: give hardware.device=cuda"
    elif device == "cuda" and here and processes > (count := _cuda_devices()):
        yield f"{named}: each takes its own GPU, and this machine has {count}; nearest is {max(1, count)}"
    videos, _ = _videos(cfg, contract)
    folder, _ = attempt(lambda: model_folder(cfg.model.name, cfg.model.weights))
    if videos and folder:
        passes = 2 if cfg.sampler.guidance > 0 else 1
        shared = _shared_parts(folder, videos)
        yield from (f"{named}: {error}" for error in attempt(lambda: check_fits(processes, passes, *shared))[1])


def _shared_parts(folder: Path, videos: Videos) -> tuple[int, int]:
    """Latent frames of a view and attention heads that the networks of a run have in common."""
    from cosmos_exp.models.transfer1.tokenizer import latent_frame_count

    networks = json.loads((folder / "model.json").read_text())
    frames, heads = [], []
    for stage, video in (("single_view", videos.single_view), ("multi_view", videos.multi_view)):
        if video:
            frames.append(latent_frame_count(video.chunks[0].size))
            heads += [net["num_heads"] for net in (networks[stage]["base"], *networks[stage]["controls"].values())]
    return math.gcd(*frames), math.gcd(*heads)


def _cuda_devices() -> int:
    import torch

    return torch.cuda.device_count()


def _check_metrics(cfg: DictConfig) -> Iterator[str]:
    for name in cfg.metrics.names:
        if name not in METRICS:
            yield f"metrics.names: {unknown_name('metric', name, METRICS)}"


def _check_tracking(cfg: DictConfig) -> Iterator[str]:
    yield from attempt(lambda: check_mode(cfg.tracking.mode))[1]
