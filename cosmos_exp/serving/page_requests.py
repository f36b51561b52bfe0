"""Scenes that the page draws, and the requests that it makes of what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.remote.request_file import CONTROL_KEY, INPUT_KEY, WEIGHT_KEY
from cosmos_exp.remote.wire import FRONT
from cosmos_exp.sampling.sampler_params import SIGMA_MAX
from cosmos_exp.serving.gradio_files import arrived, folder
from cosmos_exp.serving.requests import STRENGTH_KEYS, Limits, Translated, from_upstream
from cosmos_exp.serving.scene_inputs import SceneInputs
from cosmos_exp.serving.submissions import Submissions

FRAMES = "num_frames"
SCENES = "scenes"
"""Folder of the videos that are drawn."""


@dataclass(frozen=True)
class Shown:
    """What the page shows. values: {key of a request: value}. controls: {those that are chosen: weight}. videos:
    {control: file}."""

    values: Mapping[str, Any]
    controls: Mapping[str, float]
    videos: Mapping[str, str]


@dataclass
class PageRequests:
    """exact: {SHA-256 of a video that was drawn here: that of the same frames without loss}. seeds: {the same: seed of
    the scene}."""

    submissions: Submissions
    exact: dict[str, str] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)

    @property
    def limits(self) -> Limits:
        return self.submissions.limits

    @property
    def views(self) -> tuple[str, ...]:
        """All of them, where the model makes several together."""
        return tuple(RunSpec(self.submissions.service.config).model.views)

    def draw(self, seed: int) -> SceneInputs:
        """The front view of a scene. Raises UserError for an impossible seed."""
        made = self.submissions.scene(seed, folder() / SCENES)
        for video in made.videos.values():
            shown = self.submissions.keep(video.shown)
            self.exact[shown], self.seeds[shown] = self.submissions.keep(video.exact), seed
        return made

    def asked(self, shown: Shown, *, all_views: bool = False) -> Translated:
        """The request of what the page shows; nothing but that of a hidden control is left out. Raises UserError."""
        values = {key: value for key, value in shown.values.items() if value not in (None, "")}
        if not values.get(FRAMES):
            values.pop(FRAMES, None)
        drawn = self._all_views(shown) if all_views else {}
        for name, weight in shown.controls.items():
            values[name] = {WEIGHT_KEY: weight}
            if name in drawn:
                values[name][CONTROL_KEY] = self.submissions.upload(drawn[name][FRONT])
            elif name in shown.videos:
                values[name][CONTROL_KEY] = self._upload(shown.videos[name])
        derived = any(name in STRENGTH_KEYS and CONTROL_KEY not in values[name] for name in shown.controls)
        if (path := values.pop(INPUT_KEY, None)) and (derived or values.get("sigma_max", SIGMA_MAX) < SIGMA_MAX):
            values[INPUT_KEY] = self._upload(path)
        for name, key in STRENGTH_KEYS.items():
            if name not in shown.controls or name in shown.videos:
                values.pop(key, None)  # is shown for a control that is made
        asked = from_upstream(values, self.submissions.service.blobs, self.limits)
        return self._of_all_views(asked, drawn) if all_views else asked

    def _all_views(self, shown: Shown) -> dict[str, dict[str, Any]]:
        """{control: {view: video}} of the scene that the videos of the page are of."""
        names = [name for name in shown.controls if name in shown.videos]
        seeds = {name: self.seeds.get(self.submissions.keep(arrived(shown.videos[name]))) for name in names}
        if unknown := [name for name, seed in seeds.items() if seed is None]:
            raise UserError(
                f"{', '.join(unknown)}: all views are made of a scene that was drawn here; draw one, or upload the "
                "videos of every view through the job API"
            )
        if len(set(seeds.values())) > 1:
            raise UserError(f"the controls are of several scenes ({', '.join(map(str, seeds.values()))}): draw one")
        if not names:
            return {}
        seed = next(seed for seed in seeds.values() if seed is not None)
        return self.submissions.view_controls(seed, names, folder() / SCENES)

    def _of_all_views(self, asked: Translated, drawn: Mapping[str, Mapping[str, Any]]) -> Translated:
        controls = dict(asked.request.controls)
        for name, videos in drawn.items():
            blobs = {view: self.submissions.keep(path) for view, path in videos.items() if view != FRONT}
            controls[name] = controls[name].model_copy(update={"blobs": blobs})
        request = asked.request.model_copy(update={"views": list(self.views), "controls": controls})
        return replace(asked, request=request)

    def _upload(self, path: str) -> str:
        """The name of a video; where it was drawn here, of the one without loss."""
        return self.submissions.upload(arrived(path), self.exact)
