"""What a config means for the Transfer1 networks: weights, sampler, seeds, where the networks lie, what they cost.

Nothing here is loaded or computed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.typed_config import plain
from cosmos_exp.models.base import (
    RenderRequest,
    ResultStore,
    VideoModel,
)
from cosmos_exp.models.config import GenerationConfig
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.dit.weights_folder import WeightsFolder
from cosmos_exp.models.transfer1.model_config import Transfer1Config
from cosmos_exp.models.transfer1.spatial_conditioning import SpatialConditioning
from cosmos_exp.models.transfer1.weights_folder import load_model, model_folder
from cosmos_exp.sampling.chunks import Chunk
from cosmos_exp.sampling.sampler_params import SIGMA_MAX, SamplerParams
from cosmos_exp.sampling.seeds import item_seed
from cosmos_exp.sampling.weight_normalization import normalized_weights, weights_read


class Transfer1Spec(VideoModel):
    stages: ClassVar[Mapping[str, int]] = {"hints": 2, "input": 2, "text": 2, "single_view": 4, "multi_view": 4}

    may_read = ("rgb", "semantic")
    has_front_stage = True

    def __init__(self, config: GenerationConfig, contract: Contract, *, known: Mapping[str, Contract] | None = None):
        super().__init__(config, contract, known=known)
        if not isinstance(config.model, Transfer1Config):
            raise TypeError(f"the family transfer1 reads a Transfer1Config, not {config.model!r}")
        self.model_config = config.model
        self.reference_compat = self.model_config.reference_compat
        self.spatial = SpatialConditioning(config.controls, config.captions, reference_compat=self.reference_compat)
        given = config.captions.negative_prompt
        self.negative_prompt: str | None = contract.negative_prompt if given is None else given

    # Controls

    @property
    def weights(self) -> dict[str, float]:
        """{control: weight} of those above 0, as given."""
        return self.spatial.weights

    @property
    def multi_view_controls(self) -> tuple[str, ...]:
        """Controls with a weight that the multi-view net reads; none where only one view is asked for."""
        read = self.contract.multi_view_controls if len(self.config.views) > 1 else ()
        return tuple(name for name in self.weights if name in read)

    def control_requests(self, name: str) -> tuple[RenderRequest, ...]:
        read = self.views.values() if name in self.multi_view_controls else ()
        return tuple(dict.fromkeys([self.front, *read]))

    @cached_property
    def effective_weights(self) -> dict[str, dict[str, float]]:
        """Of each network over the controls that it reads, and scaled down where they sum to more than 1."""
        names = {"single_view": tuple(self.weights), "multi_view": self.multi_view_controls}
        return {net: normalized_weights(weights_read(self.weights, own)) for net, own in names.items() if own}

    def weight_maps(self, request: RenderRequest, renders: Mapping[str, Entry]) -> dict[str, np.ndarray]:
        front = request == self.front
        controls = list(self.weights) if front else list(self.multi_view_controls)
        seen = {request.view: renders[request.view]} if front else renders
        return self.spatial.pictures(controls, request.view, seen, request.shape)

    # Networks

    @cached_property
    def folder(self) -> WeightsFolder:
        path = model_folder(self.model_config.name, self.model_config.weights)
        return WeightsFolder(path, load_model, self.config.hardware, self.config.speed, self.config.threads)

    @cached_property
    def sampler(self) -> SamplerParams:
        """Of the front view."""

        sampler, speed = self.config.sampler, self.config.speed
        interval = speed.guidance_interval
        return SamplerParams(
            guidance=sampler.guidance,
            num_steps=sampler.num_steps,
            sigma_max=sampler.sigma_max,
            sigma_min=sampler.sigma_min,
            reference_compat=self.reference_compat,
            guidance_interval=(interval[0], interval[1]) if interval else None,
            cache_threshold=speed.cache_threshold,
        )

    @property
    def multi_view_sampler(self) -> SamplerParams:
        own = self.model_config.multi_view_sampler(self.config.sampler, self.contract)
        sigma_max = self.multi_view_sigma_max
        return replace(self.sampler, num_steps=own.num_steps, guidance=own.guidance, sigma_max=sigma_max)

    @property
    def multi_view_sigma_max(self) -> float:
        """The other views always start from noise alone."""
        sampler = self.config.sampler
        return sampler.sigma_max if sampler.input is None else SIGMA_MAX

    @property
    def in_effect(self) -> dict[str, float]:
        if not self.videos.multi_view:
            return super().in_effect
        own = self.multi_view_sampler
        of_all = {"model.multi_view_steps": own.num_steps, "model.multi_view_guidance": own.guidance}
        return super().in_effect | of_all

    def seed(self, stage: str, clip: str, chunk: Chunk) -> int:
        """Of a chunk's initial noise."""
        return item_seed(self.config.sampler.seed, stage, f"{clip}/{chunk.index}" if chunk.index else clip)

    def seeds(self, clip: str) -> dict[str, list[int]]:
        videos = {"single_view": self.videos.single_view, "multi_view": self.videos.multi_view}
        return {name: [self.seed(name, clip, c) for c in video.chunks] for name, video in videos.items() if video}

    # Identity and cost

    def files(self, store: ResultStore) -> dict[str, str]:
        several = ("multiview_*",) if self.videos.multi_view else ()
        return self.folder.files(store, "tokenizer", "text_encoder", "base", "control_*", *several)

    @property
    def location(self) -> str:
        return str(self.folder.path)

    def cost_setting(self, stage: str) -> str:
        model, hardware = self.model_config, asdict(self.config.hardware)
        del hardware["threads"]
        hardware["text_encoder_dtype"] = self.folder.memory.text_encoder_dtype
        hardware["device"] = self.config.hardware.device.partition(":")[0]
        name = self.folder.path.name if model.weights else model.name
        return json.dumps([name, hardware, plain(asdict(self.config.speed))], sort_keys=True)
