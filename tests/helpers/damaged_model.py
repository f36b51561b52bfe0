"""A model whose candidates are the scene's own picture, each damaged in another known way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from cosmos_exp.filtering.rule import candidate_seed
from cosmos_exp.models import registry
from cosmos_exp.models.base import ClipInputs, ModelFamily, NamedContract, OneStageModel, ResultStore
from cosmos_exp.models.config import ModelConfig
from cosmos_exp.models.contract import Contract
from cosmos_exp.sampling.frame_rule import FrameRule


@dataclass
class DamagedConfig(ModelConfig):
    damages: list[str] = field(default_factory=lambda: ["none"])
    """Names of DAMAGES: of the first candidate, the second, ..."""


def _pixels(video: np.ndarray) -> np.ndarray:
    return np.clip(video, 0, 255).astype(np.uint8)


DAMAGES = {
    "none": lambda video: video,
    "blur": lambda video: np.stack([cv2.GaussianBlur(frame, (0, 0), 3) for frame in video]),
    "noise": lambda video: _pixels(video + np.random.default_rng(0).normal(0, 30, video.shape)),
    "shift": lambda video: np.roll(video, 16, axis=2),
    "colours": lambda video: video[..., [2, 0, 1]],
    "dark": lambda video: video // 8,
    "pale": lambda video: 160 + video // 4,
    "black": lambda video: video * 0,
    "frozen": lambda video: np.repeat(video[:1], len(video), axis=0),
    "grey box": lambda video: _boxed(video),
}


def _boxed(video: np.ndarray) -> np.ndarray:
    """Where the road is, nothing."""
    boxed, (_, height, width, _) = video.copy(), video.shape
    boxed[:, height // 2 :, width // 4 : -width // 4] = 128
    return boxed


class DamagedModel(OneStageModel):
    reads_targets = True
    reads_controls = False

    def files(self, store: ResultStore) -> dict[str, str]:
        return {}

    def sample(self, inputs: ClipInputs, tick) -> Mapping[str, np.ndarray]:
        assert isinstance(self.config.model, DamagedConfig)
        damages = self.config.model.damages
        number = [candidate_seed(0, i) for i in range(len(damages))].index(self.config.sampler.seed)
        return {view: DAMAGES[damages[number]](video) for view, video in inputs.rgb.items()}


def contract(config: DamagedConfig, named: NamedContract) -> Contract:
    frames = FrameRule(base=1, step=1, least=2, most=121)
    return replace(named("nano_fast"), frames=frames, num_steps=None)


@contextmanager
def damaged_model() -> Iterator[None]:
    """`model=damaged` in this process."""
    registry.register_model("damaged", ModelFamily(DamagedConfig, contract, DamagedModel))
    try:
        yield
    finally:
        del registry._registered["damaged"]
