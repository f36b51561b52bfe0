"""Best of N: the candidates of every style, what they score, and which one is kept.

A candidate is the front view alone where the model makes that in a stage of its own, and all views where it does not;
its front view is what is scored. The cache has candidates as it has any video of their seed, so two numbers of
candidates share those that both have.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.progress import Tick, tick_of_part
from cosmos_exp.common.stored_arrays import load_json
from cosmos_exp.config.run_spec import FILTER
from cosmos_exp.filtering.rule import MEASURES, Candidate, Choice, candidate_seed, measured
from cosmos_exp.metrics.captured_scene import not_measured
from cosmos_exp.metrics.gate import SanityError, sanity_gate
from cosmos_exp.models.base import GeneratedVideos, StoredVideo
from cosmos_exp.pipeline.cached_results import Reporter, Results
from cosmos_exp.pipeline.context import RunContext
from cosmos_exp.pipeline.measuring import Measured, StyleResult

if TYPE_CHECKING:
    from cosmos_exp.llm.types import ChatModel

log = logging.getLogger(__name__)

GATE_VERSION = 1


def choose(context: RunContext) -> dict[str, Choice | None]:
    """{style: which candidate is kept}; None in a dry run where that hangs on values that are not there yet.

    Raises SanityError where the run has a sanity gate and no candidate of a style passes it.
    """
    config, styles, results = context.spec.config, context.spec.styles, context.results
    seeds = [candidate_seed(config.sampler.seed, number) for number in range(config.sampler.best_of)]
    fronts = _fronts(context, seeds)
    chat = _chat(context) if config.filter.asks else None
    found: dict[str, Choice | None] = {}
    with results.stage(FILTER, "scores of candidates") as tick:
        for i, style in enumerate(styles):
            lookups = [_Lookups(context, style, front, chat) for front in fronts[style]]
            part = tick_of_part(tick, i, len(styles))
            done = [own.entries(tick_of_part(part, j, len(lookups))) for j, own in enumerate(lookups)]
            if all(results.is_known(entry) for entries in done for entry in entries.values()):
                scored = enumerate(zip(lookups, seeds, done, strict=True))
                candidates = [own.candidate(number, seed, entries) for number, (own, seed, entries) in scored]
                found[style] = _checked(context, style, candidates)
            else:
                found[style] = None
    return found


def _chat(context: RunContext) -> ChatModel:
    from cosmos_exp.llm.models import chat_model

    return chat_model(context.spec.config.llm)


def _fronts(context: RunContext, seeds: Sequence[int]) -> dict[str, list[StoredVideo]]:
    """{style: the front view of each candidate}."""
    found: dict[str, list[StoredVideo]] = {style: [] for style in context.spec.styles}
    request = context.generation_request()
    for number, seed in enumerate(seeds):
        model = context.spec.seeded(seed, front_alone=True)
        with _told(context.results, f"{number + 1} of {len(seeds)}"):
            for videos in model.generate(request, context.results):
                found[videos.style].append(videos.front)
    return found


@dataclass(frozen=True)
class _Lookups:
    """What is looked up of one candidate. chat: who is asked about it; None: measures choose."""

    context: RunContext
    style: str
    front: StoredVideo
    chat: ChatModel | None

    def entries(self, tick: Tick) -> dict[str, Entry]:
        """{name: result}: `gate`, and what scores it."""
        lookups: dict[str, Callable[[], Entry]] = {"gate": self._gate}
        if self.chat:
            lookups["answers"] = partial(self._answers, self.chat, tick)
        else:
            scored = self._measured()
            lookups |= {name: partial(scored.metric, name) for name in self._measures()}
        entries = self.context.results.together(list(lookups.values()), tick)
        return dict(zip(lookups, entries, strict=True))

    def candidate(self, number: int, seed: int, entries: dict[str, Entry]) -> Candidate:
        values = {name: load_json(entry) for name, entry in entries.items()}
        gate = values.pop("gate")
        if self.chat:
            scores = {question: fmean(found) for question, found in values["answers"].items()}
            score: float | None = fmean(scores.values())
        else:
            scores = {name: found[name] for name, found in values.items() if name in found}
            score = measured(scores)
        return Candidate(number, seed, scores, score, gate["problems"], gate["frames"])

    def _gate(self) -> Entry:
        """`problems` of the sanity gate; `frames`: sha256 of the video."""

        def compute() -> dict[str, Any]:
            video = self.front.read()
            return {"problems": sanity_gate(video), "frames": hashlib.sha256(video.tobytes()).hexdigest()}

        return self.context.results.part(FILTER, "gate", {"gate": GATE_VERSION}, self._keys, compute)

    @property
    def _keys(self) -> list[str]:
        return [entry.key for entry in self.front.entries]

    def _answers(self, chat: ChatModel, tick: Tick) -> Entry:
        """{question: probability of its good answer at each repeat}."""
        from cosmos_exp.filtering.questions import VERSION, judge, questions_of

        config, spec, prompt = self.context.spec.config, self.context.spec, self.context.state.prompts[self.style]
        asked = list(questions_of(config.filter, self.style, prompt))

        def compute() -> dict[str, Any]:
            video, at_once = self.front.read(), config.llm.concurrency
            return judge(chat, config.filter, video, spec.fps, self.style, prompt, concurrency=at_once, tick=tick)

        follows = {"version": VERSION, "model": dict(chat.identity), "asked": [list(question) for question in asked]}
        follows |= {"frames": config.filter.frames, "repeats": config.filter.repeats, "fps": spec.fps}
        passes = len(asked) * config.filter.repeats
        return self.context.results.get(FILTER, follows, self._keys, compute, passes=passes)

    def _measures(self) -> list[str]:
        scene, own = self.context.scene, self.style == self.context.spec.weather
        absent = not_measured(MEASURES, own_weather=own) if scene.has_pictures else {}
        return [name for name in MEASURES if name not in absent]

    def _measured(self) -> Measured:
        """Of the front view alone."""
        context, request = self.context, self.context.spec.model.front
        renders = context.scene_renders()
        targets = renders if context.scene.has_pictures else context.state.renders.get(self.style, {})
        style = StyleResult(
            context.state.prompts[self.style],
            GeneratedVideos(self.style, self.front),
            {request: renders[request]},
            {request: targets[request]} if request in targets else {},
        )
        return Measured(context.spec, context.scene, context.results, style, truth={request.view: request})


def _checked(context: RunContext, style: str, candidates: Sequence[Candidate]) -> Choice:
    choice = Choice(context.spec.config.filter.name, candidates)
    if choice.winner.problems and context.spec.config.metrics.gate:
        told = "; ".join(f"candidate {c.number} (seed {c.seed}): {', '.join(c.problems)}" for c in candidates)
        raise SanityError(f"none of the {len(candidates)} candidates of {style} passed the sanity gate: {told}")
    if len({candidate.frames for candidate in candidates}) == 1:
        log.warning("all candidates of %s are the same video: the model does not follow sampler.seed", style)
    winner = choice.winner
    log.info("%s: candidate %d of %d (seed %d): %s", style, winner.number, len(candidates), winner.seed, choice.why)
    return choice


@contextmanager
def _told(results: Results, text: str) -> Iterator[None]:
    """The stages within are shown with this text."""
    before = results.reporter
    results.reporter = _Told(before, text)
    try:
        yield
    finally:
        results.reporter = before


@dataclass(frozen=True)
class _Told:
    reporter: Reporter
    text: str

    def stage(self, name: str, label: str = "") -> AbstractContextManager[Tick]:
        return self.reporter.stage(name, f"{label or name}, {self.text}")
