"""The `llm` group: what belongs together, what is out of range, and what counts in a run's id."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path

import pytest
from helpers.composing import Composer

from cosmos_exp.common.errors import UserError
from cosmos_exp.config.schema import run_id, typed
from cosmos_exp.llm.client import OpenAIChat
from cosmos_exp.llm.config import LLMConfig, endpoint_url, llm_problems
from cosmos_exp.llm.models import OwnVllm, chat_model
from cosmos_exp.llm.types import Sampling

ENDPOINT = {"name": "endpoint", "model": "qwen", "endpoint": "http://gpu:8000"}


def problems(**given: object) -> str:
    return "\n".join(llm_problems(LLMConfig(**given)))  # type: ignore[arg-type]


def test_the_default_and_a_whole_endpoint_are_fine() -> None:
    assert problems() == problems(**ENDPOINT) == ""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "nanno"}, "unknown llm.name 'nanno': did you mean 'nano'?"),
        ({"model": "qwen"}, "llm.model='qwen': llm=nano has one model"),
        ({"endpoint": "http://gpu:8000"}, "'http://gpu:8000': is used by llm=endpoint alone, not by llm=nano"),
        ({"python": "/x/python"}, "llm.python: is used by llm=vllm alone, not by llm=nano"),
        ({**ENDPOINT, "options": ["--seed", "1"]}, "llm.options: is used by llm=vllm alone, not by llm=endpoint"),
        ({"name": "endpoint", "model": "qwen"}, "give llm.endpoint, the URL of the server"),
        ({**ENDPOINT, "model": None}, "llm=endpoint: give llm.model"),
        ({**ENDPOINT, "model": " "}, "llm=endpoint: give llm.model"),
        ({**ENDPOINT, "endpoint": "gpu:8000"}, "did you mean 'http://gpu:8000'?"),
        ({**ENDPOINT, "endpoint": "http://gpu:80a0"}, "give an URL such as"),
        ({**ENDPOINT, "endpoint": "http://key@gpu:8000"}, "give the token as COSMOS_EXP_LLM_KEY"),
        ({**ENDPOINT, "key_variable": "NOT_THERE"}, "NOT_THERE: this environment variable is not set"),
        ({**ENDPOINT, "api": "openapi"}, "unknown llm.api 'openapi': did you mean 'openai'?"),
        ({"temperature": 2.5}, "llm.temperature=2.5: must be 0 to 2"),
        ({"temperature": float("nan")}, "llm.temperature=nan"),
        ({"top_p": 0.0}, "llm.top_p=0: must be above 0"),
        ({"max_tokens": 0}, "llm.max_tokens=0: must be 1 to"),
        ({"concurrency": 0}, "llm.concurrency=0: must be 1 to 1024"),
        ({"retries": -1}, "llm.retries=-1: must be 0 to 100"),
        ({"timeout": 0.0}, "llm.timeout=0: must be above 0 seconds"),
        ({"start_timeout": float("inf")}, "llm.start_timeout=inf"),
        ({"seed": -1}, "llm.seed=-1: must be 0 to"),
        ({"name": "vllm"}, "llm=vllm: give llm.model"),
        ({"name": "vllm", "model": "./nothing"}, "model './nothing': there is no such folder"),
        ({"name": "vllm", "model": "a/b", "options": ["--port=1"]}, "option '--port=1' of vLLM: give it to this"),
        ({"name": "vllm", "model": "a/b", "python": "/no/python"}, "'/no/python': there is no such program"),
        ({"name": "vllm", "model": "a/b", "python": sys.executable}, "has no vLLM: it needs an environment of its own"),
    ],
)  # fmt: skip
def test_every_mistake_is_told(given: dict, message: str) -> None:
    assert message in problems(**given)


def test_all_mistakes_are_told_together() -> None:
    assert problems(name="endpoint", model=None, temperature=3.0).count("\n") == 2


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    assert "has no config.json" in problems(name="vllm", model=str(tmp_path), python=sys.executable)


def test_the_key_and_the_environment_are_looked_for_where_the_run_is() -> None:
    there = LLMConfig(name="vllm", model="Qwen/Qwen3-14B", python="/on/the/cluster/python")
    assert not list(llm_problems(there, here=False)) and list(llm_problems(there))


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://gpu:8000", "http://gpu:8000/v1"),
        ("http://gpu:8000/", "http://gpu:8000/v1"),
        ("http://gpu:8000/v1/", "http://gpu:8000/v1"),
        ("https://api.example.com/v1beta/openai", "https://api.example.com/v1beta/openai"),
        ("http://[::1]:8000", "http://[::1]:8000/v1"),
    ],
)
def test_the_address_of_an_api_may_be_given_with_its_path_or_without(given: str, base: str) -> None:
    assert endpoint_url(given) == base


def test_a_key_that_is_none_is_told_without_being_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSMOS_EXP_LLM_KEY", "two words")
    assert "COSMOS_EXP_LLM_KEY: the token has spaces" in problems(**ENDPOINT)
    assert "two words" not in problems(**ENDPOINT)


def test_options_of_the_group_compose_and_are_checked_with_the_config() -> None:
    compose = Composer()
    config = typed(compose("llm=endpoint", "llm.endpoint=http://gpu:8000/v1", "llm.model=qwen", "llm.temperature=0.5"))
    assert config.llm.sampling == Sampling(0.5, 1.0, 1024, 0)
    from cosmos_exp.config.validate import validate

    assert "llm=endpoint: give llm.model, the name of the model" in validate(compose("llm=endpoint"))


def test_what_changes_an_answer_is_in_the_id_of_a_run_and_how_it_is_asked_is_not() -> None:
    compose = Composer()

    def id_of(*overrides: str) -> str:
        return run_id(typed(compose("captions=rewrite", *overrides)))

    assert run_id(typed(compose())) == run_id(typed(compose("llm.seed=1")))  # which nobody reads
    default = id_of()
    server = ("llm=endpoint", "llm.model=qwen")
    assert default == id_of("llm.concurrency=2", "llm.timeout=5", "llm.retries=0")
    assert id_of(*server) == id_of(*server, "llm.endpoint=http://gpu:1", "llm.key_variable=KEY", "llm.api=vllm")
    others = [("llm.temperature=0.5",), ("llm.seed=1",), ("llm.top_p=0.9",), ("llm.max_tokens=9",), server]
    assert len({default, *(id_of(*other) for other in others)}) == 6


def test_the_model_of_a_config() -> None:
    assert isinstance(chat_model(LLMConfig(**ENDPOINT)), OpenAIChat)  # type: ignore[arg-type]
    assert isinstance(chat_model(LLMConfig(name="vllm", model="Qwen/Qwen3-14B")), OwnVllm)
    with pytest.raises(UserError, match="both are needed"):
        OpenAIChat(LLMConfig())


def test_a_folder_is_known_by_its_contents_and_a_name_by_itself(tmp_path: Path) -> None:
    def identity(model: str) -> dict[str, str]:
        return OwnVllm(LLMConfig(name="vllm", model=model)).identity

    assert identity("Qwen/Qwen3-14B") == {"model": "Qwen/Qwen3-14B"}
    for name, weights in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(weights)
    a, b, c = (identity(str(tmp_path / name))["model"] for name in "abc")
    assert a == b != c and len(a) == 64


def test_the_page_has_every_key() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "llm.md").read_text()
    assert [entry.name for entry in fields(LLMConfig) if entry.name != "name" and f"`{entry.name}`" not in page] == []
