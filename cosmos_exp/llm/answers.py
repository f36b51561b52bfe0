"""A stage cache of answers: what was answered once is not asked again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cosmos_exp.common.cache import StageCache, stage_key
from cosmos_exp.llm.client import validated
from cosmos_exp.llm.types import ChatAnswer, ChatModel, ChatRequest, Images, Message

STAGE, VERSION = "answers", 1
FILE = "answer.json"


class Cached:
    """A model with its answers kept in the stage cache `folder`. Bad answers are not kept."""

    def __init__(self, model: ChatModel, folder: Path | str):
        self.model = model
        self._cache = StageCache(folder)

    @property
    def identity(self) -> dict[str, str]:
        return self.model.identity

    def complete(self, request: ChatRequest) -> ChatAnswer:
        """See `ChatModel`."""

        def compute(folder: Path) -> None:
            answer = self.model.complete(request)
            kept = {"text": answer.text, "probabilities": answer.probabilities}
            (folder / FILE).write_text(json.dumps(kept))

        key = answer_key(self.identity, request)
        entry = self._cache.get_or_compute(STAGE, key, compute, synced=False)
        kept = json.loads((entry.path / FILE).read_text())
        value = None if request.schema is None else validated(kept["text"], request.schema)
        return ChatAnswer(kept["text"], value, kept["probabilities"])


def answer_key(identity: dict[str, str], request: ChatRequest) -> str:
    """sha256 (hex) of all that an answer depends on: the model, the messages with the contents of their pictures, the
    sampling, and what form was asked for."""
    asked = {
        "model": identity,
        "messages": [_content(message) for message in request.messages],
        "sampling": asdict(request.sampling),
        "schema": request.schema.model_json_schema() if request.schema else None,
        "choices": list(request.choices),
        "logprobs": request.logprobs,
    }
    return stage_key(STAGE, VERSION, asked, [])


def _content(message: Message) -> dict[str, Any]:
    images = message.images or Images(())
    pictures = [hashlib.sha256(jpeg).hexdigest() for jpeg in images.jpegs]
    return {"role": message.role, "text": message.text, "pictures": pictures} | (
        {"fps": images.fps} if images.as_video else {}
    )
