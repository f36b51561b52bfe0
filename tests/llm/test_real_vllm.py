"""Real vLLM, with tiny models of random weights: what the client asks is understood, and what it believes is true.

COSMOS_EXP_VLLM names a Python that has vLLM; docs/llm.md says how such an environment is made.
"""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from cosmos_exp.common.errors import UserError
from cosmos_exp.llm import vllm_server
from cosmos_exp.llm.client import OpenAIChat
from cosmos_exp.llm.config import LLMConfig
from cosmos_exp.llm.many import complete_all
from cosmos_exp.llm.models import chat_model
from cosmos_exp.llm.types import BadAnswer, ChatRequest, Images, Message, Sampling
from cosmos_exp.llm.vllm_server import Launch, VllmServer, usable_port

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not os.environ.get(vllm_server.PYTHON), reason="COSMOS_EXP_VLLM names no Python with vLLM"),
]

OPTIONS = ["--max-model-len", "4096", "--dtype", "float32", "--enforce-eager", "--max-num-seqs", "16"]
START = 900.0
"""Seconds."""
QUESTION = (Message("system", "You rewrite captions."), Message("user", "Rewrite: A red car on a road. Style: Night"))


class Caption(BaseModel):
    model_config = ConfigDict(extra="forbid")
    caption: str = Field(max_length=40)
    style: Literal["Night", "Rainy"]


class Letters(BaseModel):
    caption: str = Field(pattern="^[a-z ]{5,30}$")


@pytest.fixture(scope="module", autouse=True)
def _environment() -> Iterator[None]:
    """Little memory; a torchvision for CUDA beside a torch for CPUs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[1] / "helpers" / "torchvision_for_cpu"))
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from helpers.tiny_language_models import save_tiny_qwen3

    folder = tmp_path_factory.mktemp("qwen3")
    save_tiny_qwen3(folder)
    return folder


@pytest.fixture(scope="module")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    python = vllm_server.find_python(None)
    launch = Launch(python, str(model), "tiny", port=usable_port("127.0.0.1", 0), key="sk-tests", options=OPTIONS)
    found = VllmServer(launch, tmp_path_factory.mktemp("log") / "vllm.log")
    started = time.monotonic()
    found.wait_until_ready(print, START)
    print(f"vLLM listened after {time.monotonic() - started:.0f} s")
    yield found
    found.stop()


@pytest.fixture(scope="module")
def chat(server: VllmServer) -> Iterator[OpenAIChat]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COSMOS_EXP_LLM_KEY", "sk-tests")
        yield OpenAIChat(LLMConfig(name="endpoint", model="tiny", endpoint=server.launch.url))


def said(chat: OpenAIChat, request: ChatRequest) -> str:
    """What a model of random weights says, which seldom comes to an end."""
    try:
        return chat.complete(request).text
    except BadAnswer as cut:
        return cut.text


def test_vllm_is_known_as_such(chat: OpenAIChat) -> None:
    assert chat.is_vllm


def test_the_greedy_answer_is_that_of_transformers(chat: OpenAIChat, model: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, network = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    turns = [{"role": message.role, "content": message.text} for message in QUESTION]
    given = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    made = network.generate(**given, max_new_tokens=24, do_sample=False)[0, given["input_ids"].shape[1] :]
    expected = tokenizer.decode(made, skip_special_tokens=True)
    assert said(chat, ChatRequest(QUESTION, Sampling(max_tokens=24))) == expected != ""


def test_the_same_seed_gives_the_same_answer_and_another_one_another(chat: OpenAIChat) -> None:
    first, again, other = (
        said(chat, ChatRequest(QUESTION, Sampling(temperature=1.0, max_tokens=24, seed=seed))) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_many_long_requests_with_seeds_are_all_answered(chat: OpenAIChat) -> None:
    """More tokens at once than the engine takes in one step, so that it would read some requests in parts."""
    long = (Message("user", "Rewrite: a red car on a road. " * 60),)
    asked = [ChatRequest(long, Sampling(temperature=1.0, max_tokens=4, seed=seed)) for seed in range(16)]
    answers = complete_all(chat, asked, 16)
    assert len(answers) == 16 and all("cut off" in answer.reason for answer in answers if isinstance(answer, BadAnswer))


def test_answers_have_the_schema_that_was_asked_for(chat: OpenAIChat) -> None:
    for seed in range(8):
        answer = chat.complete(ChatRequest(QUESTION, Sampling(1.0, max_tokens=2000, seed=seed), schema=Caption))
        assert isinstance(answer.value, Caption) and len(answer.value.caption) <= 40


def test_an_answer_that_is_cut_off_is_a_bad_one(chat: OpenAIChat) -> None:
    with pytest.raises(BadAnswer, match=r"cut off after llm\.max_tokens=8 tokens"):
        chat.complete(ChatRequest(QUESTION, Sampling(1.0, max_tokens=8), schema=Caption))


def test_the_answer_is_one_of_the_choices(chat: OpenAIChat) -> None:
    said = {chat.complete(ChatRequest(QUESTION, Sampling(1.0, seed=s), choices=("yes", "no"))).text for s in range(12)}
    assert said == {"yes", "no"}


def test_probabilities_of_choices_are_those_of_the_network(chat: OpenAIChat, model: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, network = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    turns = [{"role": message.role, "content": message.text} for message in QUESTION]
    given = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        logits = network(**given).logits[0, -1]
    yes, no = (logits[tokenizer.convert_tokens_to_ids(letter)] for letter in "yn")  # each byte is a token
    answer = chat.complete(ChatRequest(QUESTION, choices=("yes", "no"), logprobs=True))
    assert answer.probabilities["yes"] == pytest.approx(float(torch.sigmoid(yes - no)), abs=1e-3)
    assert sum(answer.probabilities.values()) == pytest.approx(1.0)
    three = chat.complete(ChatRequest(QUESTION, choices=("very good", "very bad", "bad"), logprobs=True)).probabilities
    assert sum(three.values()) == pytest.approx(1.0) and min(three.values()) > 0.01


def test_what_vllm_refuses_is_told_in_its_words(chat: OpenAIChat, server: VllmServer) -> None:
    with pytest.raises(UserError, match=r"HTTP 400.*maximum context length is 4096 tokens"):
        chat.complete(ChatRequest((Message("user", "x" * 9000),)))
    with pytest.raises(UserError, match="not a multimodal model"):
        chat.complete(ChatRequest((Message("user", "x", Images((b"\xff\xd8",))),)))
    other = LLMConfig(name="endpoint", model="tinny", endpoint=server.launch.url)
    with pytest.raises(UserError, match=r"unknown llm\.model 'tinny': did you mean 'tiny'"):
        OpenAIChat(other).complete(ChatRequest(QUESTION))


def test_a_server_with_a_key_refuses_those_without(server: VllmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COSMOS_EXP_LLM_KEY", raising=False)
    client = OpenAIChat(LLMConfig(name="endpoint", model="tiny", endpoint=server.launch.url))
    with pytest.raises(UserError, match="its key belongs into the environment variable COSMOS_EXP_LLM_KEY"):
        client.complete(ChatRequest(QUESTION))


def test_many_requests_at_the_same_time(chat: OpenAIChat) -> None:
    requests = [
        ChatRequest((Message("user", str(n)),), Sampling(1.0, max_tokens=2000, seed=n), Letters) for n in range(32)
    ]
    answers = complete_all(chat, requests, 16)
    assert [answer for answer in answers if isinstance(answer, BadAnswer)] == []
    assert len({str(answer) for answer in answers}) == 32


def test_an_engine_that_dies_is_one_message(tmp_path: Path) -> None:
    from helpers.tiny_language_models import save_tiny_qwen3

    save_tiny_qwen3(tmp_path / "model", head_dim=16)  # for which vLLM has no kernel on a CPU
    config = LLMConfig(name="vllm", model=str(tmp_path / "model"), options=OPTIONS, retries=1, start_timeout=START)
    with pytest.raises(UserError, match=r"vLLM has ended with exit code|the engine of this server has died"):
        chat_model(config).complete(ChatRequest(QUESTION))


# Pictures and videos, behind the command


def jpeg(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (144, 256, 3), np.uint8)
    Image.fromarray(pixels).save(data := io.BytesIO(), "JPEG")
    return data.getvalue()


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAIChat]:
    """Behind `cosmos-exp serve-llm`, which is ended by Ctrl-C."""
    from helpers.tiny_language_models import save_tiny_qwen_vl

    folder = tmp_path_factory.mktemp("command")
    save_tiny_qwen_vl(folder / "tiny-vl")
    options = [*OPTIONS, "--limit-mm-per-prompt", '{"image": 2, "video": 1}']
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += f"import sys; sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})\n"
    code += "from cosmos_exp.cli.main import main; main()"
    arguments = ["serve-llm", "tiny-vl", "--port", "0", "--state", "state", "--", *options]
    output = folder / "output.txt"
    with output.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=folder, stdout=file, stderr=file)
    deadline = time.monotonic() + START
    while "Ctrl-C stops" not in output.read_text():
        assert process.poll() is None and time.monotonic() < deadline, output.read_text()
        time.sleep(0.5)
    url = re.findall(r"listens on (\S+)", output.read_text())[0]
    yield OpenAIChat(LLMConfig(name="endpoint", model="tiny-vl", endpoint=url))
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert not (folder / "state" / "endpoint.json").exists()
    with pytest.raises(UserError, match="does not answer"):
        OpenAIChat(LLMConfig(name="endpoint", model="tiny-vl", endpoint=url, retries=0)).complete(ChatRequest(QUESTION))


def about(images: Images | None, **more: object) -> ChatRequest:
    return ChatRequest((Message("user", "What is to be seen?", images),), **more)  # type: ignore[arg-type]


def test_pictures_are_seen(vision: OpenAIChat) -> None:
    short = Sampling(max_tokens=16)
    one, other = (said(vision, about(Images((jpeg(seed),)), sampling=short)) for seed in (1, 2))
    two = said(vision, about(Images((jpeg(1), jpeg(2))), sampling=short))
    assert len({said(vision, about(None, sampling=short)), one, two}) == 3 and other
    with pytest.raises(UserError, match=r"HTTP 400.*At most 2 image"):
        vision.complete(about(Images((jpeg(1),) * 3)))


def test_frames_are_seen_as_one_video(vision: OpenAIChat) -> None:
    frames = Images(tuple(jpeg(seed) for seed in range(8)), as_video=True)
    assert vision.complete(about(frames, sampling=Sampling(1.0, max_tokens=2000), schema=Caption)).value
    verdict = vision.complete(about(frames, choices=("yes", "no"), logprobs=True)).probabilities
    assert sum(verdict.values()) == pytest.approx(1.0)
    fewer = Images(frames.jpegs[:4], as_video=True)
    assert verdict != vision.complete(about(fewer, choices=("yes", "no"), logprobs=True)).probabilities


def test_the_rate_of_a_video_needs_an_option_of_the_server(vision: OpenAIChat) -> None:
    request = about(Images((jpeg(1), jpeg(2)), as_video=True, fps=10.0), sampling=Sampling(max_tokens=8))
    assert said(vision, request)
    with pytest.raises(UserError, match="that was started with this option"):
        OpenAIChat(replace(vision.config, video_rate=True)).complete(request)


def test_a_picture_that_is_none_is_refused(vision: OpenAIChat) -> None:
    with pytest.raises(UserError, match="HTTP 400"):
        vision.complete(about(Images((b"no jpeg",))))
