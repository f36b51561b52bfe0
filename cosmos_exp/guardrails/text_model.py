"""Language models that judge a text, and their answers: Llama Guard 3 and Qwen3Guard.

Whatever is not an answer that the model's documentation shows is an error, and an error is a stop.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.guards import shortened
from cosmos_exp.guardrails.verdicts import Verdict
from cosmos_exp.llm.types import BadAnswer, ChatModel, ChatRequest, Message, Sampling

NAME = "text_model"
MAX_TOKENS = 128

LLAMA_GUARD_3 = {
    "S1": "violent crimes",
    "S2": "non-violent crimes",
    "S3": "sex crimes",
    "S4": "child exploitation",
    "S5": "defamation",
    "S6": "specialized advice",
    "S7": "privacy",
    "S8": "intellectual property",
    "S9": "indiscriminate weapons",
    "S10": "hate",
    "S11": "self-harm",
    "S12": "sexual content",
    "S13": "elections",
    "S14": "code interpreter abuse",
}
"""{code: category} of Llama Guard 3."""
QWEN3GUARD = (
    "Violent",
    "Non-violent Illegal Acts",
    "Sexual Content or Sexual Acts",
    "PII",
    "Suicide & Self-Harm",
    "Unethical Acts",
    "Politically Sensitive Topics",
    "Copyright Violation",
    "Jailbreak",
)
"""Categories of Qwen3Guard, as it writes them; of a text without any it writes None."""
QWEN3GUARD_FORM = re.compile(
    r"\s*Safety: (?P<level>Safe|Unsafe|Controversial)\s*\nCategories: (?P<categories>[^\n]+?)\s*"
    r"(?:\nRefusal: (?:Yes|No)\s*)?"
)


@dataclass(frozen=True)
class Judgement:
    """level: safe, unsafe or controversial. categories: why, as the model names them."""

    level: str
    categories: tuple[str, ...] = ()


def llama_guard_3(answer: str) -> Judgement:
    """`safe`, or `unsafe` and in the next line codes with commas between them. ValueError for anything else."""
    lines = [line.strip() for line in answer.strip().splitlines()]
    if lines == ["safe"]:
        return Judgement("safe")
    if len(lines) != 2 or lines[0] != "unsafe":
        raise ValueError("neither `safe` nor `unsafe` with categories")
    codes = [code.strip() for code in lines[1].split(",")]
    if unknown := [code for code in codes if code not in LLAMA_GUARD_3]:
        raise ValueError(f"{shortened(unknown[0])} is no category of Llama Guard 3")
    return Judgement("unsafe", tuple(f"{code} {LLAMA_GUARD_3[code]}" for code in codes))


def qwen3guard(answer: str) -> Judgement:
    """`Safety: LEVEL`, in the next line `Categories: NAME, NAME` or None, of an answer also `Refusal: Yes` or No.
    ValueError for anything else, also where level and categories contradict each other."""
    found = QWEN3GUARD_FORM.fullmatch(answer)
    if found is None:
        raise ValueError("not `Safety: ...` and `Categories: ...`")
    level, named = found["level"].lower(), found["categories"].strip()
    categories = () if named == "None" else tuple(name.strip() for name in named.split(","))
    if unknown := [name for name in categories if name not in QWEN3GUARD]:
        raise ValueError(f"{shortened(unknown[0])} is no category of Qwen3Guard")
    if (level == "safe") != (not categories):
        raise ValueError(f"level {level} with the categories {named}")
    return Judgement(level, categories)


PARSERS: dict[str, Callable[[str], Judgement]] = {"llama_guard_3": llama_guard_3, "qwen3guard": qwen3guard}


def parser_name(model: str, answers: str | None = None) -> str:
    """Which of the parsers reads a model's answers. answers: given by the user, else it follows from the model's name.
    UserError where it does not."""
    if answers is not None:
        if answers not in PARSERS:
            raise UserError(f"guardrails.text_answers: {unknown_name('form of answers', answers, PARSERS)}")
        return answers
    plain = re.sub(r"[^a-z0-9]", "", model.lower())
    for name in PARSERS:
        if name.replace("_", "") in plain:
            return name
    raise UserError(
        f"guardrails.text_model={model!r}: its name tells neither Llama Guard 3 nor Qwen3Guard; give "
        f"guardrails.text_answers={' or '.join(PARSERS)}"
    )


@dataclass(frozen=True)
class TextModelGuard:
    """chat: the model. parser: of `PARSERS`. controversial: whether such a text passes."""

    chat: ChatModel
    parser: str
    controversial: bool = False

    def verdict(self, text: str) -> Verdict:
        """UserError where the model does not answer, or says anything but a judgement."""
        request = ChatRequest((Message("user", text),), Sampling(max_tokens=MAX_TOKENS))
        try:
            answer = self.chat.complete(request).text
            judged = PARSERS[self.parser](answer)
        except (BadAnswer, ValueError) as error:
            if isinstance(error, UserError):
                raise
            said = error.text if isinstance(error, BadAnswer) else answer
            raise UserError(
                f"guardrails.text_model: {error}: the answer to a text was {shortened(said)}, which is no judgement "
                f"of {self.parser}. Nothing passes without one"
            ) from error
        values = {"level": judged.level, "categories": list(judged.categories)}
        if judged.level == "safe" or (judged.level == "controversial" and self.controversial):
            return Verdict(NAME, values=values)
        return Verdict(NAME, f"{judged.level} ({', '.join(judged.categories)})", values)
