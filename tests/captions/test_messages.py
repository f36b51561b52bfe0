"""The request for a rewritten caption."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from cosmos_exp.captions.messages import Rewritten, rewrite_messages
from cosmos_exp.common.errors import UserError


def test_the_user_message_holds_style_length_and_caption():
    system, user = rewrite_messages("A red car\n  ahead.", "Night", max_bytes=150)
    assert (system.role, user.role) == ("system", "user")
    assert user.text == "Style: Night\nLength: at most 150 bytes\nCaption: A red car ahead."
    assert "Length: 80 to 130 words" in rewrite_messages("A road.", "Foggy", words=(80, 130))[1].text


def test_an_unknown_style_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'Rainy'"):
        rewrite_messages("A road.", "rainy", max_bytes=150)


@pytest.mark.parametrize("answer", ["", 'A "red" car.', "two\nlines", "a caf\u00e9", "back\\slash"])
def test_an_answer_is_plain_ascii(answer):
    with pytest.raises(ValidationError):
        Rewritten(caption=answer)


def test_an_answer_holds_nothing_else():
    assert Rewritten.model_validate_json('{"caption": "A wet road."}').caption == "A wet road."
    with pytest.raises(ValidationError):
        Rewritten.model_validate_json('{"caption": "A wet road.", "style": "Rainy"}')
