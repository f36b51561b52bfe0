"""Yes/no questions about a video, against a server: what is shown, what is asked, and what is made of the answers."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.chat_server import ChatServer, says
from helpers.yes_no_answers import frames_shown, question, says_yes

from cosmos_exp.common.errors import UserError
from cosmos_exp.filtering.config import FilterConfig, filter_problems
from cosmos_exp.filtering.questions import judge, pictures
from cosmos_exp.llm.client import OpenAIChat

CONFIG = FilterConfig("vlm", ["Is it {style}? {prompt}"], ["Does anything melt?"], repeats=2, frames=4)


def grey(*levels: int) -> np.ndarray:
    return np.stack([np.full((36, 64, 3), level, np.uint8) for level in levels])


def answering(**yes: float):
    """The probability of yes, by the first word of the question."""
    return lambda body: says_yes(yes[question(body).split()[0]])


def levels_shown(body) -> list[int]:
    return [int(frame.mean()) for frame in frames_shown(body)]


def test_good_answers_are_yes_to_questions_and_no_to_defects() -> None:
    with ChatServer(answer=answering(Is=0.9, Does=0.2)) as server, OpenAIChat(server.config()) as chat:
        found = judge(chat, CONFIG, grey(*range(0, 80, 10)), 8.0, "Night", "A street.", concurrency=4)
    assert found[CONFIG.questions[0]] == pytest.approx([0.9, 0.9])
    assert found[CONFIG.defects[0]] == pytest.approx([0.8, 0.8])
    texts = set(map(question, server.asked))
    assert texts == {"Is it Night? A street.", "Does anything melt?"}


def test_each_repeat_shows_other_frames_of_the_whole_video() -> None:
    with ChatServer(answer=answering(Is=0.9, Does=0.2)) as server, OpenAIChat(server.config()) as chat:
        judge(chat, CONFIG, grey(*range(0, 80, 10)), 8.0, "Night", "A street.")
    assert [levels_shown(body) for body in server.asked] == 2 * [[0, 20, 40, 60]] + 2 * [[10, 30, 50, 70]]


def test_a_short_video_is_shown_whole_and_its_rate_told() -> None:
    images = pictures(grey(0, 50, 100), 12.0, 8, repeat=1, repeats=4)
    assert len(images.jpegs) == 3 and images.as_video and images.fps == 12.0
    assert pictures(grey(*range(24)), 12.0, 8, repeat=0, repeats=1).fps == 4.0


def test_a_model_that_says_yes_to_everything_prefers_nothing() -> None:
    both = FilterConfig("vlm", ["Is it well?"], ["Does anything melt?"], repeats=1)
    with ChatServer(answer=answering(Is=0.95, Does=0.95)) as server, OpenAIChat(server.config()) as chat:
        found = judge(chat, both, grey(1, 2), 8.0, "Night", "")
    assert sum(sum(values) for values in found.values()) / 2 == pytest.approx(0.5)


def test_a_model_that_does_not_answer_is_an_error() -> None:
    refused = pytest.raises(UserError, match="perhaps")
    with ChatServer(says("perhaps", log_probability=-1.0)) as server, OpenAIChat(server.config()) as chat, refused:
        judge(chat, CONFIG, grey(1, 2), 8.0, "Night", "A street.")


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (FilterConfig("vlm", [], []), "needs a question"),
        (FilterConfig("vlm", ["Is it?", "Is it?"]), "more than once"),
        (FilterConfig("vlm", [" "]), "empty question"),
        (FilterConfig(frames=0), "filter.frames=0: must be 1 to 32"),
        (FilterConfig(repeats=0), "filter.repeats=0"),
    ],
)
def test_values_out_of_range_are_refused(config: FilterConfig, problem: str) -> None:
    assert problem in "\n".join(filter_problems(config))
