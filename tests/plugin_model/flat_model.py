"""A model that lays its control videos over each other, in the brightness that the config asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from cosmos_exp.models.base import ClipInputs, ModelFamily, NamedContract, OneStageModel, ResultStore
from cosmos_exp.models.config import GenerationConfig, ModelConfig
from cosmos_exp.models.contract import Contract
from cosmos_exp.sampling.frame_rule import FrameRule


@dataclass
class FlatConfig(ModelConfig):
    brightness: float = 1.0
    """Factor of all pixels, 0 to 1."""


class FlatModel(OneStageModel):
    def files(self, store: ResultStore) -> dict[str, str]:
        """No weights; a model that has some returns {name: store.file_identity(path)}."""
        return {}

    def sample(self, inputs: ClipInputs, tick) -> Mapping[str, np.ndarray]:
        rng = np.random.default_rng(inputs.seed)
        return {view: self._view(inputs, view, rng) for view in self.config.views}

    def _view(self, inputs: ClipInputs, view: str, rng: np.random.Generator) -> np.ndarray:
        total = sum(inputs.weights.values())
        layers = [weight / total * inputs.controls[name][view] for name, weight in inputs.weights.items()]
        noise = rng.normal(0, self.config.sampler.sigma_max / 40, (*self.videos.single_view.shape, 1))
        return np.clip(self.config.model.brightness * (sum(layers) + noise + 10), 0, 255).astype(np.uint8)


def contract(config: FlatConfig, named: NamedContract) -> Contract:
    controls = ("hdmap", "seg", "depth", "edge", "vis")
    views = named("nano").views
    frames = FrameRule(base=1, step=1, least=2, most=121)
    return Contract(96, 160, 24.0, frames, views, controls, controls, text_tokens=0)


def check(config: GenerationConfig, contract: Contract, here: bool) -> Iterator[str]:
    if not 0 <= config.model.brightness <= 1:
        yield f"model.brightness={config.model.brightness:g}: must be 0 to 1"


FAMILY = ModelFamily(FlatConfig, contract, FlatModel, check)
