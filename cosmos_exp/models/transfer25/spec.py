"""What a config means for a Cosmos-Transfer2.5 network: weights, sampler, seeds, texts, given frames, cost.

Nothing here is loaded or computed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from typing import ClassVar

import numpy as np

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.typed_config import plain
from cosmos_exp.models.base import RenderRequest, ResultStore, VideoModel
from cosmos_exp.models.clip_shapes import Video
from cosmos_exp.models.config import GenerationConfig
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.dit.weights_folder import WeightsFolder
from cosmos_exp.models.kernels.speed import EIGHT_BITS
from cosmos_exp.models.transfer25.control_weights import BranchWeighting
from cosmos_exp.models.transfer25.description import read_description
from cosmos_exp.models.transfer25.memory_estimate import MemoryEstimate, memory_estimate
from cosmos_exp.models.transfer25.model_config import Transfer25Config
from cosmos_exp.models.transfer25.views import in_order, primary_view
from cosmos_exp.models.transfer25.weights_folder import load_model, model_folder
from cosmos_exp.sampling.chunks import Chunk
from cosmos_exp.sampling.flow import FlowParams
from cosmos_exp.sampling.seeds import item_seed

NO_TEXT = " "
"""What the original gives to the views beside the primary one."""
SEEDS = 2**32
TEXT_ENCODER_DTYPE = "bfloat16"
"""In the original."""


class Transfer25Spec(VideoModel):
    stages: ClassVar[Mapping[str, int]] = {"hints": 3, "input": 3, "text": 3, "multi_view": 6}
    sampling: ClassVar[str] = "multi_view"
    """The stage of the videos."""
    begins_with_frames: ClassVar[bool] = True
    """Whether frames of the scene may be given."""

    may_read = ("rgb", "semantic")

    def __init__(self, config: GenerationConfig, contract: Contract, *, known: Mapping[str, Contract] | None = None):
        super().__init__(config, contract, known=known)
        if not isinstance(config.model, Transfer25Config):
            raise TypeError(f"the family transfer25 reads a Transfer25Config, not {config.model!r}")
        self.model_config = config.model
        self.weighting = BranchWeighting(config.controls)

    # Views

    @property
    def video(self) -> Video:
        """Of each view."""
        return self.videos.single_view

    @property
    def ordered_views(self) -> tuple[str, ...]:
        """In the order of the network."""
        return in_order(self.config.views)

    def given_frames(self) -> dict[str, int]:
        """{view: first pixel frames that are given}; UserError where the config has numbers for other views."""
        views, counts = self.config.views, self.model_config.given_frames
        if len(counts) not in (1, len(views)):
            raise UserError(
                f"model.given_frames={list(counts)}: give one number for all views, or one for each of "
                f"{', '.join(views)}"
            )
        if self.config.sampler.first_frames is None:
            return dict.fromkeys(views, 0)
        return dict(zip(views, counts if len(counts) > 1 else counts * len(views)))

    # Texts

    @cached_property
    def negative_prompt(self) -> str:
        given = self.config.captions.negative_prompt
        return (self.contract.negative_prompt or NO_TEXT) if given is None else given

    def texts(self, prompt: str, view_prompts: Mapping[str, str]) -> dict[str, str]:
        """{view: what the conditional pass reads}, in the order of the network."""
        if self.model_config.captions == "each":
            return {view: view_prompts[view] for view in self.ordered_views}
        return {view: prompt if view == self._primary else NO_TEXT for view in self.ordered_views}

    @property
    def negative_texts(self) -> dict[str, str]:
        """{view: what the unconditional pass reads}, in the order of the network."""
        each = self.model_config.captions == "each"
        return {v: self.negative_prompt if each or v == self._primary else NO_TEXT for v in self.ordered_views}

    @property
    def _primary(self) -> str:
        return primary_view(self.config.views)

    # Controls and sampler

    @property
    def weights(self) -> dict[str, float]:
        """{control: weight} of those above 0."""
        return self.weighting.weights

    def weight_maps(self, request: RenderRequest, renders: Mapping[str, Entry]) -> dict[str, np.ndarray]:
        return self.weighting.pictures(self.weights, request.view, renders, request.shape) if self.maps else {}

    @property
    def maps(self) -> bool:
        """Whether a weight varies over the pictures."""
        return bool(self.weighting.maps_in(self.weights, self.config.views))

    @property
    def effective_weights(self) -> dict[str, dict[str, float]]:
        """As given."""
        return {self.sampling: dict(self.weights)} if self.weights else {}

    @cached_property
    def sampler(self) -> FlowParams:
        sampler, speed = self.config.sampler, self.config.speed
        interval = speed.guidance_interval
        return FlowParams(
            num_steps=sampler.num_steps,
            guidance=sampler.guidance,
            guidance_interval=(interval[0], interval[1]) if interval else None,
            cache_threshold=speed.cache_threshold,
        )

    def seed(self, clip: str, chunk: Chunk) -> int:
        """Of a chunk's initial noise."""
        seed = self.config.sampler.seed
        if self.model_config.reference_compat:
            return (seed + chunk.index) % SEEDS
        return item_seed(seed, self.sampling, f"{clip}/{chunk.index}" if chunk.index else clip)

    def seeds(self, clip: str) -> dict[str, list[int]]:
        return {self.sampling: [self.seed(clip, chunk) for chunk in self.video.chunks]}

    # Identity and cost

    @cached_property
    def folder(self) -> WeightsFolder:
        path = model_folder(self.model_config.name, self.model_config.weights)
        config = self.config
        dtypes = {"text_encoder_dtype": TEXT_ENCODER_DTYPE}
        return WeightsFolder(path, load_model, config.hardware, config.speed, config.threads, **dtypes)

    def files(self, store: ResultStore) -> dict[str, str]:
        return self.folder.files(store, "*")

    @property
    def location(self) -> str:
        return str(self.folder.path)

    @property
    def passes(self) -> int:
        """Of the network, to sample a chunk."""
        return self.sampler.num_steps * (2 if self.sampler.guidance else 1)

    @cached_property
    def memory(self) -> MemoryEstimate:
        config, chunk = self.config, self.video.chunks[0]
        return memory_estimate(
            read_description(self.folder.path),
            config.hardware,
            self.folder.memory,
            views=len(config.views),
            chunk=self.video.shape._replace(frames=chunk.size),
            passes=2 if self.sampler.guidance else 1,
            controls=len(self.weights),
            eight_bits=config.speed.linears in EIGHT_BITS,
            cached=config.speed.cache_threshold > 0,
        )

    @property
    def cost_note(self) -> str:
        return self.memory.told()

    def cost_setting(self, stage: str) -> str:
        model, hardware = self.model_config, asdict(self.config.hardware)
        del hardware["threads"]
        hardware["text_encoder_dtype"] = self.folder.memory.text_encoder_dtype
        hardware["device"] = self.config.hardware.device.partition(":")[0]
        name = self.folder.path.name if model.weights else model.name
        return json.dumps([name, hardware, plain(asdict(self.config.speed))], sort_keys=True)
