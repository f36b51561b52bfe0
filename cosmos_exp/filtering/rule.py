"""Which candidate of a clip is kept.

A candidate that passes the sanity gate comes before one that does not; then the higher score counts, and of equal ones
the candidate with the lower number. Of the measures, the score is the mean of three numbers between 0 and 1: style
kept, objects shown, lane lines shown; of the answers of a vision-language model, the mean probability of the good one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cosmos_exp.filtering.config import FilterConfig
from cosmos_exp.sampling.seeds import item_seed

MEASURES = ("style_score", "object_survival", "lane_survival")
"""Metrics that choose, of the front view."""
RULES = {
    "measures": "mean of (style_score + 1) / 2, object_survival and lane_survival, as far as the clip has them",
    "vlm": "mean probability of the good answer, over all questions and repeats",
}
FAVOURED = {
    "measures": (*MEASURES, "style_match", "object_recall", "lane_f1"),
    "vlm": (),
}
"""{filter: metrics that its choice raises by itself}: those that choose, and those computed of the same evidence, the
style's margin and what the evaluator finds at the labels."""


def candidate_seed(seed: int, number: int) -> int:
    """`sampler.seed` of a candidate: the first has the config's own, so that it is the clip without a choice; the
    others have seeds (32 bits) that a sweep over small numbers does not have."""
    return seed if number == 0 else item_seed(seed, "candidate", str(number))


@dataclass(frozen=True)
class Candidate:
    """seed: its `sampler.seed`. scores: {name: value} of what the score is made of. score: None where it has none.
    problems: of the sanity gate. frames: sha256 of its front view."""

    number: int
    seed: int
    scores: Mapping[str, float]
    score: float | None
    problems: Sequence[str] = ()
    frames: str = ""

    @property
    def rank(self) -> tuple[bool, float, int]:
        """The larger, the better."""
        return not self.problems, float("-inf") if self.score is None else self.score, -self.number


def measured(values: Mapping[str, float]) -> float | None:
    """The score of the metrics of a clip; None where it has none of MEASURES."""
    found = [_share(name, values[name]) for name in MEASURES if name in values]
    return sum(found) / len(found) if found else None


def _share(name: str, value: float) -> float:
    """From 0 to 1; a style score of -1 is another style, 1 the requested one."""
    return (max(-1.0, value) + 1) / 2 if name == "style_score" else value


@dataclass(frozen=True)
class Choice:
    """Of one style. by: the filter that chose. candidates: in the order of their numbers."""

    by: str
    candidates: Sequence[Candidate]

    @property
    def winner(self) -> Candidate:
        return max(self.candidates, key=lambda candidate: candidate.rank)

    @property
    def why(self) -> str:
        """In a sentence."""
        sane = [candidate for candidate in self.candidates if not candidate.problems]
        count, winner = len(self.candidates), self.winner
        if not sane:
            return f"none of {count} passed the sanity gate"
        told = "all passed the sanity gate" if len(sane) == count else f"{len(sane)} of {count} passed the sanity gate"
        scored = [c for c in sane if c.score is not None]
        if winner.score is None:
            return f"{told}; none has a score: the first is kept"
        others = [c.score for c in scored if c is not winner and c.score is not None]
        if not others:
            return f"{told}; score {winner.score:.3f}"
        if max(others) == winner.score:
            return f"{told}; score {winner.score:.3f}, as others: the first of them is kept"
        return f"{told}; best score, {winner.score:.3f}, before {max(others):.3f}"

    def record(self) -> dict[str, Any]:
        """As plain values, for `filter.json`."""
        winner = self.winner
        return {
            "by": self.by,
            "rule": RULES[self.by],
            "best_of": len(self.candidates),
            "favoured": list(FAVOURED[self.by]),
            "winner": winner.number,
            "seed": winner.seed,
            "why": self.why,
            "candidates": [
                {
                    "candidate": c.number,
                    "seed": c.seed,
                    "score": c.score,
                    "scores": dict(c.scores),
                    "problems": list(c.problems),
                }
                for c in self.candidates
            ],
        }


def favoured(config: FilterConfig, best_of: int) -> tuple[str, ...]:
    """Metrics that are higher by the choice itself."""
    return FAVOURED[config.name] if best_of > 1 else ()
