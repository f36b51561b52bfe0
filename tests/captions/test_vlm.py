"""Captions from frames: which ones, what is asked, and what is taken of the answers."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import pytest
from helpers.chat_server import ChatServer, fails, says

from cosmos_exp.captions.fidelity import PROFILES
from cosmos_exp.captions.rewriting import RewriteSettings
from cosmos_exp.captions.vlm import (
    UPSAMPLED_FRAMES,
    describe_frames,
    frames_of,
    uniform_frames,
    upsample,
)
from cosmos_exp.common import http_calls
from cosmos_exp.common.errors import UserError
from cosmos_exp.llm.client import OpenAIChat
from cosmos_exp.llm.types import Sampling

SETTINGS = RewriteSettings(sampling=Sampling(max_tokens=300))
STREET = "A street with two cars and a red light."
PROMPT = "A rainy day. A street with a red car ahead."


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_calls, "FIRST_PAUSE", 0.001)


def video(frames: int = 9, height: int = 72, width: int = 128) -> np.ndarray:
    shade = np.linspace(0, 250, frames).astype(np.uint8)
    return np.broadcast_to(shade[:, None, None, None], (frames, height, width, 3)).copy()


def chat(server: ChatServer, **more: object) -> OpenAIChat:
    return OpenAIChat(server.config(**more))


def test_frames_are_evenly_spread_from_first_to_last():
    assert uniform_frames(121, 5) == (0, 30, 60, 90, 120)
    assert uniform_frames(3, 8) == (0, 1, 2)
    assert uniform_frames(1, 8) == (0,)


def test_frames_become_jpegs_of_a_bounded_side_and_the_same_each_time():
    frames = frames_of(video(), (0, 4, 8), 10.0, 64)
    pictures = [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) for jpeg in frames.jpegs]
    assert [picture.shape for picture in pictures] == [(36, 64, 3)] * 3
    assert [int(picture.mean()) // 10 for picture in pictures] == [0, 12, 25]
    assert frames.fps == 2.5
    assert frames == frames_of(video(), (0, 4, 8), 10.0, 64)
    assert frames_of(video(), (0,), 10.0, 640).jpegs != frames.jpegs[:1]


def test_a_clip_is_described_by_its_frames():
    frames = frames_of(video(), (0, 4, 8), 10.0, 64)
    with ChatServer(says(f'{{"caption": "{STREET}"}}')) as server:
        made = describe_frames(frames, chat(server), SETTINGS, instead="A street.")
    assert (made.text, made.source) == (STREET, "model")
    pictures, text = server.asked[0]["messages"][1]["content"]
    sent = pictures["video_url"]["url"].removeprefix("data:video/jpeg;base64,").split(",")
    assert [base64.b64decode(jpeg) for jpeg in sent] == list(frames.jpegs)
    assert text["text"] == "Length: at most 110 bytes"


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ('{"caption": "A sunny street with two cars."}', 'say nothing of weather and light, as "sunny"'),
        (f'{{"caption": "{"A street with two cars and many houses " * 3}."}}', "at most 110 are read"),
        ('{"caption": "A street with two cars"}', "full stop"),
        ("A street.", "no JSON"),
    ],
)
def test_a_description_with_faults_is_asked_for_again(answer, named):
    frames = frames_of(video(), (0, 8), 10.0, 64)
    with ChatServer(says(answer), says(f'{{"caption": "{STREET}"}}')) as server:
        made = describe_frames(frames, chat(server), SETTINGS, instead="A street.")
    assert (made.text, made.attempts) == (STREET, 2)
    assert named in server.asked[1]["messages"][-1]["content"]


def test_the_description_of_the_scene_stands_in():
    with ChatServer(says('{"caption": "A foggy street."}')) as server:
        made = describe_frames(frames_of(video(), (0,), 10.0, 64), chat(server), SETTINGS, instead="A street.")
    assert (made.text, made.source, made.attempts) == ("A street.", "template", 3)


def test_a_prompt_is_upsampled_by_two_pictures_as_transfer1_does():
    longer = "A rainy day, the street is wet. Behind a red car ahead there are houses and trees."
    frames = frames_of(video(), UPSAMPLED_FRAMES, 10.0, 64)
    with ChatServer(says(f"{longer}\n")) as server:
        made = upsample(PROMPT, "Rainy", frames, chat(server), SETTINGS)
    assert (made.text, made.source) == (longer, "model")
    [message] = server.asked[0]["messages"]
    assert [part["type"] for part in message["content"]] == ["image_url", "image_url", "text"]
    assert message["role"] == "user" and message["content"][-1]["text"] == PROMPT
    assert "response_format" not in server.asked[0]


@pytest.mark.parametrize(
    "answer", ["A rainy day. A street with a blue car ahead.", "A street with a red car ahead.", "It is raining."]
)
def test_an_upsampled_prompt_must_keep_what_was_said(answer):
    with ChatServer(says(answer)) as server:
        made = upsample(PROMPT, "Rainy", frames_of(video(), (0, 1), 10.0, 64), chat(server), SETTINGS)
    assert (made.text, made.source) == (PROMPT, "template")


def test_without_a_prompt_the_pictures_alone_are_described():
    with ChatServer(says("A rainy street.")) as server:
        settings = RewriteSettings(profile=PROFILES["released"])
        made = upsample("", "Rainy", frames_of(video(), (0, 1), 10.0, 64), chat(server), settings)
    assert made.text == "A rainy street."
    assert server.asked[0]["messages"][0]["content"][-1]["text"] == "describe the following images"


def test_a_server_without_eyes_is_an_error():
    with (
        ChatServer(fails(400, "tiny is not a multimodal model")) as server,
        pytest.raises(UserError, match="multimodal"),
    ):
        describe_frames(frames_of(video(), (0,), 10.0, 64), chat(server), SETTINGS, instead="A street.")
