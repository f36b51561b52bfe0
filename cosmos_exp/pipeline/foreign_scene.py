"""Another scene in front of the same cameras: what the floor of a metric shows."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cosmos_exp.common.cache import stage_key
from cosmos_exp.common.single_entry_cache import SingleEntryCache
from cosmos_exp.metrics.references import foreign_frames
from cosmos_exp.pipeline.keys import SCENE_VERSION
from cosmos_exp.pipeline.scene_loading import LoadedScene
from cosmos_exp.scene.types import Scene
from cosmos_exp.sensors.camera import Rig

if TYPE_CHECKING:
    from cosmos_exp.rendering.renderer import Renderer

FOREIGN_SEED = 2_000_003
DURATION = 2.0  # seconds, which its instants are spread over

_foreign = SingleEntryCache()


class ForeignScene(LoadedScene):
    """A procedural street of a fixed seed, or of the next where that is the run's own, at a few instants.

    The same for all scenes of a sweep, so that it is rendered once per style and camera.
    """

    def __init__(self, own: LoadedScene):
        super().__init__(own.spec, own.cache)
        self.own = own
        self.seed = FOREIGN_SEED + (getattr(own.spec.scene, "seed", None) == FOREIGN_SEED)

    @property
    def has_pictures(self) -> bool:
        return False

    @cached_property
    def key(self) -> str:
        config = {"foreign": self.seed, "duration": DURATION, "instants": len(self.times)}
        return stage_key("scene", SCENE_VERSION, config, [self.own.key] if self.own.has_cameras else [])

    @cached_property
    def scene(self) -> Scene:
        from cosmos_exp.scene.procedural.street import procedural_scene

        return procedural_scene(seed=self.seed, duration=DURATION)

    @cached_property
    def rig(self) -> Rig:
        return self.own.rig

    @cached_property
    def times(self) -> np.ndarray:
        frames = next(iter(self.spec.truth_requests.values())).shape.frames
        return np.linspace(0, DURATION, len(foreign_frames(frames)))

    @cached_property
    def renderer(self) -> Renderer:
        from cosmos_exp.rendering.renderer import Renderer

        return _foreign.get(self.key, lambda: Renderer(self.scene))
