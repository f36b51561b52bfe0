"""Ceiling and floor of the metrics of a clip, looked up one by one as the metrics themselves are.

They follow from the renders alone, so all cells of a sweep that show the same scene in the same style share them, and
with `model=render` the ceiling is the run's own result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.stored_arrays import load_arrays, load_json
from cosmos_exp.metrics import evaluate_metric
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
    """rendered: the metrics of the renderer's own picture. foreign: draws another scene."""

    rendered: Measured
    foreign: Renders

    def of(self, names: Iterable[str]) -> dict[str, Reference]:
        """{key: ceiling and floor} of these metrics."""
        return {key: reference for name in names for key, reference in self._metric(name).items()}

    def _metric(self, name: str) -> dict[str, Reference]:
        """{key: ceiling and floor} of one metric; of keys that are better up or down."""
        ceiling, floor = self.entries(name)
        found: dict[str, Reference] = {}
        for which, entry in (("ceiling", ceiling), ("floor", floor)):
            for key, value in (load_json(entry) if entry else {}).items():
                found.setdefault(key, {})[which] = value
        given = floor_of(name)
        if isinstance(given, float):
            for key, reference in found.items():
                reference["floor"] = FLOOR_OF_KEY.get(key, given)
        return {key: reference for key, reference in found.items() if metric_info(key).direction}

    def entries(self, name: str) -> tuple[Entry | None, Entry | None]:
        """The stored ceiling and floor of a metric; None where it has none, or one that follows from no video."""
        floor = floor_of(name)
        made = floor in (FOREIGN, DISPLACED)
        ceiling = None if name in UNBOUNDED else self.rendered.metric(name)
        return ceiling, self._floor(name, floor) if made else None

    def _floor(self, name: str, floor: Floor) -> Entry:
        rendered, foreign = self.rendered, self._renders if floor == FOREIGN else {}
        config = {**rendered.config(name), "floor": floor, "floor_version": FLOOR_VERSION}
        inputs = [*rendered.inputs(name), *(entry.key for entry in foreign.values())]

        def compute() -> dict[str, float]:
            return evaluate_metric(self._foreign_clip if floor == FOREIGN else self._displaced_clip, name)

        return rendered.results.get("metrics", config, inputs, compute, size=rendered.spec.megapixels)

    @cached_property
    def _renders(self) -> Mapping[str, Entry]:
        """{view: the other scene in this style}."""
        style, found = self.rendered.style.videos.style, {}
        for view, request in self.rendered.spec.truth_requests.items():
            frames = len(foreign_frames(request.shape.frames))
            few = request._replace(shape=request.shape._replace(frames=frames))
            found[view] = self.foreign.render(few, style, ("rgb",))
        return found

    @cached_property
    def _foreign_clip(self) -> GeneratedClip:
        videos = {view: load_arrays(entry)["rgb"] for view, entry in self._renders.items()}
        return foreign_clip(self.rendered.clip, videos)

    @cached_property
    def _displaced_clip(self) -> GeneratedClip:
        return displaced_clip(self.rendered.clip)
