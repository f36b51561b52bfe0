"""Captions rewritten in styles by a language model, each checked; by template where the model does not get it right."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from cosmos_exp.captions.asking import TEMPLATE, Answered, ask
from cosmos_exp.captions.fidelity import PROFILES, Profile, violations
from cosmos_exp.captions.messages import Rewritten, rewrite_messages
from cosmos_exp.captions.rewrite import rewrite
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.styles import STYLES
from cosmos_exp.llm.many import in_parallel
from cosmos_exp.llm.types import BadAnswer, ChatModel, ChatRequest, Message, Sampling

log = logging.getLogger(__name__)

VERSION = 2
"""Part of cache keys: to be raised where an accepted text or the choice of it changes."""
REWRITTEN_STYLES = STYLES[1:]
"""The seven that are made from the original."""
RECOLOR = (
    "\nBut the colours of vehicles change: each vehicle that has a colour gets another one. All else keeps its colour, "
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


def rewrite_caption(
    caption: str,
    style: str,
    chat: ChatModel,
    settings: RewriteSettings = RewriteSettings(),
    *,
    first: str | None = None,
) -> Answered:
    """The caption in a style, from the first answer without a violation; each further request names those of the last.

    first: an answer that the model has given already, which counts as the first attempt. After `settings.attempts`
    requests the template's text stands in. Raises UserError where the model cannot be reached.
    """
    caption = " ".join(caption.split())
    return ask(
        _messages(caption, style, settings),
        chat,
        settings.sampling,
        settings.attempts,
        lambda text: violations(caption, text, style, settings.profile, recolor=settings.recolor),
        lambda: rewrite(caption, style, settings.variant),
        first=first,
    )


def _raise(name: str, error: UserError) -> None:
    raise error


def rewrite_all(
    captions: Mapping[str, str],
    styles: Sequence[str],
    chat: ChatModel,
    settings: RewriteSettings = RewriteSettings(),
    *,
    concurrency: int = 8,
    done: Callable[[str, dict[str, Answered]], None] = lambda name, made: None,
    failed: Callable[[str, UserError], None] = _raise,
) -> dict[str, dict[str, Answered]]:
    """{name: {style: text}} of {name: caption}, `concurrency` captions and styles at a time.

    done: told of a caption once all its styles are made, in the order in which they become ready, by this thread.
    failed: told, once, of a caption that the model does not answer; what it raises ends everything that has not begun.
    """
    made: dict[str, dict[str, Answered]] = {name: {} for name in captions}
    parts = [tuple(styles)] if settings.together else [(style,) for style in styles]
    tasks = [(name, part) for name in captions for part in parts if part]

    def work(task: tuple[str, tuple[str, ...]]) -> dict[str, Answered] | UserError:
        try:
            return _some(captions[task[0]], task[1], chat, settings)
        except UserError as error:
            return error

    for number, found in in_parallel(work, tasks, max(1, concurrency)):
        name = tasks[number][0]
        if name not in made:
            continue
        if isinstance(found, UserError):
            del made[name]
            failed(name, found)
            continue
        made[name] |= found
        if len(made[name]) == len(styles):
            made[name] = {style: made[name][style] for style in styles}
            done(name, made[name])
    return made


def fallbacks(made: Mapping[str, Answered]) -> tuple[str, ...]:
    """The styles for which the template stands in."""
    return tuple(style for style, rewritten in made.items() if rewritten.source == TEMPLATE)


def _some(caption: str, styles: tuple[str, ...], chat: ChatModel, settings: RewriteSettings) -> dict[str, Answered]:
    first: Mapping[str, str] = _ask_all(caption, styles, chat, settings) if len(styles) > 1 else {}
    return {style: rewrite_caption(caption, style, chat, settings, first=first.get(style)) for style in styles}


def _messages(caption: str, style: str, settings: RewriteSettings) -> tuple[Message, ...]:
    profile = settings.profile
    system, *rest = rewrite_messages(
        caption, style, max_bytes=None if profile.words else profile.max_bytes, words=profile.words
    )
    return (replace(system, text=system.text + RECOLOR) if settings.recolor else system, *rest)


def _ask_all(caption: str, styles: tuple[str, ...], chat: ChatModel, settings: RewriteSettings) -> dict[str, str]:
    """{style: answer} of one request for all styles; empty where the model gave no such object."""
    system, asked = _messages(caption, styles[0], settings)
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
    fields: dict[str, Any] = {style.replace(" ", "_").lower(): (str, _aliased(caption, style)) for style in styles}
    return create_model("AllStyles", __config__=ConfigDict(extra="forbid", populate_by_name=True), **fields)


def _aliased(caption: Any, style: str) -> Any:
    return Field(alias=style, pattern=next(m.pattern for m in caption.metadata if hasattr(m, "pattern")))
