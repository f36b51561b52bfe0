"""A sample as one call of the model: what samples of all commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from omegaconf import DictConfig

from cosmos_exp.common.cache import StageCache
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.config.schema import typed
from cosmos_exp.models.base import GeneratedVideos, GenerationRequest
from cosmos_exp.pipeline.api import ProgressBars
from cosmos_exp.pipeline.cached_results import Results
from cosmos_exp.pipeline.guarding import Guarding, texts_of
from cosmos_exp.pipeline.out_of_memory import out_of_memory_explained
from cosmos_exp.pipeline.run import lease_gpus

STYLE = "Original"
"""The one style of a sample: its prompt is as the file has it."""


class ModelCall:
    """cfg: of the sample, which has passed `check`."""

    def __init__(self, cfg: DictConfig):
        self.cfg = cfg
        self.spec = RunSpec(typed(cfg))
        self.results = Results(self.spec, StageCache(self.spec.config.paths.cache), reporter=ProgressBars())

    def made(self, texts: Mapping[str, str], request: Callable[[Results], GenerationRequest]) -> GeneratedVideos:
        """The videos of a request, as the guards let them pass. texts: {what: text} that the model reads."""
        lease_gpus(self.cfg.hardware)
        guarding = Guarding(self.spec.config, self.results)
        guarding.require_safe(texts_of(self.spec.config, texts))
        with out_of_memory_explained(self.spec.config):
            (made,) = self.spec.model.generate(request(self.results), self.results)
            return guarding.guarded(made)
