"""`model=render`: hands out the renderer's own picture in the asked style as the generated video.

It is the ceiling of every metric: what a model would score that draws the scene exactly as the renderer does. It makes
the views, frames and pixels of the model that it stands beside (`model.like`), and reads neither controls nor prompts,
so all cells of a sweep over these are one result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import ClassVar

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.stored_arrays import load_arrays
from cosmos_exp.controls.config import ControlsConfig
from cosmos_exp.models.base import (
    ByRequest,
    GeneratedVideos,
    GenerationRequest,
    ModelFamily,
    NamedContract,
    RenderRequest,
    ResultStore,
    StoredVideo,
    VideoModel,
)
from cosmos_exp.models.config import GenerationConfig, ModelConfig
from cosmos_exp.models.contract import Contract


@dataclass
class RenderConfig(ModelConfig):
    """The renderer's own picture in the asked style."""

    like: str = "nano"
    """Model whose views, frames, sizes and rate it takes; its weights need not be here."""


def contract(config: RenderConfig, named: NamedContract) -> Contract:
    controls = tuple(entry.name for entry in fields(ControlsConfig))  # any may have a weight: none is read
    return replace(named(config.like), controls=controls, multi_view_controls=controls, num_steps=None)


class RenderModel(VideoModel):
    stages: ClassVar[Mapping[str, int]] = {}
    reads_targets = True
    reads_seed = False

    def control_requests(self, name: str) -> tuple[RenderRequest, ...]:
        return ()

    def files(self, store: ResultStore) -> dict[str, str]:
        return {}

    def generate(self, request: GenerationRequest, store: ResultStore) -> Iterator[GeneratedVideos]:
        for style in request.prompts:
            yield rendered_videos(self, style, request.targets[style])


def rendered_videos(model: VideoModel, style: str, targets: ByRequest) -> GeneratedVideos:
    """The scene as it was rendered in a style, in place of the videos of a model."""
    views = {view: _rgb(targets[own]) for view, own in model.views.items()}
    return GeneratedVideos(style, _rgb(targets[model.front]), views)


def _rgb(entry: Entry) -> StoredVideo:
    return StoredVideo((entry,), lambda: load_arrays(entry)["rgb"])


def build(config: GenerationConfig, contract: Contract) -> VideoModel:
    return RenderModel(config, contract)


FAMILY = ModelFamily(RenderConfig, contract, build)
