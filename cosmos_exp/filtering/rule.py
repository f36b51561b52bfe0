"""Which candidate of a clip is kept.

A candidate that passes the sanity gate comes before one that does not; then the higher score counts, and of equal ones
the candidate with the lower number. Of the measures, the score is the mean of four numbers between 0 and 1: style
kept, objects shown, lane lines shown, steadiness; of the answers of a vision-language model, the mean probability of
the good one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import shortened
from cosmos_exp.sampling.seeds import item_seed

MEASURES = ("style_regions", "object_survival", "lane_survival", "flicker")
"""Metrics that choose, of the front view."""
HALF_STEADY = 10.0
"""Flicker, in grey levels, that counts one half: white noise of this deviation has about as much."""
RULES = {
    "measures": "mean of (style_regions + 1) / 2, object_survival, lane_survival and 10 / (10 + flicker), as far as "
    "the clip has them",
    "vlm": "mean probability of the good answer, over all questions and repeats",
}
FAVOURED = {
    "measures": (
        *(*MEASURES, "style_score", "style_match", "style_road", "style_sky", "style_vegetation", "style_building"),
        *("object_recall", "lane_f1"),
    ),
    "vlm": (),
}
"""{filter: metrics that its choice raises by itself}: those that choose, and those computed of the same evidence,
colours of the video and what the evaluator finds at the labels."""


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
    if name == "flicker":
        return HALF_STEADY / (HALF_STEADY + value)
    return (max(-1.0, value) + 1) / 2 if name == "style_regions" else value


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

    def among(self, metric: str) -> int:
        """Of how many candidates the best was taken by this metric, or by one of the same evidence."""
        return len(self.candidates) if metric.partition("/")[0] in FAVOURED[self.by] else 1

    def record(self) -> dict[str, Any]:
        """As plain values, for `filter.json`."""
        winner = self.winner
        return {
            "by": self.by,
            "rule": RULES[self.by],
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
                    "frames": c.frames,
                }
                for c in self.candidates
            ],
        }

    @classmethod
    def of_record(cls, values: Mapping[str, Any]) -> Choice:
        """Raises UserError for other values than those of `record`."""
        try:
            candidates = [
                Candidate(c["candidate"], c["seed"], dict(c["scores"]), c["score"], tuple(c["problems"]), c["frames"])
                for c in values["candidates"]
            ]
            choice = cls(values["by"], candidates)
            if choice.by in RULES and choice.winner.seed == values["seed"]:
                return choice
        except (KeyError, TypeError, ValueError, AttributeError):
            pass
        raise UserError(f"no choice among candidates: {shortened(dict(values))}")


def sentences(choices: Iterable[Choice]) -> list[str]:
    """What is to be kept in mind where these are compared, one sentence for each filter that has chosen."""
    found = {choice.by: choice for choice in choices}
    return [_SENTENCES[by] for by in found]


_SENTENCES = {
    "measures": "sampler.best_of: style, label survival and flicker chose these videos among candidates. All metrics "
    "of style, objects and lane lines shown, object recall, lane F1 and flicker are better by the choice itself; in "
    "these, cells with other numbers of candidates are not compared.",
    "vlm": "sampler.best_of: a vision-language model chose these videos among candidates; no metric chose.",
}
