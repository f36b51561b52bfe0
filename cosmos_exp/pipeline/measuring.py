"""Metrics of what was generated, each looked up on its own, and the sanity gate before them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.single_entry_cache import SingleEntryCache
from cosmos_exp.common.stored_arrays import load_arrays
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.metrics import READS_TARGETS, VERSIONS, evaluate_metric
from cosmos_exp.metrics.frame_series import FRAME_SERIES, frame_series
from cosmos_exp.metrics.types import GeneratedClip
from cosmos_exp.models.base import ByRequest, GeneratedVideos
from cosmos_exp.pipeline.cached_results import Results
from cosmos_exp.pipeline.scene_loading import LoadedScene
from cosmos_exp.rendering.stored import load_render

_found = SingleEntryCache()  # what the metrics of a clip have found out about its truth


@dataclass(frozen=True)
class StyleResult:
    """One style's videos beside the truth. renders: the scene in its weather. targets: the scene in this style; empty
    where it was not rendered."""

    prompt: str
    videos: GeneratedVideos
    renders: ByRequest
    targets: ByRequest


class Measured:
    """The metrics of one style. Its clip is loaded when the first metric has to be computed."""

    def __init__(self, spec: RunSpec, scene: LoadedScene, results: Results, style: StyleResult):
        self.spec = spec
        self.scene = scene
        self.results = results
        self.style = style

    def metric(self, name: str) -> Entry:
        """{key: value} of one metric."""
        config = {"metric": name, "version": VERSIONS[name]}
        size = self.spec.megapixels
        inputs = self._inputs(name)
        return self.results.get("metrics", config, inputs, lambda: evaluate_metric(self.clip, name), size=size)

    def frame_series(self, names: Sequence[str]) -> dict[str, list[float | None]]:
        """{metric: value of each frame of the front view}, of those that have any; None for a frame without one."""
        return {name: values for name in FRAME_SERIES if name in names and (values := self._frame_values(name))}

    def _frame_values(self, name: str) -> list[float | None]:
        config = {"metric": name, "version": VERSIONS[name]}
        entry = self.results.part(
            "metrics", "frame_series", config, self._inputs(name), lambda: {"values": frame_series(self.clip, name)}
        )
        values = load_arrays(entry)["values"].tolist()
        return [None if math.isnan(value) else round(value, 6) for value in values]

    def require_sane(self) -> None:
        """SanityError where a generated video is black, frozen or not a number."""
        from cosmos_exp.metrics.gate import require_sane

        made = self.style.videos
        videos = {view: video.read() for view, video in made.views.items()} | {"single view": made.front.read()}
        require_sane({f"{made.style}, {view}": video for view, video in videos.items()})

    def _inputs(self, name: str) -> list[str]:
        """Keys of what a metric reads: so that a further metric leaves the results of the others."""
        style = self.style
        targets = style.targets.values() if name in READS_TARGETS else ()
        entries = [*style.videos.entries, *style.renders.values(), *targets]
        return [style.videos.style, *(entry.key for entry in entries)]

    @cached_property
    def clip(self) -> GeneratedClip:
        style, truth = self.style, self.spec.truth_requests
        videos, renders, targets = style.videos, style.renders, style.targets
        frames = next(iter(truth.values())).shape.frames
        clip = GeneratedClip(
            style=videos.style,
            prompt=style.prompt,
            generated={view: video.read() for view, video in videos.views.items()},
            single_view=videos.front.read(),
            renders={view: load_render(renders[request], view) for view, request in truth.items()},
            cameras={view: self.scene.camera(request) for view, request in truth.items()},
            rig_poses=self.scene.scene.rig_trajectory.sample(self.scene.times[:frames]),
            targets={view: load_arrays(targets[own])["rgb"] for view, own in truth.items() if own in targets},
        )
        keys = tuple(renders[request].key for request in truth.values())
        clip.reference_cache.update(_found.get(keys, lambda: clip.reference_cache))
        return clip
