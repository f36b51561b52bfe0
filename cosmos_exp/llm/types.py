"""What is asked of a language model, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from pydantic import BaseModel


@dataclass(frozen=True)
class Images:
    """Pictures of a message, in their order. as_video: they are the frames of one video; all videos of a request have
    the same rate."""

    jpegs: tuple[bytes, ...]
    as_video: bool = False
    fps: float = 1.0


@dataclass(frozen=True)
class Message:
    """role: system, user or assistant. Images come before the text."""

    role: str
    text: str
    images: Images | None = None


@dataclass(frozen=True)
class Sampling:
    """How the answer is drawn. Temperature 0 is greedy; with the same seed a server is asked for the same answer."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 1024
    seed: int = 0


@dataclass(frozen=True)
class ChatRequest:
    """messages: the conversation, oldest first. schema: the answer is JSON of this type. choices: the answer is one of
    these words; with `logprobs`, with the probability of each. At most one of both."""

    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    schema: type[BaseModel] | None = None
    choices: tuple[str, ...] = ()
    logprobs: bool = False


@dataclass(frozen=True)
class ChatAnswer:
    """text: without a part in think tags. value: where a schema was asked for, the validated object. probabilities: of
    each choice, which sum to 1, where they were asked for."""

    text: str
    value: BaseModel | None = None
    probabilities: dict[str, float] = field(default_factory=dict)


class ChatModel(Protocol):
    """A language model, wherever it runs. Several threads may ask at a time."""

    @property
    def identity(self) -> dict[str, str]:
        """What decides its answers: the name of the model, or the hash of its weights. Part of cache keys."""

    def complete(self, request: ChatRequest) -> ChatAnswer:
        """One answer.

        Raises `BadAnswer` where the model answered, but not what was asked for (no JSON, another schema, cut off,
        empty): the caller may ask again. Raises UserError where nobody answered: no server, refused, dead engine.
        """


class BadAnswer(Exception):
    """The model's answer is not of the form that was asked for. text: what it said."""

    def __init__(self, reason: str, text: str):
        super().__init__(reason)
        self.reason, self.text = reason, text
