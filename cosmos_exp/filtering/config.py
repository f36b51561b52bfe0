"""The `filter` config group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from cosmos_exp.common.errors import repeated, unknown_name

FILTERS = ("measures", "vlm")
MOST_CANDIDATES = 64
MOST_FRAMES = 32
"""That a server of vision-language models reads of a video where it has its usual settings."""
PLACEHOLDERS = ("{style}", "{prompt}")


@dataclass
class FilterConfig:
    """Which of the `sampler.best_of` candidates of a style is kept; with sampler.best_of=1 nothing reads it."""

    COUNTS_WHERE: ClassVar[str] = "where sampler.best_of is above 1"

    name: str = "measures"
    """measures: style and label survival, by the run's evaluator; vlm: yes/no questions to the model of `llm`."""
    questions: list[str] = field(
        default_factory=lambda: [
            "Does this video, filmed from a driving car, show the following? {prompt}",
            "Do all vehicles in this video keep their shape from frame to frame?",
        ]
    )
    """vlm: questions to which yes is good; {style} and {prompt} stand for those of the video."""
    defects: list[str] = field(
        default_factory=lambda: [
            "Are there visual artefacts in this video, such as objects that melt, appear or vanish?",
            "Is any part of the road in this video distorted?",
        ]
    )
    """vlm: questions to which no is good."""
    repeats: int = 4
    """vlm: how often each question is asked, each time of other frames of the video."""
    frames: int = 8
    """vlm: frames that are shown with a question, evenly spaced."""

    @property
    def asks(self) -> bool:
        """Whether a vision-language model chooses."""
        return self.name == "vlm"


def filter_problems(config: FilterConfig) -> Iterator[str]:
    """What is wrong with a config, one message per problem."""
    if config.name not in FILTERS:
        yield f"filter.name: {unknown_name('filter', config.name, FILTERS)}"
    if config.asks and not [*config.questions, *config.defects]:
        yield "filter.questions and filter.defects are empty: filter=vlm needs a question"
    for key in ("questions", "defects"):
        asked = getattr(config, key)
        yield from repeated(f"filter.{key}", asked)
        for text in asked:
            if not text.strip():
                yield f"filter.{key} has an empty question"
    if not 1 <= config.repeats <= 100:
        yield f"filter.repeats={config.repeats}: must be 1 to 100"
    if not 1 <= config.frames <= MOST_FRAMES:
        yield f"filter.frames={config.frames}: must be 1 to {MOST_FRAMES}"


def best_of_problems(best_of: int) -> Iterator[str]:
    if not 1 <= best_of <= MOST_CANDIDATES:
        nearest = min(max(1, best_of), MOST_CANDIDATES)
        yield f"sampler.best_of={best_of}: must be 1 (no choice) to {MOST_CANDIDATES}; nearest is {nearest}"
