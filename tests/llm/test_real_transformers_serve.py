"""The server of transformers, which ignores what it does not know: the client believes none of its answers.

COSMOS_EXP_TRANSFORMERS_SERVE names a Python that has transformers[serving].
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest
from pydantic import BaseModel

from cosmos_exp.common.errors import UserError
from cosmos_exp.llm.client import OpenAIChat
from cosmos_exp.llm.config import LLMConfig
from cosmos_exp.llm.types import BadAnswer, ChatRequest, Message, Sampling
from cosmos_exp.llm.vllm_server import usable_port

PYTHON = os.environ.get("COSMOS_EXP_TRANSFORMERS_SERVE", "")
pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not PYTHON, reason="COSMOS_EXP_TRANSFORMERS_SERVE names no Python with transformers[serving]"),
]

QUESTION = (Message("system", "You rewrite captions."), Message("user", "A red car. Style: Night"))
SHORT = Sampling(max_tokens=16)
START = 300.0
"""Seconds."""


class Caption(BaseModel):
    caption: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LLMConfig]:
    from helpers.tiny_language_models import save_tiny_qwen3

    folder = tmp_path_factory.mktemp("qwen3")
    save_tiny_qwen3(folder)
    port, log = usable_port("127.0.0.1", 0), folder / "server.log"
    command = [PYTHON, "-c", "from transformers.cli.transformers import main; main()", "serve", str(folder)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
    config = LLMConfig(name="endpoint", model=str(folder), endpoint=f"http://127.0.0.1:{port}", retries=1)
    deadline = time.monotonic() + START
    while not _listens(port):
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.5)
    yield config
    process.kill()
    process.wait()


def _listens(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=2.0).status_code < 500
    except httpx.TransportError:
        return False


def test_it_is_not_taken_for_vllm_and_answers(server: LLMConfig) -> None:
    chat = OpenAIChat(server)
    assert not chat.is_vllm
    assert _said(chat, ChatRequest(QUESTION, Sampling(temperature=1.0, max_tokens=64)))


def _said(chat: OpenAIChat, request: ChatRequest) -> str:
    """What a model of random weights says, which seldom comes to an end."""
    try:
        return chat.complete(request).text
    except BadAnswer as cut:
        return cut.text


@pytest.mark.parametrize("asked", [{"schema": Caption}, {"choices": ("yes", "no")}])
def test_what_it_ignores_is_found_out(server: LLMConfig, asked: dict) -> None:
    with pytest.raises(BadAnswer):
        OpenAIChat(server).complete(ChatRequest(QUESTION, SHORT, **asked))


def test_it_gives_no_probabilities(server: LLMConfig) -> None:
    with pytest.raises(UserError, match="can be had from vLLM alone"):
        OpenAIChat(server).complete(ChatRequest(QUESTION, SHORT, choices=("yes", "no"), logprobs=True))


def test_fields_of_vllm_are_refused_by_it_and_the_key_that_helps_is_named(server: LLMConfig) -> None:
    chat = OpenAIChat(LLMConfig(**{**vars(server), "api": "vllm"}))
    with pytest.raises(UserError, match=r"HTTP 422.*give llm\.api=openai"):
        chat.complete(ChatRequest(QUESTION, SHORT, choices=("yes", "no")))
