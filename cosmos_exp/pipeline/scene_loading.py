"""What a run loads or builds once, when a stage first needs it: scene, rig, renderer.

The process keeps them for its next run. So a run whose results are all in the cache makes none of them, and the cells
of a sweep share them.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cosmos_exp.common.cache import StageCache
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.progress import Tick
from cosmos_exp.common.single_entry_cache import SingleEntryCache
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.models.base import RenderRequest
from cosmos_exp.pipeline.captured import captured_scene_config, is_captured, take_pictures
from cosmos_exp.pipeline.keys import scene_key
from cosmos_exp.scene.actor_frame import actor_origin, in_rig_frame
from cosmos_exp.scene.finite import require_finite
from cosmos_exp.scene.source import SceneConfig
from cosmos_exp.scene.sources import load_rig, load_scene
from cosmos_exp.scene.types import Scene
from cosmos_exp.sensors.camera import Camera, Rig
from cosmos_exp.sensors.rigs import resized, rig_of_views

if TYPE_CHECKING:
    from cosmos_exp.rendering.renderer import Renderer
    from cosmos_exp.scene.carla_live.folder import Capture

_scenes, _renderers = SingleEntryCache(), SingleEntryCache()


def check_length(spec: RunSpec, seconds: float, notes: Sequence[str] = ()) -> None:
    """UserError where a scene of that many seconds is shorter than the longest video. notes: of the scene."""
    frames, fps = spec.model.front.shape.frames, spec.fps
    needed = (frames - 1) / fps
    if needed > seconds + 1e-6:
        raise UserError(
            f"{frames} frames at {fps:g} Hz need {needed:.2f} s, the scene is {seconds:.2f} s long: choose a longer "
            "time window, fewer frames (model.num_frames) or a higher model.fps"
            + "".join(f"; {note}" for note in notes)
        )


class LoadedScene:
    """cache: remembers the identities of files. scene, rig: given by the caller instead of by the config."""

    def __init__(self, spec: RunSpec, cache: StageCache, scene: Scene | None = None, rig: Rig | None = None):
        self.spec = spec
        self.cache = cache
        if scene is not None:
            require_finite(scene)
        self._given_scene = scene
        self._given_rig = rig

    @cached_property
    def key(self) -> str:
        """Identity of the scene; with that of a rig that was given, which no config describes."""
        if self._given_scene is None:
            return scene_key(self._config, self.cache)
        return hashlib.sha256(pickle.dumps((self._given_scene, self._given_rig))).hexdigest()

    @property
    def has_pictures(self) -> bool:
        """Whether it comes with pictures of its own."""
        return self._given_scene is None and is_captured(self.spec)

    @cached_property
    def capture(self) -> Capture:
        """Of a scene with pictures of its own; made where there is none yet."""
        return self.take_pictures(lambda done, total: None)

    def take_pictures(self, tick: Tick) -> Capture:
        """Make the capture, unless it is there. tick: told (frames done, frames in all)."""
        self.__dict__["capture"] = take_pictures(self.spec, self.cache, tick)
        return self.capture

    @property
    def _config(self) -> SceneConfig:
        return captured_scene_config(self.spec.scene, self.capture) if self.has_pictures else self.spec.scene

    @property
    def has_cameras(self) -> bool:
        """Whether its cameras follow from the scene too, and not from the `sensors` config alone."""
        sensors = self.spec.sensors
        return self._given_rig is not None or bool(sensors.camera_type or sensors.file)

    @cached_property
    def scene(self) -> Scene:
        if self._given_scene is not None:
            return self._given_scene
        return _scenes.get(self.key, lambda: load_scene(self._config))

    @cached_property
    def rig(self) -> Rig:
        """The cameras of the views, named by these, at the size of the front view."""
        spec, shape = self.spec, self.spec.model.front.shape
        if self._given_rig is not None:
            rig = resized(self._given_rig, shape.width, shape.height)
        else:
            rig = load_rig(spec.scene, spec.sensors, size=(shape.width, shape.height))
            rig = in_rig_frame(rig, spec.sensors, lambda: actor_origin(self.scene))
        return rig_of_views(rig, spec.sensors.views, spec.views)

    def camera(self, request: RenderRequest) -> Camera:
        """A view's camera at the requested size, as a resized picture would show it: other pixels, the same borders."""
        camera = self.rig.camera(request.view)
        return replace(camera, model=camera.model.resized(request.shape.width, request.shape.height))

    @cached_property
    def times(self) -> np.ndarray:
        """[F] seconds, of the longest video."""
        check_length(self.spec, self.scene.duration, self.scene.notes)
        return self.scene.frame_times(self.spec.model.front.shape.frames, self.spec.fps)

    @cached_property
    def renderer(self) -> Renderer:
        from cosmos_exp.rendering.compiled import keep_beside
        from cosmos_exp.rendering.renderer import Renderer

        keep_beside(self.cache.root)
        return _renderers.get(self.key, lambda: Renderer(self.scene))
