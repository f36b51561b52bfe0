"""The family `transfer1`: the nano model and the released Cosmos-Transfer1 models, by config and contract."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cosmos_exp.common import torchrun
from cosmos_exp.common.errors import attempt
from cosmos_exp.common.weights_files import check_weights
from cosmos_exp.controls.user_videos import check_video, view_file
from cosmos_exp.models.base import ModelFamily, NamedContract, VideoModel
from cosmos_exp.models.checkpoints import released
from cosmos_exp.models.clip_shapes import Videos
from cosmos_exp.models.config import GenerationConfig
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.dit.layout import check_fits
from cosmos_exp.models.transfer1.description import read_description, weight_files
from cosmos_exp.models.transfer1.model_config import Transfer1Config
from cosmos_exp.models.transfer1.weights_folder import SHIPPED_WEIGHTS, model_folder, read_contract
from cosmos_exp.sampling.sampler_params import guidance_problems, steps_problems


def contract(config: Transfer1Config, named: NamedContract) -> Contract:
    return read_contract(model_folder(config.name, config.weights))


def build(config: GenerationConfig, contract: Contract) -> VideoModel:
    from cosmos_exp.models.transfer1.video_model import Transfer1

    return Transfer1(config, contract, known=known())


def known() -> dict[str, Contract]:
    """The released models, and those whose weights ship with the package."""
    shipped = {folder.parent.name: read_contract(folder.parent) for folder in SHIPPED_WEIGHTS.glob("*/model.json")}
    return {name: model.contract for name, model in released.MODELS.items()} | shipped


def check(config: GenerationConfig, contract: Contract, here: bool) -> Iterator[str]:
    """Rules of these networks: steps of a distilled one, videos to start from, processes that share a clip."""
    yield from _check_steps(config, contract)
    yield from _check_multi_view_sampling(config)
    yield from _check_weights(config) if here else ()
    model = build(config, contract)
    videos, _ = attempt(lambda: model.videos)  # its problems are told by the contract's rules
    yield from _check_input(config, videos, model.fps)
    yield from _check_first_frames(config, contract, videos, model.fps)
    yield from _check_processes(config, contract, videos)


def _check_steps(config: GenerationConfig, contract: Contract) -> Iterator[str]:
    sampler, steps = config.sampler, contract.num_steps
    if steps is not None and (sampler.num_steps != steps or sampler.guidance != 0):
        yield (
            f"sampler.num_steps={sampler.num_steps}, sampler.guidance={sampler.guidance:g}: "
            f"{config.model.name} is distilled to sampler.num_steps={steps} sampler.guidance=0"
        )


def _check_multi_view_sampling(config: GenerationConfig) -> Iterator[str]:
    own = config.model
    assert isinstance(own, Transfer1Config)
    steps, guidance = own.multi_view_steps, own.multi_view_guidance
    if steps is not None:
        yield from steps_problems("model.multi_view_steps", steps)
    if guidance is not None:
        yield from guidance_problems("model.multi_view_guidance", guidance)
    if len(config.views) == 1:
        for key, value in (("steps", steps), ("guidance", guidance)):
            if value is not None:
                yield f"model.multi_view_{key}={value:g}: there is one view, made by sampler.*; give null, or views=six"


def _check_weights(config: GenerationConfig) -> Iterator[str]:
    """Whether the files of all networks are whole: they are read long after the scene is rendered."""
    assert isinstance(config.model, Transfer1Config)
    name, weights = config.model.name, config.model.weights
    folder, _ = attempt(lambda: model_folder(name, weights))  # `contract` has told what is wrong with it
    if folder is None:
        return
    for file in weight_files(read_description(folder)):
        yield from attempt(partial(check_weights, folder / file))[1]


def _check_input(config: GenerationConfig, videos: Videos | None, fps: float) -> Iterator[str]:
    given = config.sampler.input
    if given in (None, "rgb"):
        return
    if not Path(given).is_file():
        yield f"sampler.input: no file {given!r}: give rgb (the scene's picture), a video file or null (noise alone)"
        return
    frames = videos.single_view.shape.frames if videos else 0
    for problem in attempt(lambda: check_video(Path(given), frames, fps))[1]:
        yield f"sampler.input: {problem}"


def _check_first_frames(
    config: GenerationConfig, contract: Contract, videos: Videos | None, fps: float
) -> Iterator[str]:
    given = config.sampler.first_frames
    if given is None:
        return
    if not contract.multi_view_overlaps or len(config.views) == 1:
        able = ", ".join(name for name, other in known().items() if other.multi_view_overlaps)
        yield f"sampler.first_frames={given}: goes with all views of a model that continues them ({able}); give null"
        return
    video = videos.multi_view if videos else None
    if given == "rgb" or video is None:
        return
    if not Path(given).is_dir():
        yield f"sampler.first_frames: no folder {given!r}: give rgb (the scene's pictures), a folder of videos or null"
        return
    for view in config.views:
        path, errors = attempt(partial(view_file, given, view, list(config.views)))
        errors = attempt(partial(check_video, path, video.overlap, fps))[1] if path else errors
        yield from (f"sampler.first_frames: {error}" for error in errors)


def _check_processes(config: GenerationConfig, contract: Contract, videos: Videos | None) -> Iterator[str]:
    """Whether the clip can be split evenly."""
    processes = torchrun.process_count(config.hardware.processes)
    model = config.model
    assert isinstance(model, Transfer1Config)
    folder, _ = attempt(lambda: model_folder(model.name, model.weights))
    if processes > 1 and videos and folder:
        shared = _shared_parts(folder, videos)
        of_all = [model.multi_view_sampler(config.sampler, contract)] if videos.multi_view else []
        for passes in {2 if sampling.guidance > 0 else 1 for sampling in (config.sampler, *of_all)}:
            errors = attempt(partial(check_fits, processes, passes, *shared))[1]
            yield from (f"hardware.processes={processes}: {error}" for error in errors)


def _shared_parts(folder: Path, videos: Videos) -> tuple[int, int]:
    """Latent frames of a view and attention heads that the networks of a run have in common."""
    from cosmos_exp.models.transfer1.tokenizer import latent_frame_count

    networks = read_description(folder)
    frames, heads = [], []
    for stage, video in (("single_view", videos.single_view), ("multi_view", videos.multi_view)):
        if video:
            frames.append(latent_frame_count(video.chunks[0].size))
            heads += [net["num_heads"] for net in (networks[stage]["base"], *networks[stage]["controls"].values())]
    return math.gcd(*frames), math.gcd(*heads)


FAMILY = ModelFamily(Transfer1Config, contract, build, check, known)
