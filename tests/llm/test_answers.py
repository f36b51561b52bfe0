"""Answers that are kept, and many requests at the same time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.chat_server import ChatServer, after, dead_engine, fails, says
from pydantic import BaseModel

from cosmos_exp.common import http_calls
from cosmos_exp.common.errors import UserError
from cosmos_exp.llm.answers import Cached, answer_key
from cosmos_exp.llm.client import OpenAIChat
from cosmos_exp.llm.many import complete_all, in_parallel
from cosmos_exp.llm.types import BadAnswer, ChatAnswer, ChatRequest, Images, Message, Sampling


class Caption(BaseModel):
    caption: str


class Longer(BaseModel):
    caption: str
    style: str


def asks(text: str, **more: object) -> ChatRequest:
    return ChatRequest((Message("user", text),), **more)  # type: ignore[arg-type]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setattr(http_calls, "FIRST_PAUSE", 0.001)
    with ChatServer(answer=lambda body: says(f"You said {body['messages'][0]['content']}.")) as found:
        yield found


@pytest.fixture
def model(server: ChatServer) -> OpenAIChat:
    return OpenAIChat(server.config())


# The cache


def test_what_was_answered_once_is_not_asked_again(server: ChatServer, model: OpenAIChat, tmp_path: Path) -> None:
    first = Cached(model, tmp_path).complete(asks("night"))
    again = Cached(model, tmp_path).complete(asks("night"))
    assert first == again == ChatAnswer("You said night.")
    assert len(server.asked) == 1


def test_objects_and_probabilities_come_back_from_the_cache(
    server: ChatServer, model: OpenAIChat, tmp_path: Path
) -> None:
    server.answer = lambda body: says(json.dumps({"caption": "Night."}))
    for _ in range(2):
        assert Cached(model, tmp_path).complete(asks("x", schema=Caption)).value == Caption(caption="Night.")
    server.answer = lambda body: says("no", tokens=[{"no": 0.75, "yes": 0.25}])
    weighed = [Cached(model, tmp_path).complete(asks("x", choices=("yes", "no"), logprobs=True)) for _ in range(2)]
    assert weighed[0] == weighed[1] and weighed[0].probabilities == pytest.approx({"yes": 0.25, "no": 0.75})
    assert len(server.asked) == 1 + 1


def test_bad_answers_are_not_kept(server: ChatServer, model: OpenAIChat, tmp_path: Path) -> None:
    server.answers = [says("no json"), says(json.dumps({"caption": "Night."}))]
    with pytest.raises(BadAnswer):
        Cached(model, tmp_path).complete(asks("x", schema=Caption))
    assert Cached(model, tmp_path).complete(asks("x", schema=Caption)).value == Caption(caption="Night.")


PICTURE = Images((b"jpeg",))
REQUEST = ChatRequest((Message("system", "Rewrite."), Message("user", "A car.", PICTURE)), schema=Caption)


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, messages=REQUEST.messages[1:]),
        replace(REQUEST, messages=(Message("user", "Rewrite."), REQUEST.messages[1])),
        replace(REQUEST, messages=(REQUEST.messages[0], Message("user", "A bus.", PICTURE))),
        replace(REQUEST, messages=(REQUEST.messages[0], Message("user", "A car."))),
        replace(REQUEST, messages=(REQUEST.messages[0], Message("user", "A car.", Images((b"gpej",))))),
        replace(REQUEST, messages=(REQUEST.messages[0], Message("user", "A car.", Images((b"jpeg", b"jpeg"))))),
        replace(REQUEST, messages=(REQUEST.messages[0], Message("user", "A car.", replace(PICTURE, as_video=True)))),
        replace(REQUEST, sampling=Sampling(temperature=0.5)),
        replace(REQUEST, sampling=Sampling(seed=1)),
        replace(REQUEST, sampling=Sampling(top_p=0.5)),
        replace(REQUEST, sampling=Sampling(max_tokens=5)),
        replace(REQUEST, schema=Longer),
        replace(REQUEST, schema=None),
        replace(REQUEST, schema=None, choices=("yes", "no")),
    ],
)
def test_everything_that_an_answer_depends_on_is_in_its_key(other: ChatRequest) -> None:
    assert answer_key({"model": "a"}, other) != answer_key({"model": "a"}, REQUEST)


def test_another_model_has_other_answers() -> None:
    assert answer_key({"model": "a"}, REQUEST) != answer_key({"model": "b"}, REQUEST)
    assert answer_key({"model": "a"}, REQUEST) == answer_key({"model": "a"}, replace(REQUEST))


def test_the_server_and_its_settings_are_no_part_of_the_models_identity(server: ChatServer) -> None:
    assert OpenAIChat(server.config(timeout=5.0)).identity == {"model": "tiny"}
    assert OpenAIChat(server.config(think=True)).identity == {"model": "tiny", "think": "true"}


# Many requests


def test_answers_come_in_the_order_of_the_requests_several_at_a_time(server: ChatServer, model: OpenAIChat) -> None:
    def answer(body: dict):
        number = int(body["messages"][0]["content"])
        return after(0.05 if number % 3 == 0 else 0.0, says(str(number)))

    server.answer, told = answer, []
    answers = complete_all(model, [asks(str(n)) for n in range(20)], 4, lambda *progress: told.append(progress))
    assert [answer.text for answer in answers] == [str(n) for n in range(20)]
    assert told == [(n, 20) for n in range(1, 21)]
    assert 1 < server.at_once <= 4


def test_a_bad_answer_stands_among_the_others(server: ChatServer, model: OpenAIChat) -> None:
    server.answer = lambda body: says("" if body["messages"][0]["content"] == "1" else "Night.")
    first, second, third = complete_all(model, [asks(str(n)) for n in range(3)], 2)
    assert isinstance(second, BadAnswer) and second.reason == "empty"
    assert isinstance(first, ChatAnswer) and isinstance(third, ChatAnswer)


def test_the_first_request_that_nobody_answers_ends_all(server: ChatServer, model: OpenAIChat) -> None:
    server.answers = [says("Night."), dead_engine()]
    with pytest.raises(UserError, match="the engine of this server has died"):
        complete_all(model, [asks(str(n)) for n in range(1000)], 4)
    assert len(server.asked) < 20


def test_one_server_that_is_busy_for_a_moment_costs_no_answer(server: ChatServer, model: OpenAIChat) -> None:
    refusals = [fails(429, retry_after="0")] * 5
    server.answer = lambda body: refusals.pop() if refusals else says("Night.")
    assert len(complete_all(model, [asks(str(n)) for n in range(10)], 4)) == 10
    assert len(server.asked) == 15


def test_items_are_taken_when_a_thread_is_free_and_no_more_after_the_reader_has_stopped() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    gate = threading.Semaphore(3)

    def work(number: int) -> int:
        gate.acquire()
        return number

    results = in_parallel(work, items(), 2)
    assert [next(results)[0] for _ in range(3)] and len(taken) <= 5
    results.close()
    gate.release(1000)
    time.sleep(0.05)
    assert len(taken) <= 5


def test_what_fails_while_items_are_read_is_raised() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise UserError("the folder is gone")

    with pytest.raises(UserError, match="the folder is gone"):
        list(in_parallel(lambda number: number, items(), 3))


ASKS = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from cosmos_exp.llm.client import OpenAIChat
from cosmos_exp.llm.config import LLMConfig
from cosmos_exp.llm.many import complete_all
from cosmos_exp.llm.types import ChatRequest, Message

model = OpenAIChat(LLMConfig(name="endpoint", model="tiny", endpoint=sys.argv[1]))
complete_all(model, [ChatRequest((Message("user", str(n)),)) for n in range(8)], 4)
"""


def test_who_interrupts_does_not_wait_for_requests_under_way() -> None:
    with ChatServer(after(600.0, says("Night."))) as server:
        asking = subprocess.Popen([sys.executable, "-c", ASKS, server.url], stderr=subprocess.PIPE)
        while server.at_once < 4:
            assert asking.poll() is None
            time.sleep(0.01)
        asking.send_signal(signal.SIGINT)
        _, said = asking.communicate(timeout=60)
        assert asking.returncode == -signal.SIGINT and b"KeyboardInterrupt" in said
