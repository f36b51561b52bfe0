"""Every stage bound to its part of the config and to its inputs, so that its result can be looked up in the cache.

A stage's key covers its version, the config values that change its result, and the keys of what goes in. Values that
only say where and how fast (device, threads, folders, tracking) are no part of any key.
"""

from __future__ import annotations

from cosmos_exp.config.run_spec import Settings
from cosmos_exp.models.transfer1.spatial_conditioning import Places
from cosmos_exp.pipeline.cached_results import Results, load_arrays
from cosmos_exp.pipeline.stages.drawing import Drawing
from cosmos_exp.pipeline.stages.latents import Latents
from cosmos_exp.pipeline.stages.loaded import Loaded
from cosmos_exp.pipeline.stages.measuring import Measuring
from cosmos_exp.pipeline.stages.sampling import Sampling
from cosmos_exp.pipeline.stages.texts import Texts


class Stages:
    """The stages of one run, in the order of its data."""

    def __init__(self, settings: Settings, results: Results):
        self.settings = settings
        self.results = results
        self.loaded = loaded = Loaded(settings, results.cache)
        self.places = Places(settings.cfg, results.cache, lambda render: load_arrays(render)["semantic"])
        self.texts = Texts(settings, loaded, results)
        self.drawing = Drawing(settings, loaded, results)
        self.latents = Latents(settings, loaded, results)
        self.sampling = Sampling(settings, loaded, results, self.places)
        self.measuring = Measuring(settings, results)
