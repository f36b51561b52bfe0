"""Ceiling and floor of the metrics of a clip, looked up one by one as the metrics themselves are.

They follow from the renders alone, so all cells of a sweep that show the same scene in the same style share them, and
with `model=render` the ceiling is the run's own result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.memo import Memo
from cosmos_exp.common.stored_arrays import load_arrays, load_json
from cosmos_exp.metrics import evaluate_metric
from cosmos_exp.metrics.captured_scene import WITHOUT_CEILING, WITHOUT_FLOOR
from cosmos_exp.metrics.info import metric_info
from cosmos_exp.metrics.references import (
    DISPLACED,
    FLOOR_OF_KEY,
    FLOOR_VERSION,
    FOREIGN,
    UNBOUNDED,
    Floor,
    displaced_clip,
    floor_of,
    foreign_clip,
    foreign_frames,
)
from cosmos_exp.metrics.types import GeneratedClip
from cosmos_exp.pipeline.measuring import Measured
from cosmos_exp.pipeline.renders import Renders

Reference = dict[str, float]
"""ceiling, floor; either may be missing."""


@dataclass(frozen=True)
class References:
    """rendered: the metrics of the renderer's own picture, or of the captured one of a scene that comes with pictures.
    foreign: draws another scene."""

    rendered: Measured
    foreign: Renders
    _memo: Memo = field(default_factory=Memo, init=False, repr=False)

    def lookups(self, name: str) -> dict[str, Callable[[], Entry]]:
        """Of a metric's ceiling and floor, without that which it has not, or which follows from no video. Several
        threads may look up; the first that asks for a foreign floor draws its scene."""
        found: dict[str, Callable[[], Entry]] = {}
        captured = self.rendered.scene.has_pictures
        if name not in UNBOUNDED and not (captured and name in WITHOUT_CEILING):
            found["ceiling"] = lambda: self.rendered.metric(name)
        floor = floor_of(name)
        if floor in (FOREIGN, DISPLACED) and not (captured and name in WITHOUT_FLOOR):
            found["floor"] = lambda: self._floor(name, floor)
        return found

    def of(self, name: str, entries: Mapping[str, Entry]) -> dict[str, Reference]:
        """{key: ceiling and floor} of a metric, of keys that are better up or down. entries: of its lookups."""
        found: dict[str, Reference] = {}
        for which, entry in entries.items():
            for key, value in load_json(entry).items():
                found.setdefault(key, {})[which] = value
        given = floor_of(name)
        if isinstance(given, float):
            for key, reference in found.items():
                reference["floor"] = FLOOR_OF_KEY.get(key, given)
        return {key: reference for key, reference in found.items() if metric_info(key).direction}

    def _floor(self, name: str, floor: Floor) -> Entry:
        rendered = self.rendered
        inputs = [*rendered.inputs(name), *(entry.key for entry in self._drawn(floor).values())]
        config = {**rendered.config(name), "floor": floor, "floor_version": FLOOR_VERSION}

        def compute() -> dict[str, float]:
            make = self._foreign_clip if floor == FOREIGN else self._displaced_clip
            return evaluate_metric(self._memo.once(floor, make), name)

        return rendered.results.get("metrics", config, inputs, compute, size=rendered.spec.megapixels)

    def _drawn(self, floor: Floor) -> Mapping[str, Entry]:
        return self._memo.once("renders", self._render) if floor == FOREIGN else {}

    def _render(self) -> Mapping[str, Entry]:
        """{view: the other scene in this style}."""
        style, found = self.rendered.style.videos.style, {}
        for view, request in self.rendered.spec.truth_requests.items():
            frames = len(foreign_frames(request.shape.frames))
            few = request._replace(shape=request.shape._replace(frames=frames))
            found[view] = self.foreign.render(few, style, ("rgb",))
        return found

    def _foreign_clip(self) -> GeneratedClip:
        videos = {view: load_arrays(entry)["rgb"] for view, entry in self._drawn(FOREIGN).items()}
        return foreign_clip(self.rendered.clip, videos)

    def _displaced_clip(self) -> GeneratedClip:
        return displaced_clip(self.rendered.clip)
