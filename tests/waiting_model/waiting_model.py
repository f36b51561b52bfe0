"""A model without a network, whose cells sample until a test releases them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cosmos_exp.models.base import ClipInputs, ModelFamily, NamedContract, OneStageModel, ResultStore
from cosmos_exp.models.config import ModelConfig
from cosmos_exp.models.contract import Contract
from cosmos_exp.sampling.frame_rule import FrameRule

STEPS = 1000


@dataclass
class WaitingConfig(ModelConfig):
    until: str = ""
    """Folder in which a file `all`, or one named as the cell's seed, ends the sampling; none: it ends at once."""
    picture: str = ""
    """A file that is shown in every frame, which is then larger."""


class WaitingModel(OneStageModel):
    def files(self, store: ResultStore) -> dict[str, str]:
        return {}

    def sample(self, inputs: ClipInputs, tick) -> Mapping[str, np.ndarray]:
        """The HD map in noise of the seed."""
        done = 0
        while not self._is_released():
            tick(done, STEPS)
            time.sleep(0.05)
            done = min(done + 1, STEPS)
        if self.config.model.picture:
            return {view: self._shown(inputs.controls["hdmap"][view]) for view in self.config.views}
        noise = np.random.default_rng(inputs.seed).integers(0, 64, self.videos.single_view.shape, np.uint8)
        return {view: inputs.controls["hdmap"][view] // 2 + noise[..., None] for view in self.config.views}

    def _shown(self, video: np.ndarray) -> np.ndarray:
        """The picture, 96 pixels wide, in the middle of every frame."""
        picture = cv2.resize(cv2.imread(self.config.model.picture)[..., ::-1], (96, 96), interpolation=cv2.INTER_AREA)
        made = video // 2
        made[:, 24:120, 80:176] = picture
        return made

    def _is_released(self) -> bool:
        until, seed = self.config.model.until, self.config.sampler.seed
        return not until or any(Path(until, name).exists() for name in ("all", str(seed)))


def contract(config: WaitingConfig, named: NamedContract) -> Contract:
    frames = FrameRule(base=1, step=1, least=2, most=121)
    height, width = (144, 256) if config.picture else (48, 80)
    return Contract(height, width, 24.0, frames, named("nano").views, ("hdmap",), ("hdmap",), text_tokens=0)


FAMILY = ModelFamily(WaitingConfig, contract, WaitingModel)
