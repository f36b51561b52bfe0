"""The guards of texts: each is judged by the blocklist, and by a language model where there is one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cosmos_exp.guardrails.blocklist import Blocklist, blocklist
from cosmos_exp.guardrails.config import GuardrailsConfig
from cosmos_exp.guardrails.text_model import NAME as TEXT_MODEL
from cosmos_exp.guardrails.text_model import TextModelGuard, parser_name
from cosmos_exp.guardrails.verdicts import Blocked, Verdict
from cosmos_exp.llm.config import LLMConfig
from cosmos_exp.llm.types import ChatModel

WORDS = "words"
SHOWN = 5  # hits of one text


@dataclass(frozen=True)
class TextGuards:
    """words, model: None where that guard is off."""

    words: Blocklist | None = None
    model: TextModelGuard | None = None

    def require_safe(self, texts: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        """{what: {guard: its verdict as plain values}} of texts by what they are; Blocked where one does not pass.

        An empty text says nothing, and passes. Equal texts are judged once. UserError where a guard cannot judge.
        """
        judged: dict[str, list[Verdict]] = {}
        for what, text in texts.items():
            if text not in judged:
                judged[text] = self._verdicts(text) if text.strip() else []
            for verdict in judged[text]:
                if verdict.found:
                    raise Blocked(f"stopped by guardrails.{verdict.guard}: {what}: {verdict.found}")
        return {what: {verdict.guard: verdict.record() for verdict in judged[text]} for what, text in texts.items()}

    def _verdicts(self, text: str) -> list[Verdict]:
        """The model is asked only where no word has been found."""
        verdicts = [word_verdict(self.words, text)] if self.words else []
        if self.model and not any(verdict.found for verdict in verdicts):
            verdicts.append(self.model.verdict(text))
        return verdicts

    def record(self) -> dict[str, Any]:
        """What the guards are, as plain values."""
        found: dict[str, Any] = {}
        if self.words:
            entries = "\n".join([*self.words.entries, "", *self.words.allowed])
            digest = hashlib.sha256(entries.encode()).hexdigest()
            found[WORDS] = {"entries": len(self.words.entries), "sha256": digest}
        if self.model:
            own = self.model
            found[TEXT_MODEL] = {**own.chat.identity, "answers": own.parser, "controversial_passes": own.controversial}
        return found


def word_verdict(words: Blocklist, text: str) -> Verdict:
    hits = words.hits(text)
    return Verdict(WORDS, f"it has {', '.join(repr(hit.word) for hit in hits[:SHOWN])}" if hits else "")


def llm_config(config: GuardrailsConfig) -> LLMConfig:
    """How the text model is asked."""
    key_variable = config.key_variable or LLMConfig.key_variable
    return LLMConfig("endpoint", config.text_model, config.endpoint, key_variable=key_variable)


def text_guards(config: GuardrailsConfig, chat: ChatModel | None = None) -> TextGuards:
    """The guards of a config. chat: the text model, where there is one; it is connected to when it is first asked."""
    if config.text_model is None:
        return TextGuards(word_guard(config))
    if chat is None:
        from cosmos_exp.llm.client import OpenAIChat

        chat = OpenAIChat(llm_config(config))
    parser = parser_name(config.text_model, config.text_answers)
    return TextGuards(word_guard(config), TextModelGuard(chat, parser, config.controversial))


def word_guard(config: GuardrailsConfig) -> Blocklist | None:
    """The blocklist of a config; None where it is off. UserError where a list cannot be read."""
    return blocklist(tuple(config.lists), tuple(config.allowed)) if config.words else None
