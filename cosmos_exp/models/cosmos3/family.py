"""The family `cosmos3`: contract and checks, which need no server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict

from cosmos_exp.common.errors import unknown_name
from cosmos_exp.common.typed_config import identity
from cosmos_exp.common.views import ALL_VIEWS
from cosmos_exp.controls.area import Area
from cosmos_exp.models.base import ModelFamily, NamedContract, VideoModel
from cosmos_exp.models.config import GenerationConfig
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.cosmos3.config import CONTROL, Cosmos3Config
from cosmos_exp.models.remote.endpoints import check_endpoint, server_problems
from cosmos_exp.remote.cosmos3_request import (
    COMPRESSION,
    SIZES,
    TRAINED_FPS,
    USUAL_FRAMES,
    is_frame_count,
    nearest_count,
    positive_problems,
    prompt_problems,
)
from cosmos_exp.sampling.config import BoundSampler, SamplerConfig
from cosmos_exp.sampling.frame_rule import FrameRule

NAME = "cosmos3_auto"
OVERLAPS = (5, 9, 13, 17)
"""Given frames of a further chunk: the first is what the server takes of a given video by default."""
LEAST_FRAMES = 1 + COMPRESSION
MOST_FRAMES = 1 + (USUAL_FRAMES[1] - 1) // COMPRESSION * COMPRESSION
MOST_ATTEMPTS = 10


def contract(config: Cosmos3Config, named: NamedContract) -> Contract:
    check_endpoint(config)
    return _contract(config)


def _contract(config: Cosmos3Config) -> Contract:
    sizes = [(height, width) for width, height in SIZES.get(config.resolution, SIZES["480"]).values()]
    most = config.chunk_frames if _can_chunk(config.chunk_frames) else Cosmos3Config.chunk_frames
    return Contract(
        *sizes[0],
        fps=TRAINED_FPS,
        frames=FrameRule(base=1, step=COMPRESSION, least=LEAST_FRAMES, most=most),
        views=ALL_VIEWS,
        controls=(CONTROL,),
        multi_view_controls=(CONTROL,),
        text_tokens=0,
        sizes=tuple(sizes),
        overlaps=tuple(n for n in OVERLAPS if n < most),
        subsets=True,
    )


def _can_chunk(frames: int) -> bool:
    return is_frame_count(frames) and LEAST_FRAMES <= frames <= MOST_FRAMES


def build(config: GenerationConfig, contract: Contract) -> VideoModel:
    from cosmos_exp.models.cosmos3.video_model import Cosmos3Model

    return Cosmos3Model(config, contract)


def check(config: GenerationConfig, contract: Contract, here: bool) -> Iterator[str]:
    """Values of this model's own keys, texts that the server refuses, and what a request has no place for."""
    own = config.model
    assert isinstance(own, Cosmos3Config)
    yield from server_problems(own)
    if own.resolution not in SIZES:
        yield f"model.resolution: {unknown_name('resolution', own.resolution, SIZES)}"
    if not _can_chunk(own.chunk_frames):
        nearest = min(max(nearest_count(own.chunk_frames), LEAST_FRAMES), MOST_FRAMES)
        yield (
            f"model.chunk_frames={own.chunk_frames}: must be 1 + 4k, from {LEAST_FRAMES} to {MOST_FRAMES}; "
            f"nearest is {nearest}"
        )
    if not is_frame_count(own.given_frames):
        yield f"model.given_frames={own.given_frames}: must be 1 + 4k; nearest is {nearest_count(own.given_frames)}"
    yield from positive_problems("model.flow_shift", own.flow_shift)
    yield from positive_problems("model.control_guidance", own.control_guidance, zero=True)
    if not 1 <= own.attempts <= MOST_ATTEMPTS:
        yield f"model.attempts={own.attempts}: must be 1 to {MOST_ATTEMPTS}"
    yield from _text_problems(config)
    yield from _not_carried(config, contract)


def _text_problems(config: GenerationConfig) -> Iterator[str]:
    captions = config.captions
    texts = {"captions.prompt": captions.prompt, "captions.negative_prompt": captions.negative_prompt or None}
    texts |= {f"captions.view_prompts.{view}": text for view, text in asdict(captions.view_prompts).items()}
    for key, text in texts.items():
        yield from (f"{key} {problem}" for problem in (prompt_problems(text) if text is not None else ()))
    if captions.other_views == "bare" and len(config.views) > 1:
        yield "captions.other_views=bare: this model needs a text of every view; give captions.other_views=same"


def _not_carried(config: GenerationConfig, contract: Contract) -> Iterator[str]:
    """What a config asks for that a request has no place for."""
    sampler, default = config.sampler, BoundSampler.of(SamplerConfig(), contract.own_sampling)
    refused = {f"speed.{key}": f"the default of speed.{key}" for key in identity(config.speed)}
    if sampler.first_frames not in (None, "rgb"):
        refused["sampler.first_frames"] = "sampler.first_frames=rgb, or null"
    for key in ("sigma_max", "sigma_min", "input"):
        if getattr(sampler, key) != getattr(default, key):
            value = getattr(default, key)
            refused[f"sampler.{key}"] = f"sampler.{key}={'null' if value is None else f'{value:g}'}"
    if config.captions.regions:
        refused["captions.regions"] = "captions.regions=[]"
    for name, control in config.controls.used.items():
        if not Area.of(control.weight_map).is_whole:
            refused[f"controls.{name}.weight_map"] = "one weight for the whole picture"
    for what, instead in refused.items():
        yield f"{what}: a request to this model's server cannot carry it: give {instead}"


def known() -> Mapping[str, Contract]:
    return {NAME: _contract(Cosmos3Config())}


FAMILY = ModelFamily(Cosmos3Config, contract, build, check, known)
