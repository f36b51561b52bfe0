"""Metrics of what was generated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cosmos_exp.common.cache import Entry
from cosmos_exp.config.run_spec import Settings
from cosmos_exp.pipeline.cached_results import Results

if TYPE_CHECKING:
    from cosmos_exp.metrics.types import GeneratedClip


@dataclass(frozen=True)
class Measuring:
    settings: Settings
    results: Results

    def metrics(self, inputs: list[str], make_clip: Callable[[], GeneratedClip]) -> Entry:
        """{metric: value} of one generated clip; `make_clip` loads it. inputs: keys of all that it holds."""
        names = list(self.settings.cfg["metrics"]["names"])

        def compute() -> dict[str, float]:
            from cosmos_exp.metrics import evaluate

            return evaluate(make_clip(), names)

        return self.results.get("metrics", {"names": names}, inputs, compute, size=self.settings.megapixels)
