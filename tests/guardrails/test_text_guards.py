"""Every documented answer of Llama Guard 3 and Qwen3Guard is read; every other answer, and every failure, is a stop."""

from __future__ import annotations

import pytest
from helpers.chat_server import (
    MODEL,
    ChatServer,
    after,
    breaks_off,
    dead_engine,
    fails,
    hangs_up,
    says,
    sends,
    thinks,
)

from cosmos_exp.common.errors import UserError
from cosmos_exp.guardrails.blocklist import Blocklist
from cosmos_exp.guardrails.text_model import (
    LLAMA_GUARD_3,
    QWEN3GUARD,
    Judgement,
    TextModelGuard,
    llama_guard_3,
    parser_name,
    qwen3guard,
)
from cosmos_exp.guardrails.texts import TextGuards
from cosmos_exp.guardrails.verdicts import Blocked
from cosmos_exp.llm.client import OpenAIChat
from cosmos_exp.llm.config import LLMConfig

PROMPT = "A red car on a wet road."


def test_llama_guard_says_safe_or_unsafe_with_codes() -> None:
    assert llama_guard_3("safe") == llama_guard_3("\n\nsafe\n") == Judgement("safe")
    assert llama_guard_3("\n\nunsafe\nS12") == Judgement("unsafe", ("S12 sexual content",))
    assert llama_guard_3("unsafe\nS1, S10").categories == ("S1 violent crimes", "S10 hate")
    for code in LLAMA_GUARD_3:
        assert llama_guard_3(f"unsafe\n{code}").level == "unsafe"


@pytest.mark.parametrize(
    "answer",
    [
        *("", " ", "Safe", "SAFE", "safe.", "safe\nS1", "safe safe", "not unsafe", "unsafe", "unsafe\n", "unsafe S1"),
        *("unsafe\nS15", "unsafe\nS1 S2", "unsafe\nS1,", "unsafe\nS1\nS2", "unsafe\ns1", "I cannot help with that."),
        *("The text is safe", "safe\nunsafe\nS1", "Safety: Safe\nCategories: None", '{"verdict": "safe"}'),
    ],
)
def test_anything_else_is_no_judgement_of_llama_guard(answer: str) -> None:
    with pytest.raises(ValueError):
        llama_guard_3(answer)


def test_qwen3guard_says_a_level_and_categories_and_of_answers_a_refusal() -> None:
    assert qwen3guard("Safety: Safe\nCategories: None") == Judgement("safe")
    assert qwen3guard("Safety: Unsafe\nCategories: Violent\n") == Judgement("unsafe", ("Violent",))
    assert qwen3guard("Safety: Controversial\nCategories: PII, Unethical Acts").categories == ("PII", "Unethical Acts")
    assert qwen3guard("Safety: Safe\nCategories: None\nRefusal: Yes") == Judgement("safe")
    assert qwen3guard("Safety: Unsafe\nCategories: Jailbreak\nRefusal: No").level == "unsafe"
    for category in QWEN3GUARD:
        assert qwen3guard(f"Safety: Unsafe\nCategories: {category}").categories == (category,)


@pytest.mark.parametrize(
    "answer",
    [
        *("", "Safe", "Safety: Safe", "Safety: safe\nCategories: None", "Safety: Maybe\nCategories: None"),
        *("Safety: Safe\nCategories: Violent", "Safety: Unsafe\nCategories: None", "Safety: Unsafe\nCategories: Rude"),
        *("Categories: None\nSafety: Safe", "Safety: Safe\nSafety: Unsafe\nCategories: None", "safe"),
        *("Safety: Safe\nCategories: None\nRefusal: Perhaps", "It is Safety: Safe\nCategories: None", "unsafe\nS1"),
        *(
            "Safety: Safe\nCategories: None\nSafety: Unsafe",
            "Safety: Safe Categories: None",
            "Safety: Safe\nCategories:",
        ),
    ],
)
def test_anything_else_is_no_judgement_of_qwen3guard(answer: str) -> None:
    with pytest.raises(ValueError):
        qwen3guard(answer)


@pytest.mark.parametrize(
    ("model", "parser"),
    [
        ("meta-llama/Llama-Guard-3-8B", "llama_guard_3"),
        ("llama-guard-3", "llama_guard_3"),
        ("Qwen/Qwen3Guard-Gen-0.6B", "qwen3guard"),
        ("qwen3guard", "qwen3guard"),
    ],
)
def test_the_name_of_a_model_tells_how_it_answers(model: str, parser: str) -> None:
    assert parser_name(model) == parser
    assert parser_name("mine", parser) == parser


def test_a_name_that_tells_nothing_and_an_unknown_form_are_errors() -> None:
    with pytest.raises(UserError, match="text_answers=llama_guard_3 or qwen3guard"):
        parser_name("meta-llama/Llama-Guard-4-12B")
    with pytest.raises(UserError, match="did you mean 'llama_guard_3'"):
        parser_name("mine", "llama_guard")


def guard(server: ChatServer, parser: str = "llama_guard_3", timeout: float = 10.0, **values) -> TextModelGuard:
    return TextModelGuard(OpenAIChat(server.config(retries=0, timeout=timeout)), parser, **values)


def test_a_judgement_comes_through_the_client() -> None:
    with ChatServer(says("\n\nsafe"), thinks("Safety: Unsafe\nCategories: Violent")) as server:
        said = guard(server).verdict(PROMPT).record()
        assert said == {"passed": True, "level": "safe", "categories": []}
        assert guard(server, "qwen3guard").verdict(PROMPT).found == "unsafe (Violent)"
    assert [message["content"] for message in server.asked[0]["messages"]] == [PROMPT]


def test_a_controversial_text_passes_only_where_the_config_says_so() -> None:
    with ChatServer(says("Safety: Controversial\nCategories: Politically Sensitive Topics")) as server:
        assert guard(server, "qwen3guard").verdict(PROMPT).found == "controversial (Politically Sensitive Topics)"
        assert guard(server, "qwen3guard", controversial=True).verdict(PROMPT).found == ""


@pytest.mark.parametrize(
    "answer",
    [
        says(""), says(None), says("I think it is safe."), says("safe", finish_reason="length"), says("unsafe"),
        says("safe\nS1"), thinks(""), sends(b"safe"), sends(b'{"choices": []}'), sends(b""), fails(400, "too long"),
        fails(403), fails(500), fails(429), dead_engine(), hangs_up, breaks_off, after(1.0, says("safe")),
    ],
)  # fmt: skip
def test_a_guard_that_cannot_judge_stops_the_clip_and_never_says_safe(answer) -> None:
    with ChatServer(answer) as server, pytest.raises(UserError) as stopped:
        guard(server, timeout=0.3).verdict(PROMPT)
    assert not isinstance(stopped.value, Blocked)


def test_a_server_that_is_not_there_is_an_error() -> None:
    chat = OpenAIChat(LLMConfig("endpoint", MODEL, "http://127.0.0.1:9/v1", retries=0, timeout=1.0))
    with pytest.raises(UserError):
        TextModelGuard(chat, "llama_guard_3").verdict(PROMPT)


def test_words_come_before_the_model_and_equal_texts_are_judged_once() -> None:
    with ChatServer(says("safe"), says("unsafe\nS12")) as server:
        guards = TextGuards(Blocklist(["naked"]), guard(server))
        said = guards.require_safe({"the prompt": PROMPT, "the view": PROMPT, "nothing": " "})
        assert said["the view"]["text_model"] == {"passed": True, "level": "safe", "categories": []}
        assert said["the prompt"]["words"] == {"passed": True} and said["nothing"] == {}
        with pytest.raises(Blocked, match=r"guardrails\.words: the negative prompt: it has 'naked'"):
            guards.require_safe({"the negative prompt": "a n4ked man"})
        assert len(server.asked) == 1
        with pytest.raises(Blocked, match=r"guardrails.text_model: the prompt: unsafe \(S12 sexual content\)"):
            guards.require_safe({"the prompt": "something"})
