"""Rewriting by a language model: what is asked, asked again, and what stands in for answers that are not faithful."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.chat_server import ChatServer, breaks_off, fails, says, thinks
from helpers.rewriting_server import careless_at_first, faithful, server_that, wrong

from cosmos_exp.captions.fidelity import PROFILES, Profile
from cosmos_exp.captions.rewrite import rewrite
from cosmos_exp.captions.rewriting import REWRITTEN_STYLES, RewriteSettings, fallbacks, rewrite_all, rewrite_caption
from cosmos_exp.common import http_calls
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.styles import STYLES
from cosmos_exp.llm.client import OpenAIChat
from cosmos_exp.llm.types import Sampling

CAPTION = "Driving along a residential two-lane street past houses with a red car ahead and two pedestrians."
NIGHT = rewrite(CAPTION, "Night", 1)
SETTINGS = RewriteSettings(sampling=Sampling(seed=7, max_tokens=300))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_calls, "FIRST_PAUSE", 0.001)


def chat(server: ChatServer, **more: object) -> OpenAIChat:
    return OpenAIChat(server.config(**more))


def test_an_answer_without_a_fault_is_taken():
    with server_that() as server:
        made = rewrite_caption(CAPTION, "Night", chat(server), SETTINGS)
    assert (made.text, made.source, made.attempts) == (NIGHT, "model", 1)
    [asked] = server.asked
    assert asked["seed"] == 7 and asked["temperature"] == 0 and asked["max_tokens"] == 300
    limit = PROFILES["nano"].max_bytes
    assert asked["messages"][-1]["content"] == f"Style: Night\nLength: at most {limit} bytes\nCaption: {CAPTION}"


def test_a_fault_is_named_in_the_next_request_which_draws_anew():
    with server_that(careless_at_first) as server:
        made = rewrite_caption(CAPTION, "Night", chat(server), SETTINGS)
    assert (made.text, made.source, made.attempts) == (NIGHT, "model", 2)
    again = server.asked[1]
    assert 'added: "a bus"' in again["messages"][-1]["content"]
    assert "A bus waits." in again["messages"][-2]["content"]
    assert again["seed"] == 8 and again["temperature"] > 0
    assert 'added: "a bus"' in made.record()["rejected"][0]["violations"]


def test_the_template_stands_in_where_no_answer_is_right():
    with server_that(wrong) as server:
        made = rewrite_caption(CAPTION, "Night", chat(server), replace(SETTINGS, variant=2))
    assert (made.text, made.source, made.attempts) == (rewrite(CAPTION, "Night", 2), "template", 3)
    assert len(server.asked) == 3 and len(made.record()["rejected"]) == 3


@pytest.mark.parametrize(
    "first",
    [
        says("no JSON"),
        says('{"text": "A street."}'),
        says(""),
        thinks("It is night."),
        says("{}", finish_reason="length"),
    ],
)
def test_an_answer_of_another_form_counts_as_an_attempt(first):
    right = says(f'{{"caption": "{NIGHT}"}}')
    with ChatServer(first, right) as server:
        made = rewrite_caption(CAPTION, "Night", chat(server), SETTINGS)
    assert (made.text, made.source, made.attempts) == (NIGHT, "model", 2)
    assert made.rejected[0].violations[0].kind == "form"


def test_thoughts_before_an_answer_do_no_harm():
    with ChatServer(thinks(f'{{"caption": "{NIGHT}"}}')) as server:
        assert rewrite_caption(CAPTION, "Night", chat(server), SETTINGS).text == NIGHT


@pytest.mark.parametrize("broken", [fails(400, "no such model"), breaks_off])
def test_a_server_that_fails_ends_it(broken):
    with ChatServer(broken) as server, pytest.raises(UserError):
        rewrite_all({"a": CAPTION, "b": CAPTION}, REWRITTEN_STYLES, chat(server, retries=1), SETTINGS, concurrency=2)


def test_many_captions_at_a_time_each_told_when_it_is_ready():
    captions = {f"clip_{i}": CAPTION.replace("two pedestrians", f"{i} pedestrians") for i in range(2, 8)}
    told = {}
    with server_that() as server:
        made = rewrite_all(captions, REWRITTEN_STYLES, chat(server), SETTINGS, done=told.__setitem__)
    assert made == told and list(made) == list(captions)
    assert all(list(styles) == list(REWRITTEN_STYLES) and not fallbacks(styles) for styles in made.values())
    assert made["clip_3"]["Rainy"].text == rewrite(captions["clip_3"], "Rainy", 1)
    assert len(server.asked) == 6 * 7 and server.at_once > 1


def test_all_styles_in_one_request_and_those_with_faults_alone():
    def say(caption: str, style: str, attempt: int) -> str:
        return careless_at_first(caption, style, attempt) if style == "Snowy" else faithful(caption, style, attempt)

    with server_that(say) as server:
        together = replace(SETTINGS, together=True)
        made = rewrite_all({"clip": CAPTION}, REWRITTEN_STYLES, chat(server), together)["clip"]
    assert {style: r.text for style, r in made.items()} == {s: rewrite(CAPTION, s, 1) for s in REWRITTEN_STYLES}
    assert made["Snowy"].attempts == 2 and made["Night"].attempts == 1
    first, second = server.asked
    assert set(first["response_format"]["json_schema"]["schema"]["required"]) == set(REWRITTEN_STYLES)
    assert "Style: Snowy" in second["messages"][1]["content"]


def test_a_model_that_gives_no_object_for_all_styles_is_asked_for_each():
    def answer(body):
        if "AllStyles" in str(body["response_format"]):
            return says("I cannot.")
        return says(f'{{"caption": "{rewrite(CAPTION, body["messages"][1]["content"].split(chr(10))[0][7:], 1)}"}}')

    with ChatServer(answer=answer) as server:
        made = rewrite_all({"clip": CAPTION}, STYLES[1:3], chat(server), replace(SETTINGS, together=True))["clip"]
    assert not fallbacks(made) and len(server.asked) == 3


def test_colours_are_kept_unless_others_are_asked_for():
    def blue(caption: str, style: str, attempt: int) -> str:
        return rewrite(caption.replace("red car", "blue car"), style, 1)

    with server_that(blue) as server:
        assert rewrite_caption(CAPTION, "Night", chat(server), SETTINGS).source == "template"
        painted = rewrite_caption(CAPTION, "Night", chat(server), replace(SETTINGS, recolor=True))
    assert painted.source == "model" and "blue car" in painted.text
    assert "colours of vehicles change" in server.asked[-1]["messages"][0]["content"]
    with server_that() as server:
        kept = rewrite_caption(CAPTION, "Night", chat(server), replace(SETTINGS, recolor=True))
    assert kept.source == "template" and kept.rejected[0].violations[0].kind == "changed"


def test_captions_of_released_models_are_asked_for_in_words():
    with server_that() as server:
        made = rewrite_caption(CAPTION, "Night", chat(server), replace(SETTINGS, profile=Profile("x", words=(20, 40))))
    assert made.source == "model" and "Length: 20 to 40 words" in server.asked[0]["messages"][1]["content"]
