"""The model `cosmos3_auto` with the World Scenario maps of two views, without a scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cosmos_exp.common.cache import Entry, StageCache
from cosmos_exp.common.stored_arrays import save_result
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.models.base import GenerationRequest
from cosmos_exp.models.cosmos3.video_model import Cosmos3Model
from cosmos_exp.pipeline.cached_results import Results
from helpers.composing import Composer

VIEWS = ("front_wide_120fov", "rear_left_70fov")
FRAMES = 7

composer = Composer()


def configured(endpoint: str, *overrides: str):
    options = ("model=cosmos3_auto", "controls=wsm", "sampler=cosmos3", "sensors=nvidia_seven", "views=seven")
    base = (f"model.endpoint={endpoint}", f"views.names=[{','.join(VIEWS)}]", f"model.num_frames={FRAMES}")
    quiet = ("guardrails=off", "tracking=disabled", "scene.num_vehicles=1")
    return composer(*options, *quiet, *base, *overrides)


class Bound:
    """A model with a stage cache that has the World Scenario maps of its views."""

    def __init__(self, spec: RunSpec, cache: Path):
        assert isinstance(spec.model, Cosmos3Model)
        self.model, self.results = spec.model, Results(spec, StageCache(cache))

    def maps(self, view: str) -> np.ndarray:
        """Frame t of view n is of grey 200 - 9 t in red, 30 n in green."""
        frames, height, width = self.model.video.shape
        video = np.zeros((frames, height, width, 3), np.uint8)
        video[..., 0] = (200 - 9 * np.arange(frames))[:, None, None]
        video[..., 1] = 30 * VIEWS.index(view)
        return video

    def _map(self, view: str) -> Entry:
        frames, names = self.model.video.shape.frames, ("video", "rgb")
        return self.results.cache.get_or_compute(
            "controls", f"{view}{frames}", lambda folder: save_result(folder, dict.fromkeys(names, self.maps(view)))
        )

    def request(self, **prompts: str) -> GenerationRequest:
        """prompts: {style: text}."""
        given, requests = prompts or {"Sunny": "A quiet street."}, self.model.render_requests
        return GenerationRequest(
            clip="clip",
            prompts=given,
            view_prompts={style: {own.view: text for own in requests} for style, text in given.items()},
            renders={own: self._map(own.view) for own in requests},
            controls={"wsm": {own: self._map(own.view) for own in requests}},
        )

    def generate(self, **prompts: str) -> dict[str, dict[str, np.ndarray]]:
        """{style: {view: frames}}."""
        made = self.model.generate(self.request(**prompts), self.results)
        return {videos.style: {view: own.read() for view, own in videos.views.items()} for videos in made}
