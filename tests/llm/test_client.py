"""The client of OpenAI-compatible servers, with servers that are overloaded, gone, dead, or say something else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Literal

import pytest
from helpers.chat_server import (
    ChatServer,
    Send,
    after,
    breaks_off,
    dead_engine,
    fails,
    hangs_up,
    says,
    sends,
    thinks,
)
from pydantic import BaseModel, ConfigDict, Field

from cosmos_exp.common import http_calls
from cosmos_exp.common.errors import UserError
from cosmos_exp.llm.client import OpenAIChat
from cosmos_exp.llm.types import BadAnswer, ChatRequest, Images, Message, Sampling

QUESTION = (Message("system", "You rewrite captions."), Message("user", "A red car. Style: Night"))
PLAIN = ChatRequest(QUESTION)


class Caption(BaseModel):
    model_config = ConfigDict(extra="forbid")
    caption: str = Field(max_length=100)
    style: Literal["Night", "Rainy"]


IN_JSON = ChatRequest(QUESTION, schema=Caption)
YES_NO = ChatRequest(QUESTION, choices=("yes", "no"))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_calls, "FIRST_PAUSE", 0.001)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as found:
        yield found


def chat(server: ChatServer, **more: object) -> OpenAIChat:
    return OpenAIChat(server.config(**more))


# What is asked


def test_a_question_goes_out_with_its_sampling_and_the_answer_comes_back(server: ChatServer) -> None:
    sampling = Sampling(temperature=0.7, top_p=0.9, max_tokens=50, seed=3)
    assert chat(server).complete(ChatRequest(QUESTION, sampling)).text == "A red car drives by night."
    [asked] = server.asked
    assert asked == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "You rewrite captions."},
            {"role": "user", "content": "A red car. Style: Night"},
        ],
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 50,
        "seed": 3,
        "chat_template_kwargs": {"enable_thinking": False},
    }


def test_a_schema_is_asked_for_and_the_answer_is_an_object_of_it(server: ChatServer) -> None:
    answer = chat(server).complete(IN_JSON)
    assert answer.value == Caption(caption="A red car drives by night.", style="Night")
    wanted = server.asked[0]["response_format"]
    assert wanted["type"] == "json_schema" and wanted["json_schema"]["schema"] == Caption.model_json_schema()


def test_choices_are_asked_for_by_vllms_field_and_of_no_other_server(server: ChatServer) -> None:
    assert chat(server).complete(YES_NO).text == "yes"
    assert server.asked[0]["structured_outputs"] == {"choice": ["yes", "no"]}
    with ChatServer(says("no"), owned_by="openai") as other:
        assert chat(other).complete(YES_NO).text == "no"
    assert not {"structured_outputs", "chat_template_kwargs"} & set(other.asked[0])


WEIGHED = ChatRequest(QUESTION, choices=("yes", "no"), logprobs=True)


def test_probabilities_of_choices_sum_to_one(server: ChatServer) -> None:
    answer = chat(server).complete(WEIGHED)  # the server gives 1/2 to the first and 1/4 to the second
    assert answer.text == "yes"
    assert answer.probabilities == pytest.approx({"yes": 2 / 3, "no": 1 / 3})
    assert server.asked[0]["structured_outputs"] == {"choice": ["yes", "no"]} and server.asked[0]["logprobs"]


@pytest.mark.parametrize(
    ("choices", "answers", "shares"),
    [
        # One choice in several tokens, and one token for a whole one.
        (("yes", "no"), [("no", {"n": 0.5, "no": 0.2, "y": 0.2, "yes": 0.1}, {"o": 1.0})], (0.3, 0.7)),
        # They part at the second token.
        (("car", "cat"), [("cat", {"ca": 1.0, "x": 0.0}, {"t": 0.9, "r": 0.1})], (0.1, 0.9)),
        # What has another token than the one said may still be either of two: they are asked for once more.
        (
            ("very good", "very bad", "bad"),
            [("bad", {"bad": 0.6, "very": 0.4}), ("very good", {"very": 1.0}, {" good": 0.75, " bad": 0.25})],
            (0.3, 0.1, 0.6),
        ),
        # Tokens that no choice begins with, where the server tells those too.
        (("yes", "no"), [("no", {"no": 0.3, "The": 0.6, "yes": 0.1})], (0.25, 0.75)),
    ],
)
def test_probabilities_are_those_of_all_ways_to_say_a_choice(
    server: ChatServer, choices: tuple[str, ...], answers: list, shares: tuple[float, ...]
) -> None:
    server.answers = [says(text, tokens=tokens) for text, *tokens in answers]
    answer = chat(server).complete(ChatRequest(QUESTION, choices=choices, logprobs=True))
    assert answer.probabilities == pytest.approx(dict(zip(choices, shares)))
    assert answer.text == max(zip(shares, choices))[1]
    assert len(server.asked) == len(answers)


@pytest.mark.parametrize(
    "said",
    [says("yes"), says("yes", tokens=[{"yes": 0.2}]), says("yes", tokens=[{"no": 0.1}]), says("yes", logprobs=3)],
)
def test_a_server_without_probabilities_is_told(server: ChatServer, said: Send) -> None:
    server.answers = [said]
    with pytest.raises(UserError, match="no log-probabilities of yes, no"):
        chat(server).complete(WEIGHED)


def test_probabilities_are_asked_of_vllm_alone_and_only_where_it_keeps_to_the_choices(server: ChatServer) -> None:
    with pytest.raises(UserError, match="can be had from vLLM alone"):
        chat(server, api="openai").complete(WEIGHED)
    server.answers = [says("Perhaps.")]
    with pytest.raises(UserError, match=r"ignores structured_outputs: it said Perhaps\."):
        chat(server).complete(WEIGHED)
    with pytest.raises(ValueError, match="a choice is the beginning of another"):
        chat(server).complete(ChatRequest(QUESTION, choices=("no", "not at all")))


def test_pictures_go_before_the_text_and_frames_as_one_video_where_the_server_knows_videos(server: ChatServer) -> None:
    def asked(images: Images, api: str) -> list[dict]:
        chat(server, api=api).complete(ChatRequest((Message("user", "What is this?", images),)))
        return server.asked[-1]["messages"][0]["content"]

    frames = Images((b"\xff\xd8one", b"\xff\xd8two"), as_video=True)
    assert asked(frames, "vllm") == [
        {"type": "video_url", "video_url": {"url": "data:video/jpeg;base64,/9hvbmU=,/9h0d28="}},
        {"type": "text", "text": "What is this?"},
    ]
    two = [
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9hvbmU="}},
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9h0d28="}},
        {"type": "text", "text": "What is this?"},
    ]
    assert asked(frames, "openai") == asked(Images(frames.jpegs), "vllm") == two
    with pytest.raises(UserError, match="33 frames of one video"):
        asked(Images((b"jpeg",) * 33, as_video=True), "vllm")


def test_the_rate_of_a_video_is_told_on_request_alone(server: ChatServer) -> None:
    request = ChatRequest((Message("user", "What is this?", Images((b"one", b"two"), as_video=True, fps=12.0)),))
    chat(server, api="vllm").complete(request)
    assert "media_io_kwargs" not in server.asked[-1]
    chat(server, api="vllm", video_rate=True).complete(request)
    assert server.asked[-1]["media_io_kwargs"] == {"video": {"fps": 12.0}}
    chat(server, api="openai", video_rate=True).complete(request)
    assert "media_io_kwargs" not in server.asked[-1]


# The key


def test_the_key_comes_from_the_environment_and_is_never_repeated(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret")
    server.answers = [fails(401, "Incorrect API key: sk-secret")]
    with pytest.raises(UserError) as refusal:
        chat(server, key_variable="MY_KEY").complete(PLAIN)
    assert server.keys == ["Bearer sk-secret"]
    assert "sk-secret" not in str(refusal.value)
    assert "Incorrect API key: ***; its key belongs into the environment variable MY_KEY" in str(refusal.value)


def test_a_named_variable_without_a_key_is_an_error(server: ChatServer) -> None:
    with pytest.raises(UserError, match="NOT_THERE: this environment variable is not set"):
        chat(server, key_variable="NOT_THERE")


# Servers in trouble


@pytest.mark.parametrize(
    "trouble",
    [fails(429, retry_after="0"), fails(500), fails(502), fails(503), fails(504), hangs_up, breaks_off],
    ids=["429", "500", "502", "503", "504", "hangs up", "breaks off"],
)
def test_calls_are_repeated_where_the_server_is_busy_or_the_connection_lost(server: ChatServer, trouble: Send) -> None:
    server.answers = [trouble, trouble, says("Night.")]
    assert chat(server).complete(PLAIN).text == "Night."
    assert len(server.asked) == 3


def test_repetitions_are_bounded(server: ChatServer) -> None:
    server.answers = [fails(503, "loading")]
    with pytest.raises(UserError, match=r"fails, however often it is asked \(HTTP 503\): loading"):
        chat(server).complete(PLAIN)
    assert len(server.asked) == 4
    server.answers = [breaks_off]
    with pytest.raises(UserError, match=r"does not answer .* asked 4 times"):
        chat(server).complete(PLAIN)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_what_is_refused_is_not_repeated_and_told_in_the_servers_words(server: ChatServer, status: int) -> None:
    server.answers = [fails(status, "This model's maximum context length is 4096 tokens.")]
    with pytest.raises(UserError, match=rf"refuses \(HTTP {status}\): This model's maximum context length is 4096"):
        chat(server).complete(PLAIN)
    assert len(server.asked) == 1


def test_a_dead_engine_is_told_at_once(server: ChatServer) -> None:
    server.answers = [dead_engine()]
    with pytest.raises(UserError, match="the engine of this server has died; start it again"):
        chat(server).complete(PLAIN)
    assert len(server.asked) == 1


def test_a_server_that_is_gone_is_told() -> None:
    with ChatServer() as server:
        config = server.config(retries=1)
    with pytest.raises(UserError, match=r"does not answer \(.*refused\); asked 2 times"):
        OpenAIChat(config).complete(PLAIN)


def test_an_answer_that_takes_too_long_is_not_asked_for_again(server: ChatServer) -> None:
    server.answers = [after(0.5, says("Night."))]
    with pytest.raises(UserError, match=r"took more than llm.timeout=0.1 seconds"):
        chat(server, timeout=0.1).complete(PLAIN)
    assert len(server.asked) == 1


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'{"choices": []}', b'{"choices": [{}]}', b'{"choices": 3}'])
def test_a_server_of_something_else_is_told(server: ChatServer, content: bytes) -> None:
    server.answers = [sends(content)]
    with pytest.raises(UserError, match="is no server of chat completions"):
        chat(server).complete(PLAIN)


def test_an_unknown_model_is_told_with_the_nearest(server: ChatServer) -> None:
    with pytest.raises(UserError, match=r"unknown llm.model 'tine': did you mean 'tiny'\?"):
        chat(server, model="tine").complete(PLAIN)
    assert not server.asked


@pytest.mark.parametrize("models", [fails(404), fails(500), sends(b"no json"), sends(b"[1]"), sends(b'{"data": [1]}')])
def test_a_server_without_a_list_of_models_gets_only_fields_of_openai(server: ChatServer, models: Send) -> None:
    server.models = models
    assert chat(server).complete(PLAIN).text
    assert "chat_template_kwargs" not in server.asked[0]


def test_a_server_that_refuses_vllms_fields_names_the_key_that_helps(server: ChatServer) -> None:
    server.answers = [fails(422, "Unexpected fields: {'chat_template_kwargs'}")]
    with pytest.raises(UserError, match=r"give llm\.api=openai"):
        chat(server, api="vllm").complete(PLAIN)


# Answers that are none


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (says("A red car at night."), "no JSON"),
        (says('```json\n{"caption": "x", "style": "Night"}\n```'), "no JSON"),
        (says('{"caption": "A red'), "no JSON"),
        (says("[" * 100_000), "no JSON"),
        (says('{"caption": "x"}'), "not of the schema Caption: style: Field required"),
        (says('{"caption": "x", "style": "Foggy"}'), "style: Input should be 'Night' or 'Rainy'"),
        (says('{"caption": "x", "style": "Night", "more": 1}'), "more: Extra inputs are not permitted"),
        (says('{"caption": 7, "style": "Night"}'), "caption: Input should be a valid string"),
        (says('{"caption": "A red', finish_reason="length"), "cut off after llm.max_tokens=1024 tokens"),
        (says("A", finish_reason="content_filter"), "content filter"),
        (says(""), "empty"),
        (says(None), "empty"),
        (says("  \n"), "empty"),
        (thinks(""), "empty"),
        (says("<think>\nLet me see."), "thoughts without an end"),
        (says(None, refusal="I cannot help with that."), "the model refuses"),
        (says(["A"]), "no text"),  # type: ignore[arg-type]
    ],
)
def test_answers_of_another_form_are_bad_answers(server: ChatServer, said: Send, reason: str) -> None:
    server.answers = [said]
    with pytest.raises(BadAnswer) as bad:
        chat(server).complete(IN_JSON)
    assert reason in bad.value.reason
    assert len(server.asked) == 1  # to ask again, with another seed, is up to the caller


def test_a_choice_that_is_none_is_a_bad_answer(server: ChatServer) -> None:
    server.answers = [says("Perhaps.")]
    with pytest.raises(BadAnswer, match="none of the choices yes, no"):
        chat(server).complete(YES_NO)


@pytest.mark.parametrize(
    "said",
    [
        "<think>\n\n</think>\n\nNight.",
        "<think>It is {dark}.</think>Night.",
        "It is dark, the template opened the tag.\n</think>\nNight.",
        "\n Night. ",
    ],
)
def test_thoughts_are_left_out(server: ChatServer, said: str) -> None:
    server.answers = [says(said)]
    assert chat(server).complete(PLAIN).text == "Night."


def test_line_breaks_inside_strings_are_taken_as_they_are(server: ChatServer) -> None:
    server.answers = [says('{"caption": "A red\n\tcar.",\n "style": "Night"}')]
    assert chat(server).complete(IN_JSON).value == Caption(caption="A red\n\tcar.", style="Night")


def test_many_threads_ask_with_one_client_and_the_list_of_models_is_asked_for_once(server: ChatServer) -> None:
    client, answers = chat(server), []
    server.answer = lambda body: after(0.05, says(body["messages"][0]["content"]))

    def ask(number: int) -> None:
        answers.append(client.complete(ChatRequest((Message("user", str(number)),))).text)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted(map(str, range(8)))
    assert server.at_once > 1
