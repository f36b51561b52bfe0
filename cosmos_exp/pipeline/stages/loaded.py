"""What a run loads or builds once, when a stage first needs it: scene, rig, renderer, model.

The process keeps them for its next run. So a run whose results are all in the cache makes none of them, and the cells
of a sweep share them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmos_exp.common import gpu
from cosmos_exp.common.cache import StageCache
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.single_entry_cache import Kept
from cosmos_exp.config.run_spec import Settings, Take
from cosmos_exp.pipeline.stages.keys import scene_key
from cosmos_exp.scene.actor_frame import in_rig_frame
from cosmos_exp.scene.sources import load_rig, load_scene
from cosmos_exp.scene.types import Scene
from cosmos_exp.sensors.camera import Camera, Rig
from cosmos_exp.sensors.rigs import rig_of_views

if TYPE_CHECKING:
    from cosmos_exp.models.transfer1.model import WorldModel
    from cosmos_exp.render.renderer import Renderer

_scenes, _renderers, _models = Kept(), Kept(), Kept()


class Loaded:
    """cache: remembers the identities of files."""

    def __init__(self, settings: Settings, cache: StageCache):
        self.settings = settings
        self.cache = cache

    @cached_property
    def scene_key(self) -> str:
        return scene_key(self.settings.cfg["scene"], self.cache)

    @cached_property
    def scene(self) -> Scene:
        return _scenes.get(self.scene_key, lambda: load_scene(self.settings.cfg["scene"]))

    @cached_property
    def rig(self) -> Rig:
        """The cameras of the views, named by these, at the size of the single view."""
        cfg, shape = self.settings.cfg, self.settings.videos.single_view.shape
        sensors, size = cfg["sensors"], (shape.width, shape.height)
        rig = in_rig_frame(load_rig(cfg["scene"], sensors, size=size), sensors, lambda: self.scene)
        return rig_of_views(rig, sensors["views"], self.settings.views)

    def camera(self, take: Take) -> Camera:
        """A view's camera at the take's size, as a resized picture would show it: other pixels, the same borders."""
        camera = self.rig.camera(take.view)
        return replace(camera, model=camera.model.resized(take.shape.width, take.shape.height))

    @cached_property
    def times(self) -> np.ndarray:
        """[F] seconds, of the longest video."""
        frames, fps = self.settings.videos.single_view.shape.frames, self.settings.fps
        times = self.scene.frame_times(frames, fps)
        if times[-1] > self.scene.end + 1e-6:
            needed, longest = times[-1] - times[0], self.scene.duration
            raise UserError(
                f"{frames} frames at {fps:g} Hz need {needed:.2f} s, the scene is {longest:.2f} s long: "
                "choose a longer time window, fewer frames (model.num_frames) or a higher model.fps"
            )
        return times

    @cached_property
    def renderer(self) -> Renderer:
        from cosmos_exp.render.renderer import Renderer

        return _renderers.get(self.scene_key, lambda: Renderer(self.scene))

    @cached_property
    def model(self) -> WorldModel:
        import torch

        from cosmos_exp.models.transfer1.model import WorldModel

        hardware = self.settings.cfg["hardware"]
        torch.set_num_threads(self.settings.threads)
        if hardware["device"] != "cpu":
            gpu.limit_memory(hardware["device"], hardware["memory_gb"])
        folder, options, key = self.model_source
        return _models.get(key, lambda: WorldModel.from_folder(folder, device=hardware["device"], **options))

    @cached_property
    def model_source(self) -> tuple[Path, dict[str, Any], str]:
        """What every process of the run loads, each on its own device: folder, options, and a key of files and all."""
        import torch

        settings, hardware = self.settings, self.settings.cfg["hardware"]
        folder = settings.model_folder
        files = sorted((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in folder.iterdir())
        key = json.dumps([str(folder), files, hardware, asdict(settings.speed)])
        dtype = getattr(torch, hardware["dtype"])
        return folder, {"dtype": dtype, "speed": settings.speed, "memory": settings.memory}, key

    def model_files(self, *patterns: str) -> dict[str, str]:
        """{file: sha256} of the model's description and of the weights files that match."""
        folder = self.settings.model_folder
        files = [folder / "model.json"]
        files += sorted(p for pattern in patterns for p in folder.glob(f"{pattern}.safetensors"))
        return {p.name: self.cache.file_identity(p) for p in files}

    def weights_identity(self, *patterns: str) -> str:
        """Of the same files together."""
        return hashlib.sha256(json.dumps(self.model_files(*patterns), sort_keys=True).encode()).hexdigest()
