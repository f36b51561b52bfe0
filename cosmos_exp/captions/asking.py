"""A language model is asked for a caption until it gives one without a fault, or has been asked often enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from cosmos_exp.captions.fidelity import Violation
from cosmos_exp.captions.messages import Rewritten
from cosmos_exp.llm.types import BadAnswer, ChatModel, ChatRequest, Message, Sampling

RETRY_TEMPERATURE = 0.7
"""The least of a request that is made again: a greedy model would say the same."""

MODEL, TEMPLATE = "model", "template"

Check = Callable[[str], tuple[Violation, ...]]


@dataclass(frozen=True)
class Rejected:
    """An answer that was not taken, and why."""

    answer: str
    violations: tuple[Violation, ...]


@dataclass(frozen=True)
class Answered:
    """text: that of the model, or where every answer was rejected, what stands in for it. source: "model" or
    "template"."""

    text: str
    source: str
    rejected: tuple[Rejected, ...] = ()

    @property
    def attempts(self) -> int:
        """Requests that were made for it."""
        return len(self.rejected) + (self.source == MODEL)

    def record(self) -> dict[str, Any]:
        """What is kept of how the text came about: plain values."""
        rejected = [{"answer": r.answer, "violations": [str(v) for v in r.violations]} for r in self.rejected]
        return {"source": self.source, "attempts": self.attempts, "rejected": rejected}


def ask(
    messages: tuple[Message, ...],
    chat: ChatModel,
    sampling: Sampling,
    attempts: int,
    check: Check,
    instead: Callable[[], str],
    *,
    schema: type[BaseModel] | None = Rewritten,
    first: str | None = None,
) -> Answered:
    """The first answer that passes `check`, of at most `attempts`; `instead()` where none does.

    Each further request repeats the last answer with what was wrong with it, draws with another seed, and is not
    greedy. first: an answer that the model has given already, which counts as the first. Raises UserError where the
    model cannot be reached.
    """
    rejected: list[Rejected] = []
    for attempt in range(attempts):
        if attempt == 0 and first is not None:
            answer, found = first, check(first)
        else:
            request = ChatRequest((*messages, *_again(rejected)), _drawn_anew(sampling, len(rejected)), schema=schema)
            answer, found = _one(request, chat, check)
        if not found:
            return Answered(answer, MODEL, tuple(rejected))
        rejected.append(Rejected(answer, found))
    return Answered(instead(), TEMPLATE, tuple(rejected))


def _one(request: ChatRequest, chat: ChatModel, check: Check) -> tuple[str, tuple[Violation, ...]]:
    """An answer and what is wrong with it."""
    try:
        answer = chat.complete(request)
    except BadAnswer as error:
        return error.text, (Violation("form", f"the answer is not as asked for: {error.reason}"),)
    text = answer.value.caption if isinstance(answer.value, Rewritten) else " ".join(answer.text.split())
    return text, check(text)


def _again(rejected: list[Rejected]) -> tuple[Message, ...]:
    if not rejected:
        return ()
    wrong = "; ".join(str(v) for v in rejected[-1].violations)
    told = f"This is not right. {wrong}. Write the whole caption again, with these corrected."
    return Message("assistant", rejected[-1].answer), Message("user", told)


def _drawn_anew(sampling: Sampling, number: int) -> Sampling:
    if not number:
        return sampling
    return replace(sampling, temperature=max(sampling.temperature, RETRY_TEMPERATURE), seed=sampling.seed + number)
