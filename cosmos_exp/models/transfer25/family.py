"""The family `transfer25`: the released Cosmos-Transfer2.5 models, by config and contract."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cosmos_exp.common import torchrun
from cosmos_exp.common.errors import attempt, unknown_name
from cosmos_exp.common.weights_files import check_weights
from cosmos_exp.controls.area import Area
from cosmos_exp.controls.user_videos import check_video, view_file
from cosmos_exp.models.base import ModelFamily, NamedContract, VideoModel
from cosmos_exp.models.config import GenerationConfig
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.dit.control_weighting import is_file
from cosmos_exp.models.dit.layout import check_fits
from cosmos_exp.models.transfer25.description import read_description, weight_files
from cosmos_exp.models.transfer25.model_config import CAPTIONS, Transfer25Config
from cosmos_exp.models.transfer25.released import MODELS
from cosmos_exp.models.transfer25.sizes import latent_frame_count
from cosmos_exp.models.transfer25.spec import Transfer25Spec
from cosmos_exp.models.transfer25.weights_folder import model_folder, read_contract
from cosmos_exp.sampling.sampler_params import SIGMA_MAX

GIVEN_FRAMES = (0, 1, 5)


def contract(config: Transfer25Config, named: NamedContract) -> Contract:
    return read_contract(model_folder(config.name, config.weights))


def build(config: GenerationConfig, contract: Contract) -> VideoModel:
    from cosmos_exp.models.transfer25.video_model import Transfer25, Transfer25General

    model = Transfer25 if contract.subsets else Transfer25General
    return model(config, contract, known=known())


def known() -> dict[str, Contract]:
    return {name: model.contract for name, model in MODELS.items()}


def check(config: GenerationConfig, contract: Contract, here: bool) -> Iterator[str]:
    """Rules of these networks, and what of the config they have no place for."""
    model = build(config, contract)
    assert isinstance(model, Transfer25Spec)
    own = model.model_config
    if own.captions not in CAPTIONS:
        yield f"model.captions: {unknown_name('way of captions', own.captions, CAPTIONS)}"
    yield from _check_unread(config, contract)
    yield from _check_files(own) if here else ()
    yield from _check_given(model)
    yield from _check_processes(config, model)


def _check_unread(config: GenerationConfig, contract: Contract) -> Iterator[str]:
    """Keys of other families: a value that nothing reads is a mistake."""
    sampler, name = config.sampler, config.model.name
    if (sampler.sigma_max, sampler.sigma_min) != (SIGMA_MAX, contract.sigma_min):
        yield (
            f"sampler.sigma_max={sampler.sigma_max:g}, sampler.sigma_min={sampler.sigma_min:g}: the noise levels of "
            f"{name} follow from sampler.num_steps alone; leave both out"
        )
    if sampler.input is not None:
        yield f"sampler.input={sampler.input}: {name} starts from noise; give sampler.first_frames, or null"
    if config.captions.regions:
        yield f"captions.regions: {name} reads a prompt per view and no regions; leave them out"
    for control, settings in config.controls.used.items():
        if settings.weight > 1:
            yield f"controls.{control}.weight={settings.weight:g}: {name} takes 0 to 1; nearest is 1"
        if len(config.views) > 1 and is_file(Area.of(settings.weight_map).mask):
            yield (
                f"controls.{control}.weight_map.mask={settings.weight_map.mask!r} is one file, and {name} makes "
                f"{len(config.views)} views together: give a folder with a file for each"
            )


def _check_files(own: Transfer25Config) -> Iterator[str]:
    """Whether the files of all networks are whole: they are read long after the scene is rendered."""
    folder, _ = attempt(lambda: model_folder(own.name, own.weights))  # `contract` has told what is wrong with it
    if folder is None:
        return
    for file in weight_files(read_description(folder)):
        if file.endswith(".safetensors"):
            yield from attempt(partial(check_weights, folder / file))[1]


def _check_given(model: Transfer25Spec) -> Iterator[str]:
    counts, given = model.model_config.given_frames, model.config.sampler.first_frames
    if given is not None and not model.begins_with_frames:
        yield f"sampler.first_frames={given}: {model.config.model.name} begins with noise alone; leave it out"
        return
    for count in counts:
        if count not in GIVEN_FRAMES:
            nearest = min(GIVEN_FRAMES, key=lambda n: abs(n - count))
            yield f"model.given_frames={list(counts)}: {count} is none of 0, 1 and 5; nearest is {nearest}"
            return
    frames, problems = attempt(model.given_frames)
    yield from problems
    if frames is None or given in (None, "rgb") or not any(frames.values()):
        return
    if not Path(given).is_dir():
        yield f"sampler.first_frames: no folder {given!r}: give rgb (the scene's pictures), a folder of videos or null"
        return
    for view in model.config.views:
        path, errors = attempt(partial(view_file, given, view, list(model.config.views)))
        errors = attempt(partial(check_video, path, max(frames.values()), model.fps))[1] if path else errors
        yield from (f"sampler.first_frames: {error}" for error in errors)


def _check_processes(config: GenerationConfig, model: Transfer25Spec) -> Iterator[str]:
    """Whether the clip can be split evenly."""
    processes, own = torchrun.process_count(config.hardware.processes), model.model_config
    folder, _ = attempt(lambda: model_folder(own.name, own.weights))
    videos, _ = attempt(lambda: model.videos)  # its problems are told by the contract's rules
    if processes == 1 or not folder or not videos:
        return
    frames = latent_frame_count(videos.single_view.chunks[0].size)
    heads = read_description(folder)["network"]["num_heads"]
    errors = attempt(lambda: check_fits(processes, 2 if config.sampler.guidance > 0 else 1, frames, heads))[1]
    yield from (f"hardware.processes={processes}: {error}" for error in errors)


FAMILY = ModelFamily(Transfer25Config, contract, build, check, known)
