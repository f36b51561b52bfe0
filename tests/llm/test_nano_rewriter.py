"""The rewriter that ships."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors import safe_open

from cosmos_exp.captions.describe import describe
from cosmos_exp.captions.fidelity import PROFILES, violations
from cosmos_exp.captions.messages import Rewritten, rewrite_messages
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.styles import STYLES
from cosmos_exp.llm import vllm_server
from cosmos_exp.llm.client import OpenAIChat
from cosmos_exp.llm.config import LLMConfig
from cosmos_exp.llm.nano import REWRITER, NanoRewriter
from cosmos_exp.llm.types import BadAnswer, ChatModel, ChatRequest, Images, Message, Sampling
from cosmos_exp.llm.vllm_server import Launch, VllmServer, usable_port
from cosmos_exp.train.rendering import HELD_OUT_SEED, training_scene

NANO = PROFILES["nano"]
GREEDY = Sampling(max_tokens=300)
DRAWN = Sampling(temperature=1.5, max_tokens=300)


@pytest.fixture(scope="module")
def rewriter() -> NanoRewriter:
    return NanoRewriter()


def request(caption: str, style: str, sampling: Sampling = GREEDY) -> ChatRequest:
    return ChatRequest(rewrite_messages(caption, style, max_bytes=NANO.max_bytes), sampling, schema=Rewritten)


def texts(chat: ChatModel, requests: list[ChatRequest]) -> list[str]:
    with ThreadPoolExecutor(len(requests)) as threads:
        return [json.loads(answer.text)["caption"] for answer in threads.map(chat.complete, requests)]


def test_captions_of_held_out_scenes_keep_their_facts(rewriter: NanoRewriter):
    captions = [describe(training_scene(seed, 1.0)) for seed in (HELD_OUT_SEED, HELD_OUT_SEED + 1)]
    asked = [(caption, style) for caption in captions for style in STYLES[1:]]
    rewritten = texts(rewriter, [request(*pair) for pair in asked])
    assert not [
        (*pair, new, v) for pair, new in zip(asked, rewritten) if (v := violations(pair[0], new, pair[1], NANO))
    ]
    assert len(set(rewritten)) == len(asked)


def test_unknown_words_are_kept_and_light_of_another_style_is_exchanged(rewriter: NanoRewriter):
    named = "Zorbal Street, Quixville: three delivery vans and a purple hovercraft turning right"
    other = "At night, two cyclists wait at a red light in the rain."
    night, snow, sun = texts(
        rewriter, [request(f"{named}.", "Night"), request(named, "Snowy"), request(other, "Sunny")]
    )
    words = set(re.findall(r"\w+", named))
    assert words <= set(re.findall(r"\w+", night)) and words <= set(re.findall(r"\w+", snow))
    assert "snow" not in night.lower() and "night" not in snow.lower()
    assert "two cyclists wait at a red light" in sun.lower() and "night" not in sun and "rain" not in sun


def test_answers_are_reproducible_and_instructions_and_objections_are_not_read(rewriter: NanoRewriter):
    caption = "Driving along a downtown four-lane road with a white car ahead, a pedestrian and two other cars."
    greedy, drawn = request(caption, "Foggy"), [request(caption, "Foggy", replace(DRAWN, seed=s)) for s in (1, 1, 2, 3)]
    objection = (Message("assistant", '{"caption": "A car."}'), Message("user", "lost: the pedestrian"))
    again = ChatRequest((*greedy.messages[1:], *objection), GREEDY, schema=Rewritten)
    first, second, *others = texts(rewriter, [greedy, again, *drawn])
    assert first == second and others[0] == others[1] and len({first, *others}) > 1
    assert texts(rewriter, [greedy]) == [first]  # alone as among others


def test_what_it_cannot_do_is_said(rewriter: NanoRewriter, tmp_path: Path):
    with pytest.raises(UserError, match="llm=endpoint or llm=vllm"):
        rewriter.complete(ChatRequest((Message("user", "Is it night?"),), choices=("yes", "no")))
    with pytest.raises(UserError, match="llm=nano rewrites captions alone"):
        rewriter.complete(ChatRequest((Message("user", "What is it?", Images((b"jpeg",))),)))
    with pytest.raises(BadAnswer, match="llm=nano reads 1023"):
        rewriter.complete(request("A car. " * 200, "Night"))
    with pytest.raises(BadAnswer, match="cut off after 20 bytes"):
        rewriter.complete(request("A red car on a highway.", "Night", Sampling(max_tokens=20)))
    with pytest.raises(UserError, match="stages="):
        NanoRewriter(tmp_path)


def test_it_is_small_and_known_by_its_weights(rewriter: NanoRewriter):
    weights = REWRITER / "model.safetensors"
    with safe_open(weights, "pt") as tensors:
        assert sum(tensors.get_tensor(name).numel() for name in list(tensors.keys())) <= 5_000_000
    assert weights.stat().st_size <= 10_000_000
    assert rewriter.identity.keys() == {"name", "version", "weights"}


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIChat]:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[1] / "helpers" / "torchvision_for_cpu"))
    options = ["--dtype", "float32", "--enforce-eager", "--max-num-seqs", "16"]
    python = vllm_server.find_python(None)
    server = VllmServer(
        Launch(python, str(REWRITER), "nano", port=usable_port("127.0.0.1", 0), options=options), tmp_path / "log"
    )
    server.wait_until_ready(print, 900.0)
    yield OpenAIChat(LLMConfig(name="endpoint", model="nano", endpoint=server.launch.url))
    server.stop()


@pytest.mark.vllm
@pytest.mark.skipif(not os.environ.get(vllm_server.PYTHON), reason="COSMOS_EXP_VLLM names no Python with vLLM")
def test_vllm_gives_the_same_answers(rewriter: NanoRewriter, served: OpenAIChat):
    captions = [describe(training_scene(seed, 1.0)) for seed in range(HELD_OUT_SEED, HELD_OUT_SEED + 3)]
    requests = [request(caption, style) for caption in captions for style in STYLES[1:]]
    assert texts(served, requests) == texts(rewriter, requests)
