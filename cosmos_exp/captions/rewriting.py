"""Captions rewritten in styles by a language model, each checked; by template where the model does not get it right."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

from cosmos_exp.captions.fidelity import PROFILES, Profile, Violation, violations
from cosmos_exp.captions.messages import Rewritten, rewrite_messages
from cosmos_exp.captions.rewrite import rewrite
from cosmos_exp.common.progress import Tick
from cosmos_exp.common.styles import STYLES
from cosmos_exp.llm.types import BadAnswer, ChatModel, ChatRequest, Message, Sampling

log = logging.getLogger(__name__)

VERSION = 1
"""Part of cache keys: to be raised where an accepted text or the choice of it changes."""
REWRITTEN_STYLES = STYLES[1:]
"""The seven that are made from the original."""
RETRY_TEMPERATURE = 0.7
"""The least of a request that is made again: a greedy model would say the same."""

MODEL, TEMPLATE = "model", "template"
RECOLOR = (
    "\nAlso paint every vehicle that has a colour in another colour, each one. Keep the colours of everything else, "
    "traffic lights included."
)


@dataclass(frozen=True)
class RewriteSettings:
    """profile: length of a caption. attempts: requests per caption and style, at most. recolor: every vehicle gets
    another colour. together: the first request is for all styles at once. variant: of the template that stands in."""

    profile: Profile = PROFILES["nano"]
    sampling: Sampling = field(default_factory=Sampling)
    attempts: int = 3
    recolor: bool = False
    together: bool = False
    variant: int = 0


@dataclass(frozen=True)
class Rejected:
    """An answer that was not taken, and why."""

    answer: str
    violations: tuple[Violation, ...]


@dataclass(frozen=True)
class Rewrite:
    """A caption in a style. source: "model", or "template" where every answer of the model was rejected."""

    text: str
    source: str
    rejected: tuple[Rejected, ...] = ()

    @property
    def attempts(self) -> int:
        """Requests that were made for it."""
        return len(self.rejected) + (self.source == MODEL)

    def record(self) -> dict[str, Any]:
        """What is kept of how the text came about."""
        rejected = [{"answer": r.answer, "violations": [str(v) for v in r.violations]} for r in self.rejected]
        return {"source": self.source, "attempts": self.attempts, "rejected": rejected}


def rewrite_caption(
    caption: str, style: str, chat: ChatModel, settings: RewriteSettings = RewriteSettings(), *, first: str | None = None
) -> Rewrite:
    """The caption in a style, from the first answer without a violation; each further request names those of the last.

    first: an answer that the model has given already, which counts as the first attempt. After `settings.attempts`
    requests the template's text stands in. Raises UserError where the model cannot be reached.
    """
    caption = " ".join(caption.split())
    rejected: list[Rejected] = []
    for attempt in range(settings.attempts):
        if attempt == 0 and first is not None:
            answer, found = first, violations_of(caption, first, style, settings)
        else:
            answer, found = _ask(caption, style, chat, settings, rejected)
        if not found:
            return Rewrite(answer, MODEL, tuple(rejected))
        rejected.append(Rejected(answer, found))
    return Rewrite(rewrite(caption, style, settings.variant), TEMPLATE, tuple(rejected))


def rewrite_all(
    captions: Mapping[str, str],
    styles: Sequence[str],
    chat: ChatModel,
    settings: RewriteSettings = RewriteSettings(),
    *,
    concurrency: int = 8,
    done: Callable[[str, dict[str, Rewrite]], None] = lambda name, made: None,
) -> dict[str, dict[str, Rewrite]]:
    """{name: {style: Rewrite}} of {name: caption}, `concurrency` captions and styles at a time.

    done: told of a caption once all its styles are made, in the order in which they become ready, by this thread. The
    first error ends everything that has not begun.
    """
    made: dict[str, dict[str, Rewrite]] = {name: {} for name in captions}
    if not styles:
        return made
    with ThreadPoolExecutor(max(1, concurrency)) as pool:
        tasks = {}
        for name, caption in captions.items():
            parts = [tuple(styles)] if settings.together else [(style,) for style in styles]
            tasks |= {pool.submit(_some, caption, part, chat, settings): name for part in parts}
        try:
            for future in as_completed(tasks):
                name = tasks[future]
                made[name] |= future.result()
                if len(made[name]) == len(styles):
                    made[name] = {style: made[name][style] for style in styles}
                    done(name, made[name])
        finally:
            for future in tasks:
                future.cancel()
    return made


def violations_of(caption: str, answer: str, style: str, settings: RewriteSettings) -> tuple[Violation, ...]:
    return violations(caption, answer, style, settings.profile, recolor=settings.recolor)


def fallbacks(made: Mapping[str, Rewrite]) -> tuple[str, ...]:
    """The styles for which the template stands in."""
    return tuple(style for style, rewritten in made.items() if rewritten.source == TEMPLATE)


def _some(caption: str, styles: tuple[str, ...], chat: ChatModel, settings: RewriteSettings) -> dict[str, Rewrite]:
    first: Mapping[str, str] = _ask_all(caption, styles, chat, settings) if len(styles) > 1 else {}
    return {style: rewrite_caption(caption, style, chat, settings, first=first.get(style)) for style in styles}


def _ask(
    caption: str, style: str, chat: ChatModel, settings: RewriteSettings, rejected: Sequence[Rejected]
) -> tuple[str, tuple[Violation, ...]]:
    """One answer and what is wrong with it. The request repeats the last answer with its violations, draws with another
    seed, and is not greedy."""
    messages = _asked(caption, style, settings)
    sampling = settings.sampling
    if rejected:
        messages += tuple(_again(rejected[-1]))
        temperature = max(sampling.temperature, RETRY_TEMPERATURE)
        sampling = replace(sampling, temperature=temperature, seed=sampling.seed + len(rejected))
    try:
        answer = chat.complete(ChatRequest(messages, sampling, schema=Rewritten))
    except BadAnswer as error:
        return error.text, (Violation("form", f"the answer is no JSON of the schema: {error.reason}"),)
    text = answer.value.caption if isinstance(answer.value, Rewritten) else answer.text
    return text, violations_of(caption, text, style, settings)


def _again(last: Rejected) -> Iterator[Message]:
    wrong = "; ".join(str(v) for v in last.violations)
    yield Message("assistant", Rewritten.model_construct(caption=last.answer).model_dump_json())
    yield Message("user", f"This is not right. {wrong}. Write the whole caption again, with these corrected.")


def _asked(caption: str, style: str, settings: RewriteSettings) -> tuple[Message, ...]:
    profile = settings.profile
    system, *rest = rewrite_messages(
        caption, style, max_bytes=None if profile.words else profile.max_bytes, words=profile.words
    )
    return (replace(system, text=system.text + RECOLOR) if settings.recolor else system, *rest)


def _ask_all(
    caption: str, styles: tuple[str, ...], chat: ChatModel, settings: RewriteSettings
) -> dict[str, str]:
    """{style: answer} of one request for all styles; empty where the model gave no such object."""
    system, asked = _asked(caption, styles[0], settings)
    names = ", ".join(styles)
    system = replace(system, text=f"{system.text}\nFor several styles the JSON has a caption for each, by its name.")
    asked = replace(asked, text=asked.text.replace(f"Style: {styles[0]}", f"Styles: {names}", 1))
    schema = schema_of(styles)
    try:
        answer = chat.complete(ChatRequest((system, asked), settings.sampling, schema=schema))
    except BadAnswer as error:
        log.info("no captions for all styles at once: %s", error.reason)
        return {}
    return answer.value.model_dump(by_alias=True) if isinstance(answer.value, schema) else {}


@cache
def schema_of(styles: tuple[str, ...]) -> type[BaseModel]:
    """An object with a caption per style, under its name."""
    caption = Rewritten.model_fields["caption"]
    fields: dict[str, Any] = {
        style.replace(" ", "_").lower(): (str, _aliased(caption, style)) for style in styles
    }
    return create_model("AllStyles", __config__=ConfigDict(extra="forbid", populate_by_name=True), **fields)


def _aliased(caption: Any, style: str) -> Any:
    from pydantic import Field

    return Field(alias=style, pattern=next(m.pattern for m in caption.metadata if hasattr(m, "pattern")))
